"""What is compared: a metric at a percentile or its mean, or a throughput; and its estimate for some runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from perfkit.comparing.throughput import rate_blocks, rate_estimate
from perfkit.errors import UsageError, nearest
from perfkit.estimates import Estimate, mean_estimate, percentile_estimate
from perfkit.metrics import METRICS, RATES, Metric, Rate
from perfkit.stats import Floats, percentile, present

QUANTITIES = ("ttft_p50", "ttft_p95", "tpot_mean", "e2e_p50", "e2e_p95", "output_throughput")
"""What is compared unless told otherwise."""

_SHORT = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "itl": "ITL"}
_SPAN = ("start_time", "completed_time", "success")
_COUNTED = {
    "request_throughput": (),
    "output_throughput": ("completion_tokens",),
    "total_throughput": ("prompt_tokens", "completion_tokens"),
}
"""Rates that are sums over the window, and the columns that they add up; none: requests."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A metric at a percentile or its mean, or a throughput."""

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
        own = (*_SPAN, *_COUNTED[self.name]) if isinstance(self.metric, Rate) else self.metric.columns
        return (*own, "success")

    def values(self, rows: pd.DataFrame) -> pd.Series:
        """Return the values of a metric for the successful requests, in order of start."""
        if isinstance(self.metric, Rate):
            raise UsageError(f"{self.name} belongs to a run, not to its requests")
        return self.metric.compute(rows[rows["success"]]).dropna()

    def of(self, rows: pd.DataFrame) -> float:
        """Return the quantity of one run."""
        if isinstance(self.metric, Rate):
            return self.estimate([rows]).value
        values = present(self.values(rows))
        return (
            percentile(values, self.q) if self.q is not None else float(values.mean()) if values.size else float("nan")
        )

    def estimate(self, runs: Sequence[pd.DataFrame]) -> Estimate:
        """Return the quantity of some runs taken together, with its interval."""
        if isinstance(self.metric, Rate):
            return rate_estimate([self._requests(rows) for rows in runs])
        series = self.series(runs)
        return mean_estimate(series) if self.q is None else percentile_estimate(series, self.q)

    def series(self, runs: Sequence[pd.DataFrame]) -> Floats:
        """Return what the quantity is computed from, in order of time: values, or rows (amount, seconds) of a rate."""
        if isinstance(self.metric, Rate):
            return np.concatenate([rate_blocks(self._requests(rows)) for rows in runs])
        return np.concatenate([present(self.values(rows)) for rows in runs])

    def statistic(self, units: Floats) -> Floats:
        """Return the quantity of units along leading axes (..., units, width): values, or sums (amount, duration)."""
        if isinstance(self.metric, Rate):
            amounts, durations = np.moveaxis(units.sum(axis=-2), -1, 0)
            return np.asarray(amounts / durations, dtype=float)
        flat = units.reshape(*units.shape[:-2], -1)
        return np.asarray(flat.mean(axis=-1) if self.q is None else np.percentile(flat, self.q, axis=-1))

    def deviations(self, values: pd.Series) -> npt.NDArray[np.float64]:
        """Return what each request adds to the quantity's error: how far it is off, or on which side it lies."""
        numbers = values.to_numpy(dtype=float)
        return numbers if self.q is None else (numbers <= np.percentile(numbers, self.q)).astype(float)

    def _requests(self, rows: pd.DataFrame) -> Floats:
        """Return start, end, and what it brought, of every request that ended."""
        ended = rows.dropna(subset=["start_time", "completed_time"])
        counted = _COUNTED[self.name]
        brought = (
            sum((ended[name].fillna(0) for name in counted), start=pd.Series(0.0, ended.index)) if counted else 1.0
        )
        columns = [ended["start_time"], ended["completed_time"], brought * ended["success"]]
        return np.column_stack([column.to_numpy(dtype=float) for column in columns])


def quantity(name: str) -> Quantity:
    """Read the name of a quantity.

    Parameters
    ----------
    name : str
        ``"ttft_p95"``, ``"tpot_mean"``, ``"ttft"`` (its mean), or a throughput such as ``"output_throughput"``.

    Raises
    ------
    UsageError
        No metric or throughput has that name.

    Examples
    --------
    >>> quantity("ttft_p95").words, quantity("output_throughput").words
    ('p95 TTFT', 'output throughput')
    """
    if name in _COUNTED:
        return Quantity(name, RATES[name])
    if name in METRICS:
        return Quantity(name, METRICS[name])
    metric, _, statistic = name.rpartition("_")
    if metric in METRICS and statistic == "mean":
        return Quantity(name, METRICS[metric])
    if metric in METRICS and statistic[:1] == "p" and statistic[1:].replace(".", "", 1).isdecimal():
        if float(statistic[1:]) > 100:
            raise UsageError(f"a percentile lies within 0 and 100, as in {metric}_p95, got {name!r}")
        return Quantity(name, METRICS[metric], float(statistic[1:]))
    hint = nearest(metric or name, [*METRICS, *_COUNTED])
    raise UsageError(f"no quantity is called {name!r}: a metric with _mean or _p95, or a throughput{hint}")
