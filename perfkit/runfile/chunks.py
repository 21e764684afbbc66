"""The ``chunks`` blob of a result row: when each chunk of an answer arrived, and what it carried.

One version byte, then little-endian arrays of equal length, one entry a chunk; the last is there in version 2 only,
which is written where a server says what each chunk holds:

========== ======= ====================================================================
arrival    int64   nanoseconds after the request's ``start_time``
lag        int32   user-space stamp minus kernel stamp, microseconds; ``NO_LAG`` without a kernel stamp
read       int32   number of the read that brought it; chunks of one read share an arrival
kind       uint8   ``records.Kind``
choice     uint16  which of n answers it belongs to
message    int32   index into ``response_messages``; -1 when that message was not kept
tokens     int32   tokens of that message, as the server counts them; -1 when not known
========== ======= ====================================================================
"""

import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from struct import Struct

from perfkit.errors import CorruptPickle

_TYPES = {1: "qiiBHi", 2: "qiiBHii"}
"""Types of the arrays, by version."""
NO_LAG = -(2**31)
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of one answer as columns of equal length (see the module's table)."""

    arrival: Sequence[int]
    lag: Sequence[int]
    read: Sequence[int]
    kind: Sequence[int]
    choice: Sequence[int]
    message: Sequence[int]
    tokens: Sequence[int] | None = None
    """None: not known of any."""

    def __len__(self) -> int:
        return len(self.arrival)


def pack(chunks: Chunks) -> bytes:
    """Write chunks as a blob.

    Examples
    --------
    >>> blob = pack(Chunks([100, 250], [NO_LAG] * 2, [0, 1], [0, 1], [0, 0], [0, 1]))
    >>> len(blob), list(unpack(blob).arrival)
    (47, [100, 250])
    """
    columns = [chunks.arrival, chunks.lag, chunks.read, chunks.kind, chunks.choice, chunks.message]
    version = 1 if chunks.tokens is None else 2
    columns += [] if chunks.tokens is None else [chunks.tokens]
    return _layout(len(chunks), version).pack(version, *chain.from_iterable(columns))


@lru_cache(maxsize=256)
def _layout(count: int, version: int) -> Struct:
    return Struct("<B" + "".join(f"{count}{code}" for code in _TYPES[version]))


def unpack(blob: bytes) -> Chunks:
    """Read a blob without copying more than its bytes."""
    types = _TYPES.get(blob[0]) if blob else None
    sizes = [array(code).itemsize for code in types or ""]
    if types is None or (len(blob) - 1) % sum(sizes):
        known = " or ".join(map(str, _TYPES))
        raise CorruptPickle(f"chunks: {len(blob)} bytes of version {blob[:1].hex() or 'none'}, expected {known}")
    count = (len(blob) - 1) // sum(sizes)
    columns = []
    at = 1
    for code, size in zip(types, sizes, strict=True):
        column = array(code)
        column.frombytes(blob[at : at + count * size])
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
        at += count * size
    return Chunks(*columns)
