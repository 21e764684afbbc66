"""Commands from the driver as they reach the event loop: stop, prompts, when to start."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from perfkit.loadgen.commands import Gate, Stop
from perfkit.loadgen.plugin_watch import Patience
from perfkit.records import Batch

Report = Callable[[dict[str, Any]], None]
"""Takes an event for the driver."""
TakePrompts = Callable[[Batch], None]


class Mailbox:
    """Orders of the driver, given from any thread, kept until someone here takes them.

    Parameters
    ----------
    patience : Patience, optional
        Ended by the order to stop.
    """

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience
        self._stopped = False
        self._stop: Callable[[], None] | None = None
        self._end: Callable[[str, str], None] | None = None
        self._take_prompts: TakePrompts | None = None
        self._go: Callable[[str, float], None] | None = None

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Say what stops the work."""
        self._stop = stop
        if self._stopped:
            stop()

    def on_end(self, end: Callable[[str, str], None]) -> None:
        """Say what ends a run; the driver says so of none that was not begun, so none can come before this."""
        self._end = end

    def on_prompts(self, take: TakePrompts) -> None:
        """Say what takes the driver's prompts; it asks for them first, so none can come before this."""
        self._take_prompts = take

    def on_go(self, go: Callable[[str, float], None]) -> None:
        """Say what is told when a run starts; it says first that it is ready, so none can come before this."""
        self._go = go

    def stop(self) -> None:
        """Stop the work, or keep it from starting."""
        self._stopped = True
        if self._patience is not None:
            self._patience.end()
        if self._stop is not None:
            self._stop()

    def end(self, run_id: str, problem: str) -> None:
        """Pass on that a run is to send no more, and why."""
        if self._end is not None:
            self._end(run_id, problem)

    def prompts(self, batch: Batch) -> None:
        """Pass on prompts of the driver's iterable."""
        if self._take_prompts is not None:
            self._take_prompts(batch)

    def go(self, run_id: str, begin: float) -> None:
        """Pass on when a run starts (Unix seconds)."""
        if self._go is not None:
            self._go(run_id, begin)


class Starts:
    """Agreed starts: a worker says that it is ready, and the driver when all of them begin."""

    def __init__(self, report: Report, mailbox: Mailbox) -> None:
        loop = asyncio.get_running_loop()
        self._report = report
        self._begins: dict[str, asyncio.Future[float]] = {}
        mailbox.on_go(lambda run_id, begin: threadsafe(loop, self._agreed, run_id, begin))

    def gate(self, run_id: str) -> Gate:
        """Return what a session of this run passes before its load."""
        self._begins[run_id] = asyncio.get_running_loop().create_future()

        async def pass_gate(stop: Stop) -> float | None:
            self._report({"event": "ready", "run_id": run_id})
            begin = self._begins[run_id]
            told = asyncio.ensure_future(asyncio.wait({begin}))
            return begin.result() if await stop.first_of(told) else None

        return pass_gate

    def pass_by(self, run_id: str) -> None:
        """Say that nobody need wait for this worker: it has no part in the run."""
        self._report({"event": "ready", "run_id": run_id})

    def _agreed(self, run_id: str, begin: float) -> None:
        if run_id in self._begins and not self._begins[run_id].done():
            self._begins[run_id].set_result(begin)


def threadsafe(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: Any) -> None:
    """Have a function called on a loop, from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants them any more
        loop.call_soon_threadsafe(function, *args)
