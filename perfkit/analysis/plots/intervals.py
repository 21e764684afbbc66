"""Rates in intervals of a run's time: tokens, answers, requests in flight."""

from collections.abc import Iterable, Iterator

import numpy as np
from pandas import DataFrame

from perfkit.analysis.metrics import RATES
from perfkit.analysis.stats.distribution import Floats, present

INTERVALS = 60
"""Intervals that the time of a run is cut into at most."""
READ = ("t", "start_time", "completed_time", "first_chunk_latency", "last_token_time")
"""The columns needed beside those that a rate adds up."""


def counted_over_time(name: str) -> bool:
    """Tell whether a rate can be drawn over time: a sum per second, or the requests in flight."""
    return name == "concurrency" or (name in RATES and RATES[name].counted is not None)


def ends_of(rows: DataFrame) -> Floats:
    """Return when each request ended, seconds since its run's start."""
    ends: Floats = (rows["t"] + rows["completed_time"] - rows["start_time"]).to_numpy(dtype=float)
    return ends


def interval_of(parts: Iterable[DataFrame]) -> float:
    """Choose a round number of seconds that cuts the longest of some runs into at most 60 intervals."""
    ends = [present(ends_of(rows)).max(initial=0) for rows in parts]
    least = max(ends, default=0) / INTERVALS
    if least <= 0:
        return 0.0
    power = 10 ** np.floor(np.log10(least))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least))


def rate_in_intervals(rows: DataFrame, name: str, width: float) -> tuple[Floats, Floats]:
    """Return the mean rate in each interval, at the interval's start; the last one may be longer or shorter."""
    rows = rows[rows["completed_time"].notna()]
    if not len(rows) or not width:
        return np.empty(0), np.empty(0)
    parts = list(_amounts(rows, name))
    end = max(*(last.max() for _, _, last in parts), 1e-6)
    edges = np.append(np.arange(0, max(end - width / 4, 1e-9), width), end)
    done = np.zeros(len(edges))
    for amount, first, last in parts:
        # An answer in one piece comes all at once: a span of no length would divide by zero.
        span = np.maximum(last - first, 1e-6)
        done += [float(amount @ np.clip(1 - (last - edge) / span, 0, 1)) for edge in edges]
    rate = np.diff(done) / np.diff(edges)
    return edges, np.append(rate, rate[-1:])


def _amounts(rows: DataFrame, name: str) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield what each request adds up to, and from when to when: seconds in flight, answers, tokens."""
    start, ends = rows["t"].to_numpy(dtype=float), ends_of(rows)
    if name == "concurrency":
        yield ends - start, start, ends
        return
    good = np.asarray(rows["success"] == 1, dtype=float)
    counted = RATES[name].counted
    if not counted:
        yield good, ends, ends
    for column in counted or ():
        amount = good * rows[column].fillna(0).to_numpy(dtype=float)
        first = or_else(start + rows["first_chunk_latency"].to_numpy(dtype=float), ends)
        if column == "completion_tokens":
            last = start + (rows["last_token_time"] - rows["start_time"]).to_numpy(dtype=float)
            yield amount, first, or_else(last, ends)
        else:
            yield amount, first, first


def or_else(times: Floats, instead: Floats) -> Floats:
    """Return times, and others where they are missing."""
    return np.asarray(np.where(np.isnan(times), instead, times), dtype=float)


def steady_rates(rows: DataFrame, name: str) -> Floats:
    """Return the rate in each second of each run in which the load was steady; of a short run, in each tenth of one."""
    runs = rows.groupby("run", sort=False, observed=True) if "run" in rows else [("", rows)]
    return np.concatenate([np.empty(0), *(_steady(run, name) for _, run in runs)])


def _steady(rows: DataFrame, name: str) -> Floats:
    steady = rows["phase"] == "steady" if "phase" in rows else rows["t"].notna()
    first, last = rows.loc[steady, "t"].min(), rows.loc[steady, "t"].max()
    if not last > first:
        return np.empty(0)
    edges, rates = rate_in_intervals(rows, name, 1.0 if last - first >= 30 else 0.1)
    # Each line ends with its last rate once more; after the last request was sent the load falls off.
    inside = (edges[:-1] >= first) & (edges[1:] <= last)
    steady_ones: Floats = rates[:-1][inside]
    return steady_ones
