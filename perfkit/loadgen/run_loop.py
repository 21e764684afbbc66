"""One run on the event loop: connect, preflight, load, evidence, last row."""

import asyncio
import contextlib
import math
import sys
from collections.abc import Callable, Iterable
from itertools import count
from time import monotonic, perf_counter_ns, process_time, time
from typing import Any, TypeGuard

from perfkit.decoding.clock import RunClock, unix_offset
from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.commands import Place, Stop
from perfkit.loadgen.early_end import Failing
from perfkit.loadgen.file_limit import allow
from perfkit.loadgen.monitor import LoopMonitor, peak_memory
from perfkit.loadgen.plugin_watch import PluginWatch
from perfkit.loadgen.recorder.client import RecorderClient
from perfkit.loadgen.recorder.requests import Ready
from perfkit.loadgen.recorder.run_state import scrubber
from perfkit.loadgen.scheduler import Load
from perfkit.loadgen.transport.pool import ConnectFailed, Pool
from perfkit.loadgen.transport.sender import Sender, Spread, Wire
from perfkit.loadgen.transport.target import Target
from perfkit.options.arguments import Arguments
from perfkit.options.warnings import warnings_about
from perfkit.plugins import BoundApi
from perfkit.records import UNCONNECTED, Status
from perfkit.runfile.percentile import percentile
from perfkit.runfile.texts import wordless
from perfkit.runfile.writer import Row
from perfkit.validity.evidence import Evidence

REPORT_EVERY = 0.2
GIVE_UP_AFTER = 1.0  # s from the order to stop until whatever still waits is dropped
WARM_AT_MOST = 2000
FIRST_GUESS = 0.25  # s that an answer takes, where no preflight request was sent
IN_USE_SOON = 2.0  # s within which a connection opened beforehand should be used: idle ones are closed after 4
AHEAD = 0.5  # s of a recorded trace for which connections are kept ready
MAKING, MAKING_AT_MOST = 2.0, 10.0  # s that requests are made ahead: if those needed at once are ready, and in any case
FEWEST_SPARE, MOST_SPARE = 8, 256
HELD = 0.05  # s that a plugin keeps the loop from its work from which it is said
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
    recorder : RecorderClient
        Makes the requests and stores the answers.
    stop : Stop
        Watched throughout.
    report : callable
        Takes progress as dicts.
    place : Place
        The run's identity, this worker's share, and what it waits for before it starts.
    """

    def __init__(
        self, arguments: Arguments, api: BoundApi, recorder: RecorderClient, stop: Stop, report: Report, place: Place
    ) -> None:
        self.arguments, self.api, self.recorder, self.stop, self.report = arguments, api, recorder, stop, report
        self.run_id, self.share, self._gate = place.run_id, place.share, place.gate
        self.status: Status = "running"
        self.problem: str | None = None
        """Why the run ended before its time, as one sentence."""
        self._e2e = FIRST_GUESS
        """How long an answer takes (s), as far as the preflight request tells."""
        self._held: float | None = None
        """Share of the time that a plugin kept the loop from its work."""
        self._failing = Failing(arguments.max_error_rate)
        self._clock = RunClock(unix_offset() - recorder.ahead)
        self._room = allow(self._wanted())
        # What keeps no texts keeps none beside the run file either.
        scrub = scrubber(arguments, api) if arguments.texts and place.journal else None
        recorder.begin(arguments, self.run_id, self._clock.offset, place.share, place.more, scrub)

    async def run(self) -> None:
        """Measure; returns when everything is stored."""
        sender = self._sender()
        load = Load(self.arguments, self.recorder, sender, self.share)
        heartbeat = LoopMonitor(self.recorder.samples, self._gauges(load, sender), stepped=self._clock_was_set)
        watcher = asyncio.create_task(self._watch(load))
        for sentence in warnings_about(self.arguments):
            self._say(sentence)
        plugin = self._plugin_watch()
        try:
            await self._measure(load, sender, heartbeat)
        finally:
            watcher.cancel()
            self._tell_of(plugin)
            await sender.close()
            await self._finish(load, heartbeat)

    def _plugin_watch(self) -> PluginWatch | None:
        """Watch a plugin that sends by itself: what it waits for without ``await`` keeps everything else waiting."""
        if not self.api.sends:
            return None
        watch = PluginWatch(self._remark, "the client's loop", asyncio.get_running_loop())
        watch.start()
        return watch

    def _tell_of(self, watch: PluginWatch | None) -> None:
        if watch is None:
            return
        watch.stop()
        self._held = watch.share
        told = watch.sentence(
            HELD,
            "meanwhile nothing was sent and nothing stamped; await what waits (client_session, asyncio.sleep), "
            "or give it to asyncio.to_thread",
        )
        if told is not None:
            self._say(told)

    def _clock_was_set(self, seconds: float) -> None:
        way = "forward" if seconds > 0 else "back"
        told = "latencies are not touched, and all moments are by the clock as it was at the start"
        self._say(f"the machine's clock was set {way} by {abs(seconds):,.3g} s during the run: {told}")

    def _say(self, sentence: str) -> None:
        """Say a sentence, and keep it with the run."""
        self._remark(sentence)
        self.recorder.remark(sentence)

    def _remark(self, sentence: str) -> None:
        if self.share.index == 0:  # the first worker speaks for all
            self.report({"event": "remark", "text": sentence})

    async def _measure(self, load: Load, sender: Sender, heartbeat: LoopMonitor) -> None:
        try:
            await self._warm(sender, 1, int)
            await self._ready(lambda: len(self.recorder) > 0 or self.recorder.ended)
            if not await self._preflight(sender):
                return
            await self._made_ahead()
            with contextlib.suppress(ConnectFailed):  # a server may take fewer than asked: those become rows
                await self._warm(sender, self._connections(), lambda: self._spare(load))
        except ConnectFailed as error:
            self.problem = str(error)
            return
        begin = await self._gate(self.stop)
        if self.recorder.failure is not None or self.stop.given:
            return
        load.start = self._stamp(begin)
        heartbeat.start()
        try:
            await self._drive(load)
        finally:
            await heartbeat.stop()

    async def _drive(self, load: Load) -> None:
        """Run the load until it ends or the order to stop comes."""
        caring = asyncio.create_task(self.recorder.look_after())
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

    async def _warm(self, sender: Sender, count: int, spare: Callable[[], int]) -> None:
        """Open connections, until the order to stop comes."""
        warming = asyncio.create_task(sender.warm(count, spare))
        if await self.stop.unless_given(warming):
            warming.result()

    async def _preflight(self, sender: Sender) -> bool:
        """Send the preflight request; tell whether a load makes sense."""
        ready = self.recorder.take() if self.arguments.preflight and self.share.index == 0 else None
        if ready is None or self.stop.given:
            return not self.stop.given
        sending = asyncio.create_task(sender.send(ready))
        if not await self.stop.first_of(sending):
            sender.interrupt()
        exchange = await sending
        self._e2e = ((exchange.end or exchange.start) - exchange.start) / 1e9
        self.recorder.deliver(ready, "preflight", exchange.start, exchange)
        await self._judge_preflight(ready, exchange)
        return self.problem is None and not self.stop.given

    async def _judge_preflight(self, ready: Ready, exchange: Exchange) -> None:
        """Note a problem that will not get better under load."""
        status = exchange.status or 0
        refused = status in HOPELESS or status // 100 == 3
        if ready.error is None and not refused and exchange.error_kind not in (*UNCONNECTED, "protocol"):
            return
        await self.recorder.flush()  # so that the recorder has read the answer, and says what it says without secrets
        kind = "plugin" if ready.error is not None else exchange.error_kind or "http_status"
        told = self._last_error or wordless(kind, ready.error or exchange.error or "", status) or ""
        hint = "; include_usage=False (--no-include-usage) leaves it out" if "stream_options" in told else ""
        self.problem = told if ready.error is not None else f"the preflight request failed: {told}{hint}"

    async def _ready(self, holds: Callable[[], bool]) -> None:
        """Wait until the recorder is as far as it should be, or has failed, or the order to stop comes."""
        while not holds() and self.recorder.failure is None and not self.stop.given:
            await self.recorder.wait_for_change(REPORT_EVERY)

    async def _made_ahead(self) -> None:
        """Wait until as many requests are ready as are made ahead; of a slow dataset, what it gives in a while."""
        began = monotonic()
        rate = self.arguments.rate
        at_once = self._users() if self.arguments.load == "closed" else self._own_rate(rate if _is_rate(rate) else 0)

        def enough() -> bool:
            ready, waited = len(self.recorder), monotonic() - began
            return (
                self.recorder.full or (ready > at_once and waited > MAKING) or (ready > 0 and waited > MAKING_AT_MOST)
            )

        await self._ready(enough)
        if monotonic() - began > MAKING_AT_MOST and self.recorder.failure is None and not self.stop.given:
            begins = f"after {MAKING_AT_MOST:g} s the load began with {len(self.recorder)} requests ready"
            self._say(f"the dataset is slow: {begins}")

    async def _watch(self, load: Load) -> None:
        """Report progress, and stop when too many requests fail, the recorder does, or an order stands in the file."""
        while True:
            await asyncio.sleep(REPORT_EVERY)
            self.report({"event": "progress", **self._progress(load)})
            problem = self.stop.problems.get(self.run_id) or self._failures()
            if problem is not None and self.problem is None:
                self.problem = problem
                load.end()  # what is in flight is waited for, as the slow ones may be the good
            if self.recorder.failure is not None or self.recorder.told_to_stop:
                self.stop.event.set()

    def _failures(self) -> str | None:
        """Say that too many requests fail; None for a share of the load, as the driver sees them all."""
        if self.share.count > 1 or self.recorder.ended:
            return None
        return self._failing.problem(self.recorder.stored, self.recorder.failed, self._last_error, monotonic())

    @property
    def _last_error(self) -> str | None:
        """What is kept with the run and shown of the last failure: it may quote a prompt."""
        return self.recorder.last_error if self.arguments.texts else None

    def _progress(self, load: Load) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "sent": load.sent,
            "done": self.recorder.stored,
            "failed": self.recorder.failed,
            "last_error": self._last_error,
            "all_taken": self.recorder.ended,
            "in_flight": load.in_flight,
            "elapsed": (perf_counter_ns() - load.start) / 1e9 if load.start else 0.0,
            "expected": _as_number(self.arguments.number),
            "duration": load.limit,
        }

    def _gauges(self, load: Load, sender: Sender) -> dict[str, Callable[[], float]]:
        return {
            "backlog": lambda: load.done - self.recorder.stored,
            "backlog_bytes": lambda: self.recorder.waiting,
            "in_flight": lambda: load.in_flight,
            "idle_connections": lambda: sender.idle,
            "ready": lambda: len(self.recorder),
            "starved": lambda: self._starved(load),
        }

    def _starved(self, load: Load) -> float:
        """Return the share of the load's time that requests were wanted and none was ready."""
        return self.recorder.starved / max(1e-3, (perf_counter_ns() - load.start) / 1e9)

    async def _finish(self, load: Load, heartbeat: LoopMonitor) -> None:
        self.status = "interrupted" if self.stop.given or self.problem else "finished"
        if load.start:
            # Of this process alone; what the recorder used meanwhile runs beside it, at lower priority.
            used = {"cpu_seconds": process_time() - heartbeat.cpu_at_start, "peak_memory": peak_memory()}
            self.recorder.samples([(time(), name, value) for name, value in used.items() if value is not None])
        if self.recorder.restarts:
            self.recorder.samples([(time(), "recorder_restarts", self.recorder.restarts)])
            self.recorder.remark(self.recorder.said_of_restarts)
        fields: Row = {
            "status": self.status,
            "problem": self.problem,
            "end_time": self._clock.unix(perf_counter_ns()),
            "sent": load.sent,
        }
        if load.start:
            fields["start_time"] = self._clock.unix(load.start)
        await self.recorder.finish(fields, self._evidence(load, heartbeat))
        self.report({"event": "run", "status": self.status, "problem": self.problem, **self._progress(load)})

    def _evidence(self, load: Load, heartbeat: LoopMonitor) -> Evidence:
        """Return what the loop knows for the verdict."""
        return Evidence(
            requests=load.sent,
            loop_lag=_p99(heartbeat.lags),
            stall=max(heartbeat.lags, default=0) / 1e9 or None,
            cpu_wait=heartbeat.cpu_wait,
            cpu_taken=heartbeat.cpu_taken,
            no_socket=self._no_socket(load),
            cpu_share=heartbeat.cpu_share or None,
            plugin_held=self._held,
            gc_pause=heartbeat.longest_pause or None,
            is_open=self.arguments.load == "open",
            late=_p99(load.lags),
            capped=self.arguments.max_concurrency is not None,
            starved=self._starved(load),
            exact_clock=sys.platform != "win32",
        )

    def _sender(self) -> Sender:
        if self.api.sends or self.arguments.proxy:
            from perfkit.loadgen.transport.aiohttp_sender import (
                aiohttp_sender,  # aiohttp is loaded only where it is needed
            )

            return aiohttp_sender(self.api, self.arguments)
        numbers = count(1)
        wires = []
        for url in self.arguments.urls:
            api = self.api if len(self.arguments.urls) == 1 else self.api.at(url)
            target = Target.of(api.url, dict(api.headers))
            pool = Pool.of(target, self.arguments, kernel=self.arguments.stamps != "user", numbers=numbers)
            wires.append(Wire(pool))
        return wires[0] if len(wires) == 1 else Spread(wires)

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
        """Return how many connections to open before the load starts: no more than it will use at once."""
        arguments, rate = self.arguments, self.arguments.rate
        left = self.share.of(_as_number(arguments.number) or WARM_AT_MOST)
        if arguments.load == "closed":
            wanted = self._users()
        elif (due := self.recorder.due_within(AHEAD * arguments.speed)) is not None:
            wanted = max(due, FEWEST_SPARE)
        elif rate == -1 or not isinstance(rate, (int, float)):
            wanted = left
        else:
            wanted = FEWEST_SPARE + math.ceil(self._own_rate(rate) * min(self._e2e, IN_USE_SOON))
        known = self.recorder.left
        most = self.share.of(arguments.max_concurrency or WARM_AT_MOST)
        return min(wanted, left, WARM_AT_MOST if known is None else known, max(1, most), WARM_AT_MOST)

    def _spare(self, load: Load) -> int:
        """Return how many idle connections an open model keeps ready just now."""
        arguments, rate = self.arguments, self.arguments.rate
        if arguments.load == "closed" and not load.stopping:  # whoever cancelled needs a new one for the next request
            return math.ceil(self._users() * arguments.cancel)
        if arguments.load == "closed" or not isinstance(rate, (int, float)) or load.stopping:
            return 0
        wanted = min(max(FEWEST_SPARE, load.in_flight // 2), MOST_SPARE)
        elapsed = (perf_counter_ns() - load.start) / 1e9 if load.start else 0.0
        due = self.recorder.due_within((elapsed + AHEAD) * arguments.speed)
        if due is not None:
            wanted = max(due, FEWEST_SPARE)
        elif rate == -1:
            return 0
        else:
            wanted = min(wanted, max(FEWEST_SPARE, math.ceil(self._own_rate(rate) / 4)))
        bounds = [WARM_AT_MOST if self.recorder.left is None else self.recorder.left]
        if number := _as_number(arguments.number):
            bounds.append(self.share.of(number) - load.sent)
        if arguments.max_concurrency:
            bounds.append(self.share.of(arguments.max_concurrency) - load.in_flight)
        return max(0, min(wanted, *bounds))

    def _own_rate(self, rate: float) -> float:
        return rate / self.share.count


def _p99(lags: Iterable[int]) -> float | None:
    """Return the 99th percentile of nanoseconds, in seconds."""
    ordered = sorted(lags)
    return percentile(ordered, 99) / 1e9 if ordered else None


def _is_rate(rate: Any) -> TypeGuard[float]:
    return isinstance(rate, (int, float)) and rate > 0


def _as_number(number: Any) -> int | None:
    return number if isinstance(number, int) else None
