"""Where a run's steady state begins and ends."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfkit.errors import UsageError
from perfkit.frame import Run, Window, requests
from perfkit.stats import Numbers, present
from perfkit.where import parse
from perfkit.where.tree import Comparison, Constant

Amount = int | float | str | None
"""A count of requests, a share of them below 1, a time such as ``"10s"``, or None."""

_BATCH = 5


def warmup_length(values: Numbers) -> int:
    """Return how many values at the start belong to a transient rather than to the steady state.

    Parameters
    ----------
    values : array of float
        One latency a request, in order of start; NaN is left out.

    Returns
    -------
    int
        A multiple of 5, at most half of the values; 0 for fewer than 20.

    Notes
    -----
    MSER-5 [1]_: of the means of five neighbours, leave out the first d for which the squared standard error of the
    rest, ``sum((x - mean)^2) / (k - d)^2``, is smallest. A minimum at the last place allowed means that the run
    never settled; half of it is left out then.

    References
    ----------
    .. [1] White, An effective truncation heuristic for bias reduction in simulation output, Simulation 69 (1997).

    Examples
    --------
    >>> warmup_length([9.0] * 20 + [1.0, 1.1] * 90)
    20
    """
    samples = present(values)
    k = samples.size // _BATCH
    if k < 4:
        return 0
    means = samples[: k * _BATCH].reshape(k, _BATCH).mean(axis=1)
    errors = [float(np.var(means[d:])) / (k - d) for d in range(k // 2 + 1)]
    return int(np.argmin(errors)) * _BATCH


def trimmed(runs: Sequence[Run], warmup: Amount, cooldown: Amount) -> tuple[Run, ...]:
    """Return the runs with their steady state chosen anew; see ``Runs.trim``."""
    return tuple(replace(run, window=_window(run, warmup, cooldown)) for run in runs)


def _window(run: Run, warmup: Amount, cooldown: Amount) -> Window:
    whole = replace(run, conditions=(), window=None)
    rows = requests([whole], ["start_time", "completed_time", "first_chunk_latency", "latency"])
    starts = present(rows["start_time"])
    if not starts.size:
        return Window()
    if warmup == "auto":
        seen = "first_chunk_latency" if rows["first_chunk_latency"].notna().any() else "latency"
        warmup = warmup_length(rows[seen])
    low = _boundary(starts, warmup, "warmup")
    end = float(rows["completed_time"].max())
    high = _boundary(-starts[::-1], cooldown, "cooldown", origin=-end)
    return Window(low, None if high is None else -high)


def _boundary(starts: np.ndarray, amount: Amount, name: str, origin: float | None = None) -> float | None:
    """Return the first start that is steady, given how much before it is not; None for nothing."""
    if amount is None or amount == 0:
        return None
    if isinstance(amount, str):
        return float(starts[0] if origin is None else origin) + _seconds(amount, name)
    if amount < 0 or isinstance(amount, bool):
        raise UsageError(f"{name} is a count, a share below 1 or a time such as '10s', got {amount!r}")
    count = int(amount * starts.size) if amount < 1 else int(amount)
    if count >= starts.size:
        raise UsageError(f"{name} of {count} requests leaves nothing of a run of {starts.size}")
    return float(starts[count])


def _seconds(text: str, name: str) -> float:
    match parse(f"t < {text}"):
        case Comparison(values=(_, Constant(value))) if not isinstance(value, str) and not text.strip().isdigit():
            return float(value)
    raise UsageError(f"{name} is a count, a share below 1 or a time such as '10s', got {text!r}")
