"""Writes plain data as pickles that every Python reads."""

from io import BytesIO
from pickle import Pickler  # writes only: nothing here reads a pickle by the standard library
from types import NoneType
from typing import Any, Final

from perfkit.errors import LimitExceeded
from perfkit.runfile.safe_pickle.limits import LIMITS, Plain


def dumps(value: Plain) -> bytes:
    """Write a plain value as a pickle of protocol 4, no memo.

    Every Python since 3.4 reads it, ``loads`` here included. An object used twice is written twice.

    Examples
    --------
    >>> from perfkit.runfile.safe_pickle import loads
    >>> loads(dumps({"stream": True, "stop": None}))
    {'stream': True, 'stop': None}
    """
    file = BytesIO()
    pickler = Pickler(file, protocol=4)
    pickler.fast = True  # no memo: the commonest values are lists of texts, and no reader need keep each of them
    # The messages of a stream, once for each request: looked through in C.
    is_texts = type(value) is list and set(map(type, value)) == {str}
    pickler.dump(value if is_texts else _plain(value, LIMITS.depth))
    return file.getvalue()


_EXACT: Final = {NoneType, bool, str, float, bytes}
_SMALL: Final = 2**63


def _plain(value: Any, depth: int) -> Plain:
    """Return a value with subclasses as their base, all the way down: pickled as such they would name their class."""
    if type(value) in _EXACT or (type(value) is int and -_SMALL < value < _SMALL):
        return value
    match value:
        case dict() if depth:
            return {
                key if type(key) is str else _key(key): item if type(item) in _EXACT else _plain(item, depth - 1)
                for key, item in value.items()
            }
        case list() if depth:
            return [_plain(item, depth - 1) for item in value]
        case tuple() if depth:
            return tuple(_plain(item, depth - 1) for item in value)
        case str():
            return str.__str__(value)
        case int():
            size = value.bit_length() // 8 + 1
            if size > LIMITS.integer:
                raise LimitExceeded(f"an integer of {size} bytes, more than {LIMITS.integer}")
            return int.__int__(value)
        case float():
            return float.__float__(value)
        case bytes():
            return b"".join([value])
        case dict() | list() | tuple():
            raise LimitExceeded(f"nested deeper than {LIMITS.depth} levels, or in itself")
    raise TypeError(f"only plain data can be stored, got a {type(value).__name__}")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"dict keys must be str, got {key!r}")
    return str.__str__(key)
