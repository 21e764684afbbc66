"""What the readers of all dialects share: texts, finish reasons, usage and errors."""

import json

from perfkit.records import Answer, Json, Kind, Message


def add_text(answer: Answer, kind: Kind, content: Json, choice: int = 0) -> None:
    """Note a piece of text, if there is any in the content."""
    text = text_of(content)
    if text:
        answer.chunk(kind, text, choice)


def add_finish(answer: Answer, reason: Json, choice: int = 0) -> None:
    """Note why a choice ended, if it has."""
    # DashScope sends the text "null" until there is a reason.
    if reason and reason != "null":
        answer.finish_reason = answer.finish_reason or str(reason)
        answer.chunk(Kind.FINISH, "", choice)


def text_of(content: Json) -> str:
    """Return the text of a message's content: a str, or a list of content parts.

    Examples
    --------
    >>> text_of([{"type": "text", "text": "what is "}, {"type": "image_url"}, {"type": "text", "text": "this?"}])
    'what is this?'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return ""


def read_usage(usage: dict[str, Json], answer: Answer) -> None:
    """Note the counts of a usage object, whichever of the common names it uses.

    Examples
    --------
    >>> answer = Answer()
    >>> read_usage({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}, answer)
    >>> answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens
    (9, 2, 8)
    """
    flat = usage
    for name in _DETAILS:
        if usage.get(name):
            flat = {**flat, **usage[name]}
    for spelling, name in _SPELLINGS.items():
        if spelling in flat and (count := _count(flat[spelling])) is not None:
            setattr(answer, name, count)
    # Anthropic's input_tokens leaves out what the cache served or took.
    if isinstance(usage.get("input_tokens"), int) and "cache_read_input_tokens" in usage:
        cached = (usage.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
        answer.prompt_tokens = usage["input_tokens"] + sum(cached)


_DETAILS = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")

# Where a server uses several spellings, the last one here counts.
_SPELLINGS = {
    "input_tokens": "prompt_tokens",
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "completion_tokens": "completion_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "prompt_cache_hit_tokens": "cached_tokens",
    "cached_tokens": "cached_tokens",
    "reasoning_tokens": "reasoning_tokens",
}


def _count(told: Json) -> int | None:
    """Return a count as an int, None for what is none; some servers write it as text or with a decimal point."""
    if isinstance(told, str) and told.isdecimal():
        told = int(told[:20])
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < _MOST_TOKENS else None


_MOST_TOKENS = 2**53


def error_text(message: Message, event: str = "") -> str | None:
    """Return the error that a message carries, None if it carries none.

    Examples
    --------
    >>> error_text({"error": {"message": "out of memory", "type": "server_error"}})
    'out of memory'
    >>> error_text({"code": "Throttling", "message": "too many requests"})
    'Throttling: too many requests'
    >>> error_text({"choices": []}) is None
    True
    """
    error = message.get("error")
    code = message.get("code")
    failed = error or event == "error" or "error" in (message.get("object"), message.get("type"))
    if not failed and not (code and "message" in message and "choices" not in message and "output" not in message):
        return None
    while isinstance(error, dict) and (error.get("message") or error.get("error")):
        error = error.get("message") or error.get("error")
    if isinstance(error, str) and error:
        return error
    said = message.get("message")
    return f"{code}: {said}" if code and said else str(said or error or json.dumps(message))
