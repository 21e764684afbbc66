"""HTTP/1.1 on one client connection: requests in, bytes out, one answer at a time."""

import asyncio
import os
import socket
import struct
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic_ns
from typing import TYPE_CHECKING, cast

import httptools
import orjson

if TYPE_CHECKING:
    from perfkit.simulator.exchange import Exchange
    from perfkit.simulator.server import Server

LAST_CHUNK = b"0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MOST_PIPELINED = 64
# One buffer for all connections: the loop passes each read on before it starts the next.
_RECEIVED = memoryview(bytearray(1 << 16))


def reply(status: int, body: bytes, *, headers: Mapping[str, str] | None = None, close: bool = False) -> bytes:
    """Return an answer with a JSON body of known length.

    Examples
    --------
    >>> reply(404, b"{}").splitlines()
    [b'HTTP/1.1 404 Not Found', b'content-type: application/json', b'content-length: 2', b'', b'{}']
    """
    lines = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    if close:
        lines["connection"] = "close"
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{head}\r\n".encode("latin-1") + body


def error_body(status: int, message: str) -> bytes:
    """Return the JSON body of an error as vLLM words it.

    Examples
    --------
    >>> error_body(404, "not found")
    b'{"error":{"message":"not found","type":"NotFound","param":null,"code":404}}'
    """
    kind = _phrase(status).replace(" ", "")
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": status}})


def stream_head(request_id: int, *, close: bool) -> bytes:
    """Return the status line and headers of a stream."""
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nx-request-id: %d\r\n"
        b"transfer-encoding: chunked\r\n%b\r\n" % (request_id, b"connection: close\r\n" if close else b"")
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


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


class Connection(asyncio.BufferedProtocol):
    """Reads requests, passes them to the server one by one, and writes straight to the socket."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[Request] = deque()
        self._exchange: Exchange | None = None
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
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from asyncio's
        self.accepted = monotonic_ns()
        self.number = self._server.connected(self)
        # The transport would do work of its own between the stamp of a token and its write.
        self._direct = os.name == "posix" and transport.get_extra_info("sslcontext") is None
        if self._direct:
            self._fd = transport.get_extra_info("socket").fileno()
        self._watch_idleness()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._watch_idleness(stop=True)
        self._waiting.clear()
        self._server.disconnected(self)
        # The parser holds us and we hold it; the collector is off, so nothing else would free the two.
        del self._parser
        if self._exchange:
            exchange, self._exchange = self._exchange, None
            exchange.client_left()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _RECEIVED

    def buffer_updated(self, nbytes: int) -> None:
        self._read_at = monotonic_ns()
        try:
            self._parser.feed_data(_RECEIVED[:nbytes])
        except httptools.HttpParserUpgrade:  # the parser takes what follows for the other protocol's
            self._refuse("this server speaks HTTP/1.1 alone; leave the header Upgrade out (curl: --http1.1)")
            return
        except httptools.HttpParserError as broken:
            self._refuse(str(broken))
            return
        self.proceed()

    def eof_received(self) -> None:
        """A client that has stopped sending has given up: returning None closes the connection."""

    def on_message_begin(self) -> None:
        self._recv_start = self._read_at
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._headers.get("expect", "").lower() == "100-continue":
            self.send(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
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

    def proceed(self) -> None:
        """Pass the next request on, unless an answer is under way."""
        while self._waiting and self._exchange is None and not self._closing:
            if len(self._waiting) == _MOST_PIPELINED:
                self._transport.resume_reading()
            self.requests += 1
            request = self._waiting.popleft()
            self._exchange = self._server.answer(self, request)
            if self._exchange is None and not request.keep_alive:
                self.close()
        self._watch_idleness()

    def answered(self, *, keep_alive: bool) -> None:
        """Go on after an answer: with the next request, or by closing."""
        self._exchange = None
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
            except OSError:  # reset by the client; connection_lost follows
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
        self.send(reply(400, error_body(400, reason), close=True))
        self.close()

    def _watch_idleness(self, *, stop: bool = False) -> None:
        if self._idle:
            self._idle.cancel()
            self._idle = None
        if self._server.idle_timeout is not None and not stop and self._exchange is None and not self._waiting:
            self._idle = asyncio.get_running_loop().call_later(self._server.idle_timeout, self.close)
