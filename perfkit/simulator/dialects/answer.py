"""What every dialect is made of: an ``Ask`` read from a request, a ``Script`` of what to answer, and text templates.

A script is written when the request arrives; while tokens are due nothing is left to do but to put text into
prebuilt bytes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

import orjson

from perfkit.records import Json
from perfkit.simulator.options import Simulation
from perfkit.simulator.words import Passage, count_tokens

CREATED = 1_700_000_000
"""When every answer was created: a constant, so that equal requests get equal answers."""

TEXT = "@@TEXT@@"
"""Stands in a template for text that is already escaped for JSON."""

COUNT = "@@COUNT@@"
"""Stands in a template for a number."""

_TEXT = TEXT.encode()
_COUNT = f'"{COUNT}"'.encode()
_TOKENS_OF_A_PART = 256  # an image or a recording
_DEFAULT_LENGTH = 64

T = TypeVar("T")
Body = dict[str, Json]
Headers = Mapping[str, str]


class Wanted(NamedTuple):
    """What a dialect reads from a body: tokens of the prompt, and how long, how and how often it is to be answered."""

    prompt_tokens: int
    limit: Json = None
    stream: bool = False
    choices: int = 1
    generates: bool = True
    """False: no text is asked for, and the answer counts as one token."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request wants, whatever its dialect. Lengths in tokens, per choice."""

    number: int
    model: str
    stream: bool
    prompt_tokens: int
    output_tokens: int
    finish: Literal["stop", "length"]
    choices: int
    body: Body
    simulation: Simulation

    @property
    def id(self) -> str:
        """The part of the answer's id that is this request's own."""
        return f"{self.number:08d}"

    @property
    def reasoning_tokens(self) -> int:
        """How many of the output tokens, from the first, are reasoning."""
        return min(self.simulation.reasoning_tokens, self.output_tokens)

    @property
    def cached_tokens(self) -> int:
        """How many of the prompt's tokens usage calls cached."""
        return min(self.simulation.cached_tokens or 0, self.prompt_tokens)

    @property
    def prompt_details(self) -> dict[str, Json]:
        """What usage says of cached tokens: nothing, unless the server was told to."""
        if self.simulation.cached_tokens is None:
            return {}
        return {"prompt_tokens_details": {"cached_tokens": self.cached_tokens}}

    def passage(self, choice: int = 0) -> Passage:
        """Return the text of a choice."""
        return Passage(self.simulation.text, self.simulation.seed + choice, self.number)


class Script(ABC):
    """The bytes of one answer. Events are complete: ``data:`` lines and the empty line included.

    A dialect says what its events look like; one that is never streamed, only ``whole``.

    Parameters
    ----------
    ask : Ask
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def opening(self) -> list[bytes]:
        """Return the events before the first token."""
        return []

    def token(self, first: int, count: int) -> list[bytes]:
        """Return the events that carry tokens ``first`` to ``first + count - 1``."""
        reasoning = min(max(self._ask.reasoning_tokens - first, 0), count)
        if not reasoning:
            return self._text(first, count)
        events = self._reasoning(first, reasoning)
        if first + reasoning == self._ask.reasoning_tokens:
            events += self._turn()
        return events + (self._text(first + reasoning, count - reasoning) if count > reasoning else [])

    def _reasoning(self, first: int, count: int) -> list[bytes]:
        """Return the events of tokens that are all reasoning."""
        return self._text(first, count)

    def _turn(self) -> list[bytes]:
        """Return the events between reasoning and text."""
        return []

    def _text(self, first: int, count: int) -> list[bytes]:
        """Return the events of tokens that are all text."""
        return []

    def closing(self) -> list[bytes]:
        """Return the events after the last token."""
        return []

    @abstractmethod
    def whole(self) -> bytes:
        """Return the body of the answer that is not streamed."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to ask for generated text.

    Parameters
    ----------
    name : str
        What the truth log calls it.
    paths : tuple of str
        Where it is served, by POST.
    read : callable
        (body, headers by lower-case name) -> Wanted; ValueError for a body it refuses.
    script : callable
        Ask -> Script.
    """

    name: str
    paths: tuple[str, ...]
    read: Callable[[Body, Headers], Wanted]
    script: Callable[[Ask], Script]

    def ask(self, number: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
        """Read a request, and decide its length: the server's ``output_tokens``, else the limit asked for, else 64.

        Raises
        ------
        ValueError
            A field is missing or of the wrong kind.
        """
        prompt_tokens, limit, stream, choices, generates = self.read(body, headers)
        if limit is not None and (not isinstance(limit, int) or limit < 1):
            raise ValueError(f"max_tokens must be at least 1, got {limit}")
        length = (simulation.output_tokens or limit or _DEFAULT_LENGTH) if generates else 1
        return Ask(
            number=number,
            model=str(body.get("model") or simulation.model),
            stream=stream,
            prompt_tokens=prompt_tokens,
            output_tokens=length,
            finish="length" if length == limit else "stop",
            choices=choices,
            body=body,
            simulation=simulation,
        )


def event(payload: Json, name: str = "") -> bytes:
    r"""Return a server-sent event; with TEXT or COUNT inside, a template.

    Examples
    --------
    >>> event({"a": 1}, name="ping")
    b'event: ping\ndata: {"a":1}\n\n'
    """
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, orjson.dumps(payload))


def cut(template: bytes) -> list[bytes]:
    """Cut an event where its TEXT goes, so that ``fill`` has nothing to search for.

    Examples
    --------
    >>> len(cut(event({"text": TEXT, "again": TEXT})))
    3
    """
    return template.split(_TEXT)


def fill(parts: list[bytes], text: bytes) -> bytes:
    r"""Put text, escaped for JSON, into a template that was cut.

    Examples
    --------
    >>> fill(cut(event({"text": TEXT})), b" the")
    b'data: {"text":" the"}\n\n'
    """
    return text.join(parts)


def number(template: bytes, count: int) -> bytes:
    r"""Put a number into a template.

    Examples
    --------
    >>> number(event({"n": COUNT}), 7)
    b'data: {"n":7}\n\n'
    """
    return template.replace(_COUNT, b"%d" % count)


def required(body: Body, field: str) -> Json:
    """Return a field of the body.

    Raises
    ------
    ValueError
        It is missing or empty.
    """
    if not body.get(field):
        raise ValueError(f"{field!r} is required")
    return body[field]


def optional(body: Body, field: str, kind: type[T], default: T) -> T:
    """Return a field of the body, or the default when it is missing or null.

    Raises
    ------
    ValueError
        It is of another kind.
    """
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, kind):
        raise ValueError(f"{field!r} must be {kind.__name__}, got {type(value).__name__}")
    return value


def count_content(content: Json) -> int:
    """Count a prompt in any of its shapes: text, token ids, parts, messages, or lists of them.

    Parts that are not text count 256 tokens.

    Examples
    --------
    >>> count_content([{"role": "user", "content": "two words"}, {"role": "user", "content": [{"type": "image_url"}]}])
    258
    """
    match content:
        case str():
            return count_tokens(content)
        case int():
            return 1
        case list():
            return sum(map(count_content, content))
        case {"content": inner}:
            return count_content(inner)
        case {"text": inner} | {"input_text": inner}:
            return count_content(inner)
        case dict():
            return _TOKENS_OF_A_PART
        case _:
            return 0
