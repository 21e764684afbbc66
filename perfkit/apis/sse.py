"""Server-sent events: takes a whole body apart, and says where in it each event was complete."""

import re
from collections.abc import Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"

Event = tuple[bytes, int, bytes]
"""Payload (the joined ``data`` lines), offset of the byte after its last data line, and event name."""


def events(body: bytes, at: int = 0) -> Iterator[Event]:
    r"""Yield the events of a finished stream in order.

    Follows the WHATWG rules for line ends, comments, optional space and several data lines. An event that the
    stream's end cut off before its blank line is yielded too: some servers leave the last blank line out, and a
    payload that was really cut does not decode. Some servers end events with a single line break, or write a bare JSON
    object between them (an error, as a rule): wherever an object ends with its line, it is an event of its own. A byte
    order mark is skipped before any line, as gateways join streams that each begin with one.

    Examples
    --------
    >>> list(events(b": ping\n\ndata: {}\n\nevent: error\ndata:x\n\n"))
    [(b'{}', 16, b''), (b'x', 37, b'error')]
    """
    if (
        body.startswith(b"data: ")
        and body.endswith(b"\n\n")
        and body.find(b"\n") == len(body) - 2
        and b"\r" not in body
    ):
        yield body[6:-2], at + len(body) - 2, b""  # one event, as most that are looked at by themselves
        return
    if b"\r" in body:
        for payload, end, name in _by_lines(body):
            yield payload, at + end, name
        return
    for block in body.split(b"\n\n"):
        if block.startswith(b"data: ") and b"\n" not in block:  # nearly every event of nearly every server
            yield block[6:], at + len(block), b""
        elif block:
            for payload, end, name in _by_lines(block):
                yield payload, at + end, name
        at += len(block) + 2


def _by_lines(body: bytes) -> Iterator[Event]:
    """Yield events by the letter of the standard, and those that lack their blank line."""
    payload: list[bytes] = []
    name, end, at = b"", 0, 0
    while at < len(body):
        found = _LINE_END.search(body, at)
        line_end, following = found.span() if found else (len(body), len(body))
        line = body[at:line_end].removeprefix(_BOM)
        at = following
        if not line:
            if payload:
                yield b"\n".join(payload), end, name
            payload, name = [], b""
            continue
        field, _, value = (b"data", b":", line) if line.startswith(b"{") else line.partition(b":")
        value = value.removeprefix(b" ")
        if payload and _is_whole(payload[-1]) and (field == b"event" or (field == b"data" and _begins(value))):
            yield b"\n".join(payload), end, name
            payload, name = [], name if field == b"data" else b""
        if field == b"data":
            payload.append(value)
            end = line_end
        elif field == b"event":
            name = value
    if payload:
        yield b"\n".join(payload), end, name


def _is_whole(line: bytes) -> bool:
    """Tell whether a line may end a message; no JSON that goes on has an object begin on the line after it."""
    return line.rstrip().endswith(b"}") or line.strip() == _DONE


def _begins(line: bytes) -> bool:
    return line.lstrip().startswith(b"{") or line.strip() == _DONE
