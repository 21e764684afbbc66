"""The shapes that records of prompts come in: conversations, content parts, images beside them, lengths of answers."""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from perfkit.errors import UsageError
from perfkit.loadgen.datasets.media import image_part
from perfkit.loadgen.datasets.remarks import Remarks
from perfkit.records import Json, Message

TALKS = ("messages", "conversations", "conversation")
"""Fields that hold a conversation."""
TURNS = "turns"
"""Field that holds what is asked turn by turn, without answers: aiperf, Spec-Bench, MT-Bench."""
IMAGES = ("images", "image", "image_files", "image_urls", "image_url", "image_file", "image_path", "image_paths")
Turn = tuple[Json, float | None]
"""What a turn asks (messages, or a body where it has a length of its own), and the think time before it (s)."""
_LENGTHS_AS_SENT = ("max_tokens", "max_completion_tokens", "max_output_tokens")
LENGTHS = (
    *("output_tokens", "output_length", "output_tokens_count", "output_token_count", "output_len"),
    *("expected_output_len", "completion_length", "completion_tokens", "response_length", "output_seq_len"),
    "max_new_tokens",
)
"""Fields that say how long an answer is to be, under other names than a body's own."""

INPUT_LENGTH = ("input_length", "ContextTokens", "Request tokens", "prompt_tokens", "input_tokens", "prompt_length")
"""Fields that say how long a prompt was, in recorded traffic."""

_ROLES = {
    **dict.fromkeys(("human", "user", "prompter", "question"), "user"),
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "claude", "assistant", "model", "bot", "answer"), "assistant"),
    **dict.fromkeys(("system", "developer", "tool", "function"), None),
}
"""What speakers are called, and the roles that they are; None: the same."""


def parsed(value: Json, name: str, place: str) -> Json:
    """Return a field's value, read as JSON where it is text that holds JSON: tables have no lists."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        hint = "; it looks like Python, write it with json.dumps" if "'" in value[:20] or "None" in value else ""
        raise UsageError(f"{place}: {name} is text that is not JSON: {error}{hint}") from None


def talk_of(record: Any, place: str, remarks: Remarks | None = None) -> list[Message] | None:
    """Return the chat messages of a record in any of the usual shapes, None if it has none of them.

    Examples
    --------
    >>> talk_of({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, "a.jsonl:1")
    [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'hello'}]
    >>> talk_of({"conversation": [{"human": "hi", "assistant": "hello"}]}, "a.jsonl:1")
    [{'role': 'user', 'content': 'hi'}, {'role': 'assistant', 'content': 'hello'}]
    """
    if isinstance(record, list):
        record = {"messages": record}
    name = next((name for name in TALKS if isinstance(record, dict) and name in record), None)
    if name is None:
        return None
    value = record[name]
    value = parsed(value.tolist() if hasattr(value, "tolist") else value, name, place)
    if not isinstance(value, list):
        shown = "null" if value is None else repr(value)[:60]
        raise UsageError(f"{place} has no conversations, conversation or messages: {name} is {shown}")
    return [message for turn in value for message in _messages_of_turn(turn, name, place, remarks)]


def _messages_of_turn(turn: Any, name: str, place: str, remarks: Remarks | None) -> list[Message]:
    if not isinstance(turn, dict):
        raise UsageError(f"{place}: {name} holds {repr(turn)[:60]}, which is not a message")
    speaker = turn.get("role", turn.get("from"))
    if speaker is None:
        said = [{"role": _ROLES[key] or key, "content": text} for key, text in turn.items() if key in _ROLES]
        if not said:
            raise UsageError(f"{place}: a message of {name} has no role or from; it has {', '.join(map(str, turn))}")
        if remarks is not None:
            remarks.ignore([f"{name}[].{key}" for key in turn if key not in _ROLES], place)
        return said
    role = _ROLES.get(str(speaker).lower(), "")
    if role == "" and "role" not in turn:
        known = ", ".join(_ROLES)
        raise UsageError(f"{place}: a message of {name} is from {speaker!r}; known are {known}")
    role = role or str(speaker)
    if "role" in turn and "value" not in turn:
        content = turn.get("content")
        if content is None and not turn.keys() & {"tool_calls", "function_call"}:
            raise UsageError(f"{place}: a message of {name} has no content; it has {', '.join(map(str, turn))}")
        return [{**turn, "role": role}]
    text = next((turn[key] for key in ("value", "content", "text") if turn.get(key) is not None), None)
    if not isinstance(text, (str, list)):
        raise UsageError(f"{place}: a message of {name} has no value with a text; it has {', '.join(map(str, turn))}")
    left = [f"{name}[].{key}" for key in turn if key not in ("role", "from", "value", "content", "text")]
    if remarks is not None and left:
        remarks.ignore(left, place)
    return [{"role": role, "content": text}]


UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds in each unit that recorded times may be in."""


def unit_of(name: Any) -> float:
    """Return the seconds in a unit of time that was asked for."""
    if name not in UNITS:
        raise UsageError(f"the unit of a trace is s or ms, us or ns; got {name!r}")
    return UNITS[name]


_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def headers_in(record: Mapping[str, Any], place: str) -> dict[str, str] | None:
    """Return the HTTP headers that a record has for its request; None where its ``headers`` are no object.

    Examples
    --------
    >>> headers_in({"prompt": "hi", "headers": {"X-Tenant": "a", "x-priority": 3}}, "a.jsonl:1")
    {'X-Tenant': 'a', 'x-priority': '3'}
    >>> headers_in({"prompt": "hi", "headers": "of another kind"}, "a.jsonl:1")
    """
    value = record.get("headers")
    value = parsed(value, "headers", place) if isinstance(value, str) and value.lstrip().startswith("{") else value
    if not isinstance(value, dict):
        return None
    headers = {str(name): each for name, each in value.items() if each is not None}
    for name, each in headers.items():
        if not isinstance(each, (str, int, float)) or isinstance(each, bool) or not is_header(name, str(each)):
            raise UsageError(f"{place}: the header {name[:40]!r} must have a name and a text on one line")
        if name.lower() in _FRAMING:
            raise UsageError(f"{place}: the header {name} belongs to the connection, and is not a record's to set")
    return {name: str(each) for name, each in headers.items()}


def is_header(name: str, value: str) -> bool:
    """Tell whether a name and a value can stand in the head of a request."""
    return bool(_HEADER_NAME.fullmatch(name)) and not set(value) & set("\r\n\0")


_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

DELAYS = ("delay", "delay_ms")
"""Fields that say how long a user thinks before a turn."""


def delay_in(record: Mapping[str, Any], place: str, unit: float, remarks: Remarks) -> float | None:
    """Return how long a user thinks before a turn (s), None if it does not say; ``delay`` is in units of so many s.

    Examples
    --------
    >>> delay_in({"text": "two?", "delay": 100}, "a.jsonl:1", 1e-3, Remarks())
    0.1
    """
    name = next((name for name in DELAYS if not is_absent(record.get(name))), None)
    if name is None:
        return None
    try:
        delay = float(record[name])
    except (TypeError, ValueError):
        delay = math.nan
    if not 0 <= delay < math.inf:
        raise UsageError(f"{place}: {name} must be a time of 0 or more, got {record[name]!r}")
    if name == "delay":
        spelt = next(name for name, seconds in UNITS.items() if seconds == unit)
        remarks.say(
            f"a delay is the think time before its turn, in {spelt}; --dataset-args time_unit=s for another unit"
        )
    return delay * (unit if name == "delay" else 1e-3)


def turns_in(record: Mapping[str, Any], place: str, beside: Path, remarks: Remarks, unit: float) -> list[Turn]:
    """Return what each turn of ``turns`` asks, and the think time before it; ``delay`` is in units of so many s."""
    value = record[TURNS]
    turns = parsed(value.tolist() if hasattr(value, "tolist") else value, TURNS, place)
    if not isinstance(turns, list) or not turns:
        raise UsageError(f"{place}: turns must be a list of what is asked, got {repr(turns)[:60]}")
    return [_turn(turn, f"{place}, turn {number}", beside, remarks, unit) for number, turn in enumerate(turns, 1)]


def _turn(turn: Any, place: str, beside: Path, remarks: Remarks, unit: float) -> Turn:
    if isinstance(turn, str):
        return [{"role": "user", "content": turn}], None
    if not isinstance(turn, dict):
        raise UsageError(f"{place} is neither a text nor an object: {repr(turn)[:60]}")
    if isinstance(turn.get("messages"), list):
        messages, used = talk_of(turn, place, remarks) or [], "messages"
    else:
        names = ("text", "prompt", "content", "question", "input", "value", "texts")
        used = next((name for name in names if turn.get(name)), "")
        if not used:
            raise UsageError(f"{place} has no text, prompt or content; it has {', '.join(map(str, turn))}")
        text = "\n".join(map(str, turn[used])) if used == "texts" else turn[used]
        messages = [{"role": turn.get("role") or "user", "content": content_of(text, place, beside)}]
    parts, names_of_images = images_in(turn, place, beside, remarks)
    length, name_of_length = length_in(turn, place)
    left = set(turn) - {used, "role", name_of_length, *names_of_images, *DELAYS}
    remarks.ignore({f"turns[].{name}" for name in left}, place)
    messages = with_parts(messages, parts, place)
    delay = delay_in(turn, place, unit, remarks)
    return (
        {"messages": messages, name_of_length: length} if length is not None and name_of_length else messages
    ), delay


def content_of(value: Json, place: str, beside: Path) -> Json:
    """Return a message's content: a text, or content parts whose images in files became ``data:`` URLs."""
    if not isinstance(value, list):
        return value
    return [_part(part, place, beside) for part in value]


def _part(part: Any, place: str, beside: Path) -> Json:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, dict):
        raise UsageError(f"{place}: {repr(part)[:60]} is not a content part")
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        return part
    found = _image(url, place, beside)["image_url"]
    return {**part, "image_url": {**(image if isinstance(image, dict) else {}), **found}}


def messages_with_files(messages: Sequence[Message], place: str, beside: Path) -> list[Message]:
    """Return messages whose images in files became ``data:`` URLs."""
    return [
        {**message, "content": content_of(message["content"], place, beside)}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def ignore_parts(value: Any, name: str, used: Collection[str], place: str, remarks: Remarks) -> None:
    """Note what is beside a file or URL in an object, and not sent with it."""
    if isinstance(value, dict):
        remarks.ignore([f"{name}.{key}" for key in value if key not in used and value[key] is not None], place)


def images_in(
    record: Mapping[str, Any], place: str, beside: Path, remarks: Remarks
) -> tuple[list[dict[str, Json]], list[str]]:
    """Return the content parts of the images beside what is asked, and the fields that they stand in."""
    names = [name for name in IMAGES if name in record]
    parts = []
    for name in names:
        value = record[name]
        value = parsed(value.tolist() if hasattr(value, "tolist") else value, name, place)
        for image in value if isinstance(value, list) else [value]:
            if image:
                used = ("bytes", "path") if isinstance(image, dict) and "bytes" in image else ("url", "path")
                ignore_parts(image, name, used, place, remarks)
                url = image.get("url") if isinstance(image, dict) and "bytes" not in image else None
                parts.append(_image(url or image, place, beside))
    return parts, names


def _image(given: Any, place: str, beside: Path) -> dict[str, Json]:
    try:
        return image_part(given, beside)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None


def with_parts(messages: list[Message], parts: Sequence[dict[str, Json]], place: str) -> list[Message]:
    """Return messages with content parts added to the last that the user says."""
    if not parts:
        return messages
    at = next((at for at in reversed(range(len(messages))) if messages[at].get("role") == "user"), None)
    if at is None:
        raise UsageError(f"{place} has images, and no message of the user that they belong to")
    content = messages[at].get("content")
    texts = content if isinstance(content, list) else [{"type": "text", "text": content}]
    return [*messages[:at], {**messages[at], "content": [*texts, *parts]}, *messages[at + 1 :]]


def length_in(record: Mapping[str, Any], place: str) -> tuple[int | None, str | None]:
    """Return how long the answer to a record is to be, and the name of the body's field; None if it does not say.

    Examples
    --------
    >>> length_in({"prompt": "a", "output_tokens": "5"}, "a.csv, row 1")
    (5, 'max_tokens')
    """
    name = next((name for name in (*_LENGTHS_AS_SENT, *LENGTHS) if not is_absent(record.get(name))), None)
    if name is None or isinstance(record[name], (list, dict)):
        return None, None
    given = record[name]
    try:
        number = float(given)
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer() or number < 1:
        raise UsageError(f"{place}: {name} must be a whole number above 0, got {given!r}")
    return int(number), name if name in _LENGTHS_AS_SENT else "max_tokens"


def is_absent(value: Any) -> bool:
    """Tell whether a field holds nothing: a table has no other way to leave one out."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
