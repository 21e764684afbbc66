"""How often chance alone would set two sides as far apart as they are, by exchanging what belongs to them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from perfkit.comparing.quantity import Quantity
from perfkit.metrics import Rate
from perfkit.stats import Floats, block_length

DRAWS = 1_999
"""Exchanges drawn; where there are fewer in all, each is looked at once and p is exact."""

_FEWEST = 199
_IN_ALL = 400_000_000
"""Numbers that all draws together may touch, a matter of seconds; beyond it there are fewer draws."""
_AT_ONCE = 2_000_000

Statistic = Callable[[Floats], Floats]
"""Arrays of units (..., units, width) -> one number each (...)."""


def permutation_p(
    before: Floats, after: Floats, statistic: Statistic, *, paired: bool = False, draws: int = DRAWS
) -> float:
    """Return how likely a difference as large is when it does not matter which side a unit belongs to.

    Parameters
    ----------
    before, after : array of float, shape (units, width)
        What is exchanged: requests, or stretches of neighbours that depend on each other, or whole runs.
    statistic : callable
        Takes units, returns the quantity; both along the leading axes.
    paired : bool
        Exchange partners only: the sides have as many units, in the same order.
    draws : int
        Exchanges drawn, fewer where the units are very many.

    Returns
    -------
    float
        Two-sided; drawn with a fixed seed, so the same rows give the same number.

    Examples
    --------
    Of the 20 ways to split six runs in two halves, only this one and its mirror image are as far apart:

    >>> slow, fast = np.array([[4.0], [5.0], [6.0]]), np.array([[1.0], [2.0], [3.0]])
    >>> permutation_p(fast, slow, lambda units: units.mean(axis=(-2, -1)))
    0.1
    """
    from scipy.stats import permutation_test  # late: slow to load

    units = np.concatenate([before, after])
    sides = np.arange(len(before)), np.arange(len(before), len(units))
    found = permutation_test(
        sides,
        lambda first, second, axis: statistic(units[second]) - statistic(units[first]),
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=min(draws, max(_FEWEST, _IN_ALL // units.size)),
        batch=max(1, _AT_ONCE // units.size),
        random_state=0,
        axis=-1,
    )
    return float(found.pvalue)


def p_of_requests(
    wanted: Quantity, ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame], draws: int = DRAWS
) -> float:
    """Test a quantity of two sides by exchanging their requests, as many neighbours together as depend on each other.

    Of a throughput, the stretches of time that its interval rests on are exchanged.

    Parameters
    ----------
    wanted : Quantity
        What is compared.
    ours, theirs : sequence of DataFrame
        The steady requests of each run of a side.
    draws : int
        Exchanges drawn.

    Returns
    -------
    float
        NaN when a side has no values.
    """
    series = [wanted.series(side) for side in (ours, theirs)]
    if not all(map(len, series)):
        return float("nan")
    if isinstance(wanted.metric, Rate):
        before, after = series
    else:
        width = max(map(block_length, series))
        before, after = (each[: len(each) // width * width].reshape(-1, width) for each in series)
    return permutation_p(before, after, wanted.statistic, draws=draws)


def p_of_pairs(wanted: Quantity, pairs: pd.DataFrame) -> float:
    """Test a quantity by exchanging the two requests of a prompt: columns ``before`` and ``after``, a row a prompt."""
    before, after = (pairs[[name]].to_numpy(dtype=float) for name in ("before", "after"))
    return permutation_p(before, after, wanted.statistic, paired=True)


def p_of_runs(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Test the geometric means of one positive number a run by exchanging runs."""
    before, after = (np.log(np.asarray(side, dtype=float))[:, None] for side in (ours, theirs))
    return permutation_p(before, after, lambda units: units.mean(axis=(-2, -1)))
