"""What a driver and a worker's program say to each other: orders and prompts out, events back."""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any, BinaryIO, Protocol

from perfkit.errors import PerfkitError, PluginFailure, UsageError
from perfkit.loadgen.datasets.remarks import Remarks
from perfkit.loadgen.plugin_watch import place_at
from perfkit.loadgen.serialization import packed
from perfkit.loadgen.workers import framing
from perfkit.loadgen.workers.work import Work
from perfkit.records import Batch, Prompt

AT_MOST = 0.2
"""Seconds that a batch of prompts is drawn for: of a slow iterable the load gets what there is."""

Event = dict[str, Any]
Listen = Callable[[Event], None]
ReadPrompts = Callable[[], tuple[Iterator[Prompt], Remarks]]
"""Reads the driver's prompts from their beginning, and gathers what is to be said of them."""


class Worker(Protocol):
    """Carries out work and tells how it goes."""

    def stop(self) -> None:
        """Stop sending; what has come is kept."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""


class Source:
    """A person's prompts, drawn from in batches; the one in which they raise, or end in a wait, says so.

    Parameters
    ----------
    read : callable, optional
        Begins to read them.
    patience : float
        Seconds that a prompt may take.
    """

    def __init__(self, read: ReadPrompts | None, patience: float) -> None:
        self._read = read or (lambda: (iter(()), Remarks()))
        self._patience = patience
        self._reading: str | None = None
        self._prompts: Iterator[Prompt] = iter(())
        self._remarks = Remarks()

    def pump(self, reading: str, count: int, deliver: Callable[[Batch], None]) -> None:
        """Draw up to ``count`` prompts of a reading, which begins anew where the one before had another name.

        Called in the order of what the worker says; the drawing has a thread of its own, and delivers one batch.
        """
        if reading != self._reading:
            self._reading = reading
            self._prompts, self._remarks = self._read()
        draw = partial(self._draw, reading, self._prompts, self._remarks, count)
        first = threading.Lock()

        def deliver_first(batch: Batch) -> None:
            if first.acquire(blocking=False):
                deliver(batch)

        def give_up() -> None:
            place = place_at(sys._current_frames().get(drawing.ident or 0)) or "the dataset"
            what = f"{place}: gave no prompt for {self._patience:g} s (read_timeout)"
            deliver_first(Batch(reading, packed([]), True, UsageError(what)))

        def drawn() -> None:
            watch = threading.Timer(self._patience, give_up)
            watch.daemon = True
            watch.start()
            batch = draw()
            watch.cancel()
            deliver_first(batch)

        drawing = threading.Thread(target=drawn, name="perfkit-prompts", daemon=True)
        drawing.start()

    def _draw(self, reading: str, prompts: Iterator[Prompt], remarks: Remarks, count: int) -> Batch:
        drawn: list[Prompt] = []
        failure: PerfkitError | None = None
        last, until = True, monotonic() + AT_MOST
        try:
            for prompt in prompts:
                drawn.append(prompt)
                if len(drawn) == count or monotonic() > until:
                    last = False
                    break
        except PerfkitError as error:
            failure = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - their code, not ours: told as what ended the job
            failure = PluginFailure(f"the dataset raised {type(error).__name__}: {error}")
        try:
            return Batch(reading, packed(drawn), last, failure, tuple(remarks.sentences()), len(drawn))
        except TypeError as error:
            what = f"the dataset holds what no request can: {error}; give texts, messages, or bodies of plain data"
            return Batch(reading, packed([]), True, UsageError(what))


class WorkerProtocol:
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
    wait_for_exit : callable
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
        wait_for_exit: Callable[[], str],
        *,
        detached: bool = False,
    ) -> None:
        self._orders, self._events, self._listen, self._wait_for_exit = orders, events, listen, wait_for_exit
        self._lock = threading.Lock()
        self._source = Source(prompts, work.arguments.read_timeout)
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
            framing.send(self._orders, order)

    def _read(self) -> None:
        ended: Event | None = None
        for event in framing.heard(self._events):
            if event["event"] == "want":
                self._source.pump(event["reading"], event["count"], lambda batch: self._order(("prompts", batch)))
            elif event["event"] == "ended":
                ended = event
            else:
                self._listen(event)
        how = self._wait_for_exit()
        self._listen(ended or lost(how))


def lost(how: str) -> Event:
    """Return how a worker ended that said nothing."""
    return {"event": "ended", "error": "WorkerLost", "text": f"the worker exited unexpectedly ({how})"}
