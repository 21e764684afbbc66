"""What a cell may cost, and the weighing of a value that was read."""

from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TypeAlias

from perfkit.errors import LimitExceeded

Plain: TypeAlias = Any
"""None, bool, int, float, str, bytes, or a list, tuple or str-keyed dict of these."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cell may cost at most. Real answers stay far below each of these."""

    text: int = 64 << 20
    """Characters of a cell."""
    pickle: int = 48 << 20
    """Bytes of a pickle."""
    opcodes: int = 2_000_000
    containers: int = 300_000
    depth: int = 100
    marks: int = 200
    integer: int = 128
    """Bytes of an integer."""
    nodes: int = 4_000_000
    """Values, an object that is used twice counted twice."""
    expanded: int = 256 << 20
    """Characters and bytes, an object that is used twice counted twice."""


LIMITS: Final = Limits()


_CONTAINERS: Final = frozenset({list, dict, tuple})


def weigh(value: Plain, limits: Limits, shared: bool = False) -> None:
    """Raise if a value is too deep, contains itself, or would be too large written out as a tree."""
    if shared:
        _, nodes, text = _size(value, limits, limits.depth, {})
        if nodes > limits.nodes or text > limits.expanded:
            raise LimitExceeded(f"{nodes} values and {text} characters when written out")
        return
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(limits.depth + 1):
        if not level:
            return
        items = chain.from_iterable(item.values() if type(item) is dict else item for item in level)
        level = [item for item in items if type(item) in _CONTAINERS]
    raise LimitExceeded(f"nested deeper than {limits.depth} levels")


def _size(value: Plain, limits: Limits, depth: int, known: dict[int, tuple[int, int, int]]) -> tuple[int, int, int]:
    """Return height, values and characters of a tree whose branches may be one object."""
    if type(value) not in _CONTAINERS:
        return 0, 1, len(value) if isinstance(value, str | bytes) else 0
    if id(value) not in known:
        if depth == 0:
            raise LimitExceeded(f"nested deeper than {limits.depth} levels, or in itself")
        children = chain(value, value.values()) if type(value) is dict else value
        sizes = [_size(child, limits, depth - 1, known) for child in children]
        heights, nodes, texts = zip(*sizes, strict=True) if sizes else ((0,), (), ())
        known[id(value)] = 1 + max(heights), 1 + sum(nodes), sum(texts)
    height, nodes_below, text = known[id(value)]
    if height > depth:
        raise LimitExceeded(f"nested deeper than {limits.depth} levels")
    return height, nodes_below, text
