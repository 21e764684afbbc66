"""What an expression of the ``where`` language is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """A number in seconds, tokens or shares, or a text."""

    value: int | float | str


@dataclass(frozen=True, slots=True)
class Name:
    """A column, a metric or a tag."""

    name: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left operator right``, in floating point."""

    operator: Literal["+", "-", "*", "/"]
    left: "Value"
    right: "Value"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``values[0] operators[0] values[1] operators[1] values[2] ...``, each pair holding."""

    operators: tuple[str, ...]
    values: "tuple[Value, ...]"


@dataclass(frozen=True, slots=True)
class Membership:
    """``value in (items)``."""

    value: "Value"
    items: tuple[int | float | str, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """``value is null``: true or false, never unknown."""

    value: "Value"


@dataclass(frozen=True, slots=True)
class Not:
    """``not condition``."""

    condition: "Condition"


@dataclass(frozen=True, slots=True)
class Logic:
    """Conditions that hold all (``and``) or at least one (``or``)."""

    operator: Literal["and", "or"]
    conditions: "tuple[Condition, ...]"


Value: TypeAlias = Constant | Name | Arithmetic
Condition: TypeAlias = Comparison | Membership | IsNull | Not | Logic


def names_in(node: Condition | Value) -> frozenset[str]:
    """Return the names that an expression uses.

    Examples
    --------
    >>> from perfkit.where import parse
    >>> sorted(names_in(parse("ttft + tpot > 1 or not model in ('a', 'b')")))
    ['model', 'tpot', 'ttft']
    """
    match node:
        case Name(name):
            return frozenset({name})
        case Constant():
            return frozenset()
        case Arithmetic(_, left, right):
            return names_in(left) | names_in(right)
        case Comparison(_, parts) | Logic(_, parts):
            return frozenset[str]().union(*map(names_in, parts))
        case Membership(inner) | IsNull(inner) | Not(inner):
            return names_in(inner)


def compared(node: Condition) -> Iterator[tuple[Value, ...]]:
    """Yield the values that are compared with each other.

    Examples
    --------
    >>> from perfkit.where import parse
    >>> list(compared(parse("ttft > '1ms' and not model in ('a', 'b')")))[0]
    (Name(name='ttft'), Constant(value='1ms'))
    """
    match node:
        case Comparison(_, values):
            yield values
        case Membership(value, items):
            yield (value, *map(Constant, items))
        case Not(inner):
            yield from compared(inner)
        case Logic(_, parts):
            for part in parts:
                yield from compared(part)
