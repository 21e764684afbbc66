"""Where a run's steady state begins and ends."""

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Literal

import numpy as np

from perfkit.errors import UsageError
from perfkit.frame import Run, Window, requests
from perfkit.stats import Floats, Numbers, present
from perfkit.where import DURATIONS, quantity

Amount = int | float | str | None
"""A count of requests, a share of them (``0.1``, ``"10%"``), a time such as ``"10s"``, or None."""
Unit = Literal["count", "share", "time"]

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
    end = present(rows["completed_time"]).max(initial=starts[-1])
    low = _boundary(starts, starts[0], _amount(warmup, "warmup"))
    high = -_boundary(-starts[::-1], -end, _amount(cooldown, "cooldown"))
    # Rows that never started are steady whatever is left out.
    if starts.size == len(rows) and not np.any((starts >= low) & (starts <= high)):
        given = " and ".join(f"{name} {at}" for name, at in (("warmup", warmup), ("cooldown", cooldown)) if at)
        raise UsageError(
            f"{given} leaves nothing of {run.label}, which has {starts.size} requests in {end - starts[0]:.3g} s; "
            "give less"
        )
    return Window(*(None if np.isinf(at) else float(at) for at in (low, high)))


def _boundary(starts: Floats, origin: float, amount: tuple[float, Unit]) -> float:
    """Return the first start that is steady, given how much before it is not."""
    value, unit = amount
    if unit == "time":
        return origin + value if value else -np.inf
    count = int(round(value * starts.size, 6)) if unit == "share" else int(value)
    return -np.inf if not count else starts[count] if count < starts.size else np.inf


def _amount(given: Amount, name: str) -> tuple[float, Unit]:
    read = quantity(given) if isinstance(given, str) else (0 if given is None else given, "")
    if read and isinstance(read[0], Real) and not isinstance(read[0], bool):
        value, unit = float(read[0]), read[1]
        if (unit == "%" and 0 <= value <= 1) or (not unit and 0 < value < 1):
            return value, "share"
        if unit not in ("", "%") and 0 <= value < np.inf:
            return value, "time"
        if not unit and value >= 0 and value.is_integer():
            return value, "count"
    auto = ", nor 'auto'" if name == "warmup" else ""
    raise UsageError(
        f"{name} {given} is neither a count of requests such as 20, nor a share of them such as 10% or 0.1 (at most "
        f"100%), nor a time such as 10s (units: {DURATIONS}){auto}"
    )
