"""How often a comparison of runs sees a difference that is there, and how many runs that takes."""

from math import inf, log, sqrt

import numpy as np

MOST = 100_000
"""Runs a side beyond which a plan is none."""

_PARTS = 32
"""Values by which a distribution is averaged over."""


def power_of(runs: int, distance: float, *, level: float = 0.05, rounds: bool = False, freedom: float = inf) -> float:
    """Return the chance that so many runs a side show a difference.

    Parameters
    ----------
    runs : int
        Runs a side, two or more.
    distance : float
        Logarithm of the ratio, over the standard deviation of the logarithms of runs of one side.
    level : float
        Two-sided level of the test: of several quantities under Holm's correction, 0.05 over their number.
    rounds : bool
        Whether runs are compared round by round (Student's t on their ratios), not side by side (Welch's).
    freedom : float
        Degrees of freedom of the standard deviation; infinite where it is known.

    Notes
    -----
    Welch's degrees of freedom depend on how unequal the variances of the two sides came out: of equal ones the share of
    the first is a beta variable, independent of their sum, over which the noncentral t is averaged. Where the standard
    deviation was measured, the chance is averaged over what that leaves open.

    Examples
    --------
    >>> round(power_of(17, 1.0), 2), round(power_of(17, 1.0, level=0.05 / 6), 2)
    (0.81, 0.54)
    """
    from scipy.special import betaincinv, chdtri, nctdtr, stdtrit  # late: slow to load

    middles = (np.arange(_PARTS) + 0.5) / _PARTS
    known = np.sqrt(chdtri(freedom, middles) / freedom) if freedom < inf else np.ones(1)
    shift = np.minimum(distance * known * sqrt(runs / 2), 37.0)
    if rounds:
        of_test, critical = runs - 1, np.array([stdtrit(runs - 1, 1 - level / 2)])
    else:
        first = betaincinv((runs - 1) / 2, (runs - 1) / 2, middles)
        of_test = 2 * (runs - 1)
        critical = stdtrit((runs - 1) / (first**2 + (1 - first) ** 2), 1 - level / 2)
    return float(np.mean(1 - nctdtr(of_test, shift[:, None], critical[None, :])))


def runs_needed(
    scatter: float,
    effect: float,
    power: float = 0.8,
    *,
    family: int = 1,
    rounds: bool = False,
    freedom: float = inf,
) -> int | None:
    """Return how many runs a side show a ratio of 1 + effect.

    Parameters
    ----------
    scatter : float
        Standard deviation between the logarithms of runs of one side: 0.05 for about five per cent.
    effect : float
        0.05 for five per cent.
    power : float
        The chance to see it.
    family : int
        Quantities and loads that are looked at together: Holm's correction for them is counted in.
    rounds, freedom
        As for ``power_of``.

    Returns
    -------
    int or None
        Two or more; None where the scatter is unknown, or more than ``MOST`` would be needed.

    Examples
    --------
    >>> runs_needed(0.05, 0.1), runs_needed(0.05, 0.1, family=6), runs_needed(0.05, 0.1, freedom=2)
    (6, 9, 13)
    """
    if not scatter >= 0 or not effect > 0:
        return None
    distance = log(1 + effect) / max(scatter, 1e-9)

    def reached(runs: int) -> bool:
        return power_of(runs, distance, level=0.05 / family, rounds=rounds, freedom=freedom) >= power

    high = 2
    while not reached(high):
        high *= 2
        if high > MOST:
            return None
    low = max(2, high // 2)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle + 1, high)
    return low
