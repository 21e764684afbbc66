"""What a load is to meet: a percentile or the mean of a metric, or a share of failures; and what one run says of it."""

from dataclasses import dataclass
from math import inf, log

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import rankdata

from perfkit.analysis.capacity.posterior import Evidence, MeanAgainst, ShareBeyond
from perfkit.analysis.metrics.registry import metric_named
from perfkit.analysis.stats.distribution import Numbers, present
from perfkit.analysis.stats.estimates import Estimate, error_of, mean_estimate, percentile_estimate
from perfkit.analysis.stats.marks import effective_size
from perfkit.errors import UsageError

FAILURES = "failures"
"""The objective that bounds the share of requests that failed."""

_NOTHING = 3.0
"""Logarithm of how many times its bound a mean counts for where no request succeeded."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A percentile of a metric, its mean (``q`` None), or the share of failures, and the bound to stay within.

    Raises
    ------
    UsageError
        The metric has not one value a request, or the percentile is not between 0 and 100.

    Examples
    --------
    >>> for objective in (Objective("ttft", 95, 0.5), Objective("e2e", None, 2.0), Objective("failures", None, 0.01)):
    ...     print(objective)
    ttft p95 <= 500 ms
    e2e mean <= 2000 ms
    failures <= 1 %
    """

    metric: str
    q: float | None
    bound: float
    """In the metric's unit; of failures a share."""

    def __post_init__(self) -> None:
        if self.metric == FAILURES:
            if self.q is not None or not 0 < self.bound < 1:
                raise UsageError(f"an objective on failures bounds their share, 'failures < 1%'; got {self.bound:g}")
            return
        metric = metric_named(self.metric)
        if metric.pooled or metric.better == "higher":
            raise UsageError(
                f"an objective bounds one latency a request, such as ttft, tpot or itl_p95; got {self.metric}"
            )
        if self.q is not None and not 0 < self.q < 100:
            raise UsageError(f"the percentile of an objective is between 0 and 100, got {self.q:g}")

    def __str__(self) -> str:
        if self.metric == FAILURES:
            return f"failures <= {100 * self.bound:g} %"
        statistic = "mean" if self.q is None else f"p{self.q:g}"
        return f"{self.metric} {statistic} <= {self.bound * self.scale:g} {metric_named(self.metric).display_unit}"

    def words(self, measured: Estimate) -> str:
        """Say what was measured: ``ttft p95 is 412 ms of 500``."""
        name, _, allowed = str(self).partition(" <= ")
        number, unit = allowed.rsplit(" ", 1)
        return f"{name} is {measured.value * self.scale:,.4g} {unit} of {number}"

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be in the unit that is shown."""
        return 100.0 if self.metric == FAILURES else metric_named(self.metric).scale()

    @property
    def allowed(self) -> float:
        """The share of requests that may be beyond the bound."""
        return self.bound if self.q is None else 1 - self.q / 100

    @property
    def levels(self) -> tuple[float, ...]:
        """Times what is allowed, from little to much, at which a curve is told; 1 among them."""
        if self.q is None and self.metric != FAILURES:
            return tuple(float(level) for level in np.geomspace(1 / 4, 4, 17))
        odds = np.concatenate([np.linspace(-4, 0, 9), np.linspace(0.5, 6, 12)])
        return tuple(float(level) for level in expit(odds + logit(self.allowed)) / self.allowed)

    def values(self, rows: pd.DataFrame) -> "pd.Series[float]":
        """Return what is bounded, in order of time: infinite where a request failed."""
        failed = rows["success"] != 1
        if self.metric == FAILURES:
            return failed.astype(float)
        values = rows[self.metric].astype(float)
        return values.where(~failed, inf)

    def measured(self, values: Numbers) -> Estimate:
        """Return the percentile or mean of the requests that succeeded, or the share of failures."""
        samples = present(values)
        samples = samples[np.isfinite(samples)]
        return mean_estimate(samples) if self.q is None else percentile_estimate(samples, self.q)

    def evidence(self, values: Numbers) -> Evidence | None:
        """Return what a run says of the objective by these values; None where it says nothing.

        Notes
        -----
        The effective number of requests is the geometric mean of that of the series "below the percentile or not" and
        of that of the ranks: a queue that never filled looks independent at its percentile, while its ranks still show
        the memory; and what is refused when a queue is full has less memory than the queue.
        """
        samples = present(values)
        if not samples.size:
            return None
        if self.q is None and self.metric != FAILURES:
            mean = self.measured(samples)
            if not mean.value > 0:  # nothing succeeded, so that nothing is met
                return MeanAgainst(_NOTHING, 1.0)
            return MeanAgainst(log(mean.value / self.bound), error_of(mean) if mean.low > 0 else 1.0)
        rank = min(samples.size - 1, int(samples.size * (1 - self.allowed)))
        below = samples <= np.partition(samples, rank)[rank]
        size = (effective_size(below) * effective_size(rankdata(samples))) ** 0.5
        beyond = samples > (0.5 if self.metric == FAILURES else self.bound)
        return ShareBeyond(float(beyond.sum()), float(samples.size), size, self.allowed)
