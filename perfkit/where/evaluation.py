"""Evaluates the ``where`` language on one row, the way sqlite does."""

import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from operator import add, eq, ge, gt, le, lt, mul, ne, sub
from typing import Any, Final, TypeAlias

from perfkit.where.tree import Arithmetic, Comparison, Condition, Constant, IsNull, Logic, Membership, Name, Not, Value

Scalar: TypeAlias = int | float | str | None
Truth: TypeAlias = bool | None
"""None: unknown, since a value is missing."""

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}
_COMPUTE: Final[dict[str, Callable[[float, float], float]]] = {"+": add, "-": sub, "*": mul}


def evaluate(condition: Condition, row: Mapping[str, Scalar]) -> Truth:
    """Evaluate a condition on one row.

    Parameters
    ----------
    condition : Condition
        From ``parse``.
    row : mapping
        A value per name; a name that is absent, None or NaN is missing.

    Returns
    -------
    bool or None
        None when a missing value leaves it open. Rows are kept where this is True.

    Examples
    --------
    >>> from perfkit.where import parse
    >>> evaluate(parse("ttft > 1"), {"ttft": 1.5}), evaluate(parse("not ttft > 1"), {"ttft": None})
    (True, None)
    """
    match condition:
        case Logic(operator, conditions):
            return _all_or_any([evaluate(part, row) for part in conditions], decisive=operator == "or")
        case Not(inner):
            truth = evaluate(inner, row)
            return None if truth is None else not truth
        case IsNull(value):
            return _value(value, row) is None
        case Membership(value, items):
            found = _value(value, row)
            return None if found is None else any(_ordered(found) == _ordered(item) for item in items)
        case Comparison(operators, values):
            found_values = [_value(value, row) for value in values]
            pairs = zip(operators, pairwise(found_values), strict=True)
            return _all_or_any([_compare(operator, *pair) for operator, pair in pairs], decisive=False)


def _all_or_any(truths: list[Truth], *, decisive: bool) -> Truth:
    """One true decides an ``or``, one false an ``and``; else one unknown leaves it open."""
    if decisive in truths:
        return decisive
    return None if None in truths else not decisive


def _compare(operator: str, left: Scalar, right: Scalar) -> Truth:
    if left is None or right is None:
        return None
    return _COMPARE[operator](_ordered(left), _ordered(right))


def _ordered(value: int | float | str) -> tuple[bool, int | float | str]:
    return isinstance(value, str), value


def _value(node: Value, row: Mapping[str, Scalar]) -> Scalar:
    match node:
        case Constant(value):
            return value
        case Name(name):
            found = row.get(name)
            return None if isinstance(found, float) and math.isnan(found) else found
        case Arithmetic(operator, left_node, right_node):
            left, right = _value(left_node, row), _value(right_node, row)
            if not isinstance(left, int | float) or not isinstance(right, int | float):
                return None
            if operator == "/":
                result = float(left) / float(right) if right else math.nan
            else:
                result = _COMPUTE[operator](float(left), float(right))
            return None if math.isnan(result) else result
