"""Messages in a protocol that no reader knows: what a plugin's server says in JSON or text of its own."""

import json
from collections.abc import Iterator

from perfkit.apis.sse import events
from perfkit.records import Json

_TEXTS = ("token", "text", "content", "delta", "response", "generated_text", "completion", "output", "answer", "piece")
"""Names under which servers put the text of an answer, the likelier ones first."""
_INSIDE = (*_TEXTS, "message", "data", "result")
_KNOWN = frozenset({"choices", "usage", "object", "error"})
"""Names that a dialect has which is known: without a text of theirs, such a message carries none."""
_DEPTH = 4


def payloads(text: str) -> Iterator[tuple[str, str]]:
    """Yield the messages within one text that a plugin handed over, each with its SSE event name.

    Examples
    --------
    >>> list(payloads('data: {"a": 1}'))
    [('{"a": 1}', '')]
    >>> [each for each, _ in payloads('{"a": 1}' + chr(10) + '{"a": 2}')]
    ['{"a": 1}', '{"a": 2}']
    """
    if text.startswith(("data:", "event:", "id:", "retry:", ": ")):
        for payload, _, name in events(text.encode("utf-8", "surrogatepass")):
            yield payload.decode("utf-8", "replace"), name.decode("latin-1")
        return
    lines = text.split("\n") if "\n" in text else []
    objects = [line for line in lines if line.strip()]
    if len(objects) > 1 and all(isinstance(_json(line), dict) for line in objects):
        yield from ((line, "") for line in objects)
    else:
        yield text, ""


def own_text(text: str) -> str | None:
    """Return the text that a message carries; "" where none is in sight, None where it can carry none.

    Examples
    --------
    >>> own_text('{"token": {"id": 5, "text": " sea"}}'), own_text(" sea")
    (' sea', ' sea')
    >>> own_text('{"n": 1}'), own_text('{"usage": {}}'), own_text("[DONE]")
    ('', None, None)
    """
    found = [_text_in(payload) for payload, _ in payloads(text)]
    return "".join(each or "" for each in found) if any(each is not None for each in found) else None


def _text_in(payload: str) -> str | None:
    if payload == "[DONE]":
        return None
    message = _json(payload)
    if not isinstance(message, dict):
        return payload
    if not message or _KNOWN & message.keys():
        return _found(message, _DEPTH) or None
    return _found(message, _DEPTH)


def _found(value: dict[str, Json], depth: int) -> str:
    for name in _INSIDE:
        inside = value.get(name)
        if isinstance(inside, str) and name in _TEXTS and inside:
            return inside
        if isinstance(inside, dict) and depth and (text := _found(inside, depth - 1)):
            return text
    return ""


def _json(text: str) -> Json:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
