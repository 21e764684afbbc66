"""Commands to a run in a worker: its place in a sweep, when to start, when to stop."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from perfkit.loadgen.arrivals import WHOLE, Share
from perfkit.runfile.writer import Row


class Gate(Protocol):
    """What a session passes once it is ready and before its load starts."""

    async def __call__(self, stop: "Stop") -> float | None:
        """Return when to start (Unix seconds), None for now."""


async def open_gate(stop: "Stop") -> float | None:
    """Start at once: for a worker that is alone."""
    return None


@dataclass(frozen=True)
class Place:
    """A session's place in what is measured.

    Parameters
    ----------
    run_id : str
        Of the run; the same for every worker of it.
    more : dict
        Further columns of ``run``: sweep_id, point, plan.
    share : Share
        This worker's part of the load.
    gate : Gate
        Waited for before the load starts.
    journal : bool
        Keep answers beside the run file until they are committed; not where the file is on another machine.
    """

    run_id: str
    more: Row
    share: Share = WHOLE
    gate: Gate = open_gate
    journal: bool = True


@dataclass
class Stop:
    """An order to stop that any thread may give."""

    loop: asyncio.AbstractEventLoop
    event: asyncio.Event = field(default_factory=asyncio.Event)
    problems: dict[str, str] = field(default_factory=dict)
    """Why a run is to send no more, by its identity: what is in flight is waited for."""

    def give(self) -> None:
        """Give the order; safe to repeat, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left to stop
            self.loop.call_soon_threadsafe(self.event.set)

    def end(self, run_id: str, problem: str) -> None:
        """Have a run send no more; safe from any thread, as the session looks for it."""
        self.problems[run_id] = problem

    @property
    def given(self) -> bool:
        """True once the order was given."""
        return self.event.is_set()

    async def first_of(self, task: "asyncio.Task[Any]") -> bool:
        """Wait until a task is done or the order is given; tell whether the task is done."""
        stopped = asyncio.create_task(self.event.wait())
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        return task.done()

    async def unless_given(self, task: "asyncio.Task[Any]") -> bool:
        """Wait until a task is done, tell whether it is; the order cancels it."""
        done = await self.first_of(task)
        if not done:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return done
