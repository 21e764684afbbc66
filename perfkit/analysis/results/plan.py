"""How many runs a comparison needs: ``pk.plan``."""

from collections.abc import Iterable

from perfkit.analysis.compare import QUANTITIES, Plan, plan_comparison
from perfkit.analysis.results.runs import Runs
from perfkit.analysis.results.selection import with_requests
from perfkit.options.units import share


def plan(
    *,
    like: Runs,
    effect: str | float = 0.05,
    quantities: str | Iterable[str] = QUANTITIES,
    noise: str | float | None = None,
    number: int | None = None,
    power: str | float = 0.8,
) -> Plan:
    """Say how many runs a side a comparison needs to show a difference.

    Parameters
    ----------
    like : Runs
        One run or more, like those to come. Those of one name, load and work are repeats: they tell how much runs
        differ.
    effect : float or str
        The difference to see, as a share: ``0.05`` or ``"5%"``.
    quantities : str or iterable of str
        What will be compared, as for ``Runs.compare``: Holm's correction for all of them is counted in.
    noise : float or str, optional
        How much runs of one setting differ, as a standard deviation: ``"4%"``. It is taken in place of repeats.
    number : int, optional
        Requests of each run to come; default: as many as these had.
    power : float or str
        The chance to see it.

    Returns
    -------
    Plan
        ``runs`` a side (None where nothing tells how much runs differ), ``rounds`` of ``pk.ab``, ``requests`` of each
        run, ``table``; prints as a table and sentences.

    Raises
    ------
    UsageError
        The runs are too short to judge by, a name is unknown, or a number out of its range.

    Notes
    -----
    What ``Runs.compare`` does is what is planned: Welch's t on the logarithms of the runs, or Student's on rounds, at
    the first level of Holm's correction. Runs differ by the luck of their requests, which longer runs lessen, and by
    more, which only more runs do. Where few repeats tell how much, the chance is averaged over what they leave open.
    """
    names = [quantities] if isinstance(quantities, str) else list(quantities)
    apart = None if noise is None else share("noise", noise)
    return plan_comparison(with_requests(like, "plan"), names, effect, apart, number, share("power", power))
