"""What of a row others wrote, prompts and answers: a run with ``texts=False`` keeps none of it."""

import re
from collections.abc import Mapping
from typing import Any

TEXTS = ("request", "response_messages", "prompt_text", "output_text", "request_headers")
_QUOTING = frozenset({"protocol", "http_status", "error_event", "plugin"})
"""Kinds of errors that say what a server or a plugin said; the others are in our own words."""
_PLACE = re.compile(r".+?:\d+: \w+")


def without_texts(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of ``result`` without prompt, body and answer, and without what an error quotes of them.

    Examples
    --------
    >>> row = {"output_text": "Dear", "error_kind": "http_status", "status_code": 400, "error": "HTTP 400: no 'Dear'"}
    >>> without_texts(row)["error"], without_texts(row)["output_text"]
    ('HTTP 400 (its words are not kept: texts=False)', None)
    """
    error = wordless(row.get("error_kind"), row.get("error"), row.get("status_code"))
    return {**row, **dict.fromkeys(TEXTS), "error": error}


def wordless(kind: str | None, error: str | None, status: int | None = None) -> str | None:
    """Return an error without the words that it quotes; of a plugin's, file, line and type stay.

    Examples
    --------
    >>> wordless("plugin", "mine.py:7: KeyError: 'Dear'")
    'mine.py:7: KeyError (its words are not kept: texts=False)'
    """
    if error is None or kind not in _QUOTING:
        return error
    place = _PLACE.match(error) if kind == "plugin" else None
    told = place[0] if place else f"HTTP {status}" if kind == "http_status" else str(kind)
    return f"{told} (its words are not kept: texts=False)"
