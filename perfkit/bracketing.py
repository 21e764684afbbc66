"""Between which loads a server stops meeting its objectives: measured points in, the next load or the bracket out.

Nothing is assumed of latency but that more load does not make it better.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Literal

import numpy as np
from scipy.stats import beta, rankdata

from perfkit.errors import UsageError
from perfkit.estimates import effective_size
from perfkit.metrics.registry import metric_named
from perfkit.stats import Numbers, present

Holds = Literal["yes", "no", "unsure"]

NARROW = 0.05
"""Share by which two neighbouring loads may differ before a point between them tells nothing a person needs."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A percentile of a metric and the bound, in the metric's unit, that it is to stay within.

    Raises
    ------
    UsageError
        The metric has not one value a request, or the percentile is not between 0 and 100.

    Examples
    --------
    >>> str(Objective("ttft", 95, 0.5))
    'ttft p95 <= 500 ms'
    """

    metric: str
    q: float
    bound: float

    def __post_init__(self) -> None:
        metric = metric_named(self.metric)
        if metric.pooled or metric.better == "higher":
            raise UsageError(f"an objective bounds one latency a request, such as ttft or tpot; got {self.metric}")
        if not 0 < self.q < 100:
            raise UsageError(f"the percentile of an objective lies between 0 and 100, got {self.q:g}")

    def __str__(self) -> str:
        unit = metric_named(self.metric).display_unit
        return f"{self.metric} p{self.q:g} <= {self.bound * self.scale:g} {unit}"

    @property
    def scale(self) -> float:
        """What a value is multiplied by to be in the unit that is shown."""
        return metric_named(self.metric).scale()

    def chance(self, values: Numbers) -> float:
        """Return how likely it is that the objective holds where these values were measured.

        Parameters
        ----------
        values : array of float
            In order of time; infinite where a request failed.

        Returns
        -------
        float
            0 to 1; NaN without values.

        Notes
        -----
        The percentile is within the bound when the share of requests beyond the bound is at most 1 - q/100. Of that
        share the posterior is Beta(k + 1/2, n - k + 1/2) (Jeffreys), where n is the *effective* number of requests,
        the lesser of those of the series "below the percentile or not" and of the ranks, and k / n the share seen.

        Examples
        --------
        >>> values = np.random.default_rng(0).permutation(100)
        >>> [round(Objective("ttft", 50, bound).chance(values), 2) for bound in (39.5, 49.5, 59.5)]
        [0.02, 0.5, 0.98]
        """
        samples = present(values)
        if not samples.size:
            return float("nan")
        rank = min(samples.size - 1, int(samples.size * self.q / 100))
        below = samples <= np.partition(samples, rank)[rank]
        # A queue that never filled looks independent at its percentile, while its ranks still show the memory.
        size = min(effective_size(below), effective_size(rankdata(samples)))
        beyond = float(np.mean(samples > self.bound))
        return float(beta.cdf(1 - self.q / 100, size * beyond + 0.5, size * (1 - beyond) + 0.5))


@dataclass(frozen=True, slots=True)
class Tried:
    """One load that was measured: how likely each objective holds there.

    ``counts`` is False where the client was the limit: nothing is known of the server then.
    """

    load: float
    chances: tuple[float, ...]
    counts: bool = True

    @property
    def chance(self) -> float:
        """Of the objective that is least likely to hold."""
        return min(self.chances)

    def holds(self, error: float) -> Holds:
        """Tell whether all objectives hold, wrong with at most this chance.

        Examples
        --------
        >>> [Tried(8, chances).holds(0.01) for chances in ((0.999, 0.995), (0.999, 0.5), (0.999, 0.001))]
        ['yes', 'unsure', 'no']
        """
        if self.chance >= 1 - error:
            return "yes"
        # That any of several is broken is the easier to say wrongly the more of them there are.
        return "no" if self.chance <= error / len(self.chances) else "unsure"


def next_load(tried: Iterable[Tried], low: float, high: float = inf, *, whole: bool = False) -> float | None:
    """Choose the load to measure next, to three digits: where it is least certain that the objectives hold.

    Parameters
    ----------
    tried : iterable of Tried
        What has been measured. A load at which the client was the limit is measured again; if it is the limit
        again, that load is a wall like ``high``.
    low, high : float
        The least and the largest load to try.
    whole : bool
        Loads are whole numbers, such as users.

    Returns
    -------
    float or None
        None when the edge is known closely enough.

    Notes
    -----
    By the fall of the chance from one load to the next, made monotone, each gap has a probability that the edge lies
    in it. The likeliest gap is halved (in logarithms); beyond the largest load so far the load is doubled.

    Examples
    --------
    >>> good, bad = Tried(2, (1.0,)), Tried(8, (0.0,))
    >>> next_load([], low=2), next_load([good], low=2), next_load([good, bad], low=2)
    (2, 4, 4.0)
    """
    every = list(tried)
    points = sorted((each for each in every if each.counts), key=lambda each: each.load)
    uncounted = Counter(each.load for each in every if not each.counts)
    for load, times in uncounted.items():
        # Once may be a busy neighbour's doing; twice is the client.
        if times == 1 and load not in [each.load for each in points]:
            return load
    wall = min([high, *(load for load, times in uncounted.items() if times > 1)])
    if not points:
        return None if uncounted else low
    loads = [*(each.load for each in points), wall]
    chances = _falling([each.chance for each in points])
    gaps = [
        (before - after, right / left, left, right)
        for before, after, left, right in zip(chances, [*chances[1:], 0.0], loads, loads[1:], strict=False)
        if right > left * (1 + NARROW) and (not whole or right - left > 1)
    ]
    likeliest = max(gaps, default=(0.0, 1.0, low, low))
    return _between(*likeliest[2:], last=points[-1].load, high=high, whole=whole) if likeliest[0] > 0.01 else None


def _falling(chances: Sequence[float]) -> list[float]:
    """Return chances that nowhere rise: the middle between the largest falling line below and the least above."""
    below = np.minimum.accumulate(chances)
    above = np.maximum.accumulate(chances[::-1])[::-1]
    return [float(chance) for chance in (below + above) / 2]


def _between(left: float, right: float, *, last: float, high: float, whole: bool) -> float:
    if left == last and 2 * left < right:
        return 2 * left
    if left == last and right == high:
        return right
    middle = sqrt(left * right)
    return min(max(round(middle), left + 1), right - 1) if whole else float(f"{middle:.3g}")


@dataclass(frozen=True, slots=True)
class Bracket:
    """The largest load known to meet the objectives, and the least known not to; None where there is none.

    Each end rests on two runs: two at or above ``lower`` met the objectives, two at or below ``upper`` did not. One
    run near saturation may be lucky as a whole, which nothing inside it shows: its queue remembers as long as it lasts.
    """

    lower: float | None
    upper: float | None

    @classmethod
    def of(cls, tried: Iterable[Tried], error: float) -> "Bracket":
        """Return the bracket; where points contradict each other, the wider one.

        Examples
        --------
        >>> Bracket.of([Tried(4, (1.0,)), Tried(6, (0.5,)), Tried(4, (1.0,)), Tried(8, (0.0,))], 0.01)
        Bracket(lower=4, upper=None)
        """
        good, bad = _judged(tried, error)
        lower = good[1] if len(good) > 1 else None
        upper = bad[1] if len(bad) > 1 else None
        if lower is not None and upper is not None and lower >= upper:
            lower = next((load for load in good if load < bad[0]), None)
            upper = next((load for load in bad if load > good[0]), None)
        return cls(lower, upper)

    def __contains__(self, load: float) -> bool:
        """Tell whether a load lies within; a side that is not known is open."""
        return (self.lower or 0.0) <= load <= (self.upper if self.upper is not None else inf)


def unconfirmed(tried: Iterable[Tried], error: float) -> list[float]:
    """Return the loads, none to two, that would be ends of the bracket if a second run agreed.

    Examples
    --------
    >>> unconfirmed([Tried(4, (1.0,)), Tried(4, (1.0,)), Tried(8, (0.0,))], 0.01)
    [8]
    """
    return [loads[0] for loads in _judged(tried, error) if loads and loads.count(loads[0]) == 1]


def _judged(tried: Iterable[Tried], error: float) -> tuple[list[float], list[float]]:
    """Return the loads whose runs met the objectives, from the largest, and those whose did not, from the least."""
    judged = [(each.load, each.holds(error)) for each in tried if each.counts]
    good = sorted((load for load, holds in judged if holds == "yes"), reverse=True)
    return good, sorted(load for load, holds in judged if holds == "no")


def plan_next(
    tried: Iterable[Tried], error: float, left: int, low: float, high: float = inf, *, whole: bool = False
) -> float | None:
    """Choose the load of the next run: one to learn from, or an end of the bracket again while runs are left for it.

    Parameters
    ----------
    tried, low, high, whole
        As for ``next_load``.
    error : float
        The chance that one run is judged wrongly, at most.
    left : int
        Runs that may still be made.

    Returns
    -------
    float or None
        None when all is known, or no run is left.

    Examples
    --------
    >>> good, bad = Tried(2, (1.0,)), Tried(8, (0.0,))
    >>> [plan_next([good, bad], 0.01, left, low=2) for left in (3, 2, 0)]
    [4.0, 2, None]
    """
    every = list(tried)
    doubtful = unconfirmed(every, error)
    load = next_load(every, low, high, whole=whole) if left > len(doubtful) else None
    return load if load is not None else next(iter(doubtful[:left]), None)
