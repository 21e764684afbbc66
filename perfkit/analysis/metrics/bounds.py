"""What a metric is to stay below: objectives of each request, read into numbers."""

from math import inf, nan
from typing import Any

from perfkit.analysis.metrics.registry import METRICS, metric_named
from perfkit.errors import UsageError
from perfkit.options.objectives import Objective, Quantity, read_objectives
from perfkit.options.units import DURATIONS, quantity

_LONG = {"tpot": 1, "itl": 1, "lag": 10, "ttft": 10, "ttfat": 100, "e2e": 100}
"""Seconds from which a bound without a unit is sooner a mistake: every server meets 50 s a token."""


def request_bounds(slo: Any) -> dict[str, float]:
    """Read objectives of each request into metrics and bounds.

    Raises
    ------
    UsageError
        One cannot be read, or is an objective of a percentile.

    Examples
    --------
    >>> request_bounds(["ttft < 200ms", "e2e < 5s"])
    {'ttft': 0.2, 'e2e': 5.0}
    """
    return dict(map(_request_bound, read_objectives(slo)))


def _request_bound(objective: Objective) -> tuple[str, float]:
    """Return metric and bound of what each request is to meet."""
    name = Quantity(objective.metric, objective.statistic).name
    if objective.statistic and name not in METRICS:
        raise UsageError(
            f"an objective of each request reads '{objective.metric} < 500ms', got one of its {objective.statistic}; "
            "percentiles are objectives of perfkit capacity"
        )
    return name, bound(name, objective.bound)


def bound(name: str, limit: float | str) -> float:
    """Read one objective: a number in the metric's unit, or a text with a unit.

    Raises
    ------
    UsageError
        It is neither, not above 0, or so many seconds without a unit that milliseconds may be meant.

    Examples
    --------
    >>> bound("ttft", "200ms"), bound("ttft", 0.2), bound("ttft", "60s")
    (0.2, 0.2, 60.0)
    """
    metric = metric_named(name)
    value, unit = (quantity(limit) or (nan, "")) if isinstance(limit, str) else (limit, "")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise UsageError(
            f"the bound of an objective such as {name} is a number above 0, or one with a unit such as '200ms' "
            f"({DURATIONS}); got {limit!r}"
        )
    if unit == "m":
        raise UsageError(
            f"the bound of an objective of {name} would be {value / 60:g} minutes: write '{value / 60:g}ms' for "
            f"milliseconds, or '{value / 60:g}min' if minutes are meant"
        )
    if metric.unit == "s" and not unit and value >= _LONG.get(name.partition("_")[0], _LONG["e2e"]):
        raise UsageError(
            f"the bound of {name} would be {value:g} seconds: write '{value:g}ms' for milliseconds, or '{value:g}s' if "
            "seconds are meant"
        )
    return float(value)
