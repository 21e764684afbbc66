"""A gate for continuous integration: passes, fails or is undecided, and says what it rests on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from perfkit.analysis.compare.comparison import Comparison, SideCounts
from perfkit.analysis.compare.pairing import Pairing
from perfkit.analysis.compare.result import SIGNIFICANT, Result, at_load
from perfkit.analysis.metrics.quantity import quantity
from perfkit.analysis.stats.power import runs_needed
from perfkit.errors import Slower, Undecided, UsageError, nearest
from perfkit.options.units import share

Status = Literal["passed", "failed", "undecided"]
Unsure = Literal["pass", "fail"]

FAILURES = "failures"
"""The tolerance of failures: how much larger, in share of the requests, one side's may be."""
_FAILURES_ALLOWED = 0.01
_REPEATS = 3
"""Runs a side from which a gate decides by their scatter."""
_MOST = 0.5
"""Share of failures beyond which the latencies of those that succeeded say nothing of a server."""


@dataclass(frozen=True)
class Gate:
    """What a gate found; prints as sentences."""

    status: Status
    reasons: tuple[str, ...]
    """Why it failed or is undecided."""
    rests_on: str

    def __str__(self) -> str:
        return "\n".join([f"gate {self.status}, resting on {self.rests_on}", *self.reasons])


def check_gate(comparison: Comparison, tolerances: Mapping[str, str | float]) -> Gate:
    """Decide whether a comparison stays within tolerances.

    Parameters
    ----------
    comparison : Comparison
        Of the quantities that the tolerances name.
    tolerances : mapping of str to share
        By quantity, and ``failures``.

    Returns
    -------
    Gate
        *Failed*: something is clearly worse than allowed (its whole interval is), more requests failed than allowed, or
        the sides cannot be compared: CLIENT-BOUND, other loads, other work. *Passed*: every quantity is shown to be
        within its tolerance (its whole interval is, and has no mark). *Undecided* otherwise, and always without a noise
        or three runs a side.
    """
    bounds = {
        name if name == FAILURES else quantity(name).name: share(f"tolerance of {name}", tolerance)
        for name, tolerance in tolerances.items()
    }
    allowed = bounds.pop(FAILURES, _FAILURES_ALLOWED)
    failed, unsure = _failures(comparison, allowed)
    failed += _not_comparable(comparison)
    for result in comparison.results:
        if result.quantity.name in bounds:
            status, reason = _judge(result, bounds[result.quantity.name], comparison.baseline)
            failed += [reason] * (status == "failed")
            unsure += [reason] * (status == "undecided")
    measured = {result.quantity.name for result in comparison.results}
    failed += [f"{name} was not measured on both sides." for name in bounds if name not in measured]
    status = "failed" if failed else "undecided" if unsure else "passed"
    return Gate(status, tuple(failed or unsure), _rests_on(comparison))


def require(gate: Gate, unsure: Unsure | None = None) -> Gate:
    """Return a gate that passed, or is undecided where that counts as passing.

    Raises
    ------
    Slower
        It failed, or is undecided where that counts as failing.
    Undecided
        It is undecided.
    """
    if unsure not in (None, "pass", "fail"):
        raise UsageError(f"unsure is pass or fail, got {unsure!r}{nearest(str(unsure), ['pass', 'fail'])}")
    if gate.status == "failed" or (gate.status == "undecided" and unsure == "fail"):
        raise Slower(str(gate))
    if gate.status == "undecided" and unsure is None:
        raise Undecided(str(gate))
    return gate


def _failures(comparison: Comparison, allowed: float) -> tuple[list[str], list[str]]:
    """Return what fails, and what is unsure, about the requests that failed."""
    failed, unsure = [], []
    for pairing, counts in comparison.counts.items():
        status, reason = _judge_failures(pairing, counts, comparison.baseline, allowed)
        failed += [reason] * (status == "failed")
        unsure += [reason] * (status == "undecided")
    return failed, unsure


def _judge_failures(pairing: Pairing, counts: SideCounts, baseline: str, allowed: float) -> tuple[Status, str]:
    if not all(counts.requests):
        return "failed", f"nothing ended by itself on one side{at_load(pairing.load)}."
    ours, theirs = (failed / n for failed, n in zip(counts.failed, counts.requests, strict=True))
    shares = f"{theirs:.2%} of {pairing.other}'s requests failed{at_load(pairing.load)}, {ours:.2%} of {baseline}'s"
    if max(ours, theirs) > _MOST:
        return "failed", f"{shares}: more than half, so the others say nothing of the server."
    if abs(theirs - ours) <= allowed:
        return "passed", ""
    from scipy.stats import fisher_exact  # late: slow to load

    table = [[failed, n - failed] for failed, n in zip(counts.failed, counts.requests, strict=True)]
    said = f"{shares} (allowed: a difference of {allowed:.3g}, as a share)"
    if fisher_exact(table).pvalue >= SIGNIFICANT:
        return "undecided", f"{said}: too few requests to tell whether that is chance; send more."
    more = "" if theirs > ours else "; its latencies are those of the survivors"
    return "failed", f"{said}{more}."


def _not_comparable(comparison: Comparison) -> list[str]:
    bound = sorted(
        {
            run.label
            for each in comparison.counts
            for run in each.runs
            if comparison.levels.get(run.label) == "CLIENT-BOUND"
        }
    )
    said = [f"CLIENT-BOUND, so the client was measured and not the server: {', '.join(bound)}."] if bound else []
    said += [f"the work differs: {'; '.join(comparison.unequal)}."] if comparison.unequal else []
    if comparison.unmatched:
        said.append(f"loads or settings differ, nothing to compare with: {', '.join(comparison.unmatched)}.")
    return said


def _judge(result: Result, tolerance: float, baseline: str) -> tuple[Status, str]:
    """Tell how a result stands to its tolerance: clearly worse, shown to be within, or neither."""
    sentence, allowed = result.sentence(baseline), f"(allowed: {100 * tolerance:.3g}%)"
    runs = min(len(result.pairing.baseline_runs), len(result.pairing.other_runs))
    if not result.ratio.value > 0:
        return "undecided", f"{sentence} {allowed} Send more requests."
    decides = result.method == "noise" or (result.method in ("runs", "rounds") and runs >= _REPEATS)
    if not decides or not result.ratio.known or (result.noise and result.noise.freedom != float("inf")):
        return "undecided", f"{sentence} {allowed} {_REPEATS} runs a side would decide, or --noise."
    ends = result.ratio.low, result.ratio.high
    low, high = (1 / ends[1], 1 / ends[0]) if result.quantity.metric.better == "higher" else ends
    if low > 1 + tolerance:
        return "failed", f"{sentence} {allowed}"
    if high <= 1 + tolerance and result.mark:
        return "undecided", f"{sentence} {allowed} The interval is not to be relied on ({result.mark})."
    if high <= 1 + tolerance:
        return "passed", ""
    scatter = result.noise.share if result.noise else result.scatter
    enough = runs_needed(scatter, tolerance or 0.01)
    more = f"About {enough:,} runs a side would decide." if enough and enough > runs else "More runs would decide."
    return "undecided", f"cannot tell {allowed}: {sentence} {more}"


def _rests_on(comparison: Comparison) -> str:
    pairings = list(comparison.counts)
    ours = {run for each in pairings for run in each.baseline_runs}
    theirs = {run for each in pairings for run in each.other_runs}
    requests = [sum(counts.requests[side] for counts in comparison.counts.values()) for side in (0, 1)]
    levels = Counter(comparison.levels.get(run.label) or "not judged" for run in ours | theirs)
    verdicts = ", ".join(f"{count} {level}" for level, count in levels.items())
    noise = next((result.noise.words for result in comparison.results if result.noise), "")
    counted = f"{len(ours)} + {len(theirs)} runs, {requests[0]:,} + {requests[1]:,} requests, verdicts: {verdicts}"
    return f"{counted}{f', {noise}' if noise else ''}"
