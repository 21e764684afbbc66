"""Streams of JSON that are not server-sent events: one object a line, or the elements of one array."""

import re
from collections.abc import Iterator

Event = tuple[bytes, int, bytes]
"""Payload, offset of the byte after it, and no name: what ``perfkit.apis.sse.events`` yields."""

LINE_TYPES = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
    | {"application/json-lines", "application/jsonlines", "application/stream+json", "application/x-json-stream"}
)
"""Media types of one JSON object a line."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]', re.DOTALL)


def lines(body: bytes) -> Iterator[Event]:
    r"""Yield the lines of a body that are not blank.

    Examples
    --------
    >>> list(lines(b'{"a": 1}\r\n\n{"a": 2}'))
    [(b'{"a": 1}', 8, b''), (b'{"a": 2}', 19, b'')]
    """
    at = 0
    for line in body.split(b"\n"):
        payload = line.strip()
        if payload:
            yield payload, at + len(line.rstrip()), b""
        at += len(line) + 1


def elements(body: bytes) -> Iterator[Event]:
    """Yield the whole objects among the elements of a JSON array; one that was cut off is left out.

    Examples
    --------
    >>> list(elements(b'[{"a": "]"}, {"b": [{}]}, {"c'))
    [(b'{"a": "]"}', 11, b''), (b'{"b": [{}]}', 24, b'')]
    """
    depth = begin = 0
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if mark in b"{[":
            depth += 1
            if depth == 2 and mark == b"{":
                begin = token.start()
        elif mark in b"}]":
            depth -= 1
            if depth == 1 and mark == b"}":
                yield body[begin : token.end()], token.end(), b""
