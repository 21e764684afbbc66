"""Is A faster than B? Groups paired at equal load, each quantity as a ratio with an interval, and a sentence."""

from perfkit.analysis.compare.comparison import Comparison, compare
from perfkit.analysis.compare.gate import Gate, check_gate, require
from perfkit.analysis.compare.sample_size import Plan, plan_comparison
from perfkit.analysis.metrics.quantity import QUANTITIES, Quantity, quantity

__all__ = [
    "QUANTITIES",
    "Comparison",
    "Gate",
    "Plan",
    "Quantity",
    "check_gate",
    "compare",
    "plan_comparison",
    "quantity",
    "require",
]
