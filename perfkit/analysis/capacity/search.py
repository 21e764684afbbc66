"""Between which loads a server stops meeting its objectives: measured points in, the next load or the bracket out.

Nothing is assumed of latency but that more load does not make it better; see ``posterior``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, inf, sqrt
from typing import Literal

import numpy as np

from perfkit.analysis.capacity.posterior import STEP, Crossing, Evidence, find_crossing

Holds = Literal["yes", "no", "unsure"]

NARROW = 1.1
"""Ratio of the ends of a bracket that is as narrow as a person needs it."""
_HALF = 1 + STEP / 2


@dataclass(frozen=True, slots=True)
class TriedLoad:
    """One load that was measured, and what it says of each objective.

    ``counts`` is False where the client was the limit: nothing is known of the server then.
    """

    load: float
    evidence: tuple[Evidence, ...]
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Bracket:
    """A load that is known to meet the objectives, and one known not to; None where there is none."""

    lower: float | None
    upper: float | None

    def __contains__(self, load: float) -> bool:
        """Tell whether a load lies within; a side that is not known is open."""
        return (self.lower or 0.0) <= load <= (self.upper if self.upper is not None else inf)


@dataclass(frozen=True, slots=True)
class Belief:
    """What all points together say of each objective: where the server stops meeting it."""

    crossings: tuple[Crossing, ...]
    least: float
    """The least load and the largest that were measured: nothing is said of others."""
    largest: float

    @classmethod
    def of(cls, tried: Iterable[TriedLoad]) -> "Belief | None":
        """Return the belief; None where no point counts."""
        counted = [each for each in tried if each.counts]
        if not counted:
            return None
        loads = [each.load for each in counted]
        by_objective = zip(*(each.evidence for each in counted), strict=True)
        return cls(tuple(find_crossing(loads, seen) for seen in by_objective), min(loads), max(loads))

    def chances(self, load: float) -> tuple[float, ...]:
        """Return how likely each objective holds at a load."""
        return tuple(1 - each.chance_below(load) for each in self.crossings)

    def each(self, load: float, error: float) -> tuple[Holds, ...]:
        """Tell of each objective whether it holds at a load, either answer wrong with half of this chance."""
        return tuple(
            "yes" if 1 - chance <= error / 2 else "no" if chance <= error / 2 else "unsure"
            for chance in self.chances(load)
        )

    def holds(self, load: float, error: float) -> Holds:
        """Tell whether all objectives hold at a load."""
        chances = self.chances(load)
        if sum(1 - chance for chance in chances) <= error / 2:
            return "yes"
        return "no" if min(chances) <= error / 2 else "unsure"

    def quantile(self, chance: float) -> float:
        """Return the load below which the objectives stop to hold together with this chance, at most (or at least).

        Objectives go together, nobody knows how closely: below one half the chances that each fails are added, above
        it the largest of them counts.
        """
        positions = np.unique(np.concatenate([each.positions for each in self.crossings]))
        below = np.array([np.interp(positions, each.positions, each.below) for each in self.crossings])
        together = below.sum(axis=0) if chance < 0.5 else below.max(axis=0)
        return exp(float(np.interp(chance, together, positions)))

    def bracket(self, error: float, *, whole: bool = False) -> Bracket:
        """Return the bracket, within the loads that were measured.

        Examples
        --------
        >>> from perfkit.analysis.capacity.posterior import ShareBeyond
        >>> good, bad = (ShareBeyond(beyond, 500, 500, 0.05) for beyond in (0, 250))
        >>> Belief.of([TriedLoad(12, (good,)), TriedLoad(13, (bad,))]).bracket(0.05, whole=True)
        Bracket(lower=12, upper=13)
        """
        # Loads are told apart by a step of the lattice, so the ends lie half a step further out.
        lower, upper = self.quantile(error / 2) / _HALF, self.quantile(1 - error / 2) * _HALF
        least, largest = self.least / _HALF**2, self.largest * _HALF**2
        known = lower >= least, upper <= largest
        if whole:
            lower, upper = floor(lower * _HALF**2), ceil(upper / _HALF**2)
        # Of loads that were not measured nothing is said: the ends are the nearest that were.
        return Bracket(
            min(max(lower, self.least), self.largest) if known[0] else None,
            max(min(upper, self.largest), self.least) if known[1] else None,
        )


def plan_next(
    tried: Iterable[TriedLoad], error: float, left: int, low: float, high: float = inf, *, whole: bool = False
) -> float | None:
    """Choose the load of the next run, to three digits: where an end of the bracket is least certain.

    Parameters
    ----------
    tried : iterable of TriedLoad
        What has been measured. A load at which the client was the limit is measured again; if it is the limit
        again, that load is a wall like ``high``.
    error : float
        The chance that the bracket is wrong, at most.
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
    Loads grow from the least, fourfold while it is met with ease, until one is shown to be too much. Then points are
    set in the middle of what is possible, and near its two ends when that is no longer wide.
    """
    if left <= 0:
        return None
    every = list(tried)
    uncounted = Counter(each.load for each in every if not each.counts)
    counted = [each for each in every if each.counts]
    known = {each.load for each in counted}
    for load, times in uncounted.items():
        # Once may be a busy neighbour's doing; twice is the client.
        if times == 1 and load not in known:
            return load
    belief = Belief.of(every)
    if belief is None:
        return None if uncounted else low
    wall = min((load for load, times in uncounted.items() if times > 1), default=inf)
    bracket = belief.bracket(error, whole=whole)
    if bracket.upper is None:
        return _grow(counted, belief, error, high, wall, whole=whole)
    if bracket.upper <= low:
        return None
    lower = bracket.lower if bracket.lower is not None else low
    if bracket.lower is not None and (bracket.upper - lower <= 1 if whole else bracket.upper <= NARROW * lower):
        return None
    load = belief.quantile(_where(bracket.upper / lower, len(every)))
    return _rounded(min(max(load, low), high, wall / NARROW), whole=whole)


def _where(ratio: float, number: int) -> float:
    """Choose where in what is possible the next point lies, by the ratio of its ends."""
    if ratio > 3:
        return 0.5
    return (0.5, 0.1, 0.9)[number % 3] if ratio > 1.6 else (0.06, 0.94)[number % 2]


def _grow(
    counted: Sequence[TriedLoad], belief: Belief, error: float, high: float, wall: float, *, whole: bool
) -> float | None:
    """Choose a larger load than any that was measured, or the largest again until it is known to be met."""
    top = max(counted, key=lambda each: each.load)
    # By how much it misses or meets the objectives, in log odds.
    away = max(each.away for each in top.evidence)
    load = top.load * (4 if away < -2.4 else 2 if away < 0.7 else 1.3)
    if load >= wall:
        load = sqrt(top.load * wall)
    load = _rounded(min(load, high), whole=whole)
    if load > top.load * (1 if whole or load == high else sqrt(NARROW)) and load < wall:
        return load
    return top.load if belief.holds(top.load, error) == "unsure" else None


def _rounded(load: float, *, whole: bool) -> float:
    return max(1, round(load)) if whole else float(f"{load:.3g}")
