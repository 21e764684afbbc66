"""One alarm for an event loop, exact to microseconds where the platform can.

Loops round their timers to milliseconds (epoll's unit, and libuv's), which is as coarse as what we want to
measure. On Linux the alarm is a timerfd, armed with absolute times and watched like a socket.
"""

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

SECOND = 1_000_000_000
_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1


class Alarm(Protocol):
    """Calls back once when its time has come; setting it again replaces the time."""

    def set(self, due: int | None) -> None:
        """Ring at ``due`` nanoseconds of its clock; None: do not ring."""

    def close(self) -> None:
        """Never ring again."""


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerfdAlarm:
    """An alarm on Linux's timerfd.

    Raises
    ------
    OSError
        The kernel gives no timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._settime = libc.timerfd_settime
        self._fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._time = _Itimerspec()
        self._pointer = ctypes.byref(self._time)
        self._due: int | None = None
        self._loop = loop
        self._ring = ring
        loop.add_reader(self._fd, self._rung)

    def set(self, due: int | None) -> None:
        """Ring at ``due``; at once when that has passed."""
        if due == self._due:
            return
        self._due = due
        # A time of zero disarms the timer, so nothing may be due at 0.
        value = self._time.value
        value.seconds, value.nanoseconds = divmod(max(due, 1), SECOND) if due is not None else (0, 0)
        self._settime(self._fd, _TFD_TIMER_ABSTIME, self._pointer, None)

    def _rung(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set again between ringing and this call
            return
        self._due = None
        self._ring()

    def close(self) -> None:
        """Give the timer back."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


class LoopAlarm:
    """An alarm on the loop's own timers: right to about a millisecond, never early."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None], clock: Callable[[], int] = monotonic_ns
    ) -> None:
        self._loop = loop
        self._ring = ring
        self._clock = clock
        self._due: int | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due: int | None) -> None:
        """Ring at ``due``, or up to a millisecond later."""
        if due == self._due:
            return
        self.close()
        self._due = due
        if due is not None:
            self._handle = self._loop.call_later(max(due - self._clock(), 0) / SECOND, self._rung)

    def _rung(self) -> None:
        self._due = None
        self._ring()

    def close(self) -> None:
        """Cancel the timer."""
        if self._handle:
            self._handle.cancel()


def alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None], clock: Callable[[], int] = monotonic_ns) -> Alarm:
    """Return the best alarm this platform has, not set yet."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # its connections may have taken every open file that a process is allowed
            return TimerfdAlarm(loop, ring)
    return LoopAlarm(loop, ring, clock)
