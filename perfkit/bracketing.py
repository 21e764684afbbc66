"""Between which loads a server stops meeting its objectives: measured points in, the next load or the bracket out.

Nothing is assumed of latency but that more load does not make it better.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import inf, log, sqrt
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

SPARE = 1
"""Runs kept beyond one for each end that is not certain yet: a repeat may say less than the run it repeats."""


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
        each = self.each(error)
        return "yes" if set(each) == {"yes"} else "no" if "no" in each else "unsure"

    def each(self, error: float) -> tuple[Holds, ...]:
        """Tell of each objective whether it holds, so that all are wrong together with at most this chance.

        Examples
        --------
        >>> Tried(8, (0.999, 0.5, 0.001)).each(0.01)
        ('yes', 'unsure', 'no')
        """
        # That any of several is broken is the easier to say wrongly the more of them there are.
        broken = error / len(self.chances)
        return tuple("yes" if at >= 1 - error else "no" if at <= broken else "unsure" for at in self.chances)

    def weight(self, error: float) -> float:
        """Return what this run says as a share of one judged at ``error``: 1 for yes, -1 for no, less where unsure.

        Examples
        --------
        >>> [round(Tried(8, (chance,)).weight(0.01), 2) for chance in (0.999, 0.9, 0.5, 0.0)]
        [1, 0.48, 0.0, -1]
        """
        holds = self.holds(error)
        if holds != "unsure":
            return 1 if holds == "yes" else -1
        odds = log(self.chance / (1 - self.chance))
        odds = odds if odds > 0 else min(0.0, odds + log(len(self.chances)))
        return odds / log((1 - error) / error)


@dataclass(frozen=True, slots=True)
class Bracket:
    """The largest load known to meet the objectives, and the least known not to; None where there is none.

    Each end rests on as much evidence as two runs give that are judged at ``error``, of two runs or more. One run near
    saturation may be lucky as a whole, which nothing inside it shows: its queue remembers as long as it lasts.

    Notes
    -----
    Each run's chance counts as log odds, and for no more than those of ``error``. What holds at a load holds below, so
    the odds of runs at the next loads above ``lower``, as many as strengthen it, are multiplied; below ``upper`` too.
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
        found = _Evidence.of(tried, error)
        good = [load for load in found.loads if found.holds[load] >= 2]
        bad = [load for load in found.loads if found.fails[load] >= 2]
        lower, upper = max(good, default=None), min(bad, default=None)
        if lower is not None and upper is not None and lower >= upper:
            return cls(
                max((at for at in good if at < bad[0]), default=None), next((at for at in bad if at > good[-1]), None)
            )
        return cls(lower, upper)

    def __contains__(self, load: float) -> bool:
        """Tell whether a load lies within; a side that is not known is open."""
        return (self.lower or 0.0) <= load <= (self.upper if self.upper is not None else inf)


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What the runs that count say of each load, in runs judged at ``error``: 2 is what an end of the bracket takes."""

    own: dict[float, float]
    """Of the runs at this load alone, in order of load; below 0 that the objectives fail."""
    holds: dict[float, float]
    """That they hold: of the runs here and at as many of the next loads above as strengthen it."""
    fails: dict[float, float]
    """That they fail: of the runs here and at as many of the next loads below."""

    @classmethod
    def of(cls, tried: Iterable[Tried], error: float) -> "_Evidence":
        own: dict[float, float] = {}
        for each in sorted((each for each in tried if each.counts), key=lambda each: each.load):
            own[each.load] = own.get(each.load, 0.0) + each.weight(error)
        holds = _strongest([own[load] for load in reversed(own)])
        fails = _strongest([-own[load] for load in own])
        return cls(own, dict(zip(reversed(own), holds, strict=True)), dict(zip(own, fails, strict=True)))

    @property
    def loads(self) -> list[float]:
        """Every load, from the least."""
        return list(self.own)

    @property
    def bad(self) -> float | None:
        """The least load whose own runs show it to be too much."""
        return next((load for load in self.own if self.own[load] <= -1), None)

    @property
    def good(self) -> float | None:
        """The largest load below it whose own runs show it to be little enough."""
        bad = inf if self.bad is None else self.bad
        return max((load for load in self.own if self.own[load] >= 1 and load < bad), default=None)

    @property
    def doubtful(self) -> list[float]:
        """What would be an end of the bracket with more runs; the least load where nothing is known to be good."""
        bad, least = self.bad, self.loads[0]
        good = least if self.good is None and bad != least else self.good
        return [
            *([bad] if bad is not None and self.fails[bad] < 2 else []),
            *([good] if good is not None and self.holds[good] < 2 else []),
        ]

    def gaps(self, wall: float) -> list[tuple[float, float]]:
        """Return the gap above the last good load and that below the first bad one, or below the wall."""
        loads, bad, good = self.loads, self.bad, self.good
        under = [load for load in loads if bad is None or load < bad]
        below = [(under[-1], wall if bad is None else bad)] if under else []
        above = [] if good is None else [(good, load) for load in loads if load > good][:1]
        return below + above


def _strongest(weights: Sequence[float]) -> list[float]:
    """Return for each place the largest sum of weights that ends there."""
    return list(accumulate(weights, lambda before, weight: weight + max(0.0, before)))


def plan_next(
    tried: Iterable[Tried], error: float, left: int, low: float, high: float = inf, *, whole: bool = False
) -> float | None:
    """Choose the load of the next run, to three digits: where an end of the bracket is least certain.

    Parameters
    ----------
    tried : iterable of Tried
        What has been measured. A load at which the client was the limit is measured again; if it is the limit
        again, that load is a wall like ``high``.
    error : float
        The chance that one run is judged wrongly, at most.
    left : int
        Runs that may still be made.
    low, high : float
        The least and the largest load to try.
    whole : bool
        Loads are whole numbers, such as users.

    Returns
    -------
    float or None
        None when all is known, or no run is left.

    Notes
    -----
    Loads double until one is too much. Then there is a largest load that is good, a least one that is bad, and loads
    between of which one run cannot tell. The wider of the gaps on the far side of these two is halved (in
    logarithms): what lies between is not looked at again, since a run there tells nothing. The last runs, one to
    spare, repeat the two loads until each is known as the bracket wants it.

    Examples
    --------
    >>> good, bad = Tried(2, (1.0,)), Tried(8, (0.0,))
    >>> [plan_next([good, bad], 0.01, left, low=2) for left in (4, 2, 0)]
    [4.0, 8, None]
    """
    if left <= 0:
        return None
    every = list(tried)
    uncounted = Counter(each.load for each in every if not each.counts)
    found = _Evidence.of(every, error)
    for load, times in uncounted.items():
        # Once may be a busy neighbour's doing; twice is the client.
        if times == 1 and load not in found.own:
            return load
    if not found.loads:
        return None if uncounted else low
    wall = min([high, *(load for load, times in uncounted.items() if times > 1)])
    if found.bad is None and 2 * found.loads[-1] < wall:
        return 2 * found.loads[-1]
    if found.bad is None and found.loads[-1] < wall == high:
        return high
    doubtful = found.doubtful
    if found.good is None and doubtful and doubtful[-1] == found.loads[0] and left >= len(doubtful):
        return found.loads[0]
    gaps = [gap for gap in found.gaps(wall) if gap[1] > gap[0] * (1 + NARROW) and (not whole or gap[1] - gap[0] > 1)]
    if not gaps or (doubtful and left <= len(doubtful) + SPARE):
        return doubtful[0] if doubtful else None
    left_end, right_end = max(gaps, key=lambda gap: gap[1] / gap[0])
    middle = sqrt(left_end * right_end)
    return min(max(round(middle), left_end + 1), right_end - 1) if whole else float(f"{middle:.3g}")
