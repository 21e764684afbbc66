"""Metrics: every number that perfkit shows about requests and runs, each a documented pure function."""

from perfkit.metrics import latency, rates, tokens
from perfkit.metrics.registry import METRICS, RATES, UNITS, Metric, Rate, metric, metric_named, rate

__all__ = [
    "METRICS",
    "RATES",
    "UNITS",
    "Metric",
    "Rate",
    "latency",
    "metric",
    "metric_named",
    "rate",
    "rates",
    "tokens",
]
