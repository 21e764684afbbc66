"""Percentiles, their intervals, and intervals for rates: numbers in, numbers out.

Percentiles are Hyndman & Fan's type 7 (``linear``) everywhere in perfkit. What is given may hold NaN, which is left
out; a number that cannot be computed is NaN.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.ArrayLike
Floats = npt.NDArray[np.float64]

BEYOND = 10
"""Samples that must lie beyond a percentile before it is more than the luck of a few requests."""


class Interval(NamedTuple):
    """Lower and upper end of a confidence interval, in the unit of what it bounds."""

    low: float
    high: float


NOWHERE = Interval(float("nan"), float("nan"))


def present(values: Numbers) -> Floats:
    """Return the values that are not NaN, as floats."""
    floats: Floats = np.asarray(values, dtype=float)
    return floats[~np.isnan(floats)]


def percentile(values: Numbers, q: float) -> float:
    """Return the q-th percentile by linear interpolation (Hyndman & Fan 7).

    Parameters
    ----------
    values : array of float
        Samples; NaN is left out.
    q : float
        0 to 100.

    Returns
    -------
    float
        In the unit of the values; NaN without samples.

    Raises
    ------
    ValueError
        ``q`` is not within 0 to 100.

    References
    ----------
    .. [1] Hyndman & Fan, Sample quantiles in statistical packages, The American Statistician 50 (1996).

    Examples
    --------
    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 95)
    (2.5, 3.8499999999999996)
    """
    if not 0 <= q <= 100:
        raise ValueError(f"a percentile lies within 0 and 100, got {q}")
    samples = present(values)
    return float(np.percentile(samples, q)) if samples.size else float("nan")


def thin(n: int, q: float) -> bool:
    """Tell whether fewer than ten of n samples lie beyond the q-th percentile, on its shorter side.

    Examples
    --------
    >>> thin(500, 99), thin(1000, 99), thin(30, 50)
    (True, False, False)
    """
    share = min(q, 100 - q) / 100
    return n * share < BEYOND - 1e-9


def percentile_interval(values: Numbers, q: float, level: float = 0.95) -> Interval:
    """Return a distribution-free interval for a percentile, from order statistics.

    Parameters
    ----------
    values : array of float
        Independent samples; NaN is left out.
    q : float
        0 to 100.
    level : float
        Smallest chance that the interval holds the true percentile.

    Returns
    -------
    Interval
        Two of the samples; NaN where there are too few samples for that level.

    Notes
    -----
    The number of samples below the true percentile is binomial (n, q/100), whatever the distribution. The ranks are
    the binomial's (1 - level)/2 and (1 + level)/2 quantiles; the coverage is at least ``level`` for continuous values.

    References
    ----------
    .. [1] David & Nagaraja, Order Statistics, 3rd ed., section 7.1.

    Examples
    --------
    >>> percentile_interval(range(1, 101), 50)
    Interval(low=40.0, high=61.0)
    """
    samples = np.sort(present(values))
    n = samples.size
    if n == 0:
        return NOWHERE
    # Late: it takes longer to load than a summary takes to compute, and a summary does not need it.
    from scipy.stats import binom

    low, high = (binom.ppf(tail, n, q / 100) for tail in ((1 - level) / 2, (1 + level) / 2))
    # Rank r (from 1) bounds from below when P(count < r) is small enough: r = low, and high + 1 from above.
    if low < 1 or high >= n:
        return NOWHERE
    return Interval(float(samples[int(low) - 1]), float(samples[int(high)]))


def block_length(values: Numbers) -> int:
    """Return how many neighbouring values to resample together, so that a bootstrap keeps their dependence.

    Parameters
    ----------
    values : array of float
        In order of time.

    Returns
    -------
    int
        1 for values that do not depend on their neighbours; at most a tenth of them.

    Notes
    -----
    The optimal length of a circular block bootstrap for an AR(1) process with the values' own lag-1
    autocorrelation r: ``(6 r^2 / (1 - r^2)^2)^(1/3) n^(1/3)`` [1]_, rounded up.

    References
    ----------
    .. [1] Politis & White, Automatic block-length selection for the dependent bootstrap, Econometric Reviews 23 (2004).

    Examples
    --------
    >>> block_length([1.0] * 50)
    1
    """
    samples = present(values)
    n = samples.size
    spread = samples - samples.mean() if n else samples
    power = float(spread @ spread)
    if n < 8 or power == 0:
        return 1
    correlation = float(spread[1:] @ spread[:-1]) / power
    if correlation < 1.96 / n**0.5:
        return 1
    length = (6 * correlation**2 / (1 - correlation**2) ** 2 * n) ** (1 / 3)
    return int(min(max(np.ceil(length), 1), max(n // 10, 1)))


def resampled(n: int, block: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Return n positions drawn with replacement in runs of ``block`` neighbours, wrapping at the end.

    Examples
    --------
    >>> len(resampled(10, 3, np.random.default_rng(0)))
    10
    """
    starts = rng.integers(0, n, size=-(-n // block))
    return ((starts[:, None] + np.arange(block)) % n).ravel()[:n]


def bootstrap(
    values: Floats,
    statistic: Callable[[Floats], float],
    *,
    level: float = 0.95,
    block: int = 1,
    draws: int = 1000,
    seed: int = 0,
) -> Interval:
    """Return a percentile-bootstrap interval of a statistic of rows in order of time.

    Parameters
    ----------
    values : array of float, shape (n,) or (n, columns)
        Rows are resampled whole.
    statistic : callable
        Takes an array of the same shape.
    level : float
        Nominal coverage.
    block : int
        Neighbours drawn together; see ``block_length``.
    draws, seed : int
        Number of resamples, and what makes them repeatable.

    Returns
    -------
    Interval
        NaN for fewer than two rows.

    Examples
    --------
    >>> low, high = bootstrap(np.arange(100.0), np.mean)
    >>> low < 49.5 < high
    True
    """
    n = len(values)
    if n < 2:
        return NOWHERE
    rng = np.random.default_rng(seed)
    drawn = [statistic(values[resampled(n, block, rng)]) for _ in range(draws)]
    low, high = np.nanpercentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several, by Holm's step-down method; NaN stays NaN and does not count.

    Examples
    --------
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected = [float("nan")] * len(p_values)
    order = sorted((p, at) for at, p in enumerate(p_values) if p == p)
    floor = 0.0
    for rank, (p, at) in enumerate(order):
        floor = max(floor, min(1.0, p * (len(order) - rank)))
        corrected[at] = floor
    return corrected
