"""Inter-process channel between event loop and recorder: length-prefixed pickles over a socket pair."""

import asyncio
import contextlib
import pickle
import selectors
import socket
import threading
from collections import deque
from collections.abc import Callable
from itertools import chain
from struct import Struct

from perfkit.loadgen.recorder.process import Message

_HEAD = Struct("<Q")
_PIECE = 2**18


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends, with as much room as the system gives."""
    ends = socket.socketpair()
    for end in ends:
        for room in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, room, 2**22)
    return ends


class _Frames:
    """Takes messages out of a stream of bytes; what is left of one stays in the same room."""

    def __init__(self) -> None:
        self._room = bytearray(_PIECE)
        self._begin = self._end = 0

    def receive(self, sock: socket.socket, flags: int = 0) -> int:
        """Read what has come from a socket; return how many bytes, 0 at its end."""
        if self._begin == self._end:
            self._begin = self._end = 0
        if self._end == len(self._room):
            self._make_room()
        with memoryview(self._room) as view:
            size = sock.recv_into(view[self._end :], 0, flags)
        self._end += size
        return size

    def _make_room(self) -> None:
        """Move what is there to the front; a message larger than the room makes it larger."""
        held = bytes(self._room[self._begin : self._end])
        if len(held) == len(self._room):
            self._room = bytearray(_HEAD.size + _HEAD.unpack_from(held)[0])
        # In place: fresh memory for every 256 KiB would cost a page fault for each 4 of them.
        self._room[: len(held)] = held
        self._begin, self._end = 0, len(held)

    def next(self) -> Message | None:
        """Return the next whole message, None when it has not come yet."""
        at = self._begin + _HEAD.size
        if at > self._end:
            return None
        end = at + _HEAD.unpack_from(self._room, self._begin)[0]
        if end > self._end:
            return None
        with memoryview(self._room) as view:
            message: Message = pickle.loads(view[at:end])
        self._begin = end
        if self._begin == self._end and len(self._room) > _PIECE:
            self._begin = self._end = 0
            self._room = bytearray(_PIECE)
        return message


def framed(message: Message) -> bytes:
    """Return a message as it is sent."""
    data = pickle.dumps(message, protocol=5)
    return _HEAD.pack(len(data)) + data


def _size(message: Message) -> int:
    """Return about how many bytes a message has: those of an answer."""
    parts = chain.from_iterable(each if isinstance(each, tuple) else (each,) for each in message)
    return sum(len(part) for part in parts if isinstance(part, (bytes, bytearray)))


class RecorderEnd:
    """The recorder's end: receiving may wait, sending does."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._frames = _Frames()
        self._sending = threading.Lock()
        """The watch over plugins speaks, too, from a thread of its own."""
        self._selector = selectors.DefaultSelector()
        self._selector.register(end, selectors.EVENT_READ)

    def receive(self, wait: float | None) -> Message | None:
        """Return the next message, None when none has come within ``wait`` seconds; ``wait=None`` waits on."""
        while (message := self._frames.next()) is None:
            if wait and not self._selector.select(wait):
                return None
            try:
                size = self._frames.receive(self._end, 0 if wait is None else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                size = 0
            if not size:
                self._selector.close()
                raise EOFError
        return message

    def send(self, message: Message) -> None:
        """Send a message to the loop; one that is gone hears nothing, and ``receive`` says so in the end."""
        # What the loop had said before it went is still to be read: answers among it.
        with self._sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._end.sendall(framed(message))


class LoopEnd:
    """The loop's end: nothing blocks; what the socket does not take waits in memory.

    Parameters
    ----------
    loop : asyncio.AbstractEventLoop
    end : socket.socket
    on_message, on_end : callable
        Called on the loop.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        end: socket.socket,
        on_message: Callable[[Message], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop, self._end, self._on_message, self._on_end = loop, end, on_message, on_end
        self._frames = _Frames()
        self._unsent = bytearray()
        self._queue: deque[Message] = deque()
        """Behind that. An answer is packed when its turn comes, or what waits would be there twice."""
        self._queued = 0
        """Bytes of it, about."""
        self._open = True
        end.setblocking(False)
        loop.add_reader(end.fileno(), self._on_readable)

    @property
    def waiting(self) -> int:
        """Bytes that the recorder has not taken yet, about."""
        return len(self._unsent) + self._queued

    def send(self, message: Message) -> None:
        """Send a message, or keep it until the socket takes it."""
        if self._unsent or self._queue or not self._open:
            self._queue.append(message)
            self._queued += _size(message)
            return
        data = framed(message)
        try:
            sent = self._end.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the recorder is gone; _on_readable says so
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._end.fileno(), self._on_writable)

    def close(self) -> None:
        """Hang up, once everything is sent."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._end.fileno())
        self._loop.remove_writer(self._end.fileno())
        with contextlib.suppress(OSError):  # the recorder is gone, and what it had stored is kept
            self._send_rest()
        self._end.close()

    def _send_rest(self) -> None:
        """Send what waits. Drain its replies while sending, or both ends deadlock."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._end, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while self._fill():
                ((_, ready),) = selector.select()
                if ready & selectors.EVENT_READ and not self._end.recv(_PIECE):
                    return
                if ready & selectors.EVENT_WRITE:
                    del self._unsent[: self._end.send(bytes(self._unsent[:_PIECE]))]

    def _on_readable(self) -> None:
        try:
            size = self._frames.receive(self._end)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._loop.remove_reader(self._end.fileno())
            self._on_end()
            return
        while (message := self._frames.next()) is not None:
            self._on_message(message)

    def _fill(self) -> bool:
        """Pack some of the messages that wait; tell whether there is anything to send."""
        while self._queue and len(self._unsent) < _PIECE:
            message = self._queue.popleft()
            self._queued -= _size(message)
            self._unsent += framed(message)
        return bool(self._unsent)

    def _on_writable(self) -> None:
        self._fill()
        try:
            with memoryview(self._unsent) as view:
                sent = self._end.send(view[:_PIECE])
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._unsent)
            self._queue.clear()
            self._queued = 0
        del self._unsent[:sent]
        if not self._unsent and not self._queue:
            self._loop.remove_writer(self._end.fileno())
