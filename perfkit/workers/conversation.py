"""What a driver and a worker's program say to each other: orders and prompts out, events back."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any, BinaryIO, Protocol

from perfkit.engine.parcel import packed
from perfkit.errors import PerfkitError, PluginFailure, UsageError
from perfkit.records import Batch, Prompt
from perfkit.workers import pipe
from perfkit.workers.work import Work

Event = dict[str, Any]
Listen = Callable[[Event], None]
ReadPrompts = Callable[[], Iterable[Prompt]]
"""Reads the driver's prompts from their beginning."""


class Worker(Protocol):
    """Carries out work and tells how it goes."""

    def stop(self) -> None:
        """Stop sending; what has come is kept."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""


class Source:
    """A person's prompts, drawn from in batches; the one in which they raise says so."""

    def __init__(self, read: ReadPrompts | None) -> None:
        self._read = read or tuple
        self._reading: str | None = None
        self._prompts: Iterator[Prompt] = iter(())

    def want(self, reading: str, count: int) -> Callable[[], Batch]:
        """Return what draws up to ``count`` prompts of a reading; it begins anew where the one before had another name.

        Called in the order of what the worker says; the drawing may take as long as it likes.
        """
        if reading != self._reading:
            self._reading, self._prompts = reading, iter(self._read())
        return partial(self._draw, reading, self._prompts, count)

    def _draw(self, reading: str, prompts: Iterator[Prompt], count: int) -> Batch:
        drawn: list[Prompt] = []
        failure: PerfkitError | None = None
        try:
            drawn.extend(islice(prompts, count))
        except PerfkitError as error:
            failure = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - their code, not ours: told as what ended the job
            failure = PluginFailure(f"the dataset raised {type(error).__name__}: {error}")
        try:
            return Batch(reading, packed(drawn), len(drawn) < count, failure)
        except TypeError as error:
            what = f"the dataset holds what no request can: {error}; give texts, messages, or bodies of plain data"
            return Batch(reading, packed([]), True, UsageError(what))


class Conversation:
    """Carries out work in a program at the other end of two streams: pipes, or connections to another machine.

    Parameters
    ----------
    orders, events : BinaryIO
        To the program, and from it.
    work : Work
    listen : callable
        Takes its events, on a thread; the last one is ``ended``.
    prompts : callable, optional
        Reads the driver's prompts. Pumped over as the worker asks for them.
    farewell : callable
        Called when its events have ended: waits until all of it is gone, and says how a program that said nothing
        more has ended.
    detached : bool
        It goes on when this process ends.
    """

    def __init__(
        self,
        orders: BinaryIO,
        events: BinaryIO,
        work: Work,
        listen: Listen,
        prompts: ReadPrompts | None,
        farewell: Callable[[], str],
        *,
        detached: bool = False,
    ) -> None:
        self._orders, self._events, self._listen, self._farewell = orders, events, listen, farewell
        self._lock = threading.Lock()
        self._source = Source(prompts)
        level = logging.getLogger("perfkit").getEffectiveLevel()
        self._order({"path": work.path, "folder": work.folder, "log_level": level, "detached": detached})
        self._order(work)
        self._reader = threading.Thread(target=self._read, name="perfkit-worker", daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """Order it to stop sending; what has come is kept."""
        self._order(("stop",))

    def go(self, run_id: str, begin: float) -> None:
        """Order it to start the load of a run at a time (Unix seconds)."""
        self._order(("go", run_id, begin))

    def end(self, run_id: str, problem: str) -> None:
        """Order it to send no more in a run, and to wait for what is in flight."""
        self._order(("end", run_id, problem))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""
        self._reader.join(timeout)
        return not self._reader.is_alive()

    def _order(self, order: object) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):  # it has ended: _read says how
            pipe.send(self._orders, order)

    def _read(self) -> None:
        ended: Event | None = None
        for event in pipe.heard(self._events):
            if event["event"] == "want":
                draw = self._source.want(event["reading"], event["count"])
                threading.Thread(target=self._pump, args=(draw,), daemon=True).start()
            elif event["event"] == "ended":
                ended = event
            else:
                self._listen(event)
        how = self._farewell()
        self._listen(ended or lost(how))

    def _pump(self, draw: Callable[[], Batch]) -> None:
        self._order(("prompts", draw()))


def lost(how: str) -> Event:
    """Return how a worker ended that said nothing."""
    return {"event": "ended", "error": "WorkerLost", "text": f"the worker ended without a word ({how})"}
