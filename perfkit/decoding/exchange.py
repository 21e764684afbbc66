"""What the transport hands over: one request and everything that came back, undecoded, plain and picklable."""

from array import array
from dataclasses import dataclass, field, fields
from typing import Any

from perfkit.decoding.clock import TIMESPEC
from perfkit.decoding.coding import UNCODED, decoded
from perfkit.decoding.framing import unframed
from perfkit.records import ErrorKind

LARGEST_BODY = 32 * 2**20
"""Bytes; what is larger, as it was sent or once decoded, is given up."""
SMALLEST_LIMIT = 8 * 2**20
"""Bytes that an answer may have beside however many others: 30,000 tokens, each in an event of its own."""
_TOGETHER = 64 * 2**20
"""Bytes that answers under way may have together before the limit of each is lowered."""


def largest_body(streams: int) -> int:
    """Return how many bytes an answer may have beside others.

    Examples
    --------
    >>> [largest_body(streams) >> 20 for streams in (1, 2, 4, 8, 1000)]
    [32, 32, 16, 8, 8]
    """
    return max(SMALLEST_LIMIT, min(LARGEST_BODY, _TOGETHER // max(1, streams)))


@dataclass(frozen=True, slots=True)
class Reported:
    """What the ``BenchmarkData`` of a plugin says of an answer; None is what it leaves open.

    Parameters
    ----------
    text : str, optional
    prompt_tokens, completion_tokens : int, optional
    stream : bool
        The answer came in pieces: its first token has a time of its own.
    first : bool
        The first stamp is ``first_chunk_latency``, so that the stamps are of tokens and of nothing else.
    time_per_output_token : float, optional
        Seconds.
    request_id : str, optional
    """

    text: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    stream: bool
    first: bool
    time_per_output_token: float | None
    request_id: str | None


@dataclass(slots=True)
class Exchange:
    """One request and its answer as the wire gave it: integer nanoseconds of ``perf_counter`` and raw bytes.

    ``stamps[i]`` is when read i of the answer returned and ``ends[i]`` how many bytes had come by then: of the wire at
    first, of the body once ``unframe`` was called. So the arrival of any byte is found later by bisection. ``kernel``
    has the 16 bytes of each read's kernel stamp; it is too short where the kernel gave none, and counts for nothing
    then.
    """

    start: int = 0
    written: int | None = None
    headers: int | None = None
    end: int | None = None
    released: int | None = None
    """When whoever waited for it could go on, if that was later: its message was given a moment to end, too."""
    status: int | None = None
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    wire: bytearray = field(default_factory=bytearray)
    """Everything that came, HTTP framing included; empty once it is taken off, or where another transport did."""
    body: bytes | bytearray = field(default_factory=bytearray)
    stamps: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    begin: int = 0
    received: int = 0
    """Where the body begins in what ``ends`` counts, and how many bytes it has; known once it was looked at."""
    unframed: bool = False
    """Nothing is left to take off the body: neither HTTP framing nor a content coding."""
    kernel: bytearray = field(default_factory=bytearray)
    kernel_offset: int = 0
    """Nanoseconds to take from a kernel stamp (Unix time) to get ``perf_counter``."""
    error_kind: ErrorKind | None = None
    error: str | None = None
    unreceived: bool = False
    """The other end's kernel has acknowledged no byte of the request."""
    attempts: int = 1
    connection: int = 0
    connection_use: int = 1
    target: int = 0
    """Which of the run's URLs it went to."""
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None

    messages: list[str] | None = None
    """What a plugin that sends by itself handed over; None on our own transport."""
    reported: Reported | None = None
    """What such a plugin says of its answer; the stamps are its own then, one per token-bearing chunk."""

    def packed(self) -> tuple[Any, ...]:
        """Return it as a tuple of plain values, the quickest form to send to another process."""
        return (
            *(getattr(self, name) for name in _PLAIN),
            bytes(self.wire),
            bytes(self.body),
            array("q", self.stamps).tobytes(),
            array("q", self.ends).tobytes(),
        )

    def whole_body(self) -> bytes:
        """Return the body, which is not written to any more."""
        self.body = bytes(self.body)
        return self.body

    def release(self) -> None:
        """Let go of what came: it was read."""
        self.wire, self.body = bytearray(), b""

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> "Exchange":
        """Return the exchange that ``packed`` gave."""
        *plain, wire, body, stamps, ends = packed
        exchange = cls(**dict(zip(_PLAIN, plain, strict=True)), wire=wire, body=body)
        exchange.stamps, exchange.ends = array("q", stamps).tolist(), array("q", ends).tolist()
        return exchange

    def unframe(self) -> None:
        """Take the HTTP framing and the content coding off: what came becomes the body; safe to repeat.

        A body that cannot be decoded makes it a failure.
        """
        if self.unframed:
            return
        if self.wire:
            self.body, self.ends = unframed(self.wire, self.ends)
            self.wire = bytearray()
        self.unframed, self.begin, self.received = True, 0, len(self.body)
        if self.coded_by:
            self.body, self.ends, problem = decoded(self.body, self.ends, self.coded_by, LARGEST_BODY)
            if problem is not None:
                self.fail(*problem, self.stamps[-1] if self.stamps else self.start)

    def fail(self, kind: ErrorKind, error: str, at: int) -> None:
        """Note why and when it failed; the first reason stands."""
        if self.error_kind is None:
            self.error_kind, self.error = kind, error
        if self.end is None:
            self.end = at

    def unread(self) -> None:
        """Forget the last read: it brought nothing of the answer."""
        if len(self.kernel) == len(self.stamps) * TIMESPEC:
            del self.kernel[-TIMESPEC:]
        self.stamps.pop()

    @property
    def content_type(self) -> str:
        """The answer's media type in lower case, without parameters."""
        for name, value in self.response_headers:
            if name.lower() == b"content-type":
                return value.partition(b";")[0].strip().lower().decode("latin-1")
        return ""

    @property
    def ends_with_connection(self) -> bool:
        """The answer has neither a length nor chunks, so that only the close ends it."""
        names = {name.lower() for name, _ in self.response_headers}
        return b"content-length" not in names and b"transfer-encoding" not in names

    @property
    def coded_by(self) -> str:
        """The headers that say how the body is coded (``Content-Encoding: gzip``), in the order in which it was."""
        told = []
        for name, spelt in _CODINGS.items():
            given = b", ".join([value for each, value in self.response_headers if each.lower() == name]).decode(
                "latin-1"
            )
            if any(coding.strip().lower() not in UNCODED for coding in given.split(",")):
                told.append(f"{spelt}: {given}")
        return "; ".join(told)

    @property
    def headers_by_name(self) -> dict[str, str]:
        """The answer's headers, their names in lower case."""
        return {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in self.response_headers}


_CODINGS = {b"content-encoding": "Content-Encoding", b"transfer-encoding": "Transfer-Encoding"}

WIRE, BODY = -4, -3
"""Where ``packed`` has them."""
_PLAIN = tuple(each.name for each in fields(Exchange) if each.name not in ("wire", "body", "stamps", "ends"))
