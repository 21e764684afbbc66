"""What the messages of an answer carry, in each dialect that servers speak.

A message says by its shape which dialect it is in; the API classes that have one recognize and read it
(``perfkit.apis.dialect_of``).
"""

from perfkit.apis import dialect_of
from perfkit.apis.pieces import REASONING_FIELDS, add_finish, add_reasoning, add_text, error_text, text_of
from perfkit.apis.server_timings import read_timings
from perfkit.apis.usage import read_usage, usage_in
from perfkit.records import Answer, Json, Kind, Message

# Python 3.11 calls a function for each member that is looked up in its enumeration.
_CONTENT, _REASONING, _ROLE, _USAGE, _OTHER = Kind.CONTENT, Kind.REASONING, Kind.ROLE, Kind.USAGE, Kind.OTHER


def read_message(message: Message, answer: Answer, event: str = "") -> None:
    """Note in an answer what one of its messages carries.

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
    text = delta.get("content") or delta.get("text")
    if text.__class__ is str and text:
        kind, others = _CONTENT, _BESIDE_CONTENT
    else:
        text = delta.get("reasoning_content") or delta.get("reasoning")
        kind, others = _REASONING, _BESIDE_REASONING
        if text.__class__ is not str or not text:
            return None
    if _holds(delta, others) or _holds(choice, _BESIDE_DELTA) or _holds(message, _BESIDE_CHOICES):
        return None
    return kind, _index(choice), text


def _holds(part: dict[str, Json], names: frozenset[str]) -> bool:
    return not names.isdisjoint(part) and any(part[name] for name in names & part.keys())


def _index(choice: dict[str, Json]) -> int:
    index = choice.get("index")
    return index if index.__class__ is int and 0 < index < _MOST_CHOICES else 0


_MOST_CHOICES = 2**16

# Fields that make a message carry more than its text, if they hold anything.
_BESIDE_CONTENT = frozenset({"tool_calls", "function_call", "usage", "refusal", "audio", *REASONING_FIELDS})
_BESIDE_REASONING = (_BESIDE_CONTENT | {"content", "text"}) - {*REASONING_FIELDS}
_BESIDE_DELTA = frozenset({"usage", "error", "message"})
_BESIDE_CHOICES = frozenset({"error", "x_groq", "message"})


_PIECES = {"content_block_delta": "text", "response.output_text.delta": "delta"}


def _read_any(message: Message, answer: Answer, event: str) -> None:
    dialect, is_object = dialect_of(message), isinstance(message, dict)
    error = error_text(message, event, known=dialect is not None) if is_object else None
    if error is not None:
        answer.error = error
        answer.chunk(Kind.ERROR)
        return
    before = len(answer.pieces)
    if dialect is not None:
        dialect.read_answer(message, answer)
    usage = usage_in(message) if is_object else {}
    if usage:
        read_usage(usage, answer)
    if is_object:
        read_timings(message, usage, answer)
    if len(answer.pieces) == before:
        answer.chunk(_USAGE if usage else _OTHER)
    if answer.server_request_id is None and is_object:
        named = [message.get("id"), message.get("request_id")]
        answer.server_request_id = next((name for name in named if isinstance(name, str)), None)


def read_choices(message: Message, answer: Answer) -> None:
    """Read the choices of a chat or of completions, streamed or whole."""
    for choice in message["choices"]:
        _read_choice(choice, answer)


def _read_choice(choice: dict[str, Json], answer: Answer) -> None:
    index = _index(choice)
    part = choice.get("delta") or choice.get("message") or {}
    before = len(answer.pieces)
    add_reasoning(answer, part, index)
    add_text(answer, _CONTENT, part.get("content") or choice.get("text") or part.get("refusal"), index)
    if isinstance(audio := part.get("audio"), dict) and audio.keys() & {"data", "transcript"}:
        answer.chunk(_CONTENT, text_of(audio.get("transcript")), index)
    for call in part.get("tool_calls") or ([{"function": part["function_call"]}] if part.get("function_call") else ()):
        function = call.get("function") or {}
        answer.chunk(Kind.TOOL, f"{function.get('name') or ''}{function.get('arguments') or ''}", index)
    add_finish(answer, choice.get("finish_reason"), index)
    if ("usage" in choice or "usage" in part) and (usage := usage_in(choice)):
        read_usage(usage, answer, index)
    if len(answer.pieces) == before:
        answer.chunk(_ROLE if part.get("role") else _OTHER, "", index)
