"""Keeps connections warm: opened before a request is due, replaced before the server would close them."""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections import deque
from time import perf_counter, perf_counter_ns
from typing import Any

from perfkit.records import ErrorKind
from perfkit.transport.clock import unix_offset
from perfkit.transport.connection import SO_TIMESTAMPNS, Connection
from perfkit.transport.exchange import Exchange, Target
from perfkit.transport.tls import TlsLayer, tls_context

IDLE_LIMIT = 4_000_000_000  # ns; common servers close idle connections after 5 s
OPENING_AT_ONCE = 64  # a listen backlog is 128 on many servers
STOPPED = "the run was stopped"
SILENCE = 1_000_000_000  # ns without a word after which the end of an answer may have been missed
LOOK_EVERY = 0.1  # s between two looks at time limits and idle connections

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
    verify, ca_file
        What TLS trusts.
    kernel : bool
        Ask for kernel receive stamps.
    """

    def __init__(
        self,
        target: Target,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 120.0,
        total_timeout: float = 6 * 3600.0,
        verify: bool = True,
        ca_file: str | None = None,
        kernel: bool = False,
    ) -> None:
        self.target = target
        self.opened = 0
        self.failed = 0
        self.spare = 0
        """Idle connections to keep ready beyond those in use."""
        self.kernel = kernel and sys.platform == "linux"
        self._limits = connect_timeout, int(read_timeout * 1e9), int(total_timeout * 1e9)
        self._context = tls_context(verify, ca_file) if target.tls else None
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._opening = asyncio.Semaphore(OPENING_AT_ONCE)
        self._addresses: list[_Address] = []
        self._dns: float | None = None
        self._offset = unix_offset()
        self._keeper: asyncio.Task[None] | None = None
        self._interrupted = False

    @property
    def in_flight(self) -> int:
        """Number of exchanges under way."""
        return len(self._busy)

    async def warm(self, count: int) -> None:
        """Open connections until ``count`` are idle; raises ConnectFailed if one cannot be opened."""
        self._watch()
        missing = max(0, count - len(self._idle))
        opened = await asyncio.gather(*(self._open() for _ in range(missing)), return_exceptions=True)
        self._idle += [each for each in opened if isinstance(each, Connection)]
        for each in opened:
            if isinstance(each, BaseException):
                raise each

    async def send(self, request: bytes) -> Exchange:
        """Send a request on a warm connection (a new one if none is left) and wait for the answer's end.

        A kept-alive connection that the server had closed before any byte of the answer came is replaced, and the
        request sent once more: ``attempts`` is 2 then. Nothing else is repeated.
        """
        self._watch()
        exchange = await self._attempt(request)
        stale = exchange.error_kind == "reset" and exchange.connection_use > 1 and not exchange.stamps
        if stale:
            exchange = await self._attempt(request, fresh=True)
            exchange.attempts = 2
        return exchange

    async def _attempt(self, request: bytes, fresh: bool = False) -> Exchange:
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
        self._busy.add(connection)
        await connection.exchange(request, exchange)
        self._busy.discard(connection)
        if connection.alive:
            self._idle.append(connection)
        return exchange

    def interrupt(self) -> None:
        """Give up every exchange under way, and send no more; what has come of each is kept."""
        self._interrupted = True
        for connection in list(self._busy):
            connection.give_up("interrupted", STOPPED)

    def _take(self) -> Connection | None:
        """Return an idle connection that still stands: the one used last, whose window is widest."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    async def _open(self) -> Connection:
        async with self._opening:
            try:
                return await asyncio.wait_for(self._connect(), self._limits[0])
            except TimeoutError:
                self.failed += 1
                raise ConnectFailed(
                    "connect_timeout", f"no connection to {self.target.origin} within {self._limits[0]:g} s"
                ) from None
            except ssl.SSLError as error:
                self.failed += 1
                reason = getattr(error, "verify_message", "") or error.reason or str(error)
                raise ConnectFailed("tls", f"TLS with {self.target.origin} failed: {reason}") from None
            except OSError as error:
                self.failed += 1
                raise ConnectFailed("connect", f"cannot connect to {self.target.origin}: {refusal(error)}") from None

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
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.kernel:
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            began = perf_counter()
            await loop.sock_connect(sock, address[1])
            connected = perf_counter()
            layer, tls_time = None, None
            if self._context is not None:
                layer = TlsLayer(self._context, self.target.host)
                await layer.handshake(loop, sock)
                tls_time = perf_counter() - connected
        except BaseException:
            sock.close()
            raise
        self.opened += 1
        connection = Connection(loop, sock, self.opened, tls=layer, kernel=self.kernel)
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
        # Looking at every stream takes its time from those that have something to read.
        every, looked = max(int(LOOK_EVERY * 1e9), min(*self._limits[1:]) // 20), 0
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = perf_counter_ns()
            self._offset = unix_offset(1)
            if now - looked >= every:
                looked = now
                self._enforce_limits(now)
            self._drop_idle(now)
            missing = min(self.spare - len(self._idle), OPENING_AT_ONCE)
            if missing > 0:
                with contextlib.suppress(ConnectFailed):  # counted in `failed`; the request that needs one will tell
                    await self.warm(len(self._idle) + missing)

    def _enforce_limits(self, now: int) -> None:
        _, read, total = self._limits
        for connection in [c for c in self._busy if now - c.last_read > SILENCE]:
            connection.look()
        for connection in [c for c in self._busy if now - c.last_read > read or now - c.started > total]:
            if now - connection.started > total:
                connection.give_up("total_timeout", f"the answer took longer than {total / 1e9:g} s")
            else:
                connection.give_up("read_timeout", f"nothing came for {read / 1e9:g} s")

    def _drop_idle(self, now: int) -> None:
        kept: deque[Connection] = deque()
        for connection in self._idle:
            if connection.alive and now - connection.idle_since < IDLE_LIMIT:
                kept.append(connection)
            else:
                connection.close()
        self._idle = kept

    async def close(self) -> None:
        """Close every connection."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        for connection in [*self._idle, *self._busy]:
            connection.close()
        self._idle.clear()


def refusal(error: OSError) -> str:
    """Return what the system calls an error; asyncio's own texts say less."""
    if error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror or str(error)
