"""What a server says of a failure, as one sentence: an error's message, a page's title, or the body as it is."""

import json
import re
from html import unescape

import orjson

from perfkit.decoding.exchange import Exchange
from perfkit.records import Json

ERROR_TEXT = 500
"""Characters of a server's words that are kept."""
_PROBLEM = ("error", "message", "detail", "errors")


def decoded(text: bytes | str) -> Json:
    """Return what JSON says, None for what is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")  # a character may be cut: its rest comes with the next message
    try:
        return json.loads(text, strict=False)  # takes half a surrogate pair, which models do emit
    except (ValueError, RecursionError):
        return None


def status_sentence(exchange: Exchange) -> str:
    """Say what an answer with a status that is none of success means."""
    location = next((v.decode("latin-1") for k, v in exchange.response_headers if k.lower() == b"location"), "")
    if location and exchange.status is not None and 300 <= exchange.status < 400:
        return f"HTTP {exchange.status}: redirected to {location}; give that URL (redirects are not followed)"
    words = _server_words(bytes(exchange.body)) or exchange.error or ""
    return f"HTTP {exchange.status}: {words[:ERROR_TEXT]}".rstrip(": ")


def _server_words(body: bytes) -> str:
    """Return what a server says of its failure: an error's message, a page's title, or the body as it is.

    Examples
    --------
    >>> _server_words(b'{"detail": [{"loc": ["body", "inputs"], "msg": "Field required"}]}')
    'body.inputs: Field required'
    """
    text = body.decode("utf-8", "replace")
    told = decoded(body)
    if told is None:
        return _title(text) or text.strip()
    while isinstance(told, dict) and (inner := next((told[name] for name in _PROBLEM if told.get(name)), None)):
        told = inner
    if isinstance(told, list) and told and all(isinstance(item, dict) for item in told):
        return "; ".join(map(_complaint, told))
    return told if isinstance(told, str) else text.strip()


def _complaint(item: dict[str, Json]) -> str:
    """Return one of several complaints, with the place in the body that it is about."""
    place = item.get("loc")
    said = item.get("msg") or item.get("message") or item.get("error") or item
    said = said.get("message", said) if isinstance(said, dict) else said
    return f"{'.'.join(map(str, place))}: {said}" if isinstance(place, list) else str(said)


def unreadable(content_type: str, body: str) -> str:
    """Say what a 200 answer is that nobody can read."""
    if content_type == "text/html" or body.lstrip()[:14].lower().startswith(("<!doctype html", "<html")):
        title = _title(body)
        named = f" ({title!r})" if title else ""
        return f"a 200 answer that is an HTML page{named}, not JSON: the URL is not that of an API"
    if body.startswith(_GZIPPED):
        return "a 200 answer that is gzip data, and no Content-Encoding says so: turn compression off at the server"
    return f"a 200 answer that is not a JSON object ({content_type or 'no content type'}): {body[:100]!r}"


_GZIPPED = "\x1f\N{REPLACEMENT CHARACTER}\x08"
"""How gzip data begins, read as UTF-8."""


def _title(page: str) -> str:
    """Return what a page calls itself."""
    found = re.search(r"<title[^>]*>(.{1,200}?)</title>", page, re.IGNORECASE | re.DOTALL)
    return " ".join(unescape(found[1]).split()) if found else ""
