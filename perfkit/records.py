"""The nouns that the rooms hand to each other: plain, picklable, no behaviour beyond their own arithmetic."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal, TypeAlias

Json: TypeAlias = Any
"""A value that JSON can hold: None, bool, int, float, str, list, dict with str keys."""

Message: TypeAlias = dict[str, Json]
"""One chat message, or one decoded message of an answer."""


class ListedModel(str):
    """The model that the server listed where none was given: it fills a gap, and replaces no body's own."""

    __slots__ = ()


class Replicas(str):
    """The first of the URLs that share the requests of a run: whatever needs one address takes this one."""

    every: tuple[str, ...]

    @classmethod
    def of(cls, urls: Sequence[str]) -> "Replicas":
        """Put the others behind the first.

        Examples
        --------
        >>> shared = Replicas.of(["http://a", "http://b"])
        >>> shared, shared.every
        ('http://a', ('http://a', 'http://b'))
        """
        first = cls(urls[0])
        first.every = tuple(urls)
        return first


Phase = Literal["preflight", "warmup", "ramp", "steady", "cooldown"]
StampSource = Literal["user", "kernel", "plugin"]
TokenSource = Literal["server", "tokenizer", "estimate", "plugin"]
Status = Literal["running", "finished", "interrupted"]
Arrival = Literal["poisson", "constant", "gamma"]
RampShape = Literal["linear", "exponential"]
Salt = Literal["none", "run", "request"]
Balance = Literal["round-robin", "least-in-flight"]
Pumped = Literal["again", "once"]
"""Prompts of the driver's iterable: it is read again for each point of a sweep, or once for all of them."""

ErrorKind = Literal[
    "connect",  # no connection: refused, unreachable, name not found
    "connect_timeout",
    "tls",
    "reset",  # the connection broke after the request was written
    "read_timeout",  # nothing came for read_timeout seconds
    "total_timeout",
    "protocol",  # not HTTP, or not the content type that was promised
    "http_status",  # a status other than 200
    "error_event",  # an error object inside a 200 answer, or a finish reason that is one
    "incomplete",  # the answer ended before it was finished
    "empty",  # a complete answer that carries nothing
    "too_large",
    "plugin",  # the user's own code raised
    "interrupted",  # we gave it up: the run was stopped
    "cancelled",  # its client closed the connection, as ``cancel`` has it
]
UNCONNECTED: tuple[ErrorKind, ...] = ("connect", "connect_timeout", "tls")
"""Kinds of a request that got no connection."""

CUT_OFF: ErrorKind = "interrupted"
"""The kind of a request that has not failed: the order to stop came first."""

CANCELLED: ErrorKind = "cancelled"
"""The kind of a request that has not failed: its client was to close the connection, and did."""

NOT_FAILED = (CUT_OFF, CANCELLED)
"""Kinds of a request without a whole answer that nobody failed to give."""


class Kind(IntEnum):
    """What one chunk of an answer carries. Stored in the ``chunks`` blob: never renumber."""

    ROLE = 0
    CONTENT = 1
    REASONING = 2
    TOOL = 3
    USAGE = 4
    FINISH = 5
    ERROR = 6
    DONE = 7
    OTHER = 8


TOKEN_KINDS = (Kind.CONTENT, Kind.REASONING, Kind.TOOL)
"""Chunks that carry output tokens: the first of them ends TTFT, the gaps between them are ITL."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One item of a dataset, before an API has made a request body of it.

    ``content`` is a list of chat messages, a string, or a whole request body (a dict).
    """

    content: list[Message] | str | dict[str, Json]
    row: int | None = None
    request_id: str | None = None
    session_id: str | None = None
    turn: int = 1
    due: float | None = None
    """Seconds after the start of the run, for recorded traces."""
    delay: float | None = None
    """Seconds that its user thinks before it, in place of ``think_time``."""
    cycle: int = 0
    """Which pass over a dataset shorter than the run this comes from; 0 is the first."""
    kind: str | None = None
    """The class that it is of, in a mix of datasets."""
    headers: Mapping[str, str] | None = None
    """HTTP headers of this request, in place of the run's of the same names."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some prompts of the driver's iterable, on their way to whoever makes requests of them.

    Parameters
    ----------
    reading : str
        Which reading of the iterable they are of.
    packed : bytes
        The prompts, which nobody between the two ends needs to look at.
    last : bool
        Nothing comes after them.
    failure : Exception, optional
        Why it ends with them.
    remarks : tuple of str
        What is to be said of the iterable so far.
    count : int
        How many prompts they are.
    """

    reading: str
    packed: bytes
    last: bool
    failure: Exception | None = None
    remarks: tuple[str, ...] = ()
    count: int = 0


@dataclass(slots=True)
class Answer:
    """What the messages of one answer add up to; an API's ``read_message`` fills it.

    ``pieces`` has one (kind, choice, text, message index) per chunk, in order of arrival.
    Counts are None until the server says them.
    """

    pieces: list[tuple[Kind, int, str, int]] = field(default_factory=list)
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    token_source: TokenSource | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    finish_reason: str | None = None
    server_request_id: str | None = None
    error: str | None = None
    timings: dict[str, float] = field(default_factory=dict)
    """What the server says of its own times and drafts, by column."""
    done: bool = False
    message: int = 0
    """Index of the message being read."""
    total_tokens: int | None = None
    """Of prompt and answer, as the server says."""
    told: dict[tuple[int, int | None], int] = field(default_factory=dict)
    """Completion tokens as each message tells them, by message and the choice that they stand in."""
    tokens: dict[int, int] = field(default_factory=dict)
    """Tokens that single messages carry, where the server says so."""
    zeros: bool = False
    """The server said 0 tokens of a prompt or of an answer with text."""

    def chunk(self, kind: Kind, text: str = "", choice: int = 0) -> None:
        """Note that the message being read carries a piece of this kind."""
        self.pieces.append((kind, choice, text, self.message))

    @property
    def output_text(self) -> str:
        """The text of the first choice, reasoning left out."""
        content = Kind.CONTENT
        return joined([text for kind, choice, text, _ in self.pieces if kind is content and choice == 0])

    @property
    def whole_text(self) -> str:
        """All text of all choices, reasoning and tool calls included, in order of arrival."""
        return joined([text for _, _, text, _ in self.pieces])

    def output_by_choice(self) -> dict[int, list[int]]:
        """Return the messages that carry text, reasoning or a tool call, by choice and in order of arrival."""
        found: dict[int, dict[int, None]] = {}
        for kind, choice, text, message in self.pieces:
            if text and kind in TOKEN_KINDS:
                found.setdefault(choice, {})[message] = None
        return {choice: [*messages] for choice, messages in found.items()}


def joined(texts: Sequence[str]) -> str:
    r"""Return texts as one, with characters mended that were cut between two of them.

    Half a surrogate pair, or bytes that are no UTF-8 by themselves (decoded with ``surrogateescape``), may be half of a
    character whose rest came with the next message. What stays half becomes U+FFFD.

    Examples
    --------
    >>> joined(["a \ud83d", "\ude00 b"]) == "a \U0001f600 b"
    True
    >>> joined([part.decode("utf-8", "surrogateescape") for part in (b"caf\xc3", b"\xa9")])
    'café'
    """
    text = "".join(texts)
    if text.isascii() or not _SURROGATE.search(text):
        return text
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return _NO_BYTE.sub("\N{REPLACEMENT CHARACTER}", text).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte of a text that is not UTF-8."""
