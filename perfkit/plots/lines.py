"""The values of each group in order, which of them a line is drawn through, and from where on it is thin."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.groups import Group, groups
from perfkit.plots.quantity import Quantity, quantity
from perfkit.stats import BEYOND, Floats, present

VERTICES = 2000
"""Points of a line at most; a picture shows no more."""
Ranks = npt.NDArray[np.intp]


def samples(parts: Iterable[Group], shown: Quantity) -> list[Floats]:
    """Return the values of each group, sorted, without those that are missing."""
    return [np.sort(present(shown.of(group.rows))) for group in parts]


def sampled(requests: DataFrame, metric: str, by: str | None) -> tuple[Quantity, list[Group], list[Floats]]:
    """Return what a chart of a metric is made of: the quantity shown, the groups, and the values of each, sorted."""
    shown = quantity(metric)
    parts = groups(notes.measured(requests), by)
    return shown, parts, samples(parts, shown)


def ranks(n: int) -> Ranks:
    """Return which of n sorted values are drawn: all, or of very many some 2,000 and each of the last ten.

    Examples
    --------
    >>> ranks(4).tolist(), len(ranks(1_000_000))
    ([0, 1, 2, 3], 2009)
    """
    body = np.linspace(0, n - 1, min(n, VERTICES)).astype(np.intp)
    return np.unique(np.concatenate([body, np.arange(max(n - BEYOND, 0), n)]))


def body(drawn: Ranks, n: int) -> int:
    """Return how many of the values drawn have at least ten beyond them.

    Examples
    --------
    >>> body(ranks(100), 100), body(ranks(5), 5)
    (90, 0)
    """
    return int((drawn < n - BEYOND).sum())
