"""Which of many sorted values a line is drawn through, and how far it rests on enough of them."""

import numpy as np
import numpy.typing as npt
from pandas import DataFrame

from perfkit.analysis.stats.distribution import BEYOND

VERTICES = 2000
"""Points of a line at most; a picture shows no more."""
Ranks = npt.NDArray[np.intp]


def drawn_ranks(n: int) -> Ranks:
    """Return which of n sorted values are drawn: all, or of very many some 2,000 and each of the last ten.

    Examples
    --------
    >>> drawn_ranks(4).tolist(), len(drawn_ranks(1_000_000))
    ([0, 1, 2, 3], 2009)
    """
    body = np.linspace(0, n - 1, min(n, VERTICES)).astype(np.intp)
    return np.unique(np.concatenate([body, np.arange(max(n - BEYOND, 0), n)]))


def well_known(points: DataFrame) -> tuple[int, int]:
    """Return how many values the points of a line stand for, and how many points have at least ten values beyond.

    Examples
    --------
    >>> some, none = ({"requests beyond": beyond} for beyond in (99 - drawn_ranks(100), []))
    >>> well_known(DataFrame(some)), well_known(DataFrame(none))
    ((100, 90), (0, 0))
    """
    beyond = points.iloc[:, -1].to_numpy()  # of requests, or of gaps
    return int(beyond[:1].sum() + len(beyond[:1])), int((beyond >= BEYOND).sum())
