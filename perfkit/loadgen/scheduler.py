"""Sends every request of a plan at its time: the open and the closed model."""

import asyncio
from dataclasses import dataclass, field
from time import perf_counter_ns

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.arrivals import WHOLE, Ramp, Share, Steps, Warmup, offsets, user_starts
from perfkit.loadgen.recorder.client import RecorderClient
from perfkit.loadgen.recorder.requests import Ready
from perfkit.loadgen.timer import Timer
from perfkit.loadgen.transport.sender import Sender
from perfkit.options.arguments import Arguments
from perfkit.records import UNCONNECTED, Phase

AHEAD = 10_000_000  # ns before it is due that a request gets a task of its own, so that only the write is left to do
STARVED_WAIT = 0.1  # s between two looks at the clock while the recorder has nothing ready
BACKOFF = (0.1, 1.0)  # s: a refused connection is tried again this late, doubling; a spin would be 10,000 failures/s


@dataclass
class Load:
    """One load under way.

    Parameters
    ----------
    arguments : Arguments
        Of one point: a single ``parallel`` or ``rate``.
    recorder : RecorderClient
        Has what to send, and takes each finished exchange.
    sender : Sender
        Sends it.
    share : Share
        Which part of it is this worker's.
    """

    arguments: Arguments
    recorder: RecorderClient
    sender: Sender
    share: Share = WHOLE
    sent: int = 0
    done: int = 0
    peak: int = 0
    """Most requests in flight at once."""
    start: int = 0
    """When the load begins (perf_counter ns); 0: when ``run`` is called."""
    lags: list[int] = field(default_factory=list)
    """Start minus schedule of each request, ns; the first request of each user left out."""
    stopping: bool = False
    refused: int = 0
    """Connections in a row that could not be opened."""

    def __post_init__(self) -> None:
        self._ramp = Ramp(self.arguments.ramp, self.arguments.ramp_shape)
        self._warmup = Warmup.of(self.arguments.warmup)
        self._timer: Timer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving = False
        """Somebody has sent their last request, as the time was over."""

    @property
    def in_flight(self) -> int:
        """Requests sent whose answer has not ended."""
        return self.sent - self.done

    @property
    def limit(self) -> float | None:
        """Seconds after which nothing more is sent; None where there is no such limit."""
        return None if self.arguments.duration is None else self.arguments.duration + self.recorder.extended

    async def run(self) -> None:
        """Send everything and wait for the last answer; returns early after ``stop``."""
        self.start = self.start or perf_counter_ns()
        self.recorder.may_extend = lambda: not (self._leaving or self.stopping or self._out_of_time())
        self._timer = Timer()
        try:
            await (self._open() if self.arguments.load == "open" else self._closed())
        finally:
            self._timer.close()

    def end(self) -> None:
        """Stop sending at once."""
        self.stopping = True
        if self._timer is not None:
            self._timer.wake_all()
        self.recorder.changed.set()

    def stop(self) -> None:
        """Stop sending at once, and give up what is under way."""
        self.end()
        self.sender.interrupt()

    # The closed model: each user sends, waits for the answer, thinks, sends again.

    async def _closed(self) -> None:
        parallel = self.arguments.parallel
        users = parallel if isinstance(parallel, int) else 1
        starts = user_starts(users, self._ramp)[self.share.index :: self.share.count]
        await asyncio.gather(*(self._user(self.start + int(begin * 1e9)) for begin in starts))

    async def _user(self, due: int) -> None:
        await self._until(due)
        timed = False
        ready = await self._next()
        due += self._think(ready, 0.0)
        while ready is not None and await self._in_time(due):
            due = await self._send(ready, due, timed=timed)
            timed = True
            ready = await self._follow_up(ready) or await self._next()
            due += self._think(ready, self.arguments.think_time)

    # The open model: requests leave at their time, whatever has come back.

    async def _open(self) -> None:
        arguments = self.arguments
        times = offsets(
            arguments.rate if isinstance(arguments.rate, (int, float)) else -1,
            arguments.arrival,
            seed=arguments.arrival_seed,
            burstiness=arguments.burstiness,
            ramp=Steps(tuple(arguments.steps)) if arguments.steps else self._ramp,
        )
        cap = asyncio.Semaphore(max(1, self.share.of(arguments.max_concurrency))) if arguments.max_concurrency else None
        arrivals = enumerate(times)
        while (ready := await self._next()) is not None:
            # Those of other workers' requests are passed over, so that all keep to one process of arrivals.
            offset = next(offset for place, offset in arrivals if place == ready.position)
            offset = offset if ready.due is None else ready.due / arguments.speed
            due = self.start + int(offset * 1e9)
            if (limit := self.limit) is not None and offset > limit:
                self._leaving = True
                break
            if due - perf_counter_ns() > AHEAD:
                await self._until(due - AHEAD // 2)
            if cap is not None:
                await cap.acquire()
            if self.stopping:
                break
            task = asyncio.create_task(self._send_open(ready, due, cap))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _send_open(self, first: Ready, due: int, cap: asyncio.Semaphore | None) -> None:
        """Send a request and the turns that follow it, each after the last answer and think time."""
        ready: Ready | None = first
        due += self._think(first, 0.0)
        while ready is not None and await self._in_time(due) and not self.stopping:
            due = await self._send(ready, due)
            ready = await self._follow_up(ready)
            due += self._think(ready, self.arguments.think_time)
        if cap is not None:
            cap.release()

    # What both do.

    async def _next(self) -> Ready | None:
        """Return the next request, None when there is no more to send."""
        while not self.stopping and not self._out_of_time():
            ready = self.recorder.take()
            if ready is not None or self.recorder.ended:
                return ready
            await self.recorder.wait_for_change(STARVED_WAIT)
        return None

    async def _follow_up(self, ready: Ready) -> Ready | None:
        """Return the next turn of a conversation, None when there is none."""
        if not ready.more or self.stopping:
            return None
        return await self.recorder.follow_up(ready, lambda: self.stopping)

    def _think(self, ready: Ready | None, usual: float) -> int:
        """Return how long a user thinks before a request (ns): its own delay, else the usual think time (s)."""
        delay = None if ready is None or ready.delay is None else ready.delay / self.arguments.speed
        return int((usual if delay is None else delay) * 1e9)

    async def _in_time(self, due: int) -> bool:
        """Wait until a request is due; tell whether that was before the load's end."""
        if due > perf_counter_ns():
            limit = self.limit
            if limit is not None and due - self.start > limit * 1e9:
                self._leaving = True
                return False
            await self._until(due)
        return True

    async def _send(self, ready: Ready, due: int, timed: bool = True) -> int:
        """Send a request; return when its user was free again: at the answer's end, or after backing off."""
        self.sent += 1
        self.peak = max(self.peak, self.in_flight)
        exchange = await self.sender.send(ready)
        self.done += 1
        if timed:
            self.lags.append(exchange.start - due)
        self.recorder.deliver(ready, self._phase(ready, exchange), due, exchange)
        if exchange.error_kind not in UNCONNECTED:
            self.refused = 0
            return exchange.released or exchange.end or perf_counter_ns()
        pause = min(BACKOFF[0] * 2 ** min(self.refused, 8), BACKOFF[1])
        self.refused += 1
        rested = perf_counter_ns() + int(1e9 * pause)
        await self._until(rested)
        return rested

    def _phase(self, ready: Ready, exchange: Exchange) -> Phase:
        if exchange.error_kind == "interrupted":
            return "cooldown"
        elapsed = (exchange.start - self.start) / 1e9
        if self._warmup.covers(ready.seq or 0, elapsed):
            return "warmup"
        return "ramp" if elapsed < self.arguments.ramp else "steady"

    def _out_of_time(self) -> bool:
        limit = self.limit
        return limit is not None and perf_counter_ns() - self.start >= limit * 1e9

    async def _until(self, due: int) -> None:
        """Sleep until a ``perf_counter`` time, or until told to stop."""
        if self._timer is not None and not self.stopping:
            await self._timer.until(due)
