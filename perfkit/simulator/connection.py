"""One client connection: HTTP/1.1 requests in, bytes out, one answer at a time."""

import asyncio
import os
import socket
import struct
from collections import deque
from dataclasses import dataclass
from time import monotonic_ns
from typing import Protocol, cast

import httptools

from perfkit.simulator.replies import CONTINUE, error, reply

_MOST_PIPELINED = 64
_RECEIVED = memoryview(bytearray(1 << 16))
"""Where every connection is read: the loop hands each read over before it starts the next."""


@dataclass(slots=True)
class Request:
    """One request as received; stamps in nanoseconds on the monotonic clock."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    recv_start: int
    recv_done: int


class Answering(Protocol):
    """An answer under way."""

    def client_left(self) -> None:
        """The connection is gone."""


class Answers(Protocol):
    """Who answers requests."""

    idle_timeout: float | None

    def connected(self, connection: "Connection") -> int:
        """Take note of a connection; return its number."""

    def disconnected(self, connection: "Connection") -> None:
        """Forget a connection."""

    def answer(self, connection: "Connection", request: Request) -> Answering | None:
        """Answer a request: at once (None), or later."""


class Connection(asyncio.BufferedProtocol):
    """Reads requests, hands them over one by one, and writes straight to the socket.

    Parameters
    ----------
    answers : Answers
        Gets each request once the one before it on this connection has been answered.
    """

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._answering: Answering | None = None
        self._direct = False
        self._fd = -1
        self._closing = False
        self._idle: asyncio.TimerHandle | None = None
        self._recv_start = 0
        self._read_at = 0
        self.number = 0
        self.requests = 0
        self.accepted = 0
        self.blocked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; plain TCP is written to without the loop's detour."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from asyncio's
        self.accepted = monotonic_ns()
        self.number = self._answers.connected(self)
        self._direct = os.name == "posix" and transport.get_extra_info("sslcontext") is None
        if self._direct:
            self._fd = transport.get_extra_info("socket").fileno()
        self._watch_idleness()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an answer under way is over."""
        self._closing = True
        self._watch_idleness(stop=True)
        self._waiting.clear()
        self._answers.disconnected(self)
        # The parser holds us and we hold it; the collector is off, so nobody else would part the two.
        del self._parser
        if self._answering:
            answering, self._answering = self._answering, None
            answering.client_left()

    # Reading.

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        """Parse what was read."""
        self._read_at = monotonic_ns()
        try:
            self._parser.feed_data(_RECEIVED[:nbytes])
        except httptools.HttpParserError as broken:
            self._refuse(str(broken))
            return
        self.proceed()

    def eof_received(self) -> None:
        """Close: a client that has stopped sending has given up."""

    def on_message_begin(self) -> None:
        """First byte of a request."""
        self._recv_start = self._read_at
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        """Gather the path."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Gather a header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Say that the body may come, if the client waits for that."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self.send(CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Gather a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Queue the request."""
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=self._path.partition(b"?")[0].decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            keep_alive=self._parser.should_keep_alive(),
            recv_start=self._recv_start,
            recv_done=self._read_at,
        )
        self._waiting.append(request)
        if len(self._waiting) >= _MOST_PIPELINED:
            self._transport.pause_reading()

    # Answering.

    def proceed(self) -> None:
        """Hand over the next request, unless an answer is under way."""
        while self._waiting and self._answering is None and not self._closing:
            if len(self._waiting) == _MOST_PIPELINED:
                self._transport.resume_reading()
            self.requests += 1
            request = self._waiting.popleft()
            self._answering = self._answers.answer(self, request)
            if self._answering is None and not request.keep_alive:
                self.close()
        self._watch_idleness()

    def answered(self, *, keep_alive: bool) -> None:
        """Go on after an answer: with the next request, or by closing."""
        self._answering = None
        if not keep_alive:
            self.close()
        elif self._waiting:
            # Not from here: a client that pipelines thousands of requests must not nest as many calls.
            asyncio.get_running_loop().call_soon(self.proceed)
        else:
            self._watch_idleness()

    def send(self, data: bytes) -> None:
        """Write now; what the socket does not take follows when it can."""
        if self._closing:
            return
        if self._direct and not self._transport.get_write_buffer_size():
            try:
                sent = os.write(self._fd, data)
            except BlockingIOError:
                sent = 0
            except OSError:  # reset by the client; the loop will tell
                self.abort()
                return
            if sent == len(data):
                return
            self.blocked += 1
            data = data[sent:]
        self._transport.write(data)

    def close(self) -> None:
        """Close once everything is written."""
        if not self._closing:
            self._closing = True
            self._transport.close()

    def abort(self) -> None:
        """Close now, whatever has not been written."""
        self._closing = True
        self._transport.abort()

    def reset(self) -> None:
        """Break the connection: the client sees ECONNRESET."""
        linger = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.abort()

    def _refuse(self, reason: str) -> None:
        self.send(reply(400, error(400, reason), close=True))
        self.close()

    def _watch_idleness(self, *, stop: bool = False) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if self._answers.idle_timeout is not None and not stop and self._answering is None and not self._waiting:
            self._idle = asyncio.get_running_loop().call_later(self._answers.idle_timeout, self.close)
