"""Is A faster than B? Groups paired at equal load, each quantity as a ratio with an interval, and a sentence."""

from perfkit.comparing.comparison import Comparison, compared
from perfkit.comparing.gate import require_not_slower
from perfkit.comparing.planning import Plan, planned
from perfkit.comparing.quantity import QUANTITIES, Quantity, quantity

__all__ = [
    "QUANTITIES",
    "Comparison",
    "Plan",
    "Quantity",
    "compared",
    "planned",
    "quantity",
    "require_not_slower",
]
