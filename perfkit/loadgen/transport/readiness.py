"""Which sockets are ready, seen the same way on every event loop.

uvloop (libuv) stops watching a socket that was reset and calls nobody back, so a reset would be noticed by a time limit
only. On Linux the sockets are therefore in an epoll set of our own, which the loop watches as one file: it is never
in error itself, and reports resets, half-closes and errors as readable. Elsewhere the loop watches each socket.
"""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Protocol

AT_ONCE = 512  # sockets served before the loop may look at its timers

Callback = Callable[[], None]


class Readiness(Protocol):
    """Calls back when a socket can be read or written; a socket in error can be both."""

    def add_reader(self, fd: int, callback: Callback) -> Any:
        """Call back whenever it can be read, was closed by the peer, or is in error."""

    def remove_reader(self, fd: int) -> Any:
        """Stop calling the reader back; safe to repeat."""

    def add_writer(self, fd: int, callback: Callback) -> Any:
        """Call back whenever it can be written, or is in error."""

    def remove_writer(self, fd: int) -> Any:
        """Stop calling the writer back; safe to repeat."""


class EpollReadiness:
    """Watches sockets in an epoll set of its own.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
        The loop on which the callbacks run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._epoll = loop, select.epoll()
        self._poll = self._epoll.poll
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add_reader(self, fd: int, callback: Callback) -> None:
        """See Readiness."""
        self._change(fd, self._readers, callback)

    def remove_reader(self, fd: int) -> None:
        """See Readiness."""
        self._change(fd, self._readers, None)

    def add_writer(self, fd: int, callback: Callback) -> None:
        """See Readiness."""
        self._change(fd, self._writers, callback)

    def remove_writer(self, fd: int) -> None:
        """See Readiness."""
        self._change(fd, self._writers, None)

    def close(self) -> None:
        """Stop watching."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _change(self, fd: int, callbacks: dict[int, Callback], callback: Callback | None) -> None:
        known = self._events(fd)
        if callback is None:
            callbacks.pop(fd, None)
        else:
            callbacks[fd] = callback
        events = self._events(fd)
        if not events and known:
            self._epoll.unregister(fd)
        elif not known and events:
            self._epoll.register(fd, events)
        elif events != known:
            self._epoll.modify(fd, events)

    def _events(self, fd: int) -> int:
        return (select.EPOLLIN if fd in self._readers else 0) | (select.EPOLLOUT if fd in self._writers else 0)

    def _on_ready(self) -> None:
        readers, writers = self._readers, self._writers
        for fd, events in self._poll(0, AT_ONCE):
            if events & ~select.EPOLLOUT and (reader := readers.get(fd)) is not None:
                reader()
            if events & ~select.EPOLLIN and (writer := writers.get(fd)) is not None:
                writer()


async def readable(sockets: Readiness, sock: socket.socket) -> None:
    """Wait until a socket can be read."""
    await _called_back(sock.fileno(), sockets.add_reader, sockets.remove_reader)


async def writable(sockets: Readiness, sock: socket.socket) -> None:
    """Wait until a socket can be written."""
    await _called_back(sock.fileno(), sockets.add_writer, sockets.remove_writer)


async def _called_back(fd: int, add: Callable[[int, Callback], Any], remove: Callable[[int], Any]) -> None:
    ready = asyncio.get_running_loop().create_future()
    add(fd, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        remove(fd)


async def connect(sockets: Readiness, sock: socket.socket, address: Any) -> None:
    """Connect a non-blocking socket."""
    try:
        sock.connect(address)
    except (BlockingIOError, InterruptedError):
        await writable(sockets, sock)
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "connect") from None


async def send_all(sockets: Readiness, sock: socket.socket, data: bytes) -> None:
    """Send all of these bytes over a non-blocking socket."""
    while data:
        try:
            data = data[sock.send(data) :]
        except (BlockingIOError, InterruptedError):
            await writable(sockets, sock)


async def receive(sockets: Readiness, sock: socket.socket, size: int) -> bytes:
    """Return some bytes of a non-blocking socket; none when the peer has closed it."""
    while True:
        try:
            return sock.recv(size)
        except (BlockingIOError, InterruptedError):
            await readable(sockets, sock)
