"""Keeps connections warm: opened before a request is due, replaced before the server would close them."""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count
from time import perf_counter, perf_counter_ns
from typing import Any

from perfkit.decoding.clock import unix_offset
from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.transport.connection import LINGER, SO_TIMESTAMPNS, Connection
from perfkit.loadgen.transport.readiness import EpollReadiness, Readiness, connect
from perfkit.loadgen.transport.target import Target
from perfkit.loadgen.transport.tls import TlsLayer, tls_problem
from perfkit.options.arguments import Arguments
from perfkit.options.certificates import run_context, tls_context
from perfkit.records import CANCELLED, ErrorKind

IDLE_LIMIT = 4_000_000_000  # ns; common servers close idle connections after 5 s
OPENING_AT_ONCE = 64  # a listen backlog is 128 on many servers
STOPPED = "the run was stopped"
SILENCE = 1_000_000_000  # ns without a word after which the end of an answer may have been missed
SOONEST = 0.005  # s between two looks at time limits
LOOK_EVERY = 0.1  # s between two looks at idle connections
RESEND_WITHIN = 5_000_000  # ns after the write, or two round trips if they are longer; see _may_have_missed
RIGHT_AFTER = 1_000_000_000  # ns after an answer; a server that closes later has a limit for idle connections
REST = 500_000_000  # ns that a connection must outlive its answer where servers were seen to close them
CLOSED_AT_FIRST = 3  # connections in a row closed right after their answers, from which that is the server's way

_Address = tuple[socket.AddressFamily, Any]


class ConnectFailed(Exception):
    """A connection could not be opened; says which kind of failure it was."""

    def __init__(self, kind: ErrorKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


class Pool:
    """Connections to one target, and the time limits of what travels on them.

    Parameters
    ----------
    target : Target
        Where to.
    connect_timeout, read_timeout, total_timeout : float, seconds
        Longest connect, silence between two bytes, and answer.
    context : ssl.SSLContext, optional
        What TLS trusts and shows, where the target wants TLS; default: the system's authorities.
    unix_socket : str, optional
        Path of the socket to connect to instead of the target's host and port.
    kernel : bool
        Ask for kernel receive stamps.
    numbers : iterator of int, optional
        Numbers its connections: shared by the pools of one run.
    """

    def __init__(
        self,
        target: Target,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        total_timeout: float = 6 * 3600.0,
        context: ssl.SSLContext | None = None,
        unix_socket: str | None = None,
        kernel: bool = False,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.target = target
        self._numbers = numbers or count(1)
        self._place = unix_socket or target.origin
        self.opened = 0
        self.most = 0
        """Most connections in use at once."""
        self.failed = 0
        self.spare: Callable[[], int] = int
        """Tells how many idle connections to keep ready beyond those in use."""
        self.kernel = kernel and sys.platform == "linux" and unix_socket is None
        self._limits = connect_timeout, int(read_timeout * 1e9), int(total_timeout * 1e9)
        self._context = (context or tls_context(True, None)) if target.tls else None
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._resting: set[Connection] = set()
        """Answered, but not fit to be used again: the message goes on, or the server may be about to close it."""
        self._closed_in_a_row = 0
        self._reused = False
        self._linger = LINGER
        self._opening = asyncio.Semaphore(OPENING_AT_ONCE)
        self._addresses: list[_Address] = [(socket.AF_UNIX, unix_socket)] if unix_socket else []
        self._dns: float | None = None
        self._offset = unix_offset()
        self._keeper: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._sockets: Readiness = EpollReadiness(loop) if sys.platform == "linux" else loop
        self._kept = 0
        self._interrupted = False

    @classmethod
    def of(
        cls, target: Target, arguments: Arguments, kernel: bool = False, numbers: Iterator[int] | None = None
    ) -> "Pool":
        """Return the pool that a run's arguments describe."""
        return cls(
            target,
            connect_timeout=arguments.connect_timeout,
            read_timeout=arguments.read_timeout,
            total_timeout=arguments.total_timeout,
            context=run_context(arguments) if target.tls else None,
            unix_socket=arguments.unix_socket,
            kernel=kernel,
            numbers=numbers,
        )

    @property
    def in_flight(self) -> int:
        """Number of exchanges under way."""
        return len(self._busy)

    @property
    def idle(self) -> int:
        """Number of connections that stand open and carry nothing."""
        return len(self._idle) + len(self._resting)

    async def warm(self, count: int) -> None:
        """Open connections until ``count`` are idle; raises ConnectFailed if one cannot be opened."""
        self._watch()
        missing = max(0, count - len(self._idle))
        opened = await asyncio.gather(*(self._open() for _ in range(missing)), return_exceptions=True)
        self._idle += [each for each in opened if isinstance(each, Connection)]
        for each in opened:
            if isinstance(each, BaseException):
                raise each

    async def send(self, request: bytes, cancel_after: float | None = None) -> Exchange:
        """Send a request on a warm connection (a new one if none is left) and wait for the answer's end.

        At most ``cancel_after`` seconds from when it was written: then its connection is closed.

        A request that a closing connection cannot have brought to the server is sent once more, on a new one:
        ``attempts`` is 2 then. Nothing else is repeated.
        """
        self._watch()
        exchange = await self._attempt(request, cancel_after)
        if self._may_have_missed(exchange):
            exchange = await self._attempt(request, cancel_after, fresh=True)
            exchange.attempts = 2
        return exchange

    @staticmethod
    def _may_have_missed(exchange: Exchange) -> bool:
        """Tell whether a kept-alive connection was being closed while the request was on its way.

        No byte of it was acknowledged then; or, where nobody counts these, the close is here within a round trip of the
        write. One that comes later was made by a server that had the request: to send it again would hide a failure.
        """
        if exchange.error_kind != "reset" or exchange.connection_use == 1 or exchange.stamps:
            return False
        if exchange.unreceived:
            return True
        round_trips = 2 * int((exchange.connect or 0) * 1e9)
        return (exchange.end or 0) - exchange.start <= max(RESEND_WITHIN, round_trips)

    async def _attempt(self, request: bytes, cancel_after: float | None, fresh: bool = False) -> Exchange:
        exchange = Exchange(kernel_offset=self._offset)
        exchange.start = perf_counter_ns()
        connection = None if fresh else self._take()
        if connection is None:
            try:
                connection = await self._open()
            except ConnectFailed as error:
                exchange.fail(error.kind, str(error), perf_counter_ns())
                return exchange
        if self._interrupted:
            exchange.fail("interrupted", STOPPED, exchange.start)
            connection.close()
            return exchange
        if not connection.alive:
            exchange.fail(*connection.why_closed, perf_counter_ns())
            return exchange
        self._busy.add(connection)
        self.most = max(self.most, len(self._busy))
        idle_since, connection.linger = connection.idle_since, self._linger
        answered = connection.exchange(request, exchange)
        if cancel_after is None:
            await answered
        else:
            leaving = self._loop.call_later(cancel_after, connection.give_up, *cancelled(cancel_after))
            await answered
            leaving.cancel()
        self._busy.discard(connection)
        if connection.uses > 1 and exchange.stamps:
            self._closed_in_a_row, self._reused = 0, True
        elif self._may_have_missed(exchange):
            self._note_close(connection, idle_since)
        if connection.alive:
            if connection.draining or self._closes_each:
                self._resting.add(connection)
                if connection.draining:
                    self._linger = 0.0  # others of this server's messages will go on, too
            else:
                self._idle.append(connection)
        return exchange

    @property
    def _closes_each(self) -> bool:
        """True once the server was seen to close connections after each answer without a word of it."""
        return self._closed_in_a_row >= (CLOSED_AT_FIRST if self._reused else 1)

    def _note_close(self, connection: Connection, idle_since: int) -> None:
        """Count a connection that the server closed right after its answer."""
        if connection.uses and connection.closed_at - idle_since < RIGHT_AFTER:
            self._closed_in_a_row += 1

    def interrupt(self) -> None:
        """Give up every exchange under way, and send no more; what has come of each is kept."""
        self._interrupted = True
        for connection in list(self._busy):
            connection.give_up("interrupted", STOPPED)

    def _take(self) -> Connection | None:
        """Return an idle connection that still stands: the one used last, whose window is widest."""
        while self._idle:
            connection = self._idle.pop()
            if connection.still_open():
                return connection
            self._note_close(connection, connection.idle_since)
        for connection in () if self._closes_each else self._resting:
            if not connection.draining:
                self._resting.discard(connection)
                return connection if connection.still_open() else None
        return None

    async def _open(self) -> Connection:
        async with self._opening:
            try:
                # Not wait_for: until Python 3.12 it swallows a cancellation that comes as the connection is made.
                async with asyncio.timeout(self._limits[0]):
                    return await self._connect()
            except TimeoutError:
                self.failed += 1
                raise ConnectFailed(
                    "connect_timeout", f"no connection to {self._place} within {self._limits[0]:g} s"
                ) from None
            except ssl.SSLError as error:
                self.failed += 1
                raise ConnectFailed("tls", f"TLS with {self._place} failed: {tls_problem(error)}") from None
            except OSError as error:
                self.failed += 1
                raise ConnectFailed("connect", f"cannot connect to {self._place}: {system_message(error)}") from None

    async def _connect(self) -> Connection:
        """Connect to the first address that takes us, and to that one alone from then on."""
        loop = asyncio.get_running_loop()
        if not self._addresses:
            await self._resolve(loop)
        *others, last = self._addresses
        for address in others:  # localhost is ::1 first on many machines, and servers listen on 127.0.0.1
            with contextlib.suppress(ConnectionError):
                connection = await self._connect_to(loop, address)
                self._addresses = [address]
                return connection
        return await self._connect_to(loop, last)

    async def _connect_to(self, loop: asyncio.AbstractEventLoop, address: _Address) -> Connection:
        sock = socket.socket(address[0], socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if address[0] != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.kernel:
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            began = perf_counter()
            await connect(self._sockets, sock, address[1])
            connected = perf_counter()
            layer, tls_time = None, None
            if self._context is not None:
                layer = TlsLayer(self._context, self.target.host)
                await layer.handshake(self._sockets, sock)
                tls_time = perf_counter() - connected
        except BaseException:
            sock.close()
            raise
        self.opened += 1
        connection = Connection(loop, self._sockets, sock, next(self._numbers), tls=layer, kernel=self.kernel)
        connection.streams = lambda: self.most
        connection.durations = (self._dns if self.opened == 1 else None, connected - began, tls_time)
        return connection

    async def _resolve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look the name up once per pool: a run measures the server, not the resolver."""
        began = perf_counter()
        found = await loop.getaddrinfo(self.target.host, self.target.port, type=socket.SOCK_STREAM)
        self._dns = perf_counter() - began
        self._addresses = [(family, address) for family, _, _, _, address in found]

    def _watch(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Enforce time limits, drop connections that idled too long, keep spares, follow the kernel's clock."""
        due = looked = 0
        while True:
            now = perf_counter_ns()
            await asyncio.sleep(min(LOOK_EVERY, max(SOONEST, (due - now) / 1e9)))
            now = perf_counter_ns()
            # Looking at every stream takes its time from those that have something to read.
            if now >= due or now - looked >= SILENCE:
                looked, due = now, self._enforce_limits(now)
            if now - self._kept >= LOOK_EVERY * 1e9:
                self._kept = now
                self._offset = unix_offset(1)
                self._drop_idle(now)
                await self._keep_spares()

    async def _keep_spares(self) -> None:
        missing = min(self.spare() - len(self._idle), OPENING_AT_ONCE)
        if missing > 0:
            with contextlib.suppress(ConnectFailed):  # counted in `failed`; the request that needs one will tell
                await self.warm(len(self._idle) + missing)

    def _enforce_limits(self, now: int) -> int:
        """Give up what is beyond a limit; return when the next could be."""
        _, read, total = self._limits
        due = now + min(read, total)
        for connection in list(self._busy):
            last, started = connection.last_read, connection.started
            if now - last > SILENCE:
                connection.look()
            if now - started >= total:
                connection.give_up("total_timeout", f"the answer took longer than {total / 1e9:g} s")
            elif now - last >= read:
                connection.give_up("read_timeout", f"nothing came for {read / 1e9:g} s")
            else:
                due = min(due, last + read, started + total)
        return due

    def _drop_idle(self, now: int) -> None:
        for connection in list(self._resting):
            rested = now - connection.idle_since
            if connection.draining and rested < self._limits[1]:
                continue
            if connection.alive and not connection.draining and rested < (REST if self._closes_each else 0):
                continue
            self._resting.discard(connection)
            if connection.draining:
                connection.close()
            elif connection.alive:
                if rested >= REST:
                    self._closed_in_a_row = 0  # it was kept, so others will be
                self._idle.append(connection)
        kept: deque[Connection] = deque()
        for connection in self._idle:
            if connection.alive and now - connection.idle_since < IDLE_LIMIT:
                kept.append(connection)
                continue
            if not connection.alive:
                self._note_close(connection, connection.idle_since)
            connection.close()
        self._idle = kept

    async def close(self) -> None:
        """Close every connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        for connection in [*self._idle, *self._busy, *self._resting]:
            connection.close()
        self._idle.clear()
        if isinstance(self._sockets, EpollReadiness):
            self._sockets.close()


def cancelled(after: float) -> tuple[ErrorKind, str]:
    """Return kind and text of what ends the request of a client that leaves."""
    return CANCELLED, f"the client closed the connection {after:g} s after the request, as cancel has it"


def system_message(error: OSError) -> str:
    """Return what the system calls an error; asyncio's own texts say less."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error)
