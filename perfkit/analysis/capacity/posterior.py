"""At which load a server stops meeting an objective: what the runs at several loads say of it together.

Nothing is assumed of the curve, the share of late requests against the load, but that it does not fall. On a lattice of
loads it is a random monotone curve: between two loads its log odds grow by a gamma variable, so by nothing less than 0.
How steep it is, how even, and how much runs of one load differ beyond what their requests show is not known: each is
one of several values, weighted by how well it explains all points (a hidden Markov model, summed exactly).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, hypot, log, sqrt
from typing import Protocol

import numpy as np
from scipy.special import expit, gammainc, gammaln, logit

from perfkit.analysis.stats.distribution import Floats

STEP = 0.01
"""Distance of neighbouring loads of the lattice, as a share."""

_BEYOND = 276
"""Steps of the lattice that are looked at beyond the loads that were measured: a factor of 16."""
_BINS, _BIN = 60, 0.15
"""Distances of the curve from the objective: in log odds, the last one stands for all beyond it."""
_AWAY: Floats = _BIN * np.arange(_BINS + 1.0)
_SLOPES = np.array([1.0, 1.8, 3.2, 5.8, 10.0, 18.0, 32.0, 58.0, 180.0])
"""Growth of the log odds over a load e times as large."""
_EVENNESS = np.array([0.015, 0.25])
"""Share of the load over which the growth varies by all of itself: small for straight curves, large for steps."""
_DISPERSIONS = np.array([0.9, 0.35, 0.13])
"""Effective size of a run, of the one that its own requests tell."""
_WEIGHTS: Floats = np.log([0.5, 0.33, 0.17])[:, None, None] + np.zeros((_SLOPES.size, 1)) + np.log([0.6, 0.4])
"""How likely each of these is beforehand, by dispersion, slope and evenness."""
_OF_MEANS = 5.0
"""Log odds that a mean counts for whose logarithm is 1 further: about what shares beyond a bound do there."""
_OF_RUNS = 0.03
"""By how much the means of runs differ beyond what their requests show, at least: a bin of the lattice."""
_TINY = 1e-30


class Evidence(Protocol):
    """What one run says of one objective."""

    @property
    def away(self) -> float:
        """By how much the run itself misses the objective, in log odds; below 0 it meets it."""

    @property
    def level(self) -> float:
        """What was measured, as so many times what is allowed."""

    def at(self, level: float) -> "Evidence":
        """Return the same against so many times what is allowed."""

    def log_likelihood(self, away: Floats, dispersion: float) -> Floats:
        """Return how likely the run is if its load is so far beyond the objective, in log odds."""


@dataclass(frozen=True, slots=True)
class ShareBeyond:
    """How many of a run's requests were beyond the bound, where a share of them may be.

    Notes
    -----
    Beta-binomial, so that a run may be lucky as a whole and its expected share is still the server's.
    """

    beyond: float
    n: float
    effective: float
    """How many independent requests would say as much."""
    allowed: float

    @property
    def away(self) -> float:
        """By how much the run itself misses the objective, in log odds; below 0 it meets it."""
        return float(logit((self.beyond + 0.5) / (self.n + 1)) - logit(self.allowed))

    @property
    def level(self) -> float:
        """What was measured, as so many times what is allowed."""
        return self.beyond / self.n / self.allowed

    def at(self, level: float) -> "ShareBeyond":
        """Return the same against so many times what is allowed."""
        return replace(self, allowed=level * self.allowed)

    def log_likelihood(self, away: Floats, dispersion: float) -> Floats:
        """Return how likely the run is if its load is so far beyond the objective, in log odds."""
        share = np.clip(expit(away + logit(self.allowed)), 1e-9, 1 - 1e-9)
        size = min(max(2.0, dispersion * self.effective), 0.999 * self.n)
        weight = max((1 - 1 / self.n) / (1 / size - 1 / self.n) - 1, 1e-3) if self.n > 2 else 1.0
        a, b = share * weight, (1 - share) * weight
        within = self.n - self.beyond
        found: Floats = (
            gammaln(self.beyond + a)
            + gammaln(within + b)
            - gammaln(self.n + weight)
            - gammaln(a)
            - gammaln(b)
            + gammaln(weight)
        )
        return found


@dataclass(frozen=True, slots=True)
class MeanAgainst:
    """The logarithm of a run's mean over its bound, and its standard error."""

    ratio: float
    error: float

    @property
    def away(self) -> float:
        """By how much the run itself misses the objective, on the scale of log odds."""
        return _OF_MEANS * self.ratio

    @property
    def level(self) -> float:
        """What was measured, as so many times what is allowed."""
        return exp(self.ratio)

    def at(self, level: float) -> "MeanAgainst":
        """Return the same against so many times what is allowed."""
        return replace(self, ratio=self.ratio - log(level))

    def log_likelihood(self, away: Floats, dispersion: float) -> Floats:
        """Return how likely the run is if its load is so far beyond the objective, on the scale of log odds."""
        error = _OF_MEANS * hypot(self.error, _OF_RUNS) / sqrt(dispersion)
        found: Floats = -(((self.away - away) / error) ** 2) / 2 - log(error)
        return found


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where the curve crosses what is allowed: a distribution over loads, on the lattice."""

    positions: Floats
    """Logarithms of loads."""
    below: Floats
    """The chance that it crosses below each of them."""

    def chance_below(self, load: float) -> float:
        """Return the chance that the objective is met no longer at this load."""
        return float(np.interp(log(load), self.positions, self.below))

    def quantile(self, chance: float) -> float:
        """Return the load below which it crosses with this chance."""
        return float(np.exp(np.interp(chance, self.below, self.positions)))


def find_crossing(loads: Sequence[float], seen: Sequence[Evidence]) -> Crossing:
    """Tell where a monotone curve crosses its objective.

    Examples
    --------
    >>> seen = [ShareBeyond(0, 500, 500, 0.05), ShareBeyond(100, 500, 500, 0.05)]
    >>> crossing = find_crossing([10, 20], seen)
    >>> 10 < crossing.quantile(0.025) < crossing.quantile(0.975) < 20
    True
    """
    at = np.round(np.log(loads) / STEP).astype(int)
    order = np.argsort(at, kind="stable")
    at, sorted_seen = at[order], [seen[place] for place in order]
    above, under = (_messages(at, sorted_seen, way) for way in (1, -1))
    # Coarsely over everything first, then every step where it may be.
    candidates = np.arange(at[0] - _BEYOND, at[-1] + _BEYOND, 16)
    chances = _chances(candidates, at, above, under)
    sums = np.cumsum(chances)
    first, last = np.searchsorted(sums, [1e-4, 1 - 1e-4])
    low, high = candidates[max(first - 1, 0)], candidates[min(last + 1, candidates.size - 1)]
    candidates = np.arange(low, high + 1, max(1, (high - low) // 40))
    chances = _chances(candidates, at, above, under)
    return Crossing(STEP * candidates, np.cumsum(chances) - chances / 2)


def _messages(at: "np.ndarray", seen: Sequence[Evidence], way: int) -> list[Floats]:
    """Return for each load how likely it and all further ones are, by dispersion, slope, evenness and distance."""
    places = range(len(seen)) if way < 0 else reversed(range(len(seen)))
    found: dict[int, Floats] = {}
    shape = (_DISPERSIONS.size, _SLOPES.size, _EVENNESS.size, _BINS + 1)
    for place in places:
        own = np.array([seen[place].log_likelihood(way * _AWAY, each) for each in _DISPERSIONS])
        whole = np.broadcast_to(own[:, None, None, :], shape)
        if (beyond := found.get(place + way)) is not None:
            top = beyond.max(-1, keepdims=True)
            passed = _pass_on(abs(int(at[place + way] - at[place])), np.exp(beyond - top))
            whole = whole + top + np.log(passed + _TINY)
        found[place] = whole
    return [found[place] for place in range(len(seen))]


def _pass_on(steps: int, message: Floats) -> Floats:
    """Return the message as it is expected from so many steps before it."""
    if not steps:
        return message
    size = 1 << (3 * _BINS).bit_length()
    padded = np.concatenate([message, np.repeat(message[..., -1:], _BINS, axis=-1)], axis=-1)
    product = np.fft.rfft(padded, size) * np.conj(np.fft.rfft(_increments(steps), size))
    passed: Floats = np.maximum(np.fft.irfft(product, size)[..., : _BINS + 1], 0)
    return passed


@lru_cache(maxsize=1024)
def _increments(steps: int) -> Floats:
    """Return how likely the curve grows by each distance over so many steps, by slope and evenness."""
    edges = (np.arange(_BINS) + 0.5) * _BIN / (_SLOPES[:, None, None] * _EVENNESS[:, None])
    sums = gammainc(STEP * steps / _EVENNESS[:, None], edges)
    ends = np.zeros((*sums.shape[:-1], 1))
    found: Floats = np.diff(np.concatenate([ends, sums, ends + 1], axis=-1), axis=-1)
    return found


def _chances(candidates: "np.ndarray", at: "np.ndarray", above: list[Floats], under: list[Floats]) -> Floats:
    """Return how likely the curve crosses at each candidate: the loads above it and those below are apart then."""
    right = np.searchsorted(at, candidates)
    logs = np.empty((candidates.size, *_WEIGHTS.shape))
    tops = [[(each.max(-1), np.exp(each - each.max(-1, keepdims=True))) for each in side] for side in (above, under)]
    for number, (candidate, place) in enumerate(zip(candidates, right, strict=True)):
        logs[number] = _WEIGHTS
        for side, near in ((0, place), (1, place - 1)):
            if 0 <= near < at.size:
                top, message = tops[side][near]
                steps = abs(int(at[near] - candidate))
                expected = message[..., 0] if not steps else (message * _increments(steps)).sum(-1)
                logs[number] += top + np.log(expected + _TINY)
    chances = np.exp(logs - logs.max()).sum((1, 2, 3))
    found: Floats = chances / chances.sum()
    return found
