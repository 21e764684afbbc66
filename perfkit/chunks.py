"""The ``chunks`` blob of a result row: when each chunk of an answer arrived, and what it carried.

One version byte, then six little-endian arrays of equal length, one entry a chunk:

========== ======= ====================================================================
arrival    int64   nanoseconds after the request's ``start_time``
lag        int32   user-space stamp minus kernel stamp, microseconds; ``NO_LAG`` without a kernel stamp
read       int32   number of the read that brought it; chunks of one read share an arrival
kind       uint8   ``records.Kind``
choice     uint16  which of n answers it belongs to
message    int32   index into ``response_messages``; -1 when that message was not kept
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

VERSION = 1
NO_LAG = -(2**31)
_TYPES = "qiiBHi"
_SIZES = tuple(array(code).itemsize for code in _TYPES)
_ROW = sum(_SIZES)


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of one answer as six columns of equal length (see the module's table)."""

    arrival: Sequence[int]
    lag: Sequence[int]
    read: Sequence[int]
    kind: Sequence[int]
    choice: Sequence[int]
    message: Sequence[int]

    def __len__(self) -> int:
        return len(self.arrival)


def pack(chunks: Chunks) -> bytes:
    """Write chunks as a blob.

    Parameters
    ----------
    chunks : Chunks
        Columns of ints.

    Returns
    -------
    bytes
        1 + 23 bytes per chunk.

    Examples
    --------
    >>> blob = pack(Chunks([100, 250], [NO_LAG] * 2, [0, 1], [0, 1], [0, 0], [0, 1]))
    >>> len(blob), list(unpack(blob).arrival)
    (47, [100, 250])
    """
    columns = (chunks.arrival, chunks.lag, chunks.read, chunks.kind, chunks.choice, chunks.message)
    return _layout(len(chunks)).pack(VERSION, *chain.from_iterable(columns))


@lru_cache(maxsize=256)
def _layout(count: int) -> Struct:
    return Struct("<B" + "".join(f"{count}{code}" for code in _TYPES))


def unpack(blob: bytes) -> Chunks:
    """Read a blob without copying more than its bytes.

    Parameters
    ----------
    blob : bytes
        What ``pack`` wrote.

    Returns
    -------
    Chunks
        Columns are arrays; ``numpy.asarray`` takes them without a copy.

    Raises
    ------
    CorruptPickle
        The blob has another version or its length does not fit.
    """
    if not blob or blob[0] != VERSION or (len(blob) - 1) % _ROW:
        raise CorruptPickle(f"chunks: {len(blob)} bytes of version {blob[:1].hex() or 'none'}, expected {VERSION}")
    count = (len(blob) - 1) // _ROW
    columns = []
    at = 1
    for code, size in zip(_TYPES, _SIZES, strict=True):
        column = array(code)
        column.frombytes(blob[at : at + count * size])
        if sys.byteorder == "big":
            column.byteswap()
        columns.append(column)
        at += count * size
    return Chunks(*columns)
