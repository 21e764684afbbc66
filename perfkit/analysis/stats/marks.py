"""Whether a number is to be relied on: how many independent samples its neighbours in time say as much as.

The rules are judged by ``benchmarks/coverage.py``: intervals without a mark hold the truth as often as they say.
"""

from collections.abc import Iterable, Mapping
from math import sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np

from perfkit.analysis.stats.distribution import Floats, Numbers, present, thin

Mark = Literal["", "too few", "few episodes", "dependent", "summary"]
"""Why a number and its interval are not to be relied on."""
MARKS: dict[Mark, str] = {
    "too few": "fewer than 10 samples lie beyond this percentile, or fewer than 100 are there at all (200 for a mean; "
    "for a rate, the run lasted less than 20 times as long as a request): it is the luck of a few requests",
    "few episodes": "a few slow requests make this mean: it depends on how many of them came",
    "dependent": "neighbouring requests were slow together (a queue, a stall, a drift): all say no more than a few "
    "independent ones",
    "summary": "stands in a summary without single requests, as its tool counted it: nothing tells how far it is to be "
    "relied on",
}

ENOUGH = 200
"""Samples behind a mean from which it may go without a mark: of 200, one in a hundred has mostly come."""

_NORMAL = NormalDist()
_LONGEST_SERIES = 1 << 16
_ENOUGH_OF_ANY = 100
"""Samples from which it shows whether neighbours depend on one another."""
_DEPENDENT, _ENOUGH_EFFECTIVE = 0.55, 300
"""Share of the samples that are effective below which neighbours do, and how many are enough then."""
_HEAVY_TAIL = 0.45
"""Mean logarithm by which the slowest tenth exceeds where it begins: 0.24 for log-normal latencies (sigma 0.5), 0.33
(sigma 0.7), 0.67 for Pareto's 1.5, whose mean no interval holds. Half of its standard error is added before."""
_MAKING = 8
"""Samples that must make the variance of a mean."""
_BLOCKS = {20: 36.19, 10: 21.67}
"""How many blocks a series is cut into, and the 99th percentile of chi squared with one degree of freedom less."""


def effective_size(values: Numbers) -> float:
    """Return how many independent samples say as much about the mean as these neighbours do.

    Parameters
    ----------
    values : array of float
        In order of time.

    Returns
    -------
    float
        At most their number.

    Notes
    -----
    n / tau, where tau = 1 + 2 (sum of autocorrelations) up to the first lag of at least 5 tau [1]_, and at least 1. Of
    very many samples, neighbours are averaged first, and what that leaves of their variance counts.

    References
    ----------
    .. [1] Sokal, Monte Carlo methods in statistical mechanics, 1996, section 3.

    Examples
    --------
    >>> round(effective_size([1.0, 1.0, 5.0, 5.0] * 25))
    100
    >>> effective_size(np.repeat(np.random.default_rng(0).normal(size=200), 10)) < 400
    True
    """
    samples = present(values)
    n = samples.size
    spread = float(samples.var()) if n else 0.0
    if n < 8 or spread <= 1e-24 * max(1.0, float(np.abs(samples).max()) ** 2):
        return float(n)
    together = -(-n // _LONGEST_SERIES)
    series = samples[: n - n % together].reshape(-1, together).mean(axis=1) - samples.mean()
    power = float(series @ series)
    if power <= 0:
        return float(n)
    size = 1 << (2 * series.size - 1).bit_length()
    spectrum = np.fft.rfft(series, size)
    correlation = np.fft.irfft(spectrum * spectrum.conjugate(), size)[: series.size] / power
    tau = 2 * np.cumsum(correlation) - 1
    window = int(np.argmax(np.arange(series.size) >= 5 * tau))
    kept = spread * series.size / power
    return float(min(n, kept * series.size / max(1.0, float(tau[window]), _slow_memory(series))))


def _slow_memory(series: Floats) -> float:
    """Return by how much more the means of blocks differ than those of independent samples would; 1 if by chance.

    A weak memory that lasts long, as of bursts beneath much noise, ends the window of autocorrelations too soon.
    """
    count = next((count for count in _BLOCKS if series.size >= 10 * count), 0)
    if not count:
        return 1.0
    length = series.size // count
    blocks = series[: count * length].reshape(count, length)
    excess = length * float(blocks.mean(axis=1).var(ddof=1) / max(float(blocks.var()), 1e-300))
    return excess if excess > _BLOCKS[count] / (count - 1) else 1.0


def marks(values: Numbers, quantiles: Iterable[float]) -> tuple[float, dict[str, Mark]]:
    """Return how many samples are effective, and the marks that ``estimates`` would give, without the intervals.

    Examples
    --------
    >>> marks(np.random.default_rng(0).permutation(200), [50, 99])
    (200.0, {'mean': '', 'p50': '', 'p99': 'too few'})
    """
    samples = present(values)
    if not samples.size:
        return 0.0, {}
    memory, size = memory_of(samples), effective_size(samples)
    found: dict[str, Mark] = {"mean": mean_mark(samples, size, memory)}
    found |= {f"p{q:g}": percentile_mark(samples, q, below(samples, q)[1], memory) for q in quantiles}
    return min(size, memory), found


def by_mark(marked: Mapping[str, Mark]) -> str:
    """Write marks as a text that ``marks_of`` reads.

    Examples
    --------
    >>> by_mark({"mean": "dependent", "p50": "", "p95": "too few", "p99": "too few"})
    'dependent: mean; too few: p95, p99'
    """
    reasons = dict.fromkeys(mark for mark in marked.values() if mark)
    return "; ".join(
        f"{reason}: {', '.join(name for name, mark in marked.items() if mark == reason)}" for reason in reasons
    )


def marks_of(text: str) -> dict[str, str]:
    """Read what ``by_mark`` wrote.

    Examples
    --------
    >>> marks_of("dependent: mean; too few: p95, p99")
    {'mean': 'dependent', 'p95': 'too few', 'p99': 'too few'}
    """
    parts = (part.split(": ") for part in text.split("; ") if part)
    return {name: reason for reason, names in parts for name in names.split(", ")}


def memory_of(samples: Floats) -> float:
    """Return the effective number of samples by which of them lie below the median: no outlier hides a memory there."""
    return below(samples, 50)[1] if samples.size else 0.0


def below(samples: Floats, q: float) -> tuple[float, float]:
    """Return a percentile, and the effective number of samples by which of them lie below it."""
    value = float(np.percentile(samples, q))
    # A half where it is equal, so that ties have a memory.
    return value, effective_size(((samples < value) + (samples <= value).astype(float)) / 2)


def ranks(n: int, size: float, q: float, level: float = 0.95) -> tuple[float, float]:
    """Return where the ends of the interval lie among the sorted samples, from 0."""
    reach = float(_NORMAL.inv_cdf((1 + level) / 2)) * sqrt(size * q / 100 * (1 - q / 100))
    middle = size * q / 100 + 0.5
    # Ranks among the effective samples, from 1; their middles are spread evenly over the real ones.
    return ((middle - reach - 0.5) / size * n - 0.5, (middle + reach - 0.5) / size * n - 0.5)


def percentile_mark(samples: Floats, q: float, size: float, memory: float) -> Mark:
    """Mark a percentile; effective samples are ``size`` by those below it, ``memory`` by those below the median."""
    n = samples.size
    if thin(n, q) or n < _ENOUGH_OF_ANY:
        return "too few"
    low, high = ranks(n, size, q)
    return _dependence(n, min(size, memory), q) or ("too few" if low < 0 or high > n - 1 else "")


def mean_mark(samples: Floats, size: float, memory: float) -> Mark:
    """Mark a mean whose effective samples are ``size``, ``memory`` by those below the median."""
    n = samples.size
    if n < ENOUGH:
        return "too few"
    if dependence := _dependence(n, min(size, memory)):
        return dependence
    squares = (samples - samples.mean()) ** 2
    # How many samples make the variance: about all of two values that are as frequent, one of a single outlier.
    making = float(squares.sum()) ** 2 / max(float((squares**2).sum()), 1e-300) * size / n
    slowest = np.partition(samples, n - n // 10)[-(n // 10) :]
    tail = float(np.log(slowest / slowest.min()).mean()) if slowest.min() > 0 else 0.0
    is_heavy = tail * (1 + 0.5 / sqrt(slowest.size)) > _HEAVY_TAIL
    return "few episodes" if (squares.any() and making < _MAKING) or is_heavy else ""


def _dependence(n: int, size: float, q: float = 50) -> Mark:
    """Mark what too few effective samples stand for, or lie beyond."""
    is_few = size < _ENOUGH_EFFECTIVE or thin(int(2 * size), q)
    return "dependent" if is_few and size < _DEPENDENT * n else ""
