"""The simulated server: requests in, tokens out when the model says they are due."""

import asyncio
import contextlib
import gc
import os
import signal
import ssl
import sys
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

import orjson

from perfkit.loadgen.timerfd import alarm
from perfkit.records import Json
from perfkit.simulator import published
from perfkit.simulator.connection import Connection, Request, error_body, reply
from perfkit.simulator.dialects import CREATED, DIALECTS
from perfkit.simulator.exchange import Exchange
from perfkit.simulator.faults import find_fault, scheduled_fault
from perfkit.simulator.model import SECOND, Due, Work, make_schedule
from perfkit.simulator.options import Simulation
from perfkit.simulator.published import Published
from perfkit.simulator.truth import TruthLog

_TOKENS_PER_TURN = 64  # after so many writes the sockets are read, so that requests are stamped when they arrive
_IDLE = 2_000_000  # ns without anything due: time enough to write logs
_BACKLOG = 4096


class Server:
    """The state of one simulated server; make it inside a running loop."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.idle_timeout = simulation.idle_timeout
        self.published = Published(simulation)
        self.truth = TruthLog(simulation.log, simulation.chunk_log, simulation.request_log)
        self._loop = asyncio.get_running_loop()
        self._schedule = make_schedule(simulation)
        self._timer = alarm(self._loop, self._advance)
        self._exchanges: dict[int, Exchange] = {}
        self._due: deque[Due] = deque()
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._requests = 0
        self._most_open = 0
        self._reset_counts()
        self._flush()

    def connected(self, connection: Connection) -> int:
        """Return the number of a new connection."""
        self._connections.add(connection)
        self._accepted += 1
        return self._accepted

    def disconnected(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def answer(self, connection: Connection, request: Request) -> Exchange | None:
        """Begin an exchange; None if the request was answered at once."""
        dialect = DIALECTS.get(request.path) if request.method == "POST" else None
        if dialect is None:
            connection.send(self._other(request))
            return None
        self._requests += 1
        number = self._requests
        self.truth.received(number, request.path, request.headers, request.body, request.recv_done)
        try:
            body = orjson.loads(request.body)
            if not isinstance(body, dict):
                raise ValueError(f"the body must be a JSON object, got {type(body).__name__}")
            wanted = body.get("x_fault") or request.headers.get("x-fault")
            fault = find_fault(str(wanted)) if wanted else scheduled_fault(number, self.simulation)
            answer = dialect.answer(number, body, request.headers, self.simulation, fault.share)
        except ValueError as refused:
            connection.send(reply(400, error_body(400, str(refused)), close=not request.keep_alive))
            return None
        exchange = Exchange(self, connection, request, dialect, answer, fault)
        self._exchanges[number] = exchange
        self._most_open = max(self._most_open, len(self._exchanges))
        if exchange.begin(len(self._exchanges)):
            first = self._schedule.arrive(number, request.recv_done, Work(answer.prompt_tokens, answer.output_tokens))
            if self.simulation.role_lead and answer.stream:
                # At once if the time of the first token is not known yet.
                delay = 0.0 if first is None else (first - monotonic_ns()) / SECOND - self.simulation.role_lead
                self._loop.call_later(max(delay, 0.0), exchange.open)
            self._set_timer()
        return None if exchange.over else exchange

    def ended(self, exchange: Exchange) -> None:
        """Count an exchange that has ended, and log it."""
        number, outcome = exchange.answer.number, exchange.truth.outcome
        del self._exchanges[number]
        self._schedule.leave(number)
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        self._events += exchange.truth.events or bool(exchange.truth.first_ns)
        self.published.ended(exchange.generated)
        self.truth.request(exchange.truth)

    def _advance(self) -> None:
        """Send what is due, a turn's worth at a time."""
        due, exchanges = self._due, self._exchanges
        if not due:
            due.extend(self._schedule.take(monotonic_ns()))
        try:
            for _ in range(min(len(due), _TOKENS_PER_TURN)):
                time, number = due.popleft()
                exchange = exchanges.get(number)
                if exchange is not None:
                    exchange.token(time, self._schedule.began(number))
        finally:  # one answer that fails must not stop all others
            if due:
                self._loop.call_soon(self._advance)
            else:
                self._set_timer()

    def _set_timer(self) -> None:
        if self._due:
            return
        due = self._schedule.next_due()
        self._timer.set(due)
        if self.truth.heavy and (due is None or due - monotonic_ns() > _IDLE):
            self.truth.flush()

    def _other(self, request: Request) -> bytes:
        """Answer what is not a generation."""
        close = not request.keep_alive
        match request.method, request.path:
            case "GET", "/v1/models":
                model: Json = {"id": self.simulation.model, "object": "model", "created": CREATED}
                model |= {"owned_by": "perfkit", "max_model_len": 131072}
                return reply(200, orjson.dumps({"object": "list", "data": [model]}), close=close)
            case "GET", published.PATH:
                return reply(200, self._page(), headers={"content-type": published.CONTENT_TYPE}, close=close)
            case "GET", "/__stats":
                self.truth.flush()
                return reply(200, orjson.dumps(self._stats()), close=close)
            case "POST", "/__reset":
                self.truth.restart()
                self._reset_counts()
                return reply(200, b"{}", close=close)
            case _, "/health" | "/":
                return reply(200, b"{}", close=close)
            case _, path if path in DIALECTS:
                return reply(405, error_body(405, f"{path} takes POST"), headers={"allow": "POST"}, close=close)
        return reply(404, error_body(404, f"nothing is served at {request.path}"), close=close)

    def _page(self) -> bytes:
        """Return what is published now."""
        running = self._schedule.running()
        under_way = [self._exchanges[number] for number in running if number in self._exchanges]
        tokens = sum(exchange.answer.prompt_tokens + exchange.generated for exchange in under_way)
        return self.published.page(len(running), self._schedule.waiting(), tokens)

    def _stats(self) -> Json:
        """Return counts since the start or the last reset."""
        return {
            "requests": self._requests - self._requests_before,
            "outcomes": self._outcomes,
            "open_streams": len(self._exchanges),
            "most_open_streams": self._most_open,
            "connections": self._accepted,
            "events": self._events,
        }

    def _reset_counts(self) -> None:
        self._outcomes: dict[str, int] = {}
        self._events = 0
        self._most_open = len(self._exchanges)
        self._requests_before = self._requests

    def _flush(self) -> None:
        self.truth.flush()
        self._flushing = self._loop.call_later(1.0, self._flush)

    def close(self) -> None:
        """Drop every connection and write the logs, unfinished requests included."""
        self._flushing.cancel()
        self._timer.close()
        for exchange in list(self._exchanges.values()):
            exchange.client_left()
        for connection in list(self._connections):
            connection.abort()
        self.truth.close()


def run(simulation: Simulation, *, until_eof: bool = False) -> None:
    """Serve in this process until SIGTERM or SIGINT, or until standard input ends.

    With ``until_eof`` a parent that dies takes its server along.
    """
    _raise_file_limit()
    with asyncio.Runner(loop_factory=_make_event_loop) as runner:
        runner.run(_serve_until_stopped(simulation, until_eof))


async def serve(simulation: Simulation, ready: Callable[[str], None], until: asyncio.Event) -> None:
    """Serve until an event is set; ``ready`` is called with the base URL once connections are accepted."""
    server = Server(simulation)
    tls = None
    if simulation.certfile is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(simulation.certfile, simulation.keyfile)
    listener = await asyncio.get_running_loop().create_server(
        lambda: Connection(server), simulation.host, simulation.port, ssl=tls, backlog=_BACKLOG
    )
    port = listener.sockets[0].getsockname()[1]
    ready(f"{'https' if tls else 'http'}://{simulation.host}:{port}")
    await until.wait()
    listener.close()
    server.close()


async def _serve_until_stopped(simulation: Simulation, until_eof: bool) -> None:
    loop = asyncio.get_running_loop()
    until = asyncio.Event()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, until.set)
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=(loop, until), daemon=True).start()
    await serve(simulation, _announce, until)


def _wait_for_eof(loop: asyncio.AbstractEventLoop, until: asyncio.Event) -> None:
    # os.read holds no lock that the interpreter would wait for when a signal ends it first.
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(until.set)


def _announce(url: str) -> None:
    # A full collection takes milliseconds, and nothing here makes cycles that matter.
    gc.collect()
    gc.freeze()
    gc.disable()
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


def _make_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows, or not CPython
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _raise_file_limit() -> None:
    """Allow as many open sockets as the hard limit does."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
