"""Writes plain data as pickles that every Python reads."""

from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from struct import Struct
from types import NoneType
from typing import Any, Final

from perfkit.errors import LimitExceeded
from perfkit.safe_pickle import opcodes as op
from perfkit.safe_pickle.limits import LIMITS, Plain

_HEAD: Final = Struct("<BBBQ")
_SIZE32: Final = Struct("<BI")
_SIZE64: Final = Struct("<BQ")
_INT32: Final = Struct("<Bi")
_FLOAT: Final = Struct(">Bd")


def dumps(value: Plain) -> bytes:
    """Write a plain value as a pickle of protocol 4, one frame, no memo.

    Every Python since 3.4 reads it, ``loads`` here included. An object used twice is written twice.

    Parameters
    ----------
    value : plain value
        Subclasses (a ``Secret``, an ``IntEnum``) are written as their base.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        Something else than plain data, or a dict key that is no str.
    LimitExceeded
        Nested deeper than 100 levels, or in itself; an integer of more than 128 bytes.

    Examples
    --------
    >>> dumps(["ok"]).hex(" ", -4)
    '80049508 00000000 0000005d 288c026f 6b652e'
    >>> from perfkit.safe_pickle import loads
    >>> loads(dumps({"stream": True, "stop": None}))
    {'stream': True, 'stop': None}
    """
    if type(value) is list and set(map(type, value)) == {str}:
        body = b"](" + _texts(value) + b"e."
    else:
        parts: list[bytes] = []
        _write(value, parts.append, LIMITS.depth)
        parts.append(b".")
        body = b"".join(parts)
    return _HEAD.pack(op.PROTO, 4, op.FRAME, len(body)) + body


def _texts(texts: list[str]) -> bytes:
    # All in C: this runs once for each request of a benchmark, beside its event loop.
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError:
        encoded = list(map(_encoded, texts))
    return b"".join(chain.from_iterable(zip(map(_text_head, map(len, encoded)), encoded, strict=True)))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # as the standard library writes half a surrogate pair


@lru_cache(maxsize=4096)
def _text_head(size: int) -> bytes:
    if size < 256:
        return bytes((op.TEXT1, size))
    return _SIZE32.pack(op.TEXT4, size) if size < 1 << 32 else _SIZE64.pack(op.TEXT8, size)


def _write(value: Plain, put: Callable[[bytes], None], depth: int) -> None:
    write = _WRITERS.get(type(value))
    if write is None:
        base = next((base for base in _BASES if isinstance(value, base)), None)
        if base is None:
            raise TypeError(f"only plain data can be stored, got a {type(value).__name__}")
        write = _WRITERS[base]
    write(value, put, depth)


def _write_text(value: str, put: Callable[[bytes], None], depth: int) -> None:
    data = _encoded(value)
    put(_text_head(len(data)) + data)


def _write_bytes(value: bytes, put: Callable[[bytes], None], depth: int) -> None:
    size = len(value)
    head = bytes((op.BYTES1, size)) if size < 256 else _SIZE32.pack(op.BYTES4, size)
    put(head + value)


def _write_dict(value: dict[str, Plain], put: Callable[[bytes], None], depth: int) -> None:
    depth = _below(depth)
    put(b"}(")
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"dict keys must be str, got {key!r}")
        _write_text(key, put, depth)
        _write(item, put, depth)
    put(b"u")


def _write_list(value: list[Plain], put: Callable[[bytes], None], depth: int) -> None:
    depth = _below(depth)
    put(b"](")
    for item in value:
        _write(item, put, depth)
    put(b"e")


def _write_tuple(value: tuple[Plain, ...], put: Callable[[bytes], None], depth: int) -> None:
    depth = _below(depth)
    put(b"(")
    for item in value:
        _write(item, put, depth)
    put(b"t")


def _below(depth: int) -> int:
    if depth == 0:
        raise LimitExceeded(f"nested deeper than {LIMITS.depth} levels, or in itself")
    return depth - 1


def _int(value: int) -> bytes:
    if 0 <= value < 256:
        return bytes((op.INT1, value))
    if -(2**31) <= value < 2**31:
        return _INT32.pack(op.INT4, value)
    size = value.bit_length() // 8 + 1
    if size > LIMITS.integer:
        raise LimitExceeded(f"an integer of {size} bytes, more than {LIMITS.integer}")
    return bytes((op.LONG1, size)) + value.to_bytes(size, "little", signed=True)


_WRITERS: Final[dict[type, Callable[[Any, Callable[[bytes], None], int], None]]] = {
    str: _write_text,
    NoneType: lambda _value, put, _depth: put(b"N"),
    bool: lambda value, put, _depth: put(b"\x88" if value else b"\x89"),
    int: lambda value, put, _depth: put(_int(int(value))),
    float: lambda value, put, _depth: put(_FLOAT.pack(op.FLOAT, value)),
    bytes: _write_bytes,
    dict: _write_dict,
    list: _write_list,
    tuple: _write_tuple,
}
"""By exact type: this runs for every value of every request."""
_BASES: Final = (str, int, float, bytes, dict, list, tuple)
"""What a subclass is written as."""
