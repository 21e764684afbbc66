"""The simulated server: requests in, tokens out when the model says they are due."""

import asyncio
import contextlib
import ssl
import sys
from collections import deque
from collections.abc import Callable
from time import monotonic_ns

import orjson

from perfkit.alarm import alarm
from perfkit.records import Json
from perfkit.simulator.connection import Connection, Request
from perfkit.simulator.dialects import DIALECTS, Ask, Dialect
from perfkit.simulator.dialects.answer import CREATED, Body
from perfkit.simulator.exchange import Exchange
from perfkit.simulator.faults import Fault, named, periodic
from perfkit.simulator.lateness import Lateness
from perfkit.simulator.model import SECOND, Due, Work, schedule_of
from perfkit.simulator.options import Simulation
from perfkit.simulator.replies import error, reply
from perfkit.simulator.truth import TruthLog

_TOKENS_PER_TURN = 64
"""After so many writes the sockets are looked at again, so that requests are stamped when they arrive."""
_IDLE = 2_000_000  # ns without anything due: time enough to write logs
_BACKLOG = 4096


class Server:
    """Everything one simulated server knows while it runs; make it inside a running loop.

    Parameters
    ----------
    simulation : Simulation
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.idle_timeout = simulation.idle_timeout
        self._loop = asyncio.get_running_loop()
        self._schedule = schedule_of(simulation)
        self._alarm = alarm(self._loop, self._advance)
        self.truth = TruthLog(simulation.log, simulation.chunk_log, simulation.request_log)
        self._exchanges: dict[int, Exchange] = {}
        self._due: deque[Due] = deque()
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._requests = 0
        self._most_open = 0
        self._reset_counts()
        self._flush()

    # Connections.

    def connection(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self)

    def connected(self, connection: Connection) -> int:
        """Number a connection."""
        self._connections.add(connection)
        self._accepted += 1
        return self._accepted

    def disconnected(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    # Requests.

    def answer(self, connection: Connection, request: Request) -> Exchange | None:
        """Answer at once what is no generation, else begin an exchange."""
        dialect = DIALECTS.get(request.path) if request.method == "POST" else None
        if dialect is None:
            connection.send(self._other(request))
            return None
        self._requests += 1
        number = self._requests
        self.truth.received(number, request.path, request.headers, request.body, request.recv_done)
        try:
            ask, fault = self._read(number, dialect, request)
        except ValueError as refused:
            connection.send(reply(400, error(400, str(refused)), close=not request.keep_alive))
            return None
        return self._begin(Exchange(self, connection, request, dialect, ask, fault))

    def _read(self, number: int, dialect: Dialect, request: Request) -> tuple[Ask, Fault]:
        body: Body = orjson.loads(request.body)
        if not isinstance(body, dict):
            raise ValueError(f"the body must be a JSON object, got {type(body).__name__}")
        ask = dialect.ask(number, body, request.headers, self.simulation)
        wanted = body.get("x_fault") or request.headers.get("x-fault")
        return ask, named(str(wanted)) if wanted else periodic(number, self.simulation)

    def _begin(self, exchange: Exchange) -> Exchange | None:
        ask = exchange.ask
        self._exchanges[ask.number] = exchange
        self._most_open = max(self._most_open, len(self._exchanges))
        if exchange.begin(len(self._exchanges)):
            work = Work(ask.prompt_tokens, ask.output_tokens)
            first = self._schedule.arrive(ask.number, exchange.request.recv_done, work)
            if self.simulation.role_lead and ask.stream:
                self._open_early(exchange, first)
            self._set_alarm()
        return None if exchange.over else exchange

    def _open_early(self, exchange: Exchange, first: int | None) -> None:
        """Send the role chunk its lead before the first token; at once if nobody knows when that will be."""
        delay = 0.0 if first is None else (first - monotonic_ns()) / SECOND - self.simulation.role_lead
        self._loop.call_later(max(delay, 0.0), exchange.open)

    def ended(self, exchange: Exchange) -> None:
        """Take an exchange off the books."""
        number, outcome = exchange.ask.number, exchange.truth.outcome
        del self._exchanges[number]
        self._schedule.leave(number)
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        self.truth.request(exchange.truth)

    # Tokens.

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
                    exchange.token(time)
        finally:  # one answer that fails must not silence all others
            if due:
                self._loop.call_soon(self._advance)
            else:
                self._set_alarm()

    def _set_alarm(self) -> None:
        if self._due:
            return
        due = self._schedule.next_due()
        self._alarm.set(due)
        if self.truth.heavy and (due is None or due - monotonic_ns() > _IDLE):
            self.truth.flush()

    # Everything else.

    def _other(self, request: Request) -> bytes:
        close = not request.keep_alive
        match request.method, request.path:
            case "GET", "/v1/models":
                return reply(200, orjson.dumps(self._models()), close=close)
            case "GET", "/__stats":
                self.truth.flush()
                return reply(200, orjson.dumps(self.stats()), close=close)
            case "POST", "/__reset":
                self.truth.restart()
                self._reset_counts()
                return reply(200, b"{}", close=close)
            case _, "/health" | "/":
                return reply(200, b"{}", close=close)
            case _, path if path in DIALECTS:
                return reply(405, error(405, f"{path} takes POST"), headers={"allow": "POST"}, close=close)
        return reply(404, error(404, f"nothing is served at {request.path}"), close=close)

    def _models(self) -> Json:
        model = {"id": self.simulation.model, "object": "model", "created": CREATED, "owned_by": "perfkit"}
        return {"object": "list", "data": [model | {"max_model_len": 131072}]}

    def stats(self) -> dict[str, Json]:
        """Return counts since the start or the last reset; lateness in seconds."""
        late = self.late
        lateness = {"p50": late.quantile(0.5), "p99": late.quantile(0.99), "max": late.largest / SECOND}
        return {
            "requests": self._requests - self._requests_before,
            "outcomes": self._outcomes,
            "open_streams": len(self._exchanges),
            "most_open_streams": self._most_open,
            "connections": self._accepted,
            "events": late.count,
            "wall": (monotonic_ns() - self._since) / SECOND,
            "lateness": lateness,
        }

    def _reset_counts(self) -> None:
        self.late = Lateness()
        self._outcomes: dict[str, int] = {}
        self._most_open = len(self._exchanges)
        self._requests_before = self._requests
        self._since = monotonic_ns()

    def _flush(self) -> None:
        self.truth.flush()
        self._flushing = self._loop.call_later(1.0, self._flush)

    def close(self) -> None:
        """Drop every connection and write the logs, unfinished requests included."""
        self._flushing.cancel()
        self._alarm.close()
        for exchange in list(self._exchanges.values()):
            exchange.client_left()
        for connection in list(self._connections):
            connection.abort()
        self.truth.close()


async def serve(simulation: Simulation, ready: Callable[[str], None], until: asyncio.Event) -> None:
    """Serve until an event is set.

    Parameters
    ----------
    simulation : Simulation
    ready : callable
        Called with the base URL once connections are accepted.
    until : asyncio.Event
        Ends serving.

    Raises
    ------
    OSError
        The address cannot be listened on, or a log cannot be written.
    """
    loop = asyncio.get_running_loop()
    server = Server(simulation)
    tls = _tls(simulation)
    listener = await loop.create_server(server.connection, simulation.host, simulation.port, ssl=tls, backlog=_BACKLOG)
    port = listener.sockets[0].getsockname()[1]
    ready(f"{'https' if tls else 'http'}://{simulation.host}:{port}")
    await until.wait()
    listener.close()
    server.close()


def _tls(simulation: Simulation) -> ssl.SSLContext | None:
    if simulation.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(simulation.certfile, simulation.keyfile)
    return context


def raise_file_limit() -> None:
    """Allow as many open sockets as the hard limit does."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
