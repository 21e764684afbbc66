"""A server that does what it is told, byte by byte: what no well-behaved one does."""

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias


class Do(Enum):
    """What a script does besides sending bytes and pausing."""

    READ = auto()  # wait for a whole request
    BEGIN = auto()  # wait for the first bytes of a request
    CLOSE = auto()
    RESET = auto()
    HANG = auto()  # wait until the client hangs up


Step: TypeAlias = bytes | float | Do | Callable[[], object]
"""Bytes to send, seconds to pause, something to do, or a function to call."""
Script: TypeAlias = Sequence[Step]

GAP = 0.03
"""Long enough for two sends to be two reads."""

READ, BEGIN, CLOSE, RESET, HANG = Do.READ, Do.BEGIN, Do.CLOSE, Do.RESET, Do.HANG


@dataclass
class Scripted:
    """A running server: connection i follows script i, the last script serves all further ones."""

    port: int
    tls: bool = False
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"


@contextlib.contextmanager
def scripted(
    *scripts: Script, tls: ssl.SSLContext | None = None, listener: socket.socket | None = None
) -> Iterator[Scripted]:
    """Serve the scripts, each on a thread of its own, until the block ends."""
    with listener or socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        server = Scripted(listener.getsockname()[1], tls is not None)
        thread = threading.Thread(target=_accept, args=(listener, scripts, server, tls), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _accept(listener: socket.socket, scripts: Sequence[Script], server: Scripted, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):  # the listener is closed: the test has ended
        while True:
            connection, _ = listener.accept()
            script = scripts[min(server.connections, len(scripts) - 1)]
            server.connections += 1
            threading.Thread(target=_play, args=(connection, script, server, tls), daemon=True).start()


def _play(connection: socket.socket, script: Script, server: Scripted, tls: ssl.SSLContext | None) -> None:
    with contextlib.suppress(OSError):  # the client has gone
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = tls.wrap_socket(connection, server_side=True) if tls else connection
        with wire:
            for step in script:
                _do(step, wire, server)


def _do(step: Step, wire: socket.socket, server: Scripted) -> None:
    if isinstance(step, bytes):
        wire.sendall(step)
    elif isinstance(step, float):
        select.select([], [], [], step)
    elif step is READ:
        server.requests.append(_request(wire))
    elif step is BEGIN:
        _some(wire)
    elif step is HANG:
        while wire.recv(2**16):
            pass
    elif step is RESET:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
        raise ConnectionResetError
    elif step is CLOSE:
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)
        wire.close()
        raise ConnectionResetError
    elif callable(step):
        step()


def _request(wire: socket.socket) -> bytes:
    """Read one request, by its Content-Length; without one it has no body."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _some(wire)
    lines = bytes(data[:end]).lower().split(b"\r\n")
    length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")), 0)
    while len(data) < end + 4 + length:
        data += _some(wire)
    return bytes(data)


def _some(wire: socket.socket) -> bytes:
    data = wire.recv(2**16)
    if not data:
        raise ConnectionResetError
    return data


# -- What servers say --------------------------------------------------------------------------------------------


def head(*lines: str, status: str = "200 OK", kind: str | None = "text/event-stream") -> bytes:
    """Return the head of an answer."""
    named = [f"Content-Type: {kind}"] if kind else []
    return "\r\n".join([f"HTTP/1.1 {status}", *named, *lines, "", ""]).encode()


STREAM = head("Transfer-Encoding: chunked")
UNTIL_CLOSE = head("Connection: close")


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    """Return one piece of a chunked body."""
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


LAST = b"0\r\n\r\n"


def whole(body: bytes, *lines: str, status: str = "200 OK", kind: str | None = "application/json") -> bytes:
    """Return an answer whose length is told."""
    return head(f"Content-Length: {len(body)}", *lines, status=status, kind=kind) + body


def delta(text: str) -> bytes:
    """Return the event of one piece of text."""
    return f'data: {{"id":"c1","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}\n\n'.encode()


FINISH = b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER = delta("Hel") + delta("lo") + FINISH + USAGE + DONE
BODY = (
    b'{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2}}'
)
