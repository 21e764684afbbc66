"""One run from first connection to last row: preflight, load, evidence."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterable
from time import monotonic, perf_counter_ns, process_time, time
from typing import Any

from perfkit.arguments import Arguments
from perfkit.engine.desk_client import DeskClient
from perfkit.engine.drive import Load
from perfkit.engine.failing import Failing
from perfkit.engine.heartbeat import Heartbeat, peak_memory
from perfkit.engine.orders import Place, Stop
from perfkit.engine.plan import Ready
from perfkit.engine.sockets import allow
from perfkit.plugins import BoundApi
from perfkit.records import UNCONNECTED, Status
from perfkit.store.writer import Row
from perfkit.transport.clock import RunClock, unix_offset
from perfkit.transport.exchange import Exchange, Target
from perfkit.transport.pool import ConnectFailed, Pool
from perfkit.transport.sender import Sender, Wire

REPORT_EVERY = 0.2
GIVE_UP_AFTER = 1.0  # s from the order to stop until whatever still waits is dropped
WARM_AT_MOST = 2000
CONNECTIONS_AT_MOST = 65_536  # that an open model without a cap could need
HOPELESS = frozenset({400, 401, 403, 404, 405, 415, 422})  # a preflight answered so will not get better under load

Report = Callable[[dict[str, Any]], None]


class Session:
    """One point of a sweep.

    Parameters
    ----------
    arguments : Arguments
        With a single ``parallel`` or ``rate``.
    api : BoundApi
    desk : DeskClient
        Makes the requests and stores the answers.
    stop : Stop
        Watched throughout.
    report : callable
        Takes progress as dicts.
    place : Place
        The run's identity, this worker's share, and what it waits for before it starts.
    """

    def __init__(
        self, arguments: Arguments, api: BoundApi, desk: DeskClient, stop: Stop, report: Report, place: Place
    ) -> None:
        self.arguments, self.api, self.desk, self.stop, self.report = arguments, api, desk, stop, report
        self.run_id, self.share, self._gate = place.run_id, place.share, place.gate
        self.status: Status = "running"
        self.problem: str | None = None
        """Why the run ended before its time, as one sentence."""
        self._failing = Failing(arguments.max_error_rate)
        self._clock = RunClock(unix_offset() - desk.ahead)
        self._room = allow(self._wanted())
        desk.begin(arguments, self.run_id, self._clock.offset, place.share, place.more)

    async def run(self) -> None:
        """Measure; returns when everything is stored.

        Raises
        ------
        PerfkitError
            The desk failed: no row could be stored, the dataset broke, or its process died.
        """
        sender = self._sender()
        load = Load(self.arguments, self.desk, sender, self.share)
        heartbeat = Heartbeat(self.desk.samples, self._gauges(load))
        watcher = asyncio.create_task(self._watch(load))
        try:
            await self._measure(load, sender, heartbeat)
        finally:
            watcher.cancel()
            await sender.close()
            await self._finish(load, heartbeat)

    async def _measure(self, load: Load, sender: Sender, heartbeat: Heartbeat) -> None:
        try:
            await self._warm(sender, 1, 0)
            await self._ready(lambda: len(self.desk) > 0 or self.desk.ended)
            if not await self._preflight(sender):
                return
            await self._ready(lambda: self.desk.full)
            with contextlib.suppress(ConnectFailed):  # a server may take fewer than asked: those become rows
                await self._warm(sender, self._connections(), self._spare())
        except ConnectFailed as error:
            self.problem = str(error)
            return
        begin = await self._gate(self.stop)
        if self.desk.failure is not None or self.stop.given:
            return
        load.start = self._stamp(begin)
        heartbeat.start()
        try:
            await self._drive(load)
        finally:
            await heartbeat.stop()

    async def _drive(self, load: Load) -> None:
        """Run the load until it ends or the order to stop comes."""
        caring = asyncio.create_task(self.desk.look_after())
        running = asyncio.create_task(load.run())
        if not await self.stop.first_of(running):
            load.stop()
            await asyncio.wait({running}, timeout=GIVE_UP_AFTER)
            running.cancel()
        caring.cancel()
        await asyncio.gather(running, caring, return_exceptions=True)
        if not running.cancelled() and (failure := running.exception()) is not None:
            raise failure

    def _stamp(self, begin: float | None) -> int:
        """Return the agreed start (Unix seconds) on our clock; now where none was agreed."""
        return perf_counter_ns() if begin is None else round(begin * 1e9) - self._clock.offset

    async def _warm(self, sender: Sender, count: int, spare: int) -> None:
        """Open connections, until the order to stop comes."""
        warming = asyncio.create_task(sender.warm(count, spare))
        if await self.stop.unless_given(warming):
            warming.result()

    async def _preflight(self, sender: Sender) -> bool:
        """Send the preflight request; tell whether a load makes sense."""
        ready = self.desk.take() if self.arguments.preflight and self.share.index == 0 else None
        if ready is None or self.stop.given:
            return not self.stop.given
        sending = asyncio.create_task(sender.send(ready))
        if not await self.stop.first_of(sending):
            sender.interrupt()
        exchange = await sending
        self.desk.deliver(ready, "preflight", exchange.start, exchange)
        await self._judge_preflight(ready, exchange)
        return self.problem is None and not self.stop.given

    async def _judge_preflight(self, ready: Ready, exchange: Exchange) -> None:
        """Note a problem that will not get better under load."""
        status = exchange.status or 0
        if ready.error is not None:
            self.problem = ready.error
        elif status in HOPELESS or status // 100 == 3:
            await self.desk.flush()  # so that the desk has read the answer, and says what the server said
            self.problem = f"the preflight request failed: {self.desk.last_error or f'HTTP {status}'}"
        elif exchange.error_kind in (*UNCONNECTED, "protocol"):
            self.problem = f"the preflight request failed: {exchange.error}"

    async def _ready(self, holds: Callable[[], bool]) -> None:
        """Wait until the desk is as far as it should be, or has failed, or the order to stop comes."""
        while not holds() and self.desk.failure is None and not self.stop.given:
            self.desk.changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.desk.changed.wait(), REPORT_EVERY)

    async def _watch(self, load: Load) -> None:
        """Report progress, and stop when too many requests fail, the desk does, or an order stands in the file."""
        while True:
            await asyncio.sleep(REPORT_EVERY)
            self.report({"event": "progress", **self._progress(load)})
            problem = self.stop.problems.get(self.run_id) or self._failures()
            if problem is not None and self.problem is None:
                self.problem = problem
                load.end()  # what is in flight is waited for, as the slow ones may be the good
            if self.desk.failure is not None or self.desk.told_to_stop:
                self.stop.event.set()

    def _failures(self) -> str | None:
        """Say that too many requests fail; None for a share of the load, as the driver sees them all."""
        if self.share.count > 1 or self.desk.ended:
            return None
        return self._failing.problem(self.desk.stored, self.desk.failed, self.desk.last_error, monotonic())

    def _progress(self, load: Load) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "sent": load.sent,
            "done": self.desk.stored,
            "failed": self.desk.failed,
            "last_error": self.desk.last_error,
            "all_taken": self.desk.ended,
            "in_flight": load.in_flight,
            "elapsed": (perf_counter_ns() - load.start) / 1e9 if load.start else 0.0,
            "expected": _as_number(self.arguments.number),
            "duration": self.arguments.duration,
        }

    def _gauges(self, load: Load) -> dict[str, Callable[[], float]]:
        return {
            "backlog": lambda: load.done - self.desk.stored,
            "backlog_bytes": lambda: self.desk.waiting,
            "in_flight": lambda: load.in_flight,
            "ready": lambda: len(self.desk),
            "starved": lambda: self._starved(load),
        }

    def _starved(self, load: Load) -> float:
        """Return the share of the load's time that requests were wanted and none was ready."""
        return self.desk.starved / max(1e-3, (perf_counter_ns() - load.start) / 1e9)

    async def _finish(self, load: Load, heartbeat: Heartbeat) -> None:
        self.status = "interrupted" if self.stop.given or self.problem else "finished"
        if load.start:
            # Of this process alone; what the desk used meanwhile runs beside it, at lower priority.
            used = {"cpu_seconds": process_time() - heartbeat.cpu_at_start, "peak_memory": peak_memory()}
            self.desk.samples([(time(), name, value) for name, value in used.items() if value is not None])
        fields: Row = {
            "status": self.status,
            "problem": self.problem,
            "end_time": self._clock.unix(perf_counter_ns()),
            "sent": load.sent,
        }
        if load.start:
            fields["start_time"] = self._clock.unix(load.start)
        await self.desk.finish(fields, self._evidence(load, heartbeat))
        self.report({"event": "run", "status": self.status, "problem": self.problem, **self._progress(load)})

    def _evidence(self, load: Load, heartbeat: Heartbeat) -> dict[str, Any]:
        """Return what the loop knows for the verdict, under the names of ``Evidence``."""
        is_open, capped = self.arguments.load == "open", self.arguments.max_concurrency is not None
        lag = _p99(load.lags)
        return {
            "requests": load.sent,
            "loop_lag": _p99(heartbeat.lags),
            "stall": max(heartbeat.lags, default=0) / 1e9 or None,
            "cpu_wait": heartbeat.cpu_wait,
            "cpu_taken": heartbeat.cpu_taken,
            "no_socket": self._no_socket(load),
            "cpu_share": heartbeat.cpu_share or None,
            "gc_pause": heartbeat.longest_pause or None,
            "send_lag": lag if is_open and not capped else None,
            "turnaround": None if is_open else lag,
            "capped": capped,
            "starved": self._starved(load),
            "exact_clock": sys.platform != "win32",
        }

    def _sender(self) -> Sender:
        if self.api.sends or self.arguments.proxy:
            from perfkit.transport.aiohttp_sender import aiohttp_sender  # aiohttp is loaded only where it is needed

            return aiohttp_sender(self.api, self.arguments)
        pool = Pool(
            Target.of(self.api.url, dict(self.api.headers)),
            connect_timeout=self.arguments.connect_timeout,
            read_timeout=self.arguments.read_timeout,
            total_timeout=self.arguments.total_timeout,
            verify=self.arguments.verify,
            ca_file=self.arguments.ca_file,
            kernel=self.arguments.stamps != "user",
        )
        return Wire(pool)

    def _wanted(self) -> int:
        """Return how many connections this worker's share may need at once."""
        arguments = self.arguments
        if arguments.load == "closed":
            return self._users()
        most = arguments.max_concurrency or _as_number(arguments.number) or CONNECTIONS_AT_MOST
        return min(self.share.of(most), CONNECTIONS_AT_MOST)

    def _users(self) -> int:
        return self.share.of(self.arguments.parallel if isinstance(self.arguments.parallel, int) else 1)

    def _no_socket(self, load: Load) -> float | None:
        """Return the share of the connections needed at once that the limit of open files had no room for."""
        needed = self._users() if self.arguments.load == "closed" else load.peak
        return max(0.0, 1 - self._room / needed) if self._room is not None and needed else None

    def _connections(self) -> int:
        """Return how many connections to open before the load starts."""
        arguments = self.arguments
        number = self.share.of(_as_number(arguments.number) or WARM_AT_MOST)
        if arguments.load == "closed":
            wanted = self._users()
        elif arguments.rate == -1:
            wanted = number
        else:
            wanted = 2 * self._spare()
        return min(wanted, number, arguments.max_concurrency or WARM_AT_MOST, WARM_AT_MOST)

    def _spare(self) -> int:
        """Return how many idle connections an open model keeps ready: what may arrive within half a second."""
        rate = self.arguments.rate
        if self.arguments.load == "closed" or not isinstance(rate, (int, float)) or rate == -1:
            return 0
        return min(max(8, int(rate / 2)), 512)


def _p99(lags: Iterable[int]) -> float | None:
    """Return the 99th percentile of nanoseconds, in seconds."""
    ordered = sorted(lags)
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] / 1e9 if ordered else None


def _as_number(number: Any) -> int | None:
    return number if isinstance(number, int) else None
