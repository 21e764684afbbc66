"""One run from first connection to verdict: preflight, load, evidence, record."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter_ns, time
from typing import Any

from perfkit.arguments import Arguments
from perfkit.engine.decode import Decoder
from perfkit.engine.drive import Load
from perfkit.engine.heartbeat import Heartbeat, Sample
from perfkit.engine.lookahead import LookAhead, Planned, plan, with_preflight
from perfkit.engine.record import new_run_id, run_row
from perfkit.engine.sink import Sink
from perfkit.plugins import BoundApi
from perfkit.records import Prompt, Status
from perfkit.secrets import Scrubber, secrets_in
from perfkit.store.writer import Row
from perfkit.transport.clock import RunClock, unix_offset
from perfkit.transport.exchange import Exchange, Target
from perfkit.transport.pool import ConnectFailed, Pool
from perfkit.transport.sender import Sender, Wire
from perfkit.verdict import Evidence, Verdict, verdict

REPORT_EVERY = 0.2
GIVE_UP_AFTER = 1.0  # s from the order to stop until whatever still waits is dropped
FULL_WAIT = 10.0
WARM_AT_MOST = 2000
HOPELESS = frozenset({400, 401, 403, 404, 405, 415, 422})  # a preflight answered so will not get better under load

Report = Callable[[dict[str, Any]], None]


@dataclass
class Stop:
    """An order to stop that any thread may give."""

    loop: asyncio.AbstractEventLoop
    event: asyncio.Event = field(default_factory=asyncio.Event)

    def give(self) -> None:
        """Give the order; safe to repeat, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nothing left to stop
            self.loop.call_soon_threadsafe(self.event.set)


class Session:
    """One point of a sweep.

    Parameters
    ----------
    arguments : Arguments
        With a single ``parallel`` or ``rate``.
    api : BoundApi
    prompts : iterable of Prompt
    sink : Sink
        Stores the rows.
    stop : Stop
        Watched throughout.
    report : callable
        Takes progress as dicts.
    more : dict
        Further columns of ``run``: sweep_id, point, plan, name.
    """

    def __init__(
        self,
        arguments: Arguments,
        api: BoundApi,
        prompts: Iterable[Prompt],
        sink: Sink,
        stop: Stop,
        report: Report,
        more: Row,
    ) -> None:
        self.arguments, self.api, self.sink, self.stop, self.report = arguments, api, sink, stop, report
        self.run_id = new_run_id()
        self.status: Status = "running"
        self.problem: str | None = None
        """Why the run ended before its time, as one sentence."""
        self._target = Target.of(api.url, dict(api.headers))
        self._clock = RunClock(unix_offset())
        scrub = Scrubber(secrets_in(api.url, api.headers, arguments.api_key))
        self._decoder = Decoder(self.run_id, 0, api, self._clock, scrub)
        row = run_row(arguments, run_id=self.run_id, url=api.url, model=arguments.model) | more
        sink.write(lambda writer: writer.begin_run(row))
        sink.run_id = self.run_id
        self._stored_before = sink.stored, sink.failed
        requests = plan(prompts, api, self._target.request)
        self._preflight, requests = with_preflight(requests) if arguments.preflight else (None, requests)
        self._requests = LookAhead(requests, _as_number(arguments.number))

    async def run(self) -> None:
        """Measure; returns when everything is stored."""
        sender = self._sender()
        load = Load(self.arguments, self._requests, sender, self._deliver)
        self._heartbeat = Heartbeat(self._store_samples, self._gauges(load))
        watcher = asyncio.create_task(self._watch(load))
        try:
            await self._measure(load, sender)
        finally:
            watcher.cancel()
            self._requests.close()
            await sender.close()
            self._finish(load)

    async def _measure(self, load: Load, sender: Sender) -> None:
        try:
            await sender.warm(1, 0)
            if not await self._checked(sender):
                return
            await self._ready()
            await sender.warm(self._connections(), self._spare())
        except ConnectFailed as error:
            self.problem = str(error)
            return
        self._heartbeat.start()
        try:
            running = asyncio.create_task(load.run())
            stopped = asyncio.create_task(self.stop.event.wait())
            await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                load.stop()
                await asyncio.wait({running}, timeout=GIVE_UP_AFTER)
                running.cancel()
            stopped.cancel()
            await asyncio.gather(running, stopped, return_exceptions=True)
            if running.done() and not running.cancelled() and (failure := running.exception()) is not None:
                raise failure
        finally:
            await self._heartbeat.stop()
        if self._requests.failure is not None:
            raise self._requests.failure

    async def _checked(self, sender: Sender) -> bool:
        """Send the preflight request; tell whether a load makes sense."""
        planned = self._preflight
        if planned is None or self.stop.event.is_set():
            return not self.stop.event.is_set()
        sending = asyncio.create_task(sender.send(planned.data, planned.body, planned.error))
        stopped = asyncio.create_task(self.stop.event.wait())
        await asyncio.wait({sending, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not sending.done():
            sender.interrupt()
        stopped.cancel()
        exchange = await sending
        planned.scheduled = exchange.start
        self.sink.put(self._decoder, planned, exchange)
        if planned.error is not None:
            self.problem = planned.error
        elif exchange.status in HOPELESS or (exchange.status or 200) // 100 == 3:
            row = self._decoder.row(planned, exchange)
            self.problem = f"the preflight request failed: {row['error']!s}"
        elif exchange.error_kind in ("connect", "connect_timeout", "tls", "protocol"):
            self.problem = f"the preflight request failed: {exchange.error}"
        return self.problem is None and not self.stop.event.is_set()

    async def _ready(self) -> None:
        """Wait until bodies are built ahead, without blocking the loop."""
        until = perf_counter_ns() + int(FULL_WAIT * 1e9)
        while not self._requests.wait_full(0) and perf_counter_ns() < until and not self.stop.event.is_set():
            await asyncio.sleep(0.005)
        if self._requests.failure is not None:
            raise self._requests.failure

    async def _watch(self, load: Load) -> None:
        """Report progress, and stop when the store fails or an order stands in the file."""
        while True:
            await asyncio.sleep(REPORT_EVERY)
            self.report(self._progress(load))
            if self.sink.failure is not None or self.sink.told_to_stop:
                self.stop.event.set()

    def _progress(self, load: Load) -> dict[str, Any]:
        stored, failed = self._stored()
        return {
            "event": "progress",
            "run_id": self.run_id,
            "sent": load.sent,
            "done": stored,
            "failed": failed,
            "in_flight": load.in_flight,
            "elapsed": (perf_counter_ns() - load.start) / 1e9 if load.start else 0.0,
            "expected": _as_number(self.arguments.number),
            "duration": self.arguments.duration,
        }

    def _stored(self) -> tuple[int, int]:
        before, failed_before = self._stored_before
        return self.sink.stored - before, self.sink.failed - failed_before

    def _deliver(self, planned: Planned, exchange: Exchange) -> None:
        self.sink.put(self._decoder, planned, exchange)

    def _store_samples(self, samples: list[Sample]) -> None:
        rows = [(self.run_id, 0, moment, name, value) for moment, name, value in samples]
        self.sink.write(lambda writer: writer.add_samples(rows))

    def _gauges(self, load: Load) -> dict[str, Callable[[], float]]:
        requests = self._requests
        return {
            "backlog": lambda: self.sink.backlog,
            "in_flight": lambda: load.in_flight,
            "ready": lambda: len(requests),
            "starved": lambda: requests.starved / max(1, requests.taken),
        }

    def _finish(self, load: Load) -> None:
        self.sink.flush()
        interrupted = self.stop.event.is_set()
        self.status = "interrupted" if interrupted else "finished"
        stored, failed = self._stored()
        told = self._verdict(load)
        fields: Row = {
            "status": self.status,
            "end_time": time(),
            "heartbeat": time(),
            "sent": load.sent,
            "succeeded": stored - failed,
            "failed": failed,
            "verdict": told.level if load.sent else None,
            "reasons": json.dumps(told.reasons),
        }
        if load.start:
            fields["start_time"] = self._clock.unix(load.start)
        self.sink.write(lambda writer: writer.update_run(self.run_id, **fields))
        self.sink.flush()
        self.report({**self._progress(load), "event": "run", "status": self.status, "problem": self.problem})

    def _verdict(self, load: Load) -> Verdict:
        tally = self._decoder.tally
        is_open = self.arguments.load == "open"
        lag = _p99(load.lags)
        return verdict(
            Evidence(
                requests=load.sent,
                loop_lag=_p99(self._heartbeat.lags),
                cpu_share=self._heartbeat.cpu_share or None,
                gc_pause=self._heartbeat.longest_pause or None,
                send_lag=lag if is_open and not self.arguments.max_concurrency else None,
                turnaround=None if is_open else lag,
                capped=self.arguments.max_concurrency is not None,
                starved=self._requests.starved / max(1, self._requests.taken),
                connect_failures=tally.unconnected / max(1, load.sent),
                censored_first=tally.first_censored / tally.first if tally.first else None,
                censored_gaps=tally.gaps_censored / tally.gaps if tally.gaps else None,
                exact_clock=sys.platform != "win32",
            )
        )

    def _sender(self) -> Sender:
        if self.api.sends or self.arguments.proxy:
            from perfkit.transport.plugin_sender import PluginSender  # aiohttp: only where it is needed

            return PluginSender(self.api, self.arguments)
        pool = Pool(
            self._target,
            connect_timeout=self.arguments.connect_timeout,
            read_timeout=self.arguments.read_timeout,
            total_timeout=self.arguments.total_timeout,
            verify=self.arguments.verify,
            ca_file=self.arguments.ca_file,
            kernel=self.arguments.stamps != "user",
        )
        return Wire(pool)

    def _connections(self) -> int:
        """Return how many connections to open before the load starts."""
        arguments = self.arguments
        number = _as_number(arguments.number) or WARM_AT_MOST
        if arguments.load == "closed":
            wanted = int(arguments.parallel or 1)  # type: ignore[arg-type]
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
