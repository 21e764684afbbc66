"""Numbers with intervals: percentiles and means of values in order of time, and ratios of two of them.

Neighbouring requests wait in the same queue, so they say less than as many independent ones. Every interval here
rests on the *effective* number of samples, and carries a mark where even that does not make it hold
(``benchmarks/coverage.py``).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, hypot, log, nan, sqrt
from statistics import NormalDist

import numpy as np

from perfkit.analysis.stats.distribution import Floats, Numbers, present
from perfkit.analysis.stats.marks import Mark, below, effective_size, mean_mark, memory_of, percentile_mark, ranks

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, the ends of its 95 % interval (NaN when there are too few samples), and what it rests on."""

    value: float
    low: float = nan
    high: float = nan
    n: int = 0
    effective: float = nan
    """How many independent samples would say as much."""
    mark: Mark = ""

    @property
    def known(self) -> bool:
        """True when there is an interval."""
        return self.low == self.low and self.high == self.high


UNKNOWN = Estimate(nan)


def percentile_estimate(values: Numbers, q: float, level: float = 0.95) -> Estimate:
    """Estimate a percentile with an interval from order statistics.

    Parameters
    ----------
    values : array of float
        In order of time; NaN is left out.
    q : float
        0 to 100.
    level : float
        Nominal coverage.

    Returns
    -------
    Estimate
        Without interval when the ranks it needs lie outside the samples. Marked *too few* below 100 samples and where
        fewer than ten lie beyond, *dependent* where neighbours depend on one another and fewer than 300 are effective,
        or too few of these lie beyond.

    Notes
    -----
    The count of samples below the true percentile is binomial over the *effective* number of samples, which is that
    of the series "below the percentile or not". Its normal approximation gives ranks that are no whole numbers;
    values between two order statistics are interpolated, which spares the excess coverage of whole ranks [1]_.

    References
    ----------
    .. [1] Hettmansperger & Sheather, Confidence intervals based on interpolated order statistics, Statistics &
       Probability Letters 4 (1986).

    Examples
    --------
    >>> percentile_estimate(np.random.default_rng(0).permutation(100) + 1.0, 50).value
    50.5
    >>> percentile_estimate(np.arange(100.0), 95).mark
    'too few'
    """
    samples = present(values)
    return _percentile(samples, q, memory_of(samples), level)


def mean_estimate(values: Numbers, level: float = 0.95) -> Estimate:
    """Estimate a mean with Student's interval over the effective number of samples.

    Parameters
    ----------
    values : array of float
        In order of time; NaN is left out.
    level : float
        Nominal coverage.

    Returns
    -------
    Estimate
        Marked *too few* below 200 samples, *few episodes* where the slowest tenth has a heavy tail or few samples make
        the variance, and *dependent* where neighbours depend on one another and fewer than 300 are effective.

    Notes
    -----
    The tail is judged by Hill's estimator over the slowest tenth [1]_.

    References
    ----------
    .. [1] Hill, A simple general approach to inference about the tail of a distribution, Annals of Statistics 3 (1975).

    Examples
    --------
    >>> mean_estimate([1.0, 2.0, 3.0]).value
    2.0
    """
    samples = present(values)
    return _mean(samples, memory_of(samples), level)


def estimates(values: Numbers, quantiles: Iterable[float]) -> dict[str, Estimate]:
    """Estimate the mean and percentiles of values in order of time, by name.

    Examples
    --------
    >>> [each.value for each in estimates([1.0, 2.0, 4.0], [50]).values()]
    [2.3333333333333335, 2.0]
    """
    samples = present(values)
    memory = memory_of(samples)
    return {"mean": _mean(samples, memory), **{f"p{q:g}": _percentile(samples, q, memory) for q in quantiles}}


def _percentile(samples: Floats, q: float, memory: float, level: float = 0.95) -> Estimate:
    n = samples.size
    if n == 0:
        return UNKNOWN
    value, size = below(samples, q)
    mark = percentile_mark(samples, q, size, memory)
    low, high = ranks(n, size, q, level)
    if low < 0 or high > n - 1:
        return Estimate(value, n=n, effective=size, mark=mark)
    ends = np.interp([low, high], np.arange(n), np.sort(samples))
    return Estimate(value, float(ends[0]), float(ends[1]), n, size, mark)


def _mean(samples: Floats, memory: float, level: float = 0.95) -> Estimate:
    n = samples.size
    if n < 2:
        return Estimate(float(samples.mean()), n=n, effective=float(n), mark="too few") if n else UNKNOWN
    size = effective_size(samples)
    from scipy.special import stdtrit  # late, and not scipy.stats, which is slow to load

    reach = float(stdtrit(max(1.0, size - 1), (1 + level) / 2) * samples.std(ddof=1) / sqrt(size))
    mean = float(samples.mean())
    return Estimate(mean, mean - reach, mean + reach, n, size, mean_mark(samples, size, memory))


def ratio(other: Estimate, baseline: Estimate) -> Estimate:
    """Estimate other / baseline from two estimates.

    Parameters
    ----------
    other, baseline : Estimate
        Of positive quantities.

    Returns
    -------
    Estimate
        Without interval when one of them has none, or reaches zero. It has a mark where one of them has.

    Notes
    -----
    On logarithms, half the length of each interval stands for its error, and the two are put together as standard
    errors are. Keeping each side's own distance instead (MOVER) held the truth too often for percentiles of long
    tails: 97.7 % for p95 of log-normal latencies, where this holds it in 95.9 % (``benchmarks/coverage.py``).

    Examples
    --------
    >>> ratio(Estimate(3.0, 3.0, 3.0), Estimate(2.0, 1.0, 4.0))
    Estimate(value=1.5, low=0.75, high=3.0, n=0, effective=nan, mark='')
    """
    n, size, mark = min(other.n, baseline.n), min(other.effective, baseline.effective), other.mark or baseline.mark
    if not (other.value > 0 and baseline.value > 0):
        return Estimate(nan, n=n, effective=size, mark=mark)
    value = other.value / baseline.value
    if not (other.low > 0 and baseline.low > 0):
        return Estimate(value, n=n, effective=size, mark=mark)
    apart = hypot(log(other.high / other.low), log(baseline.high / baseline.low)) / 2
    return Estimate(value, value * exp(-apart), value * exp(apart), n, size, mark)


def error_of(estimate: Estimate) -> float:
    """Return the standard error of the logarithm of an estimate, by the width of its 95 % interval; NaN without one.

    Examples
    --------
    >>> round(error_of(Estimate(1.0, 0.9, 1.1)), 4)
    0.0512
    """
    return log(estimate.high / estimate.low) / (2 * _NORMAL.inv_cdf(0.975)) if estimate.low > 0 else nan


def log_ratio(value: float, error: float, freedom: float, level: float = 0.95) -> tuple[Estimate, float]:
    """Return a ratio with its interval, and its p value, both from Student's t.

    Parameters
    ----------
    value, error : float
        Logarithm of the ratio and its standard error.
    freedom : float
        Degrees of freedom; infinite where the error is known.
    level : float
        Nominal coverage.

    Returns
    -------
    tuple of Estimate and float
        Without interval where the error is unknown.

    Examples
    --------
    >>> found, p = log_ratio(0.0953, 0.0486, float("inf"))
    >>> round(found.value, 2), round(found.low, 2), round(found.high, 2), round(p, 2)
    (1.1, 1.0, 1.21, 0.05)
    """
    from scipy.special import stdtr, stdtrit  # late, and not scipy.stats, which is slow to load

    if not error >= 0 or not freedom > 0:
        return Estimate(exp(value)), nan
    freedom = min(freedom, 1e9)
    reach = float(stdtrit(freedom, (1 + level) / 2)) * error
    p = float(2 * stdtr(freedom, -abs(value) / error)) if error else float(value == 0)
    return Estimate(exp(value), exp(value - reach), exp(value + reach)), p
