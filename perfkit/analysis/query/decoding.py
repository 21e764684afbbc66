"""Requests and answers decoded from their cells: what was asked, what came back, whatever tool stored it."""

import gc
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import orjson
import pandas as pd
from pandas.api.extensions import ExtensionArray

from perfkit.analysis.query.frame import requests
from perfkit.analysis.query.run import Run
from perfkit.errors import UnsafePickle
from perfkit.records import Json
from perfkit.runfile.safe_pickle import Refused, decode_cell, read_cell

_QUICK = 1 << 20
"""Characters of an answer that may be parsed before they are weighed: they cannot grow beyond some 50 MB."""

_FLAT = 100
_LONG_NUMBER = re.compile(r"\d{18}")

BODIES = ("request", "response_messages", "prompt_text", "output_text")


def decoded(runs: Sequence[Run], raw: bool = False) -> pd.DataFrame:
    """Load and decode the bodies of requests."""
    cells = requests(runs, BODIES)
    with _no_collection():
        asked = [read_cell(_text(cell), "request") for cell in cells["request"]]
        answers = [read_cell(_text(cell), "response_messages") for cell in cells["response_messages"]]
        messages = [[] if isinstance(answer, Refused) else as_dicts(answer) for answer in answers]
    frame = pd.DataFrame(index=cells.index)
    frame["request"] = _objects(map(_accepted, asked))
    frame["response_messages"] = _objects(map(_accepted, answers) if raw else messages)
    frame["prompt"] = _first_known(cells["prompt_text"], prompt_of, asked)
    frame["output_text"] = _first_known(cells["output_text"], text_of, messages)
    frame["refused"] = _objects(map(_reason, asked, answers))
    return frame


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector back.

    A hundred thousand dicts appear and none of them is garbage; looking for some among them takes longer than
    decoding (measured: 0.7 s of 1.1 s).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _objects(values: Iterable[Json]) -> ExtensionArray:
    return pd.array(list(values), dtype=object)


def _first_known(cells: pd.Series, derive: Callable[[Json], Json], others: Iterable[Json]) -> ExtensionArray:
    """Return the stored texts, and where there is none what can be derived."""
    return _objects(_text(cell) or derive(other) for cell, other in zip(cells, others, strict=True))


def _text(cell: Json) -> Json:
    """Return a cell, with None for pandas' several ways to miss a text."""
    return cell if isinstance(cell, (str, bytes)) else None


def _accepted(value: Json) -> Json:
    return None if isinstance(value, Refused) else value


def _reason(*values: Json) -> str | None:
    return "; ".join(value.reason for value in values if isinstance(value, Refused)) or None


def as_dicts(answer: Json) -> list[dict[str, Json]]:
    """Return the messages of an answer as dicts; what is none stands under ``text``.

    Examples
    --------
    >>> as_dicts(['{"id": 1}', {"id": 2}, "no json"])
    [{'id': 1}, {'id': 2}, {'text': 'no json'}]
    """
    several = answer if isinstance(answer, (list, tuple)) else [answer]
    size = sum(len(message) for message in several if isinstance(message, str))
    read = _read_quickly if size <= _QUICK else _read_carefully
    return [_as_dict(message, read) for message in several if message is not None]


def _as_dict(message: Json, read: Callable[[str], Json]) -> dict[str, Json]:
    if isinstance(message, str) and message.startswith("{"):
        try:
            message = read(message)
        except UnsafePickle:
            return {"text": message}
    return message if isinstance(message, dict) else {"text": message}


def _read_carefully(text: str) -> Json:
    return decode_cell(text, "message")


def _read_quickly(text: str) -> Json:
    # A quick parser makes floats of large integers, and follows nesting deeper than our limit.
    if text.count("{") + text.count("[") > _FLAT or _LONG_NUMBER.search(text):
        return _read_carefully(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _read_carefully(text)  # NaN and lone surrogates: some servers send them


def prompt_of(body: Json) -> str | None:
    """Return what a request body asks: its last user message, or its prompt.

    Examples
    --------
    >>> prompt_of({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]})
    'Hi'
    >>> prompt_of({"prompt": "Once upon"})
    'Once upon'
    """
    if not isinstance(body, Mapping):
        return None
    messages = body.get("messages")
    asked = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    users = [message for message in asked if message.get("role") == "user"]
    content = (users or asked or [{"content": body.get("prompt")}])[-1].get("content")
    return content if isinstance(content, str) or content is None else str(content)


def text_of(messages: Sequence[Mapping[str, Json]]) -> str | None:
    """Return the text of an answer's first choice, put together from its messages; reasoning is left out.

    Examples
    --------
    >>> text_of([{"choices": [{"delta": {"content": "Hel"}}]}, {"choices": [{"delta": {"content": "lo"}}]}])
    'Hello'
    """
    pieces = [piece for message in messages if isinstance(piece := _piece(message), str)]
    return "".join(pieces) if pieces else None


def _piece(message: Mapping[str, Json]) -> Json:
    choices = message.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, dict):
        return None
    inner = first.get("delta") or first.get("message")
    return inner.get("content") if isinstance(inner, dict) else first.get("text")
