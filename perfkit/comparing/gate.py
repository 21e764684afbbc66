"""A gate for continuous integration: fails when something got slower by more than it may."""

from collections.abc import Mapping
from typing import Literal

from perfkit.comparing.comparison import Comparison
from perfkit.comparing.judging import Result
from perfkit.comparing.share import share
from perfkit.errors import Slower
from perfkit.estimates import needed

Unsure = Literal["raise", "pass"]


def require_not_slower(comparison: Comparison, tolerances: Mapping[str, str | float], unsure: Unsure) -> None:
    """Raise unless every quantity stays within its tolerance; see ``Runs.assert_not_slower``."""
    bounds = {name: share(f"tolerance of {name}", tolerance) for name, tolerance in tolerances.items()}
    failed = [
        complaint
        for result in comparison.results
        if result.quantity.name in bounds
        and (complaint := _complaint(result, bounds[result.quantity.name], comparison.baseline, unsure))
    ]
    measured = {result.quantity.name for result in comparison.results}
    failed += [f"{name} was not measured on both sides." for name in bounds if name not in measured]
    if failed:
        raise Slower("\n".join(failed))


def _complaint(result: Result, tolerance: float, baseline: str, unsure: Unsure) -> str | None:
    """Return what is wrong with a result; None when it is proved to be within its tolerance."""
    value, high = _cost(result)
    if high <= 1 + tolerance:
        return None
    allowed = f"(allowed: {100 * tolerance:.3g}%)"
    if result.is_better is False and value > 1 + tolerance:
        return f"{result.sentence(baseline)} {allowed}"
    if unsure == "pass":
        return None
    enough = needed(result.ratio, tolerance or 0.01)
    advice = f"about {enough:,} requests a side would tell" if enough else "send more requests"
    return f"cannot tell {allowed}: {result.sentence(baseline)} {advice[0].upper()}{advice[1:]}."


def _cost(result: Result) -> tuple[float, float]:
    """Return the ratio, and the end of its interval, turned so that above 1 is worse; no interval ends nowhere."""
    if not result.ratio.known:
        return result.ratio.value, float("inf")
    if result.quantity.metric.better == "higher":
        return 1 / result.ratio.value, 1 / result.ratio.low
    return result.ratio.value, result.ratio.high
