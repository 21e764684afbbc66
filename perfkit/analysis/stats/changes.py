"""Where the level of a series changed: steps that its own scatter does not explain, and no others."""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from perfkit.analysis.stats.distribution import Floats, Numbers
from perfkit.analysis.stats.estimates import Estimate, log_ratio

FEWEST = 8
"""Points from which a step can be shown: of seven, the clearest comes by chance in more than one of twenty orders."""
_SIDE = 2
"""Points that a level has at least: a single one may be an accident of that night."""
_ORDERS = 4_999
_MOST = 10_000_000
"""Numbers that are shuffled at most, of a very long series."""


@dataclass(frozen=True, slots=True)
class Change:
    """A step in a series."""

    at: int
    """Number of the first point of the new level."""
    ratio: Estimate
    """The new level against the one before, with a 95 % interval; of the whole levels on both sides."""
    p: float
    """How often a series without a step, in another order, shows one as clear somewhere."""


def first_split(values: Numbers) -> tuple[int, float]:
    """Return where a series is split best, and the p-value of that split; 0 and NaN where it is too short.

    Parameters
    ----------
    values : array of float
        In order of time.

    Notes
    -----
    The split whose two sides differ most in rank: that of the largest Kruskal-Wallis statistic over all splits, as
    Pettitt's test has it for the largest difference of ranks [1]_. Its p-value is the share of 5,000 random orders of
    the same points (the series itself among them) in which some split is as clear. No distribution is assumed, and one
    bad night, however bad, counts as the highest rank and no more. What is assumed is that without a change every
    order is as likely as every other: a slow drift is found, too, and is shown as a step.

    References
    ----------
    .. [1] Pettitt, A non-parametric approach to the change-point problem, Applied Statistics 28 (1979).

    Examples
    --------
    >>> at, p = first_split([100, 101, 99, 100, 102, 120, 121, 119, 120, 122])
    >>> at, p < 0.02
    (5, True)
    """
    ranks = _ranks(np.asarray(values, dtype=float))
    n = ranks.size
    if n < FEWEST:
        return 0, float("nan")
    centred = ranks - ranks.mean()
    found = _explained(centred[None, :])[0]
    at = int(found.argmax())
    if not found[at] > 0:
        return 0, 1.0
    orders = max(99, min(_ORDERS, _MOST // n))
    shuffled = np.random.default_rng(0).permuted(np.tile(centred, (orders, 1)), axis=1)
    as_clear = int((_explained(shuffled).max(axis=1) >= found[at] * (1 - 1e-9)).sum())
    return at + _SIDE, (1 + as_clear) / (1 + orders)


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value; those that are equal share theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _explained(series: Floats) -> Floats:
    """Return how much of the sum of squares each split of each series explains; the series have a mean of 0."""
    n = series.shape[1]
    before = np.arange(_SIDE, n - _SIDE + 1)
    sums = np.cumsum(series, axis=1)[:, before - 1]
    explained: Floats = sums**2 * n / (before * (n - before))
    return explained


def changes(values: Numbers, significant: float = 0.05, first: tuple[int, float] | None = None) -> list[Change]:
    """Return the steps of a series, in order; none where its scatter allows no claim.

    Parameters
    ----------
    values : array of float
        Positive, in order of time.
    significant : float
        Below which a step is shown.
    first : tuple of int and float, optional
        What ``first_split`` found, with p corrected where several series are looked at together.

    Returns
    -------
    list of Change
        The series is split where that is clearest, if it is clear enough, and each part is looked at again. Intervals
        are Welch's over the points of the levels on both sides; as the place was chosen by these points, they are
        somewhat too short.

    Examples
    --------
    >>> [step.at for step in changes([100, 101, 99, 100, 102, 120, 121, 119, 120, 122])]
    [5]
    >>> changes([100, 110, 95, 104, 99, 108, 97, 103])
    []
    """
    logs = np.log(np.asarray(values, dtype=float))
    splits = _splits(logs, 0, significant, first)
    edges = [0, *sorted(splits), logs.size]
    return [
        Change(at, _ratio(logs[low:at], logs[at:high]), splits[at])
        for low, at, high in zip(edges, edges[1:], edges[2:], strict=False)
    ]


def _splits(logs: Floats, start: int, significant: float, first: tuple[int, float] | None = None) -> dict[int, float]:
    """Return where a part of a series is split, with the p-values."""
    at, p = first if first is not None else first_split(logs)
    if not p < significant:
        return {}
    parts = ((logs[:at], start), (logs[at:], start + at))
    further = [_splits(part, begin, significant) for part, begin in parts]
    return {start + at: p, **further[0], **further[1]}


def _ratio(before: Floats, after: Floats) -> Estimate:
    """Return by how much a level exceeds the one before, with Welch's interval."""
    parts = [float(side.var(ddof=1)) / side.size for side in (before, after)]
    step = float(after.mean() - before.mean())
    if not sum(parts):
        return Estimate(float(np.exp(step)), n=before.size + after.size)
    squares = sum(part**2 / (side.size - 1) for part, side in zip(parts, (before, after), strict=True))
    return log_ratio(step, sqrt(sum(parts)), sum(parts) ** 2 / squares)[0]
