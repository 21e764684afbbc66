"""Compiles the ``where`` language to sqlite."""

from collections.abc import Mapping
from itertools import pairwise

from perfkit.errors import UsageError, nearest
from perfkit.where.tree import (
    Arithmetic,
    Comparison,
    Condition,
    Constant,
    IsNull,
    Logic,
    Membership,
    Name,
    Not,
    Value,
    names_in,
)


def to_sql(condition: Condition, names: Mapping[str, str]) -> tuple[str, list[int | float | str]]:
    """Compile a condition to SQL.

    Parameters
    ----------
    condition : Condition
        From ``parse``.
    names : mapping of str to str
        The SQL expression behind each name.

    Returns
    -------
    (str, list)
        The text of a WHERE clause and its parameters.

    Raises
    ------
    UsageError
        A name is not in ``names``; the nearest is suggested.

    Examples
    --------
    >>> from perfkit.where import parse
    >>> to_sql(parse("1 < ttft < 2s"), {"ttft": "first_chunk_latency"})
    ('(? < +(first_chunk_latency) AND +(first_chunk_latency) < ?)', [1, 2.0])
    """
    for name in sorted(names_in(condition)):
        if name not in names:
            raise UsageError(f"where: nothing is called {name!r}{nearest(name, names)}")
    parameters: list[int | float | str] = []
    return _condition_sql(condition, names, parameters), parameters


def _condition_sql(node: Condition, names: Mapping[str, str], parameters: list[int | float | str]) -> str:
    match node:
        case Logic(operator, conditions):
            parts = [_condition_sql(part, names, parameters) for part in conditions]
            return f"({f' {operator.upper()} '.join(parts)})"
        case Not(inner):
            return f"NOT {_condition_sql(inner, names, parameters)}"
        case IsNull(value):
            return f"({_value_sql(value, names, parameters)} IS NULL)"
        case Membership(value, items):
            sql = _value_sql(value, names, parameters)
            parameters += items
            return f"({sql} IN ({', '.join('?' * len(items))}))"
        case Comparison(operators, values):
            pairs = [
                f"{_value_sql(left, names, parameters)} {operator} {_value_sql(right, names, parameters)}"
                for operator, (left, right) in zip(operators, pairwise(values), strict=True)
            ]
            return f"({' AND '.join(pairs)})"


def _value_sql(node: Value, names: Mapping[str, str], parameters: list[int | float | str]) -> str:
    match node:
        case Constant(value):
            parameters.append(value)
            return "?"
        case Name(name):
            # The plus takes the column's affinity away, by which sqlite would read '5' as 5.
            return f"+({names[name]})"
        case Arithmetic(operator, left, right):
            return f"({_real_sql(left, names, parameters)} {operator} {_real_sql(right, names, parameters)})"


def _real_sql(node: Value, names: Mapping[str, str], parameters: list[int | float | str]) -> str:
    if isinstance(node, Name):
        sql = names[node.name]
        return f"CASE WHEN typeof({sql}) IN ('integer', 'real') THEN CAST({sql} AS REAL) END"
    sql = _value_sql(node, names, parameters)
    return f"CAST({sql} AS REAL)" if isinstance(node, Constant) else sql
