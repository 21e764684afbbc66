"""What the messages of an answer carry, in each dialect that servers speak.

A message says by its shape which dialect it is: OpenAI's chat and completions (``choices``), OpenAI's responses
and Anthropic's messages (``type``), DashScope (``output``), embeddings (``data``) and rerank (``results``).
"""

import json
from collections.abc import Callable

from perfkit.records import Answer, Json, Kind, Message

_CONTENT, _REASONING = Kind.CONTENT, Kind.REASONING


def read_message(message: Message, answer: Answer, event: str = "") -> None:
    """Note in an answer what one of its messages carries.

    Parameters
    ----------
    message : dict
        A decoded SSE payload, or the body of an answer not streamed.
    answer : Answer
        Gains pieces, counts, finish reason, error.
    event : str
        SSE event name; ``"error"`` makes the message an error.

    Examples
    --------
    >>> answer = Answer()
    >>> read_message({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}, answer)
    >>> answer.output_text, answer.finish_reason
    ('Hi', 'stop')
    """
    try:
        # Nearly every message of a stream is one piece of text, and is recognised with a handful of look-ups.
        if answer.message and _read_piece(message, answer):
            return
        _read_any(message, answer, event)
    except (AttributeError, TypeError, ValueError, LookupError):
        # JSON of a shape that no dialect has: kept in the record, counted as nothing.
        answer.chunk(Kind.OTHER)


def _read_piece(message: Message, answer: Answer) -> bool:
    """Read a message that carries one piece of text and nothing else; False leaves it unread."""
    choices = message.get("choices")
    if not choices:
        field = _PIECES.get(message.get("type", ""))
        piece = message.get("delta")
        text = piece.get("text") if field == "text" and piece else piece if field == "delta" else None
        if text and text.__class__ is str:
            answer.pieces.append((_CONTENT, 0, text, answer.message))
            return True
        return False
    choice = choices[0]
    if len(choices) > 1 or choice.get("finish_reason") or message.get("usage"):
        return False
    delta = choice.get("delta") or choice
    kind, text = _CONTENT, delta.get("content") or delta.get("text")
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    if thought and not text:
        kind, text, thought = _REASONING, thought, None
    if thought or text.__class__ is not str or not text or delta.get("tool_calls"):
        return False
    answer.pieces.append((kind, choice.get("index") or 0, text, answer.message))
    return True


_PIECES = {"content_block_delta": "text", "response.output_text.delta": "delta"}


def _read_any(message: Message, answer: Answer, event: str) -> None:
    error = error_text(message, event)
    if error is not None:
        answer.error = error
        answer.chunk(Kind.ERROR)
        return
    before = len(answer.pieces)
    _reader(message)(message, answer)
    usage = message.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    read_usage(usage, answer)
    if len(answer.pieces) == before:
        answer.chunk(Kind.USAGE if usage else Kind.OTHER)
    for name in ("id", "request_id"):
        if answer.server_request_id is None and isinstance(message.get(name), str):
            answer.server_request_id = message[name]


def _reader(message: Message) -> Callable[[Message, Answer], None]:
    kind = message.get("type")
    if isinstance(message.get("choices"), list):
        return _read_choices
    if (isinstance(kind, str) and kind.startswith("response.")) or message.get("object") == "response":
        return _read_response
    if kind in _ANTHROPIC:
        return _ANTHROPIC[kind]
    if isinstance(message.get("output"), dict):
        return read_dashscope
    return _read_list


# -- OpenAI: chat and completions --------------------------------------------------------------------------------


def _read_choices(message: Message, answer: Answer) -> None:
    for choice in message["choices"]:
        _read_choice(choice, answer)


def _read_choice(choice: dict[str, Json], answer: Answer) -> None:
    index = choice.get("index") or 0
    part = choice.get("delta") or choice.get("message") or {}
    before = len(answer.pieces)
    # Servers that rename the field send both for a while.
    _text_chunk(answer, Kind.REASONING, part.get("reasoning_content") or part.get("reasoning"), index)
    _text_chunk(answer, Kind.CONTENT, part.get("content") or choice.get("text") or part.get("refusal"), index)
    for call in part.get("tool_calls") or ():
        function = call.get("function") or {}
        answer.chunk(Kind.TOOL, f"{function.get('name') or ''}{function.get('arguments') or ''}", index)
    _finish(answer, choice.get("finish_reason"), index)
    if len(answer.pieces) == before:
        answer.chunk(Kind.ROLE if part.get("role") else Kind.OTHER, "", index)


def _text_chunk(answer: Answer, kind: Kind, content: Json, choice: int = 0) -> None:
    text = text_of(content)
    if text:
        answer.chunk(kind, text, choice)


def _finish(answer: Answer, reason: Json, choice: int = 0) -> None:
    # DashScope sends the text "null" until there is a reason.
    if reason and reason != "null":
        answer.finish_reason = answer.finish_reason or str(reason)
        answer.chunk(Kind.FINISH, "", choice)


# -- OpenAI: responses -------------------------------------------------------------------------------------------

_RESPONSE_DELTAS = {
    "response.output_text.delta": Kind.CONTENT,
    "response.refusal.delta": Kind.CONTENT,
    "response.reasoning_text.delta": Kind.REASONING,
    "response.reasoning_summary_text.delta": Kind.REASONING,
    "response.function_call_arguments.delta": Kind.TOOL,
}

_OUTPUT_KINDS = {"message": Kind.CONTENT, "reasoning": Kind.REASONING, "function_call": Kind.TOOL}


def _read_response(message: Message, answer: Answer) -> None:
    kind = message.get("type")
    if kind in _RESPONSE_DELTAS:
        _text_chunk(answer, _RESPONSE_DELTAS[kind], message.get("delta"))
        return
    response = message.get("response") or message
    if kind is None:
        for item in response.get("output") or ():
            text = text_of(item.get("content")) or text_of(item.get("summary")) or text_of(item.get("arguments"))
            _text_chunk(answer, _OUTPUT_KINDS.get(item.get("type"), Kind.OTHER), text)
    answer.server_request_id = response.get("id") or answer.server_request_id
    if kind in (None, "response.completed", "response.incomplete", "response.failed"):
        _end_of_response(response, answer)


def _end_of_response(response: dict[str, Json], answer: Answer) -> None:
    read_usage(response.get("usage") or {}, answer)
    if response.get("error"):
        answer.error = error_text(response)
    details = response.get("incomplete_details") or {}
    _finish(answer, details.get("reason") or response.get("status"))
    answer.done = True


# -- Anthropic: messages -----------------------------------------------------------------------------------------

_BLOCK_TEXTS = {"text": Kind.CONTENT, "thinking": Kind.REASONING, "partial_json": Kind.TOOL}


def _read_anthropic_start(message: Message, answer: Answer) -> None:
    started = message["message"]
    answer.server_request_id = started.get("id")
    read_usage(started.get("usage") or {}, answer)
    answer.chunk(Kind.ROLE)


def _read_anthropic_delta(message: Message, answer: Answer) -> None:
    delta = message.get("delta") or {}
    for field, kind in _BLOCK_TEXTS.items():
        _text_chunk(answer, kind, delta.get(field))
    _finish(answer, delta.get("stop_reason"))


def _read_anthropic_stop(message: Message, answer: Answer) -> None:
    answer.done = True
    answer.chunk(Kind.DONE)


def _read_anthropic_body(message: Message, answer: Answer) -> None:
    for block in message.get("content") or ():
        for field in ("text", "thinking"):
            _text_chunk(answer, _BLOCK_TEXTS[field], block.get(field))
        if block.get("type") == "tool_use":
            answer.chunk(Kind.TOOL, f"{block.get('name')}{json.dumps(block.get('input'), ensure_ascii=False)}")
    _finish(answer, message.get("stop_reason"))


def _read_nothing(message: Message, answer: Answer) -> None:
    """A message that only frames others."""


_ANTHROPIC: dict[Json, Callable[[Message, Answer], None]] = {
    "message_start": _read_anthropic_start,
    "content_block_start": _read_nothing,
    "content_block_delta": _read_anthropic_delta,
    "content_block_stop": _read_nothing,
    "message_delta": _read_anthropic_delta,
    "message_stop": _read_anthropic_stop,
    "message": _read_anthropic_body,
    "ping": _read_nothing,
}


# -- DashScope ---------------------------------------------------------------------------------------------------


def read_dashscope(message: Message, answer: Answer) -> None:
    """Read one message of DashScope's text generation, whether each carries the new text or all text so far.

    Examples
    --------
    >>> answer = Answer()
    >>> for text in ("Hel", "Hello", "Hello!"):
    ...     read_dashscope({"output": {"text": text, "finish_reason": "null"}}, answer)
    >>> [piece[2] for piece in answer.pieces]
    ['Hel', 'lo', '!']
    """
    output = message["output"]
    choice = (output.get("choices") or [output])[0]
    part = choice.get("message") or {}
    reason = choice.get("finish_reason")
    ends = bool(reason) and reason != "null"
    texts = {Kind.REASONING: part.get("reasoning_content"), Kind.CONTENT: part.get("content") or output.get("text")}
    for kind, content in texts.items():
        _text_chunk(answer, kind, _new_text(text_of(content), answer, kind, ends))
    for call in part.get("tool_calls") or ():
        answer.chunk(Kind.TOOL, json.dumps(call.get("function"), ensure_ascii=False))
    _finish(answer, reason)


def _new_text(text: str, answer: Answer, kind: Kind, ends: bool) -> str:
    """Return what a text adds when it repeats all text before it, else the text itself."""
    first = next((piece[2] for piece in answer.pieces if piece[0] is kind), None)
    if first is None or not text.startswith(first):
        return text
    so_far = "".join(piece[2] for piece in answer.pieces if piece[0] is kind)
    repeats = text.startswith(so_far) and (len(text) > len(so_far) or ends)
    return text[len(so_far) :] if repeats else text


# -- Embeddings and rerank ---------------------------------------------------------------------------------------


def _read_list(message: Message, answer: Answer) -> None:
    items = message.get("data") or message.get("results") or message.get("embeddings")
    if not items:
        return
    # One answer without text: noting it keeps it from being taken for an empty one.
    answer.chunk(Kind.CONTENT)
    answer.done = True
    usage = message.get("usage") or message.get("meta", {}).get("billed_units") or {}
    total = usage.get("total_tokens") or usage.get("input_tokens")
    if isinstance(total, int):
        answer.prompt_tokens, answer.completion_tokens = total, 0


# -- What all dialects share -------------------------------------------------------------------------------------


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
    flat = dict(usage)
    for details in ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details"):
        flat.update(usage.get(details) or {})
    flat.update(usage.get("output_tokens_details") or {})
    for name, spellings in _COUNTS.items():
        counts = (_count(flat.get(spelling)) for spelling in spellings)
        count = next((count for count in counts if count is not None), None)
        if count is not None:
            setattr(answer, name, count)
    # Anthropic's input_tokens leaves out what the cache served or took.
    if isinstance(usage.get("input_tokens"), int) and "cache_read_input_tokens" in usage:
        cached = (usage.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
        answer.prompt_tokens = usage["input_tokens"] + sum(cached)


_COUNTS = {
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "cached_tokens": ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"),
    "reasoning_tokens": ("reasoning_tokens",),
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
