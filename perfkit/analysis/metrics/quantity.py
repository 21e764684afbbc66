"""What is compared: a metric at a percentile or its mean, or a throughput; and its estimate for one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt

import numpy as np
import pandas as pd

from perfkit.analysis.metrics.rates import with_windows
from perfkit.analysis.metrics.registry import (
    METRICS,
    RATES,
    Metric,
    Rate,
    statistic_named,
    summaries_in,
    without_summaries,
)
from perfkit.analysis.stats.distribution import Floats, percentile, present
from perfkit.analysis.stats.estimates import UNKNOWN, Estimate, mean_estimate, percentile_estimate
from perfkit.errors import UsageError, nearest
from perfkit.options.objectives import read_quantity

QUANTITIES = ("ttft_p50", "ttft_p95", "tpot_mean", "e2e_p50", "e2e_p95", "output_throughput")
"""What is compared unless told otherwise."""

BLOCKS = 10
"""Stretches of time that the interval of a throughput rests on, at most: more would be shorter than slow swings."""

_FEW, _FEWEST = 5, 4
_SHORT = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "itl": "ITL"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric at a percentile or its mean, or a rate."""

    name: str
    metric: Metric | Rate
    q: float | None = None
    """Percentile; None for the mean, and for throughputs."""

    @property
    def words(self) -> str:
        """What a sentence calls it."""
        name = _SHORT.get(self.metric.name, self.metric.label)
        if isinstance(self.metric, Rate):
            return name
        return f"mean {name}" if self.q is None else f"p{self.q:g} {name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of requests that it is computed from."""
        return (*self.metric.columns, "success")

    def of(self, rows: pd.DataFrame) -> float:
        """Return the quantity of one run, whose requests of the load these are, with their ``phase``."""
        if summaries_in(rows):
            return self.estimate(rows).value
        if isinstance(self.metric, Rate):
            return self.metric.of(rows)
        values = self._values(rows)
        if self.q is not None:
            return percentile(values, self.q)
        return float(values.mean()) if values.size else float("nan")

    def estimate(self, rows: pd.DataFrame) -> Estimate:
        """Return the quantity of one run with the interval that its requests leave; not what changes between runs.

        Where rows stand for runs that are known by summaries, and none is a request, it is what these say.
        """
        if (told := summaries_in(rows)) and len(told) == len(rows):
            return of_repeats([self.stated(figures, rows) for figures in told])
        rows = without_summaries(rows)
        if isinstance(self.metric, Rate) and self.metric.base:
            return self.metric.estimate(quantity(self.metric.base).estimate(rows), rows)
        if isinstance(self.metric, Rate):
            value, counted = self.metric.of(rows), self.metric.counted
            # What is not a sum over the window has no stretches of it: its interval comes from repeated runs.
            return Estimate(value, n=len(rows)) if counted is None else rate_estimate(value, _brought(rows, counted))
        values = self._values(rows)
        return mean_estimate(values) if self.q is None else percentile_estimate(values, self.q)

    @property
    def figure(self) -> str:
        """What it is called among the figures of a summary: ``ttft_p50``, ``ttft_mean``, ``output_throughput``."""
        if isinstance(self.metric, Rate):
            return self.metric.name
        return f"{self.metric.name}_{'mean' if self.q is None else f'p{self.q:g}'}"

    def stated(self, figures: Mapping[str, float], rows: pd.DataFrame) -> Estimate:
        """Return the quantity as a summary states it, without interval; what follows from a figure and tags follows.

        Parameters
        ----------
        figures : mapping of str to float
            By their names, in seconds and tokens; ``requests`` and ``failed``, too.
        rows : DataFrame
            With the tags that a rate is computed from.
        """
        n = int(figures.get(f"{self.metric.name}_n", figures.get("requests", 0) - figures.get("failed", 0)))
        if self.figure in figures:
            return Estimate(figures[self.figure], n=n, mark="summary")
        if isinstance(self.metric, Rate) and self.metric.base:
            return self.metric.estimate(quantity(self.metric.base).stated(figures, rows), rows)
        return UNKNOWN

    def _values(self, rows: pd.DataFrame) -> Floats:
        steady = rows[rows["phase"] == "steady"] if "phase" in rows else rows
        return (
            present(self.metric.compute(steady[steady["success"]])) if isinstance(self.metric, Metric) else present([])
        )


def _brought(rows: pd.DataFrame, counted: tuple[str, ...]) -> Floats:
    """Return start, end, and what it brought, of every request under way in the window, and the window's ends."""
    rows = with_windows(rows.dropna(subset=["start_time", "completed_time"]))
    rows = rows[(rows["completed_time"] > rows["window_start"]) & (rows["start_time"] <= rows["window_end"])]
    amounts = [rows[name].fillna(0) for name in counted]
    brought = sum(amounts, start=pd.Series(0.0, rows.index)) if amounts else pd.Series(1.0, rows.index)
    columns = [rows["start_time"], rows["completed_time"], brought * rows["success"]]
    columns += [rows["window_start"], rows["window_end"]]
    return np.column_stack([column.to_numpy(dtype=float) for column in columns])


def of_repeats(runs: Sequence[Estimate], level: float = 0.95) -> Estimate:
    """Return what repeats of one run say: their geometric mean, with Student's interval over the runs.

    Of one run it is that run's own estimate, whose interval says what its requests leave open.

    Examples
    --------
    >>> found = of_repeats([Estimate(90.0, n=10), Estimate(100.0, n=10), Estimate(110.0, n=10)])
    >>> round(found.value, 1), round(found.low), round(found.high), found.n
    (99.7, 78, 128, 30)
    """
    known = [each for each in runs if each.value > 0]
    if len(known) < 2:
        return known[0] if known else next(iter(runs), UNKNOWN)
    from scipy.special import stdtrit  # late, and not scipy.stats, which is slow to load

    logs = np.log([each.value for each in known])
    value, k = float(logs.mean()), len(known)
    reach = float(stdtrit(k - 1, (1 + level) / 2) * logs.std(ddof=1) / sqrt(k))
    n = sum(each.n for each in known)
    return Estimate(exp(value), exp(value - reach), exp(value + reach), n, float(k))


def rate_estimate(value: float, requests: Floats, level: float = 0.95) -> Estimate:
    """Return a throughput with an interval, from the scatter between long stretches of its run's window.

    Parameters
    ----------
    value : float
        The throughput.
    requests : array of float, shape (requests, 5)
        Start and end of each request, Unix seconds, what it brought, such as tokens, and the ends of the window.
    level : float
        Nominal coverage.

    Returns
    -------
    Estimate
        ``effective`` counts the stretches. Without interval where the run did not last several times as long as a
        request; marked *too few* below ten stretches, each of two requests' time.

    Notes
    -----
    Batch means [1]_: Student's interval over ``rate_blocks``. Spreading requests over their time evens the stretches
    out, by a third of a request's share of a stretch, and so leaves out what the moments at which a run begins and ends
    decide: how much of the last requests is in it. The interval is as much wider.

    References
    ----------
    .. [1] Law & Kelton, Simulation modeling and analysis, 3rd ed., section 9.5.3.

    Examples
    --------
    >>> start = np.arange(100.0) / 2
    >>> requests = np.column_stack([start, start + 0.5, np.full(100, 2.0), np.zeros(100), np.full(100, 49.5)])
    >>> round(rate_estimate(4.0, requests).low, 3)
    4.0
    """
    blocks = rate_blocks(requests)
    n, k = len(requests), len(blocks)
    if k < 2 or not value > 0 or not blocks.mean() > 0:
        return Estimate(value, n=n, effective=float(k), mark="too few")
    from scipy.special import stdtrit  # late, and not scipy.stats, which is slow to load

    start, end, _, lows, highs = requests.T
    evened = float((end - start).mean() / (highs[0] - lows[0])) * k / 3
    scatter = float(blocks.std(ddof=1) / blocks.mean()) / sqrt(max(1 - evened, 0.5))
    reach = float(stdtrit(k - 1, (1 + level) / 2)) * scatter / sqrt(k)
    return Estimate(value, value * exp(-reach), value * exp(reach), n, float(k), "" if k >= BLOCKS else "too few")


def rate_blocks(requests: Floats) -> Floats:
    """Cut a window into stretches of equal length, and return what came in each.

    Parameters
    ----------
    requests : array of float, shape (requests, 5)
        As for ``rate_estimate``.

    Returns
    -------
    array of float
        Each stretch lasts at least twice as long as a request on average, or once where that leaves fewer than five;
        none where fewer than four fit.

    Notes
    -----
    What a request brought is spread evenly over the time it took: counted at its end, eight users who end together
    would make a stretch with one more end of theirs look much faster.

    Examples
    --------
    >>> start = np.arange(100.0)
    >>> requests = np.column_stack([start, start + 1, np.full(100, 8.0), np.zeros(100), np.full(100, 99.0)])
    >>> rate_blocks(requests).round(1).tolist()[:2]
    [79.2, 79.2]
    """
    if not len(requests):
        return np.empty(0)
    start, end, amount, lows, highs = requests.T
    low, high, lasts = float(lows[0]), float(highs[0]), float((end - start).mean())
    fit = (high - low) / max(lasts, 1e-9)
    count = int(min(BLOCKS, fit / 2)) if fit >= 2 * _FEW else int(min(_FEW, fit))
    if count < _FEWEST:
        return np.empty(0)
    pace = amount / np.maximum(end - start, 1e-9)
    times = np.concatenate([start, np.maximum(end, start + 1e-9)])
    order = np.argsort(times, kind="stable")
    arriving = np.cumsum(np.concatenate([pace, -pace])[order])
    so_far = np.concatenate([[0.0], np.cumsum(arriving[:-1] * np.diff(times[order]))])
    edges = np.linspace(low, high, count + 1)
    found: Floats = np.diff(np.interp(edges, times[order], so_far))
    return found


def quantity(name: str) -> Quantity:
    """Read the name of a quantity.

    Parameters
    ----------
    name : str
        ``"ttft_p95"`` or ``"p95 ttft"``, ``"tpot_mean"``, ``"ttft"`` (its mean), or a rate such as
        ``"output_throughput"``.

    Raises
    ------
    UsageError
        No metric or rate has that name.

    Examples
    --------
    >>> quantity("ttft_p95").words, quantity("output_throughput").words
    ('p95 TTFT', 'output throughput')
    """
    if name not in METRICS and name not in RATES:
        name = read_quantity(name).name
    if (found := statistic_named(name)) is not None:
        if found[1] is not None and found[1] > 100:
            raise UsageError(f"a percentile is between 0 and 100, as in ttft_p95, got {name!r}")
        return Quantity(name, *found)
    metric = name.rpartition("_")[0]
    hint = nearest(metric or name, [*METRICS, *RATES])
    raise UsageError(f"no quantity is called {name!r}: a metric with _mean or _p95, or a rate{hint}")
