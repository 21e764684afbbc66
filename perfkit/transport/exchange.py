"""What the transport hands over: one request and everything that came back, undecoded, plain and picklable."""

from array import array
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from perfkit.errors import UsageError
from perfkit.records import ErrorKind
from perfkit.secrets import basic_credentials, shown_url
from perfkit.transport.clock import TIMESPEC
from perfkit.transport.framing import unframed


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
    status: int | None = None
    response_headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    wire: bytearray = field(default_factory=bytearray)
    """Everything that came, HTTP framing included; empty once it is taken off, or where another transport did."""
    body: bytearray = field(default_factory=bytearray)
    stamps: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    begin: int = 0
    received: int = 0
    """Where the body begins in what ``ends`` counts, and how many bytes it has; known once it was looked at."""
    kernel: bytearray = field(default_factory=bytearray)
    kernel_offset: int = 0
    """Nanoseconds to take from a kernel stamp (Unix time) to get ``perf_counter``."""
    error_kind: ErrorKind | None = None
    error: str | None = None
    attempts: int = 1
    connection: int = 0
    connection_use: int = 1
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None

    messages: list[str] | None = None
    """What a plugin that sends by itself handed over, one a stamp; None on our own transport."""
    counts: tuple[int | None, int | None] | None = None
    """Prompt and completion tokens, where such a plugin counted them."""
    by_plugin: bool = False
    """The stamps are the plugin's own."""

    def packed(self) -> tuple[Any, ...]:
        """Return it as a tuple of plain values, the quickest form to send to another process."""
        return (
            *(getattr(self, name) for name in _PLAIN),
            bytes(self.wire),
            bytes(self.body),
            array("q", self.stamps).tobytes(),
            array("q", self.ends).tobytes(),
        )

    @classmethod
    def unpacked(cls, packed: tuple[Any, ...]) -> "Exchange":
        """Return the exchange that ``packed`` gave."""
        *plain, wire, body, stamps, ends = packed
        exchange = cls(**dict(zip(_PLAIN, plain, strict=True)), wire=wire, body=bytearray(body))
        exchange.stamps, exchange.ends = array("q", stamps).tolist(), array("q", ends).tolist()
        return exchange

    def unframe(self) -> None:
        """Take the HTTP framing off: what came becomes the body; safe to repeat."""
        if self.wire:
            self.body, self.ends = unframed(self.wire, self.ends)
            self.wire = bytearray()
        self.begin, self.received = 0, len(self.body)

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


_PLAIN = tuple(each.name for each in fields(Exchange) if each.name not in ("wire", "body", "stamps", "ends"))


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: host, port and the head of every request, written once."""

    host: str
    port: int
    tls: bool
    head: bytes
    origin: str

    @classmethod
    def of(cls, url: str, headers: dict[str, str], method: str = "POST") -> "Target":
        """Take a URL and headers apart.

        Parameters
        ----------
        url : str
            Full URL of the endpoint.
        headers : dict
            Every header to send besides Host, Content-Length and the defaults, which they override.
        method : str
            HTTP method.

        Raises
        ------
        UsageError
            A header holds a line break, which would let it forge others.

        Examples
        --------
        >>> Target.of("http://h:81/v1", {"X-A": "b"}).head.split(bytes((13, 10)))[:2]
        [b'POST /v1 HTTP/1.1', b'Host: h:81']
        """
        parts = urlsplit(url)
        tls = parts.scheme == "https"
        host = parts.hostname or ""
        port = parts.port or (443 if tls else 80)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        bracketed = f"[{host}]" if ":" in host else host
        fields = {
            "host": ("Host", bracketed if parts.port is None else f"{bracketed}:{port}"),
            "user-agent": ("User-Agent", "perfkit"),
            "accept": ("Accept", "text/event-stream, application/json"),
            "accept-encoding": ("Accept-Encoding", "identity"),
            "content-type": ("Content-Type", "application/json"),
        }
        fields |= _basic_auth(parts.username, parts.password)
        fields |= {name.lower(): (name, str(value)) for name, value in headers.items()}
        fields.pop("content-length", None)
        lines = [f"{method} {path} HTTP/1.1"]
        for name, value in fields.values():
            if any(mark in name + value for mark in "\r\n\0"):
                raise UsageError(f"the header {name!r} holds a line break; give it without")
            lines.append(f"{name}: {value}")
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n"
        return cls(host, port, tls, head, shown_url(f"{parts.scheme}://{bracketed}:{port}"))

    def request(self, body: bytes) -> bytes:
        """Return the bytes of a whole request with this body."""
        return b"%bContent-Length: %d\r\n\r\n%b" % (self.head, len(body), body)


def _basic_auth(user: str | None, password: str | None) -> dict[str, tuple[str, str]]:
    if user is None:
        return {}
    return {"authorization": ("Authorization", f"Basic {basic_credentials(user, password or '')}")}
