"""One kept-alive HTTP/1.1 connection on a bare socket: the hot path.

The loop tells us that the socket is readable; we read into one shared buffer, stamp, and keep the bytes. httptools
finds the end of the answer; of a chunked one it is asked only where that end could be, since looking at each chunk
took a seventh of the loop. Nothing else is decoded: framing, JSON, text and tokens wait until the stream has ended.
Reading this way costs the same as asyncio's ``BufferedProtocol``, and the kernel's receive stamps, TLS and plain
TCP all come through the same few lines.
"""

import asyncio
import errno
import os
import re
import socket
from collections.abc import Callable
from struct import Struct
from time import perf_counter_ns

import httptools

from perfkit.decoding.exchange import SMALLEST_LIMIT, Exchange, largest_body
from perfkit.decoding.framing import NOT_READ
from perfkit.loadgen.transport.readiness import Readiness
from perfkit.loadgen.transport.tls import TlsLayer, tls_problem
from perfkit.records import ErrorKind

SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)  # not named by Python; 35 on Linux for all common machines
ANCILLARY = 64  # room for one timespec
TCP_INFO = getattr(socket, "TCP_INFO", None)  # Linux
ACKNOWLEDGED = Struct("=120xQ")  # tcpi_bytes_acked in Linux's struct tcp_info
LARGEST_UNSEEN = 2**20  # of a chunked answer, not shown to the parser yet
LINGER = 0.1  # s that the end of a message may come after the end of its answer, until a server was seen to take longer
CHUNKS_END = b"\r\n\r\n"  # how every chunked answer ends, and hardly another read of one
ANSWER_ENDS = (b"[DONE]\n\n\r\n", b"[DONE]\n\n", b"[DONE]\n\r\n", b'message_stop"}\n\n\r\n', b'message_stop"}\n\n')
_ENDS = (CHUNKS_END, *ANSWER_ENDS)
_LAST_EVENTS = (b"data:[DONE]", b'data:{"type":"message_stop"}')
LARGEST_HEAD = 2**20
H2_SETTINGS, H2_GOAWAY = 4, 7  # HTTP/2 frames that a server begins with
TLS_ALERT = b"\x15\x03"
_SWITCHING = re.compile(rb"HTTP/1\.\d 101\b")


def too_large(most: int) -> str:
    """Say that an answer has more bytes than it may have."""
    return f"the answer is larger than {most >> 20} MiB"


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
    sockets : Readiness
        Calls back when the socket is ready.
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
        sockets: Readiness,
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
        self.closed_at = 0
        """When it was closed (ns)."""
        self.why_closed: tuple[ErrorKind, str] = ("reset", "the server closed the connection before it was used")
        """What ended it while it was idle."""
        self.draining = False
        """Its last answer is complete, and the message that carried it goes on."""
        self.streams: Callable[[], int] = lambda: 1
        """How many answers have been under way at once."""
        self.linger = LINGER
        """Seconds that the end of a message may come after the end of its answer."""
        self.durations: tuple[float | None, float | None, float | None] = (None, None, None)
        self._loop, self._sockets, self._sock, self._tls, self._kernel = loop, sockets, sock, tls, kernel
        self._recv_into, self._recvmsg_into = sock.recv_into, sock.recvmsg_into
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._complete = self._excess = self._keep = self._chunked = False
        self._stamp = self._seen = 0
        self._unsent = memoryview(b"")
        self._acknowledged_before: int | None = None
        self._answered: asyncio.TimerHandle | None = None
        sockets.add_reader(sock.fileno(), self._on_readable)

    def exchange(self, request: bytes, exchange: Exchange) -> "asyncio.Future[None]":
        """Write a request now, and return a future that is done when its answer has ended or failed.

        The future never raises for what the server or the network does: that is in ``exchange.error_kind``.
        """
        self.uses += 1
        exchange.connection, exchange.connection_use = self.number, self.uses
        exchange.dns, exchange.connect, exchange.tls = self.durations
        self._exchange, self._seen, self._chunked = exchange, 0, False
        waiter = self._waiter = self._loop.create_future()
        data = self._tls.seal(request) if self._tls else request
        self._acknowledged_before = self._acknowledged() if self.uses > 1 else None
        # Stamped right before the one write: whatever happened earlier is the client's lag, not the server's time.
        exchange.start = perf_counter_ns()
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._broke_while_sending(error)
            return waiter
        if sent == len(data):
            exchange.written = perf_counter_ns()
        else:
            self._unsent = memoryview(data)[sent:]
            self._sockets.add_writer(self._sock.fileno(), self._on_writable)
        return waiter

    def give_up(self, kind: ErrorKind, error: str) -> None:
        """End the exchange under way with an error (a time limit, an interruption) and close.

        Not with that error if its end has come already, unseen, or if what has come is no HTTP.
        """
        exchange = self._exchange
        if exchange is not None:
            stamp = perf_counter_ns()
            broken = self._show(exchange)
            if self._complete or self._answered is not None:
                exchange.end = exchange.stamps[-1]
            elif broken is not None:
                exchange.fail("protocol", not_http(exchange.wire, broken), stamp)
            else:
                exchange.fail(kind, error, stamp)
        self.close()
        self._finish()

    def look(self) -> None:
        """Look for the end of the answer where none was expected: a server may say more than it should behind it."""
        if self._exchange is not None and self._exchange.wire:
            self._see(self._exchange)

    def still_open(self) -> bool:
        """Look whether the server has closed an idle connection, which the loop may not have told yet."""
        if self.alive:
            try:
                self._sock.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                self.close()
            else:
                self._on_readable()
        return self.alive

    def close(self) -> None:
        """Close the socket; safe to repeat."""
        if not self.alive:
            return
        self.alive = self.draining = False
        self.closed_at = perf_counter_ns()
        self._sockets.remove_reader(self._sock.fileno())
        self._sockets.remove_writer(self._sock.fileno())
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
            self._broke_while_sending(error)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._sockets.remove_writer(self._sock.fileno())
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
            if self.draining:
                self._complete, self._keep = True, self._parser.should_keep_alive()
            return
        if exchange.status is not None and 100 <= exchange.status < 200:
            exchange.response_headers.clear()
            exchange.headers = exchange.status = None
        else:
            self._complete = True
            self._keep = self._parser.should_keep_alive()  # the parser knows it only within this call
            if self._chunked and self._parser.get_http_version() == "1.0":
                self._keep = False  # which has no chunks: what stands between may read the length in another way
            self._exchange = None  # whatever else this read brought is not its answer

    # What follows from them.

    def _feed(self, exchange: Exchange, tls: TlsLayer, data: memoryview) -> None:
        try:
            plain = tls.open(data)
        except OSError as error:  # ssl.SSLError is one
            self.give_up("tls", tls_problem(error))
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
        if not self._chunked or wire.endswith(_ENDS) or size - self._seen > LARGEST_UNSEEN:
            self._see(exchange)

    def _see(self, exchange: Exchange) -> None:
        """Look whether the answer has ended, is not an answer, or is too large."""
        broken = self._show(exchange)
        if self._complete:
            self._complete = False
            exchange.end = exchange.stamps[-1]
            if broken or self._excess or self._unsent or not self._keep:
                self.close()  # what is left of this request must not stand before the next
            self._finish()
        elif broken:
            self.give_up("protocol", not_http(exchange.wire, broken))
        elif exchange.headers is None and len(exchange.wire) > LARGEST_HEAD:
            self.give_up("too_large", f"the answer's head is larger than {LARGEST_HEAD >> 10} KiB")
        elif len(exchange.wire) > SMALLEST_LIMIT and len(exchange.wire) > (most := largest_body(self.streams())):
            self.give_up("too_large", too_large(most))
        elif self._answered is None and exchange.headers is not None and _is_answered(exchange.wire):
            self._answered = self._loop.call_later(self.linger, self._release)

    def _release(self) -> None:
        """End an answer that is complete while its message goes on; the connection stays taken until that ends too."""
        exchange = self._exchange
        if exchange is None:
            return
        broken = self._show(exchange)
        exchange.end, exchange.released = exchange.stamps[-1], perf_counter_ns()
        self.draining = not self._complete
        if broken or self._complete or self._unsent:
            self.close()
        self._complete = False
        self._finish()

    def _drain(self, plain: bytes | memoryview) -> None:
        """Follow a message whose answer was complete to its end."""
        try:
            self._parser.feed_data(plain)
        except NOT_READ:
            self.close()
            return
        if self._complete:
            self._complete = self.draining = False
            self.idle_since = perf_counter_ns()
            if self._excess or not self._keep:
                self.close()

    def _show(self, exchange: Exchange) -> Exception | None:
        """Show the parser what has come since it last looked; return what is wrong with it."""
        seen, self._seen = self._seen, len(exchange.wire)
        try:
            with memoryview(exchange.wire) as view:
                self._parser.feed_data(view[seen:])
        except NOT_READ as error:
            return error
        return None

    def _idle_bytes(self, size: int) -> None:
        """Handle what comes between exchanges: a TLS ticket is welcome, anything else ends the connection."""
        data: bytes | memoryview = _view[:size]
        if size and self._tls is not None:
            try:
                data = self._tls.open(data)
            except OSError as error:
                self.why_closed = "tls", tls_problem(error)
                self.close()
                return
            if not data and not self._tls.ended:
                return
        if data and self.draining:
            self._drain(data)
            return
        if data:
            self.why_closed = "protocol", not_http(data, "bytes came before a request was sent")
        self.close()

    def _broke_while_sending(self, error: OSError) -> None:
        """Read what the server said before it closed, such as why it refuses the request."""
        self._unsent = memoryview(b"")
        self._sockets.remove_writer(self._sock.fileno())
        while (exchange := self._exchange) is not None:
            reads = len(exchange.stamps)
            self._on_readable()
            if self._exchange is not None and len(exchange.stamps) == reads:
                self._lost(f"the connection broke while sending: {error.strerror}")
        self.close()

    def _ended(self) -> None:
        """Handle the peer's close: an idle connection dies quietly, a body without a length is complete."""
        exchange = self._exchange
        if exchange is not None and exchange.headers is not None and exchange.ends_with_connection:
            exchange.end = self._stamp
            self.close()
            self._finish()
        else:
            self._lost("the server closed the connection before the answer was complete")

    def _lost(self, sentence: str) -> None:
        before = self._acknowledged_before
        if self._exchange is not None and before is not None:
            self._exchange.unreceived = self._acknowledged() == before
        self.give_up("reset", sentence)

    def _acknowledged(self) -> int | None:
        """Return how many bytes the other end's kernel has acknowledged so far; None where nobody counts them."""
        if TCP_INFO is None:
            return None
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, ACKNOWLEDGED.size)
        except OSError:  # a unix socket
            return None
        return int(ACKNOWLEDGED.unpack(info)[0]) if len(info) == ACKNOWLEDGED.size else None

    def _finish(self) -> None:
        waiter, self._waiter, self._exchange = self._waiter, None, None
        if self._answered is not None:
            self._answered.cancel()
            self._answered = None
        self.idle_since = perf_counter_ns()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def not_http(came: bytes | bytearray | memoryview, problem: object) -> str:
    r"""Say what a server speaks that does not speak HTTP/1.1, from the first bytes that it sent.

    Examples
    --------
    >>> not_http(bytes((0, 0, 6, 4, 0, 0, 0, 0, 0)), "")[:30]
    'the server speaks HTTP/2 only;'
    >>> not_http(b"SSH-2.0-OpenSSH", "Expected HTTP/")
    "not an HTTP answer: Expected HTTP/; it begins 'SSH-2.0-OpenSSH'"
    """
    start = bytes(came[:9])
    if len(start) == 9 and start[3] in (H2_SETTINGS, H2_GOAWAY) and start[5:] == bytes(4):
        return "the server speaks HTTP/2 only; let it accept HTTP/1.1, or put a gateway that does before it"
    if _SWITCHING.match(came):
        return "the server switches to another protocol (HTTP 101), which nobody asked for"
    if start[:2] == TLS_ALERT:
        return "the server speaks TLS; give https:// in place of http://"
    return f"not an HTTP answer: {problem}; it begins {bytes(came[:40]).decode('latin-1')!r}"


def _is_answered(wire: bytearray) -> bool:
    """Tell whether the last event of an answer is the last thing that has come."""
    return wire[-64:].rstrip().replace(b" ", b"").endswith(_LAST_EVENTS)


def _is_chunked(exchange: Exchange) -> bool:
    codings = (value for name, value in exchange.response_headers if name.lower() == b"transfer-encoding")
    return any(b"chunked" in value.lower() for value in codings)
