"""What the readers of all dialects share: texts, finish reasons, usage and errors."""

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

from perfkit.records import Answer, Json, Kind, Message

_DEEPEST = 8
"""Levels of nesting that are looked into: a server may be made to send thousands."""


def add_text(answer: Answer, kind: Kind, content: Json, choice: int = 0) -> None:
    """Note the text that content carries, if there is any; parts of it that are thinking become reasoning."""
    if isinstance(content, str):
        if content:
            answer.chunk(kind, content, choice)
        return
    for of_kind, texts in groupby(texts_of(content, kind), itemgetter(0)):
        answer.chunk(of_kind, "".join([text for _, text in texts]), choice)


def add_reasoning(answer: Answer, part: dict[str, Json], choice: int = 0) -> None:
    """Note the reasoning in a delta or a message; servers that rename the field send both for a while."""
    for name in () if _REASONING.isdisjoint(part) else REASONING_FIELDS:
        if part.get(name) and any(texts_of(part[name], Kind.REASONING)):
            add_text(answer, Kind.REASONING, part[name], choice)
            return


REASONING_FIELDS = (
    *("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"),
    *("reasoning_text", "thinking_content", "thought", "thoughts"),
)
_REASONING = frozenset(REASONING_FIELDS)


def texts_of(content: Json, kind: Kind, depth: int = _DEEPEST) -> Iterator[tuple[Kind, str]]:
    """Yield the kind and text of each part of content: a text, an object that holds one, or a list of either.

    Examples
    --------
    >>> thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    >>> list(texts_of([thought, {"type": "text", "text": "Yes"}], Kind.CONTENT))
    [(<Kind.REASONING: 2>, 'Hm.'), (<Kind.CONTENT: 1>, 'Yes')]
    """
    if isinstance(content, str):
        if content:
            yield kind, content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from texts_of(part, kind, depth - 1)
    elif isinstance(content, dict) and depth:
        name = next((name for name in _TEXT_FIELDS if content.get(name)), None)
        if name is not None:
            thinks = _THINKING.search(f"{content.get('type')} {name}")
            yield from texts_of(content[name], Kind.REASONING if thinks else kind, depth - 1)


_TEXT_FIELDS = ("text", "thinking", "summary", "content", "reasoning", "reasoning_content", "refusal")
_THINKING = re.compile("think|reason", re.IGNORECASE)


def add_finish(answer: Answer, reason: Json, choice: int = 0) -> None:
    """Note why a choice ended, if it has; an engine that gave up says so here, with status 200.

    Examples
    --------
    >>> answer = Answer()
    >>> add_finish(answer, {"type": "abort", "message": "The request queue is full.", "status_code": 503})
    >>> answer.finish_reason, answer.error
    ('abort', 'The request queue is full. (503)')
    """
    # DashScope sends the text "null" until there is a reason.
    if not reason or reason == "null":
        return
    word = _reason_word(reason)
    if _gave_up(word):
        told = reason if isinstance(reason, dict) else {}
        said = words_of({name: value for name, value in told.items() if name not in _REASON_NAMES})
        status = f" ({told['status_code']})" if told.get("status_code") else ""
        ended = f"finish_reason {word}: the server ended the answer before it was finished"
        answer.error = answer.error or (f"{said}{status}" if said else ended)
        answer.finish_reason = word
    answer.finish_reason = answer.finish_reason or word
    answer.chunk(Kind.FINISH, "", choice)


def _reason_word(reason: Json) -> str:
    if not isinstance(reason, dict):
        return str(reason)
    return str(next((reason[name] for name in _REASON_NAMES if reason.get(name)), None) or json.dumps(reason))


@lru_cache(maxsize=256)
def _gave_up(word: str) -> bool:
    return _FAILURES.search(word) is not None


_REASON_NAMES = ("type", "reason", "code")
_FAILURES = re.compile(
    "abort|error|fail|cancel|time.?out|timed.?out|insufficient|unavailable|overload|preempt|shut.?down|disconnect"
    "|interrupt|exhaust|killed|crash|reject",
    re.IGNORECASE,
)
"""Finish reasons of answers that the server gave up; an answer cut by a limit or a filter is whole."""


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


def call_text(function: dict[str, Json], field: str) -> str:
    """Return a tool call as text: the name, and the arguments as JSON.

    Examples
    --------
    >>> call_text({"name": "look", "arguments": {"at": 1}}, "arguments")
    'look{"at": 1}'
    """
    given = function.get(field)
    told = given if isinstance(given, str) else "" if given is None else json.dumps(given, ensure_ascii=False)
    return f"{function.get('name') or ''}{told}"


def error_text(message: Message, event: str = "", *, known: bool = True) -> str | None:
    """Return the error that a message carries, None if it carries none.

    Examples
    --------
    >>> error_text({"error": {"message": "out of memory", "type": "server_error"}})
    'out of memory'
    >>> error_text({"code": "Throttling", "message": "too many requests"}, known=False)
    'Throttling: too many requests'
    >>> error_text({"detail": "Model is being loaded"}, known=False)
    'Model is being loaded'
    >>> error_text({"choices": []}) is None
    True
    """
    error = message.get("error") or _inner_error(message)
    named = event == "error" or message.get("object") == "error" or message.get("type") == "error"
    if known and not error and not named:
        return None
    if error and not (said := words_of(error)):
        said = words_of(message) or json.dumps(error, ensure_ascii=False)
    elif error:
        return said
    elif named:
        said = words_of(message) or json.dumps(message, ensure_ascii=False)
    elif message.keys() & _SIGNS or any(message.get(name) for name in _ERRORS):
        said = words_of(message)
    else:
        return None
    code = next((message[name] for name in _CODES if message.get(name)), None)
    return (f"{code}: {said}" if code else said) if said else None


def _inner_error(message: Message) -> Json:
    """Return an error that stands in the first choice, or in a server's own extension."""
    choices = message.get("choices")
    inner = choices[0] if isinstance(choices, list) and choices else message.get("x_groq")
    return inner.get("error") if isinstance(inner, dict) else None


def words_of(told: Json, depth: int = _DEEPEST) -> str:
    """Return what a server says of a failure, wherever the words are; empty if there are none.

    Examples
    --------
    >>> words_of({"detail": [{"loc": ["body", "n"], "msg": "Field required"}, {"msg": "too long"}]})
    'body.n: Field required; too long'
    """
    if isinstance(told, str):
        return told.strip()
    if isinstance(told, list) and depth:
        return "; ".join(filter(None, (words_of(each, depth - 1) for each in told)))
    if not isinstance(told, dict) or not depth:
        return ""
    said = next(filter(None, (words_of(told.get(name), depth - 1) for name in _WORDS)), "")
    place = told.get("loc")
    return f"{'.'.join(map(str, place))}: {said}" if said and isinstance(place, list) else said


_ERRORS = ("detail", "errors", "error_message", "error_msg", "errorMessage")
"""Fields that only a failure has, in a message that is not in the dialect of an API."""
_WORDS = ("message", "error", "msg", *_ERRORS, "status_msg", "base_resp", "description", "reason", "title")
_CODES = ("code", "error_code", "errorCode")
_SIGNS = frozenset({*_CODES, "status", "status_code", "statusCode", "success"})
"""Fields beside a message that make it a failure's."""
