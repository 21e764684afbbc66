"""What the messages of an answer carry, in each dialect that servers speak.

A message says by its shape which dialect it is: OpenAI's chat and completions (``choices``), OpenAI's responses
and Anthropic's messages (``type``), DashScope (``output``), embeddings (``data``) and rerank (``results``).
"""

from collections.abc import Callable

from perfkit.apis.dialects import ANTHROPIC, read_dashscope, read_list, read_response
from perfkit.apis.pieces import add_finish, add_text, error_text, read_usage
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
        if answer.message and (piece := piece_of(message)) is not None:
            answer.pieces.append((*piece, answer.message))
        else:
            _read_any(message, answer, event)
    except (AttributeError, TypeError, ValueError, LookupError):
        # JSON of a shape that no dialect has: kept in the record, counted as nothing.
        answer.chunk(Kind.OTHER)


def piece_of(message: Message) -> tuple[Kind, int, str] | None:
    """Return kind, choice and text of a message that carries one piece of text and nothing else, None of any other.

    Examples
    --------
    >>> piece_of({"choices": [{"index": 0, "delta": {"content": "Hi"}}]})
    (<Kind.CONTENT: 1>, 0, 'Hi')
    >>> piece_of({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}) is None
    True
    """
    choices = message.get("choices")
    if not choices:
        field = _PIECES.get(message.get("type", ""))
        piece = message.get("delta")
        text = piece.get("text") if field == "text" and piece else piece if field == "delta" else None
        return (_CONTENT, 0, text) if text and text.__class__ is str else None
    choice = choices[0]
    if len(choices) > 1 or choice.get("finish_reason") or message.get("usage"):
        return None
    delta = choice.get("delta") or choice
    kind, text = _CONTENT, delta.get("content") or delta.get("text")
    thought = delta.get("reasoning_content") or delta.get("reasoning")
    if thought and not text:
        kind, text, thought = _REASONING, thought, None
    if thought or text.__class__ is not str or not text or delta.get("tool_calls"):
        return None
    return kind, _index(choice), text


def _index(choice: dict[str, Json]) -> int:
    index = choice.get("index")
    return index if index.__class__ is int and 0 < index < _MOST_CHOICES else 0


_MOST_CHOICES = 2**16


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
        return read_response
    if kind in ANTHROPIC:
        return ANTHROPIC[kind]
    if isinstance(message.get("output"), dict):
        return read_dashscope
    return read_list


def _read_choices(message: Message, answer: Answer) -> None:
    for choice in message["choices"]:
        _read_choice(choice, answer)


def _read_choice(choice: dict[str, Json], answer: Answer) -> None:
    index = _index(choice)
    part = choice.get("delta") or choice.get("message") or {}
    before = len(answer.pieces)
    # Servers that rename the field send both for a while.
    add_text(answer, Kind.REASONING, part.get("reasoning_content") or part.get("reasoning"), index)
    add_text(answer, Kind.CONTENT, part.get("content") or choice.get("text") or part.get("refusal"), index)
    for call in part.get("tool_calls") or ():
        function = call.get("function") or {}
        answer.chunk(Kind.TOOL, f"{function.get('name') or ''}{function.get('arguments') or ''}", index)
    add_finish(answer, choice.get("finish_reason"), index)
    if len(answer.pieces) == before:
        answer.chunk(Kind.ROLE if part.get("role") else Kind.OTHER, "", index)
