"""Where requests go: host, port, and the head that every request has."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from perfkit.errors import UsageError
from perfkit.secrets import basic_credentials, shown_url


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

    def request(self, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """Return the bytes of a whole request with this body, and with headers that take the place of others.

        Examples
        --------
        >>> made = Target.of("http://h/v1", {"X-A": "b"}).request(b"1", {"x-a": "c", "X-S": "d"})
        >>> made.split(bytes((13, 10)))[-5:]
        [b'x-a: c', b'X-S: d', b'Content-Length: 1', b'', b'1']
        """
        head = self.head
        if headers:
            replaced = {name.lower().encode() for name in headers} | {b"content-length"}
            lines = head.removesuffix(b"\r\n").split(b"\r\n")
            kept = [line for line in lines if line.partition(b":")[0].lower() not in replaced]
            more = [f"{name}: {value}".encode() for name, value in headers.items() if name.lower() != "content-length"]
            head = b"".join(line + b"\r\n" for line in (*kept, *more))
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


def _basic_auth(user: str | None, password: str | None) -> dict[str, tuple[str, str]]:
    if user is None:
        return {}
    return {"authorization": ("Authorization", f"Basic {basic_credentials(user, password or '')}")}
