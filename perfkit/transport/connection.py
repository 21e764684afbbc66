"""One kept-alive HTTP/1.1 connection on a bare socket: the hot path.

The loop tells us that the socket is readable; we read into one shared buffer, stamp, and keep the bytes. httptools
finds the end of the answer; of a chunked one it is asked only where that end could be, since looking at each chunk
took a seventh of the loop. Nothing else is decoded: framing, JSON, text and tokens wait until the stream has ended.
Reading this way costs the same as asyncio's ``BufferedProtocol``, and the kernel's receive stamps, TLS and plain
TCP all come through the same few lines.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from time import perf_counter_ns

import httptools

from perfkit.records import ErrorKind
from perfkit.transport.exchange import Exchange
from perfkit.transport.tls import TlsLayer

SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)  # not named by Python; 35 on Linux for all common machines
ANCILLARY = 64  # room for one timespec
LARGEST_BODY = 32 * 2**20
LARGEST_UNSEEN = 2**20  # of a chunked answer, not shown to the parser yet
CHUNKS_END = b"\r\n\r\n"  # how every chunked answer ends, and hardly another read of one
LARGEST_HEAD = 2**20
TOO_LARGE = f"the answer is larger than {LARGEST_BODY >> 20} MiB"

_room = bytearray(2**18)
_rooms = [_room]
_view = memoryview(_room)
# Shared by every connection of the process: reads are handled one after the other on one thread, and a buffer of
# its own for each of 2,000 streams would be 500 MB.


class Connection:
    """A connection that carries one exchange at a time.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The loop it lives on.
    sock : socket.socket
        Connected and non-blocking; TLS already shaken hands.
    number : int
        Its number within the run.
    tls : TlsLayer, optional
        What turns the socket's bytes into plain ones.
    kernel : bool
        The socket was asked for the kernel's receive stamps (SO_TIMESTAMPNS).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        number: int,
        *,
        tls: TlsLayer | None = None,
        kernel: bool = False,
    ) -> None:
        self.number = number
        self.uses = 0
        self.alive = True
        self.idle_since = perf_counter_ns()
        self.durations: tuple[float | None, float | None, float | None] = (None, None, None)
        self._loop, self._sock, self._tls, self._kernel = loop, sock, tls, kernel
        self._recv_into, self._recvmsg_into = sock.recv_into, sock.recvmsg_into
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._complete = self._excess = self._keep = self._chunked = False
        self._stamp = self._seen = 0
        self._unsent = memoryview(b"")
        loop.add_reader(sock.fileno(), self._on_readable)

    def exchange(self, request: bytes, exchange: Exchange) -> "asyncio.Future[None]":
        """Write a request now, and return a future that is done when its answer has ended or failed.

        The future never raises for what the server or the network does: that is in ``exchange.error_kind``.
        """
        self.uses += 1
        exchange.connection, exchange.connection_use = self.number, self.uses
        exchange.dns, exchange.connect, exchange.tls = self.durations
        self._exchange, self._seen, self._chunked = exchange, 0, False
        self._waiter = self._loop.create_future()
        data = self._tls.seal(request) if self._tls else request
        # Stamped right before the one write: whatever happened earlier is the client's lag, not the server's time.
        exchange.start = perf_counter_ns()
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._lost(f"the connection broke while sending: {error.strerror}")
            return self._waiter or _done(self._loop)
        if sent == len(data):
            exchange.written = perf_counter_ns()
        else:
            self._unsent = memoryview(data)[sent:]
            self._loop.add_writer(self._sock.fileno(), self._on_writable)
        return self._waiter

    def give_up(self, kind: ErrorKind, error: str) -> None:
        """End the exchange under way with an error (a time limit, an interruption) and close.

        Not with that error if its end has come already, unseen, or if what has come is no HTTP.
        """
        exchange = self._exchange
        if exchange is not None:
            stamp = perf_counter_ns()
            broken = self._show(exchange)
            if self._complete:
                exchange.end = exchange.stamps[-1]
            elif broken is not None:
                exchange.fail("protocol", f"not an HTTP answer: {broken}", stamp)
            else:
                exchange.fail(kind, error, stamp)
        self.close()
        self._finish()

    def look(self) -> None:
        """Look for the end of the answer where none was expected: a server may say more than it should behind it."""
        if self._exchange is not None and self._exchange.wire:
            self._see(self._exchange)

    def close(self) -> None:
        """Close the socket; safe to repeat."""
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()

    @property
    def last_read(self) -> int:
        """When something last came for the exchange under way, or when it was sent (ns)."""
        exchange = self._exchange
        if exchange is None:
            return self.idle_since
        return exchange.stamps[-1] if exchange.stamps else exchange.start

    @property
    def started(self) -> int:
        """When the exchange under way was sent (ns)."""
        return self._exchange.start if self._exchange is not None else self.idle_since

    # Called by the loop.

    def _on_readable(self) -> None:
        stamp_bytes = b""
        try:
            if self._kernel:
                size, ancillary, _, _ = self._recvmsg_into(_rooms, ANCILLARY)
                if ancillary:
                    stamp_bytes = ancillary[0][2]
            else:
                size = self._recv_into(_room)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(f"the connection broke: {os.strerror(error.errno or errno.EIO)}")
            return
        self._stamp = stamp = perf_counter_ns()
        exchange = self._exchange
        if exchange is None:
            self._idle_bytes(size)
            return
        if not size:
            self._ended()
            return
        if self._kernel:
            exchange.kernel += stamp_bytes
        exchange.stamps.append(stamp)
        if self._tls is None:
            self._take(exchange, _view[:size])
        else:
            self._feed(exchange, self._tls, _view[:size])

    def _on_writable(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(f"the connection broke while sending: {error.strerror}")
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._sock.fileno())
            if self._exchange is not None:
                self._exchange.written = perf_counter_ns()

    # Called by httptools, within _show.

    def on_message_begin(self) -> None:
        """Note that bytes follow a whole answer: they belong to none of ours."""
        self._excess = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of the answer."""
        if self._exchange is not None:
            self._exchange.response_headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Stamp the end of the headers."""
        exchange = self._exchange
        if exchange is not None:
            exchange.headers = self._stamp
            exchange.status = self._parser.get_status_code()
            self._chunked = exchange.status >= 200 and _is_chunked(exchange)

    def on_message_complete(self) -> None:
        """Note that the answer is whole, unless it was an interim one (1xx)."""
        exchange = self._exchange
        if exchange is None:
            return
        if exchange.status is not None and 100 <= exchange.status < 200:
            exchange.response_headers.clear()
            exchange.headers = exchange.status = None
        else:
            self._complete = True
            self._keep = self._parser.should_keep_alive()  # the parser knows it only within this call
            self._exchange = None  # whatever else this read brought is not its answer

    # What follows from them.

    def _feed(self, exchange: Exchange, tls: TlsLayer, data: memoryview) -> None:
        try:
            plain = tls.open(data)
        except OSError as error:  # ssl.SSLError is one
            self.give_up("tls", f"the TLS record could not be read: {error}")
            return
        if plain:
            self._take(exchange, plain)
        else:  # a part of a record, or a ticket: no byte of the answer has come
            exchange.unread()
        if tls.ended and self.alive:
            self._ended()

    def _take(self, exchange: Exchange, plain: bytes | memoryview) -> None:
        wire = exchange.wire
        wire += plain
        size = len(wire)
        exchange.ends.append(size)
        # Nearly every read of nearly every stream is a chunk that is not the last.
        if not self._chunked or wire.endswith(CHUNKS_END) or size - self._seen > LARGEST_UNSEEN:
            self._see(exchange)

    def _see(self, exchange: Exchange) -> None:
        """Look whether the answer has ended, is no answer, or is too large."""
        broken = self._show(exchange)
        if self._complete:
            self._complete = False
            exchange.end = exchange.stamps[-1]
            if broken or self._excess or self._unsent or not self._keep:
                self.close()  # what is left of this request must not stand before the next
            self._finish()
        elif broken:
            self.give_up("protocol", f"not an HTTP answer: {broken}")
        elif exchange.headers is None and len(exchange.wire) > LARGEST_HEAD:
            self.give_up("too_large", f"the answer's head is larger than {LARGEST_HEAD >> 10} KiB")
        elif len(exchange.wire) > LARGEST_BODY:
            self.give_up("too_large", TOO_LARGE)

    def _show(self, exchange: Exchange) -> httptools.HttpParserError | None:
        """Show the parser what has come since it last looked; return what is wrong with it."""
        seen, self._seen = self._seen, len(exchange.wire)
        try:
            with memoryview(exchange.wire) as view:
                self._parser.feed_data(view[seen:])
        except httptools.HttpParserError as error:
            return error
        return None

    def _idle_bytes(self, size: int) -> None:
        """Handle what comes between exchanges: a TLS ticket is welcome, anything else ends the connection."""
        if size and self._tls:
            with contextlib.suppress(ssl.SSLError):
                self._tls.open(_view[:size])
                if not self._tls.ended:
                    return
        self.close()

    def _ended(self) -> None:
        """Handle the peer's close: an idle connection dies quietly, a body without a length is complete."""
        exchange = self._exchange
        if exchange is not None and exchange.headers is not None and _ends_with_connection(exchange):
            exchange.end = self._stamp
            self.close()
            self._finish()
        else:
            self._lost("the server closed the connection before the answer was complete")

    def _lost(self, sentence: str) -> None:
        self.give_up("reset", sentence)

    def _finish(self) -> None:
        waiter, self._waiter, self._exchange = self._waiter, None, None
        self.idle_since = perf_counter_ns()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _done(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
    future = loop.create_future()
    future.set_result(None)
    return future


def _is_chunked(exchange: Exchange) -> bool:
    codings = (value for name, value in exchange.response_headers if name.lower() == b"transfer-encoding")
    return any(b"chunked" in value.lower() for value in codings)


def _ends_with_connection(exchange: Exchange) -> bool:
    """Tell whether the body has neither a length nor chunks, so that only the close ends it."""
    names = {name.lower() for name, _ in exchange.response_headers}
    return b"content-length" not in names and b"transfer-encoding" not in names
