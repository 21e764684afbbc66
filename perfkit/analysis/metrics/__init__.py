"""Metrics: every number that perfkit shows about requests and runs, each a documented pure function.

Whatever a module of this package registers with ``@metric`` or ``@rate`` is found by itself.
"""

from perfkit.analysis.metrics.registry import (
    METRICS,
    RATES,
    UNITS,
    Metric,
    Rate,
    metric,
    metric_named,
    rate,
    statistic_named,
    tags_read,
)

__all__ = [
    "METRICS",
    "RATES",
    "UNITS",
    "Metric",
    "Rate",
    "metric",
    "metric_named",
    "rate",
    "statistic_named",
    "tags_read",
]
