"""Reads and writes the data part of the pickle format; nothing here can name, import or call anything.

Result files store request bodies and answers as base64 of a pickle. A pickle is a program, and no switch of the
standard library makes running a stranger's program safe. This module knows only the opcodes that plain data needs
(None, bool, int, float, str, bytes, list, tuple, dict with str keys), checks exact types and exact bounds, and refuses
every other opcode by name and byte offset.
"""

import binascii
import json
import re
from dataclasses import dataclass
from typing import Final

from perfkit.errors import CorruptPickle, LimitExceeded, UnsafePickle
from perfkit.runfile.safe_pickle.limits import LIMITS, Limits, Plain, weigh
from perfkit.runfile.safe_pickle.reader import loads
from perfkit.runfile.safe_pickle.writer import dumps

__all__ = ["LIMITS", "Limits", "Plain", "Refused", "decode_cell", "dumps", "encode_cell", "loads", "read_cell"]


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands in a table for a cell that was not decoded; the rest of its row is intact."""

    reason: str


def decode_cell(cell: Plain, column: str, limits: Limits = LIMITS) -> Plain:
    """Decode one stored text: NULL, JSON, or base64 of a pickle.

    Parameters
    ----------
    cell : str or None
        The text as stored. Text that starts with ``{`` or ``[`` is JSON, any other is strict base64.
    column : str
        Named in errors.
    limits : Limits
        What the cell may cost.

    Returns
    -------
    plain value
        None for NULL.

    Raises
    ------
    UnsafePickle
        ``CorruptPickle`` or ``LimitExceeded`` say which of the two; nothing was executed in any case.

    Examples
    --------
    >>> decode_cell('{"model": "m"}', "request")
    {'model': 'm'}
    >>> decode_cell("gARdlIwCb2uUYS4=", "response_messages")
    ['ok']
    >>> decode_cell("Y29zCnN5c3RlbQou", "request")
    Traceback (most recent call last):
    perfkit.errors.CorruptPickle: request: no pickle of protocol 2 to 5 (starts with 636f)
    """
    if cell is None:
        return None
    try:
        return _decode_text(cell, limits)
    except UnsafePickle as error:
        raise type(error)(f"{column}: {error}") from None


def read_cell(cell: Plain, column: str, limits: Limits = LIMITS) -> Plain:
    """Decode one stored text as ``decode_cell`` does, with ``Refused`` in place of an error.

    Examples
    --------
    >>> read_cell("<html>", "request")
    Refused(reason='request: neither JSON nor base64: Only base64 data is allowed')
    """
    try:
        return decode_cell(cell, column, limits)
    except UnsafePickle as error:
        return Refused(str(error))


def encode_cell(value: Plain) -> str:
    """Return base64 of ``dumps(value)``, as stored in ``request`` and ``response_messages``.

    Examples
    --------
    >>> decode_cell(encode_cell(["a", "b"]), "response_messages")
    ['a', 'b']
    """
    return binascii.b2a_base64(dumps(value), newline=False).decode("ascii")


def _decode_text(cell: Plain, limits: Limits) -> Plain:
    if not isinstance(cell, str):
        raise CorruptPickle(f"a {type(cell).__name__} where a text belongs")
    if len(cell) > limits.text:
        raise LimitExceeded(f"{len(cell)} characters, more than {limits.text}")
    if cell[:1] in ("{", "["):
        return _from_json(cell, limits)
    try:
        data = binascii.a2b_base64(cell, strict_mode=True)
    except ValueError as error:
        raise CorruptPickle(f"neither JSON nor base64: {error}") from None
    return loads(data, limits)


_JSON_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _from_json(text: str, limits: Limits) -> Plain:
    # Counted before parsing: 64 MB of "[],[],[]" would take gigabytes as objects.
    if text.count("[") + text.count("{") > limits.containers or text.count(",") > limits.nodes:
        frame = _JSON_STRING.sub("", text)
        if frame.count("[") + frame.count("{") > limits.containers or frame.count(",") > limits.nodes:
            raise LimitExceeded(f"JSON of more than {limits.containers} containers or {limits.nodes} values")
    try:
        value = json.loads(text, parse_int=lambda digits: _json_int(digits, limits))
    except RecursionError:
        raise LimitExceeded(f"JSON nested deeper than {limits.depth}") from None
    except json.JSONDecodeError as error:
        raise CorruptPickle(f"no JSON: {error}") from None
    weigh(value, limits)
    return value


def _json_int(digits: str, limits: Limits) -> int:
    if len(digits) > limits.integer * 2:
        raise LimitExceeded(f"an integer of {len(digits)} digits")
    return int(digits)
