"""Where a run's steady state begins and ends."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from perfkit.analysis.query.frame import requests
from perfkit.analysis.query.run import Run, Window
from perfkit.analysis.stats.distribution import Floats, Numbers, present
from perfkit.errors import PerfkitError, UsageError
from perfkit.options.units import Amount as Read
from perfkit.options.units import amount

Amount = int | float | str | None
"""A count of requests, a share of them (``0.1``, ``"10%"``), a time such as ``"10s"``, or None."""

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
    means = _batch_means(values)
    k = means.size
    if k < 4:
        return 0
    errors = [float(np.var(means[d:])) / (k - d) for d in range(k // 2 + 1)]
    return int(np.argmin(errors)) * _BATCH


def settles(values: Numbers) -> bool:
    """Tell whether a run reached a steady state: false where its latencies still change clearly towards its end.

    Parameters
    ----------
    values : array of float
        One latency a request, in order of start; NaN is left out.

    Returns
    -------
    bool
        False where ``warmup_length`` would leave out as much as it may, and the mean of the last quarter is off that of
        the one before by more than 5 % and by more than three standard errors of batches of five. True for fewer than
        40 values.

    Examples
    --------
    >>> settles([1.0, 1.1] * 100), settles(np.linspace(1.0, 9.0, 200))
    (True, False)
    """
    means = _batch_means(values)
    k = means.size
    if k < 8 or warmup_length(values) < k // 2 * _BATCH:
        return True
    before, last = means[-(k // 2) : -(k // 4)], means[-(k // 4) :]
    error = np.sqrt(before.var(ddof=1) / before.size + last.var(ddof=1) / last.size)
    apart = abs(float(last.mean() - before.mean()))
    return bool(apart <= max(3 * error, 0.05 * abs(before.mean())))


def _batch_means(values: Numbers) -> Floats:
    """Return the means of five neighbours each; what is left over at the end is left out."""
    samples = present(values)
    whole = samples.size // _BATCH * _BATCH
    means: Floats = samples[:whole].reshape(-1, _BATCH).mean(axis=1)
    return means


def trim(runs: Sequence[Run], warmup: Amount, cooldown: Amount) -> tuple[Run, ...]:
    """Return the runs with their steady state chosen anew; see ``Runs.trim``."""
    return tuple(replace(run, window=_window(run, warmup, cooldown)) for run in runs)


def trimmed_as_asked(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return the runs, trimmed by the warm-up they were measured with where only their rows can tell it."""
    return tuple(map(_as_asked, runs))


def _as_asked(run: Run) -> Run:
    given = run.arguments.get("warmup")
    try:
        if (
            not run.is_summary
            and run.record.get("source") == "perfkit"
            and amount("warmup", given, auto=True).kind in ("share", "auto")
        ):
            return replace(run, window=_window(run, given, None))
    except PerfkitError:
        pass  # a run that broke off may have no request after it: its phases stay as they are stored
    return run


def _window(run: Run, warmup: Amount, cooldown: Amount) -> Window:
    whole = replace(run, conditions=(), window=None)
    rows = requests([whole], ["start_time", "completed_time", "first_chunk_latency", "latency"])
    starts = present(rows["start_time"])
    if not starts.size:
        return Window()
    asked, is_settled = amount("warmup", warmup, auto=True), True
    if asked.kind == "auto":
        seen = "first_chunk_latency" if rows["first_chunk_latency"].notna().any() else "latency"
        is_settled = settles(rows[seen])
        warmup = warmup_length(rows[seen])
        asked = Read(warmup, "count")
    end = present(rows["completed_time"]).max(initial=starts[-1])
    low = _boundary(starts, starts[0], asked)
    high = -_boundary(-starts[::-1], -end, amount("cooldown", cooldown))
    # Rows that never started are steady whatever is left out.
    if starts.size == len(rows) and not np.any((starts >= low) & (starts <= high)):
        given = " and ".join(f"{name} {at}" for name, at in (("warmup", warmup), ("cooldown", cooldown)) if at)
        raise UsageError(
            f"{given} leaves nothing of {run.label}, which has {starts.size} requests in {end - starts[0]:.3g} s; "
            "give less"
        )
    edges = [None if np.isinf(at) else float(at) for at in (low, high)]
    return Window(edges[0], edges[1], is_settled)


def _boundary(starts: Floats, origin: float, left_out: Read) -> float:
    """Return the first start that is steady, given how much before it is not."""
    value, unit = left_out
    if unit == "time":
        return origin + value if value else -np.inf
    count = int(round(value * starts.size, 6)) if unit == "share" else int(value)
    return -np.inf if not count else starts[count] if count < starts.size else np.inf
