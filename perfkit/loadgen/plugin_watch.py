"""Watches for a person's plugin that keeps the thread which calls it from its work, and says where in it.

One that does so for ``read_timeout``, or when the run is to stop, is broken off there.
"""

import contextlib
import mmap
import os
import re
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, ClassVar

from perfkit.apis.error_places import STEPS, is_library
from perfkit.errors import BrokenOff, PluginFailure, UsageError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

EVERY = 0.02
"""Seconds between two looks at the thread: a plugin that waits sleeps or asks a server, for longer than that."""
LONG = 2.0
"""Seconds in one place after which it is said while it lasts; and that it may take where it was broken off before."""
STOPPING = 0.8
"""Seconds that a plugin may hold a thread once the run is to stop, which has two for all of its end."""
STOPPING_AGAIN = 0.05
"""The same, where it was broken off before."""
_UNSEEN = 5 * EVERY
"""Seconds that one look accounts for at most: this thread, too, may have to wait."""


def place_at(frame: FrameType | None) -> str | None:
    """Return file, line and function of the innermost step that is a person's own code; None where none is."""
    while frame is not None and is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})" if frame is not None else None


def _function(place: str) -> str:
    return re.sub(r":\d+ ", " ", place)


class Patience:
    """How long a program's plugins may hold a thread; it says to those forked from it, too, that the run is to stop.

    Parameters
    ----------
    limit : float
        Seconds.
    file : int, optional
        Descriptor of the one of another program, which is shared.
    """

    def __init__(self, limit: float, file: int | None = None) -> None:
        self.limit = limit
        if file is None:
            file = os.memfd_create("perfkit-patience") if hasattr(os, "memfd_create") else -1
            if file >= 0:
                os.truncate(file, 1)
        self.file = file
        """Its descriptor, for a program that is started; -1 where there is none."""
        self._page = mmap.mmap(file, 1)  # shared with what is forked

    def end(self) -> None:
        """Say that the run is to stop."""
        self._page[0] = 1

    @property
    def ended(self) -> bool:
        """True once the run is to stop."""
        return bool(self._page[0])


class PluginWatch:
    """Looks from a thread of its own, every 20 ms, at what the thread that starts it is doing.

    Parameters
    ----------
    say : callable
        Takes a sentence while the plugin still holds the thread; called on the watch's thread.
    whom : str
        What the thread is, for sentences.
    loop : AbstractEventLoop, optional
        Of the thread: then only what keeps it from answering counts, and not a coroutine that is passed through.
    """

    patience: ClassVar[Patience | None] = None
    """Of a worker's program, whose main thread can be broken off by a signal; None in a person's own process."""

    def __init__(self, say: Callable[[str], None], whom: str, loop: "AbstractEventLoop | None" = None) -> None:
        self._say, self._whom, self._loop = say, whom, loop
        self._allowed = self.patience
        self._broken_off: set[str] = set()
        """Functions that it was broken off in."""
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._watched, self._began = 0, 0.0
        self._starter = 0
        """The process that started a program whose only thread is watched; 0 in a person's process, which is theirs."""
        self.held: defaultdict[str, float] = defaultdict(float)
        """Seconds by place."""

    def start(self) -> None:
        """Watch the calling thread."""
        self._watched, self._began = threading.get_ident(), perf_counter()
        alone = threading.current_thread() is threading.main_thread()
        self._starter = os.getppid() if alone and self._loop is None else 0
        if not alone or not hasattr(signal, "SIGUSR2"):
            self._allowed = None
        elif self._allowed is not None:
            signal.signal(signal.SIGUSR2, self._break_off)
        self._thread = threading.Thread(target=self._watch, name="perfkit-plugin-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def share(self) -> float:
        """Share of the time since the start that the plugin held the thread."""
        return sum(self.held.values()) / max(EVERY, perf_counter() - self._began)

    def sentence(self, at_least: float, so: str) -> str | None:
        """Return where the plugin held the thread longest, and what to do; None if all was less than some seconds."""
        seconds = sum(self.held.values())
        if seconds < at_least:
            return None
        return f"{max(self.held, key=self.held.__getitem__)} held {self._whom}, {seconds:.2g} s in all: {so}"

    def _watch(self) -> None:
        last, since, said = perf_counter(), perf_counter(), False
        to_stop: float | None = None
        steps = 0
        answered = threading.Event()
        answered.set()
        while not self._over.wait(EVERY):
            before, now = steps, perf_counter()
            stands_still = self._loop is None or not answered.is_set()
            place = place_at(sys._current_frames().get(self._watched)) if stands_still else None
            steps = STEPS.begun if self._loop is None else 0  # a loop that does not answer is in one step
            answered.clear()
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(answered.set)
            if place is None or steps != before:
                since, said = last, False
            if place is not None:
                self.held[place] += min(now - last, _UNSEEN)
                if now - since > LONG and not said:
                    said = True
                    self._say(self._so_far(place, now - since))
                to_stop = to_stop or (now if self._is_to_stop() else None)
                stopping = None if to_stop is None else now - max(since, to_stop)
                if self._allowed is not None and self._is_over(self._allowed, place, now - since, stopping):
                    signal.pthread_kill(self._watched, signal.SIGUSR2)
                if stopping is not None and stopping > LONG and self._is_alone():
                    os._exit(1)  # nobody is left who could stop it
            last = now

    def _is_alone(self) -> bool:
        return bool(self._starter) and os.getppid() != self._starter

    def _is_to_stop(self) -> bool:
        if self._allowed is not None and self._is_alone():
            self._allowed.end()
        return self._is_alone() or (self._allowed is not None and self._allowed.ended)

    def _is_over(self, allowed: Patience, place: str, seconds: float, stopping: float | None) -> bool:
        """Tell whether a plugin has been in one step for too long, of which some seconds since the order to stop."""
        again = _function(place) in self._broken_off
        if stopping is not None:
            return stopping > (STOPPING_AGAIN if again else STOPPING)
        return seconds > (min(LONG, allowed.limit) if again else allowed.limit)

    def _so_far(self, place: str, seconds: float) -> str:
        end = f"; broken off after read_timeout={self._allowed.limit:g} s" if self._allowed is not None else ""
        return f"{place} has held {self._whom} for {seconds:.0f} s, and still does{end}"

    def _break_off(self, _number: int, frame: FrameType | None) -> None:
        """Raise in the plugin's own step, which runs on the thread that takes signals."""
        place = place_at(frame)
        if place is None or self._allowed is None:
            return
        self._broken_off.add(_function(place))
        if self._allowed.ended:
            reason = f"{place}: held {self._whom} when the run was to stop"
        else:
            reason = f"{place}: held {self._whom} for {self._allowed.limit:g} s (read_timeout)"
        if self._loop is not None:
            raise PluginFailure(reason)  # of one request among others
        raise BrokenOff(PluginFailure(reason) if self._allowed.ended else UsageError(reason))
