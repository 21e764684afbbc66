"""One quantity of one pairing, judged: estimates of both sides, their ratio, and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from perfkit.comparing.pairing import Pairing
from perfkit.comparing.permutation import p_of_pairs, p_of_requests, p_of_runs
from perfkit.comparing.quantity import Quantity
from perfkit.comparing.throughput import BLOCKS
from perfkit.estimates import ENOUGH, Estimate, difference, needed, p_value, ratio, ratio_of_runs
from perfkit.metrics import Rate
from perfkit.records import Json

REPEATS = 3
"""From how many runs a side the runs, not their requests, are the unit of resampling."""

SIGNIFICANT = 0.05

_PAIRED_SHARE = 0.8
"""Share of the requests of both sides that must have a partner of the same prompt for a paired comparison."""

Method = Literal["runs", "pairs", "requests"]
Test = Literal["interval", "permutation"]
TESTS: tuple[Test, ...] = ("interval", "permutation")
"""What p rests on: how far the interval of the ratio lies from 1, or exchanges of runs, pairs or requests."""


@dataclass(frozen=True, slots=True)
class Result:
    """One quantity of one pairing. ``ratio`` and ``difference`` are the other's against the baseline's."""

    pairing: Pairing
    quantity: Quantity
    baseline: Estimate
    other: Estimate
    ratio: Estimate
    difference: Estimate
    method: Method
    noise: float
    """Largest difference between repeats of one setting, as a share; NaN without repeats."""
    p: float
    """How likely so large a difference is when there is none."""
    p_holm: float = float("nan")
    """The same, corrected by Holm's method for the quantities of a pairing that were looked at together."""
    together: int = 1
    """How many quantities these were."""

    @property
    def judgement(self) -> str:
        """``slower``, ``faster``, ``higher``, ``lower``, ``no clear difference`` or ``too few``.

        A difference is clear when the interval leaves out 1 *and* p, corrected, is below 0.05.
        """
        if not self.ratio.known:
            return "too few"
        if not self.p_holm < SIGNIFICANT or self.ratio.low <= 1 <= self.ratio.high:
            return "no clear difference"
        is_more = self.ratio.value > 1
        if isinstance(self.quantity.metric, Rate) or self.quantity.metric.unit != "s":
            return "higher" if is_more else "lower"
        return "slower" if is_more else "faster"

    @property
    def rests_on_few(self) -> bool:
        """True when the interval rests on fewer independent samples, or stretches of time, than it should."""
        enough = BLOCKS if isinstance(self.quantity.metric, Rate) else ENOUGH
        return self.method != "runs" and not self.ratio.effective >= enough

    @property
    def within_noise(self) -> bool:
        """True when repeats of one setting differ by as much."""
        return self.method != "runs" and abs(self.ratio.value - 1) < self.noise

    @property
    def is_better(self) -> bool | None:
        """Whether the other is clearly better or worse; None where it is neither, or nobody says which way is."""
        if self.judgement in ("too few", "no clear difference") or self.within_noise or not self.quantity.metric.better:
            return None
        return (self.ratio.value > 1) == (self.quantity.metric.better == "higher")

    def sentence(self, baseline: str) -> str:
        """Say it in words."""
        words = f"{self.quantity.words}{at_load(self.pairing.load)}"
        if self.judgement == "too few":
            return f"{self.pairing.other}'s {words} cannot be held against {baseline}'s: too few requests."
        interval = f"95 % interval {self.ratio.low:.2f} to {self.ratio.high:.2f}"
        measured = f"{self.pairing.other}'s {words} is {self.ratio.value:.2f} times {baseline}'s ({interval})"
        return f"{measured}: {'; '.join([self.judgement, *self._remarks()])}."

    def _remarks(self) -> list[str]:
        remarks = []
        if self.within_noise:
            remarks.append(f"repeats of one setting differ by as much ({self.noise:.0%})")
        if self.judgement == "no clear difference":
            remarks += self._against()
        if self.method != "runs" and self.judgement == "no clear difference":
            enough = needed(self.ratio, 0.05)
            if enough and enough > self.ratio.n:
                remarks.append(f"to see 5 % you need about {enough:,} requests a side")
        elif self.ratio.known and self.rests_on_few:
            unit = "stretches of time" if isinstance(self.quantity.metric, Rate) else "independent samples"
            remarks.append(f"on only {self.ratio.effective:.0f} {unit} a side")
        return remarks

    def _against(self) -> list[str]:
        """Say why a difference is not called clear that the interval, or p alone, would call so."""
        if self.ratio.low <= 1 <= self.ratio.high:
            shape = (
                f"exchanges tell the sides apart (p = {self.p_holm:.2g}), but not by this number: its interval holds 1"
            )
            return [shape] if self.p_holm < SIGNIFICANT else []
        if self.p < SIGNIFICANT:
            return [f"not clear once {self.together} quantities are looked at together (Holm: p = {self.p_holm:.2g})"]
        return [f"the interval leaves out 1, but chance sets exchanged sides as far apart (p = {self.p:.2g})"]


def at_load(load: Mapping[str, Json]) -> str:
    """Return a load as the tail of a phrase.

    Examples
    --------
    >>> at_load({"model": "m", "parallel": 8, "rate": None})
    ' at 8 users'
    >>> at_load({"parallel": None, "rate": -1.0})
    ' at an unlimited rate'
    """
    users, rate = load.get("parallel"), load.get("rate")
    said = [f"{users:g} user{'s' * (users != 1)}"] if users is not None else []
    said += [f"{rate:g}/s" if rate > 0 else "an unlimited rate"] if rate is not None else []
    return f" at {', '.join(said)}" if said else ""


Side = Sequence[pd.DataFrame]
"""The steady requests of each run of a side."""


def judged(pairing: Pairing, wanted: Quantity, ours: Side, theirs: Side, test: Test = "interval") -> Result:
    """Estimate a quantity on both sides and hold them against each other.

    Parameters
    ----------
    pairing : Pairing
        Whose rows these are.
    wanted : Quantity
        What is compared.
    ours, theirs : sequence of DataFrame
        The steady requests of each run of the baseline and of the other group.
    test : {"interval", "permutation"}
        What p rests on.

    Returns
    -------
    Result
        Not yet corrected for being one of several.
    """
    before, after = wanted.estimate(ours), wanted.estimate(theirs)
    noise = max(_spread(wanted, ours), _spread(wanted, theirs), key=lambda spread: (spread == spread, spread))
    if min(len(ours), len(theirs)) >= REPEATS:
        each_before, each_after = ([wanted.of(rows) for rows in side] for side in (ours, theirs))
        quotient = ratio_of_runs(each_after, each_before)
        unit = float(np.exp(np.log(each_before).mean()))
        value, low, high = (unit * (end - 1) for end in (quotient.value, quotient.low, quotient.high))
        apart = Estimate(value, low, high, quotient.n)
        p = p_of_runs(each_before, each_after) if test == "permutation" else p_value(quotient)
        return Result(pairing, wanted, before, after, quotient, apart, "runs", noise, p)
    pairs = _pairs(wanted, ours, theirs)
    method: Method = "requests" if pairs is None else "pairs"
    shared = 0.0 if pairs is None else _correlation(wanted, pairs) * len(pairs) / max(before.n, after.n)
    quotient, apart = ratio(after, before, shared), difference(after, before, shared)
    if test == "interval":
        p = p_value(quotient)
    else:
        p = p_of_requests(wanted, ours, theirs) if pairs is None else p_of_pairs(wanted, pairs)
    return Result(pairing, wanted, before, after, quotient, apart, method, noise, p)


def _spread(wanted: Quantity, side: Side) -> float:
    """Return by how much the largest of repeats exceeds the smallest, as a share; NaN without repeats."""
    values = [wanted.of(rows) for rows in side]
    return max(values) / min(values) - 1 if len(values) > 1 and min(values) > 0 else float("nan")


def _pairs(wanted: Quantity, ours: Side, theirs: Side) -> pd.DataFrame | None:
    """Return the values of requests of the same prompt, ``before`` and ``after``; None when sides are not paired.

    Neighbours that depend on each other carry over from prompt to prompt what pairing would take out, so then the
    sides count as unpaired, which is the wider interval.
    """
    if isinstance(wanted.metric, Rate) or wanted.metric.pooled or len(ours) > 1 or len(theirs) > 1:
        return None
    values = [wanted.values(side[0]) for side in (ours, theirs)]
    keyed = [_by_prompt(each, side[0]["prompt_hash"]) for each, side in zip(values, (ours, theirs), strict=True)]
    pairs = pd.concat(keyed, axis=1, join="inner", keys=["before", "after"]).dropna()
    sizes = [len(each) for each in values]
    if len(pairs) < 20 or len(pairs) < _PAIRED_SHARE * max(sizes):
        return None
    effective = [wanted.estimate(side).effective for side in (ours, theirs)]
    if min(size / n for size, n in zip(effective, sizes, strict=True)) < _PAIRED_SHARE:
        return None
    varied = all(wanted.deviations(pairs[name]).std() > 0 for name in ("before", "after"))
    return pairs if varied else None


def _correlation(wanted: Quantity, pairs: pd.DataFrame) -> float:
    """Return how far requests of the same prompt go together on the two sides."""
    return float(np.corrcoef(wanted.deviations(pairs["before"]), wanted.deviations(pairs["after"]))[0, 1])


def _by_prompt(values: pd.Series, hashes: pd.Series) -> pd.Series:
    """Return values under their prompt and how often it had come before."""
    prompts = hashes.reindex(values.index)
    index = pd.MultiIndex.from_arrays([prompts, prompts.groupby(prompts).cumcount()])
    return pd.Series(values.to_numpy(), index=index)[prompts.notna().to_numpy()]
