"""What every dialect is made of: an ``Ask`` read from a request, a ``Script`` of what to answer, and text templates.

A script is written when the request arrives; while tokens are due nothing is left to do but to put text into
prebuilt bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

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
DEFAULT_LENGTH = 64

T = TypeVar("T")
Body = dict[str, Json]
Headers = Mapping[str, str]


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

    def without_output(self) -> "Ask":
        """Return the ask of a dialect that generates no text: its answer counts as one token."""
        return replace(self, output_tokens=1, finish="stop")

    def passage(self, choice: int = 0) -> Passage:
        """Return the text of a choice."""
        return Passage(self.simulation.text, self.simulation.seed + choice, self.number)


class Script(Protocol):
    """The bytes of one answer. Events are complete: ``data:`` lines and the empty line included."""

    def opening(self) -> list[bytes]:
        """Return the events before the first token."""

    def token(self, first: int, count: int) -> list[bytes]:
        """Return the events that carry tokens ``first`` to ``first + count - 1``."""

    def closing(self) -> list[bytes]:
        """Return the events after the last token."""

    def whole(self) -> bytes:
        """Return the body of the answer that is not streamed."""


@dataclass(frozen=True, slots=True)
class Unstreamed:
    """The script of a dialect that is never streamed: nothing but a body, made when it is due."""

    whole: Callable[[], bytes]

    def opening(self) -> list[bytes]:
        """Return nothing."""
        return []

    def token(self, first: int, count: int) -> list[bytes]:
        """Return nothing."""
        return []

    def closing(self) -> list[bytes]:
        """Return nothing."""
        return []


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to ask for generated text.

    Parameters
    ----------
    name : str
        What the truth log calls it.
    paths : tuple of str
        Where it is served, by POST.
    ask : callable
        (request number, body, headers by lower-case name, options) -> Ask; ValueError for a body it refuses.
    script : callable
        Ask -> Script.
    """

    name: str
    paths: tuple[str, ...]
    ask: Callable[[int, Body, Headers, Simulation], Ask]
    script: Callable[[Ask], Script]


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


def ask(
    request: int, body: Body, simulation: Simulation, *, prompt_tokens: int, stream: bool, limit: Json, choices: int = 1
) -> Ask:
    """Make an Ask, deciding the answer's length: the server's ``output_tokens``, else the limit asked for, else 64.

    Raises
    ------
    ValueError
        The limit is no positive integer.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"max_tokens must be at least 1, got {limit}")
    length = simulation.output_tokens or limit or DEFAULT_LENGTH
    return Ask(
        number=request,
        model=str(body.get("model") or simulation.model),
        stream=stream,
        prompt_tokens=prompt_tokens,
        output_tokens=length,
        finish="length" if length == limit else "stop",
        choices=choices,
        body=body,
        simulation=simulation,
    )


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


def count_choices(body: Body) -> int:
    """Return ``n``, how many choices are asked for.

    Raises
    ------
    ValueError
        It is not from 1 to 128.
    """
    choices = optional(body, "n", int, 1)
    if not 1 <= choices <= 128:
        raise ValueError(f"n must be from 1 to 128, got {choices}")
    return choices


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
