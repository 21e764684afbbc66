"""One quantity of two sides at one load: what their runs say, and what their requests alone cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, nan, sqrt
from typing import Literal

import numpy as np

from perfkit.analysis.compare.pairing import Pairing
from perfkit.analysis.metrics import Rate
from perfkit.analysis.metrics.quantity import Quantity
from perfkit.analysis.stats.estimates import Estimate, error_of, log_ratio, ratio
from perfkit.analysis.stats.marks import Mark
from perfkit.analysis.stats.power import runs_needed
from perfkit.records import Json

SIGNIFICANT = 0.05

Method = Literal["rounds", "runs", "noise", "requests"]
Test = Literal["interval", "permutation"]
TESTS: tuple[Test, ...] = ("interval", "permutation")
"""What p rests on: Student's t, as the interval does, or exchanges of runs."""

ONE_RUN = "one run each"


@dataclass(frozen=True, slots=True)
class Noise:
    """How much runs of one setting differ: the standard deviation between them, as a share."""

    share: float
    freedom: float = float("inf")
    """Degrees of freedom of repeats that it was measured with; infinite where it is assumed."""

    @property
    def words(self) -> str:
        """As the condition of a sentence."""
        where = "as assumed" if self.freedom == float("inf") else "as the repeats in these files do"
        return f"if runs of one server differ by {100 * self.share:.2g} %, {where}"


@dataclass(frozen=True, slots=True)
class Result:
    """One quantity of one pairing. ``ratio`` and ``difference`` are the other's against the baseline's."""

    pairing: Pairing
    quantity: Quantity
    baseline: Estimate
    other: Estimate
    ratio: Estimate
    method: Method
    error: float = nan
    """Standard error of the logarithm of the ratio."""
    freedom: float = nan
    """Its degrees of freedom."""
    scatter: float = nan
    """Standard deviation between the runs of a side, as a share; NaN without repeats."""
    noise: Noise | None = None
    """What was taken for it where the sides have too few runs."""
    p: float = nan
    """How likely so large a difference is when there is none; NaN where nothing can be known."""
    p_holm: float = nan
    """The same, corrected by Holm's method for all quantities and loads at which a group is compared."""
    mark: Mark = ""
    """Why the interval is not to be relied on, where it rests on requests."""
    together: int = 1
    """How many these were."""

    @property
    def judgement(self) -> str:
        """``slower``, ``faster``, ``higher``, ``lower``, ``no clear difference``, ``one run each`` or ``too few``."""
        if not self.ratio.value > 0:
            return "too few"
        if self.method == "requests":
            return ONE_RUN
        if not self.ratio.known:
            return "too few"
        if not self.p_holm < SIGNIFICANT or self.ratio.low <= 1 <= self.ratio.high:
            return "no clear difference"
        is_more = self.ratio.value > 1
        if isinstance(self.quantity.metric, Rate) or self.quantity.metric.unit != "s":
            return "higher" if is_more else "lower"
        return "slower" if is_more else "faster"

    @property
    def is_better(self) -> bool | None:
        """Whether the other is clearly better or worse; None where it is neither, or nobody says which way is."""
        if self.judgement in ("too few", "no clear difference", ONE_RUN) or not self.quantity.metric.better:
            return None
        return (self.ratio.value > 1) == (self.quantity.metric.better == "higher")

    @property
    def difference(self) -> Estimate:
        """The ratio as a difference."""
        value, low, high = (
            self.baseline.value * (end - 1) for end in (self.ratio.value, self.ratio.low, self.ratio.high)
        )
        return Estimate(value, low, high, self.ratio.n)

    def sentence(self, baseline: str) -> str:
        """Say it in words."""
        words = f"{self.quantity.words}{at_load(self.pairing.load)}"
        judgement = self.judgement
        if judgement == "too few":
            return f"{self.pairing.other}'s {words} cannot be compared with {baseline}'s: too few requests."
        measured = f"{self.pairing.other}'s {words} is {self.ratio.value:.2f} times {baseline}'s"
        if judgement == ONE_RUN and "summary" in (self.baseline.mark, self.other.mark):
            return (
                f"{measured}: no interval and no difference can be claimed, as a summary without single requests tells "
                "nothing of either."
            )
        if judgement == ONE_RUN:
            return f"{measured}: one run each, so no difference between servers can be claimed."
        interval = f"95 % interval {self.ratio.low:.2f} to {self.ratio.high:.2f}"
        remarks = [self.noise.words] if self.noise else []
        if judgement == "no clear difference":
            if self.p < SIGNIFICANT:
                remarks.append(
                    f"not clear once {self.together} comparisons are looked at together (Holm: p = {self.p_holm:.2g})"
                )
            remarks += self._runs_needed()
        return f"{measured} ({interval}): {'; '.join([judgement, *remarks])}."

    def _runs_needed(self) -> list[str]:
        scatter = self.scatter if self.scatter == self.scatter else self.noise.share if self.noise else nan
        needed = [(effect, runs_needed(scatter, effect, family=self.together)) for effect in (0.1, 0.05)]
        said = [f"{100 * effect:.0f} % takes {count:,} runs a side" for effect, count in needed if count]
        return [f"at this scatter ({scatter:.1%}) to see {' and '.join(said)}"] if said else []


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


def compare_quantity(
    pairing: Pairing,
    wanted: Quantity,
    ours: Sequence[Estimate],
    theirs: Sequence[Estimate],
    noise: Noise | None = None,
    test: Test = "interval",
) -> Result:
    """Compare one quantity of two sides.

    Parameters
    ----------
    pairing : Pairing
        Whose runs these are.
    wanted : Quantity
        What is compared.
    ours, theirs : sequence of Estimate
        Of each run of the baseline and of the other group, with the interval that its requests leave.
    noise : Noise, optional
        How much runs of one setting differ; used where a side has too few runs to tell.
    test : {"interval", "permutation"}
        What p rests on.

    Returns
    -------
    Result
        Not yet corrected for being one of several.

    Notes
    -----
    The run is the unit: Welch's t on logarithms, or Student's on the ratios of rounds. With one run on a side, nobody
    knows whether run or server differed, so there is no p unless the noise between runs is given.
    """
    pairs = (
        [(a, b) for a, b in zip(ours, theirs, strict=False) if a.value > 0 and b.value > 0] if pairing.rounds else []
    )
    before, after = (np.log([each.value for each in side if each.value > 0]) for side in (ours, theirs))
    sizes = len(before), len(after)
    counts = [sum(each.n for each in side) for side in (ours, theirs)]
    shown = _side(ours, counts[0]), _side(theirs, counts[1])
    result = Result(pairing, wanted, shown[0], shown[1], Estimate(nan, n=min(counts)), "requests")
    if not min(sizes):
        return result
    result = replace(result, scatter=_scatter(before, after))
    marked: Mark = next((each.mark for side in (ours, theirs) for each in side if each.mark), "")
    chance = sqrt(sum(sum(error_of(each) ** 2 for each in side) / len(side) ** 2 for side in (ours, theirs)))
    value = float(after.mean() - before.mean())
    method: Method
    assumed = noise is not None and noise.freedom == float("inf")
    if len(pairs) >= 2:
        ratios = np.log([b.value / a.value for a, b in pairs])
        value, method, freedom = float(ratios.mean()), "rounds", float(len(ratios) - 1)
        error = float(ratios.std(ddof=1)) / sqrt(len(ratios))
    elif min(sizes) >= (3 if assumed else 2):
        method, (error, freedom) = "runs", _welch(before, after)
    elif noise is not None:
        method, freedom = "noise", noise.freedom
        of_runs = log(1 + noise.share) * sqrt(1 / sizes[0] + 1 / sizes[1])
        error = sqrt(of_runs**2 + (chance if chance == chance else 0.0) ** 2)
    else:
        of_requests = ratio(shown[1], shown[0]) if sizes == (1, 1) else Estimate(exp(value), n=min(counts))
        return replace(result, ratio=of_requests, mark=marked)
    if not error > 0:  # runs that agree to the last digit: their requests still leave something open
        error = chance
    found, p = log_ratio(value, error, freedom)
    if test == "permutation":
        p = _exchanged(before, after) if method in ("runs", "rounds") else nan
    return replace(
        result,
        mark=marked if method == "noise" else "",
        ratio=replace(found, n=min(counts), effective=float(min(sizes))),
        method=method,
        error=error,
        freedom=freedom,
        noise=noise if method == "noise" else None,
        p=p,
    )


def _side(runs: Sequence[Estimate], count: int) -> Estimate:
    """Return what a side is shown as: its only run, or the geometric mean of its runs."""
    if len(runs) == 1:
        return runs[0]
    values = [each.value for each in runs if each.value > 0]
    return Estimate(float(np.exp(np.log(values).mean())) if values else nan, n=count, effective=float(len(runs)))


def _scatter(before: "np.ndarray", after: "np.ndarray") -> float:
    freedom = before.size + after.size - 2
    if freedom < 1:
        return nan
    return sqrt(float(sum(((side - side.mean()) ** 2).sum() for side in (before, after))) / freedom)


def _welch(before: "np.ndarray", after: "np.ndarray") -> tuple[float, float]:
    """Return Welch's standard error and degrees of freedom."""
    parts = [float(side.var(ddof=1)) / side.size for side in (before, after)]
    if not sum(parts):
        return 0.0, float(before.size + after.size - 2)
    squares = sum(part**2 / (side.size - 1) for part, side in zip(parts, (before, after), strict=True))
    return sqrt(sum(parts)), sum(parts) ** 2 / squares


def _exchanged(before: "np.ndarray", after: "np.ndarray") -> float:
    """Return how often exchanging runs between the sides sets their means as far apart."""
    from scipy.stats import permutation_test  # late: slow to load

    found = permutation_test(
        (before, after),
        lambda first, second, axis: second.mean(axis=axis) - first.mean(axis=axis),
        vectorized=True,
        n_resamples=1_999,
        random_state=0,
    )
    return float(found.pvalue)


def noise_of_repeats(sides: Sequence[Sequence[Estimate]]) -> Noise | None:
    """Return how much repeats of one setting differ, pooled over settings; None without repeats.

    Examples
    --------
    >>> noise_of_repeats([[Estimate(1.0), Estimate(1.1)], [Estimate(2.0)]]).freedom
    1.0
    """
    logs = [np.log([each.value for each in side if each.value > 0]) for side in sides]
    repeated = [side for side in logs if side.size > 1]
    freedom = sum(side.size - 1 for side in repeated)
    if not freedom:
        return None
    spread = sqrt(float(sum(((side - side.mean()) ** 2).sum() for side in repeated)) / freedom)
    return Noise(exp(spread) - 1, float(freedom))
