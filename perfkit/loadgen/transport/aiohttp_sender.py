"""The second transport: aiohttp, for proxies and for plugins that send by themselves.

Slower and less exact than our own (``benchmarks/``), but stamped as well as it can be: the start at the socket
write, every piece as it is read, never line by line.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from time import perf_counter_ns
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from perfkit.apis.error_places import failure_in, place_in, place_of
from perfkit.decoding.exchange import LARGEST_BODY, Exchange
from perfkit.errors import PluginFailure, UsageError
from perfkit.loadgen.transport.connection import too_large
from perfkit.loadgen.transport.pool import STOPPED, cancelled, system_message
from perfkit.loadgen.transport.reported import message_text, take_over
from perfkit.loadgen.transport.sender import Sendable, unsent
from perfkit.loadgen.transport.tls import tls_problem
from perfkit.options.arguments import Arguments
from perfkit.options.certificates import run_context
from perfkit.records import ErrorKind

KEEP_ALIVE = 4.0  # s; common servers close idle connections after 5

_under_way: ContextVar[Exchange] = ContextVar("_under_way")


class Binding(Protocol):
    """What is needed of an API plugin that is bound to a run."""

    @property
    def api(self) -> Any:
        """The plugin."""

    @property
    def generation(self) -> str:
        """Its generation."""

    @property
    def url(self) -> str:
        """The endpoint."""

    @property
    def headers(self) -> Any:
        """The headers of each request."""


Exchanging = Callable[[aiohttp.ClientSession, Sendable, Exchange], Awaitable[None]]


def aiohttp_sender(binding: Binding, arguments: Arguments) -> "AiohttpSender":
    """Return the sender for a plugin of its generation, or for our own requests through a proxy."""
    ways = {"B": _through_generator, "C-own": _through_coroutine}
    way = ways.get(binding.generation, _through_proxy)

    async def exchange(session: aiohttp.ClientSession, ready: Sendable, exchange: Exchange) -> None:
        await way(binding, arguments, session, ready, exchange)

    return AiohttpSender(exchange, arguments, binding.api.process_request if way is not _through_proxy else None)


class AiohttpSender:
    """Sends over one aiohttp session.

    Parameters
    ----------
    exchanging : callable
        Sends one request and fills its exchange.
    arguments : Arguments
    process : callable, optional
        The plugin's own ``process_request``, whose place an error names.
    """

    def __init__(self, exchanging: Exchanging, arguments: Arguments, process: Callable[..., Any] | None = None) -> None:
        self._exchanging, self._arguments, self._process = exchanging, arguments, process
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._interrupted = False

    async def warm(self, count: int, spare: Callable[[], int]) -> None:
        """Make the session; aiohttp opens connections as they are needed."""
        if self._session is None:
            self._session = _session(self._arguments, decode=self._process is not None)

    @property
    def idle(self) -> int:
        """See Sender; aiohttp opens none beforehand, and does not say."""
        return 0

    async def send(self, ready: Sendable) -> Exchange:
        """Send one request and come back with its exchange, whatever happened."""
        if ready.error is not None or self._session is None:
            return unsent()
        exchange = Exchange(start=perf_counter_ns())
        if self._interrupted:
            exchange.fail("interrupted", STOPPED, exchange.start)
            return exchange
        _under_way.set(exchange)
        task = asyncio.ensure_future(self._guarded(ready, exchange, self._session))
        self._tasks.add(task)
        total, leaves = self._arguments.total_timeout, ready.cancel_after
        _, late = await asyncio.wait({task}, timeout=total if leaves is None else min(leaves, total))
        if late:  # a plugin may wait for something that aiohttp, which has the same limit, knows nothing of
            if leaves is not None and leaves <= total:
                exchange.fail(*cancelled(leaves), perf_counter_ns())
            exchange.fail("total_timeout", self._at(f"no end after {total:g} s"), perf_counter_ns())
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
        self._tasks.discard(task)
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            exchange.fail(*self._told(error, exchange), perf_counter_ns())
        elif not task.done() or task.cancelled():
            exchange.fail(*self._cut_off(), perf_counter_ns())
        exchange.end = exchange.end or perf_counter_ns()
        return exchange

    async def _guarded(self, ready: Sendable, exchange: Exchange, session: aiohttp.ClientSession) -> None:
        try:
            await self._exchanging(session, ready, exchange)
        except SystemExit as error:  # exit() in a plugin ends no run
            raise failure_in(error, self._process or self._exchanging) from error

    def _told(self, error: BaseException, exchange: Exchange) -> tuple[ErrorKind, str]:
        """Return kind and text of what went wrong; of a plugin's request with the line that it went wrong at."""
        if isinstance(error, PluginFailure):
            return "plugin", str(error)
        kind, text = _told(error, self._arguments.proxy)
        if kind == "http_status" and isinstance(error, aiohttp.ClientResponseError):
            exchange.status = error.status
        return kind, text if self._process is None else f"{place_in(error, self._process)}: {text}"

    def _cut_off(self) -> tuple[ErrorKind, str]:
        if self._interrupted:
            return "interrupted", STOPPED
        return "plugin", self._at("process_request cancelled itself")

    def _at(self, text: str) -> str:
        return text if self._process is None else f"{place_of(self._process)}: {text}"

    def interrupt(self) -> None:
        """Give up what is under way, and send no more."""
        self._interrupted = True
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


async def _through_proxy(
    binding: Binding, arguments: Arguments, session: aiohttp.ClientSession, ready: Sendable, exchange: Exchange
) -> None:
    """Send one of our own requests through the proxy, and keep what comes piece by piece."""
    head, _, body = ready.data.partition(b"\r\n\r\n")
    first, *lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    async with session.request(
        first.partition(" ")[0],
        binding.url,
        data=body,
        headers=headers,
        proxy=_proxy(arguments, binding.url),
        allow_redirects=False,
    ) as answer:
        exchange.headers, exchange.status = perf_counter_ns(), answer.status
        exchange.response_headers = list(answer.raw_headers)
        async for piece in answer.content.iter_any():
            exchange.stamps.append(perf_counter_ns())
            exchange.body += piece
            exchange.ends.append(len(exchange.body))
            if len(exchange.body) > LARGEST_BODY:
                exchange.fail("too_large", too_large(LARGEST_BODY), exchange.stamps[-1])
                answer.close()
                return
        exchange.end = exchange.stamps[-1] if exchange.stamps else perf_counter_ns()


async def _through_generator(
    binding: Binding, arguments: Arguments, session: aiohttp.ClientSession, ready: Sendable, exchange: Exchange
) -> None:
    """Run a plugin's ``process_request`` that yields (is_error, status, data), and stamp each yield."""
    process = binding.api.process_request
    exchange.messages = []
    async with aclosing(process(session, binding.url, dict(binding.headers), ready.body)) as yields:
        while (item := await _next(yields, arguments.read_timeout)) is not None:
            now = perf_counter_ns()
            if not (isinstance(item, tuple | list) and len(item) == 3 and isinstance(item[1], int | None)):
                raise PluginFailure(
                    f"{place_of(process)}: process_request yielded {item!r}, not (is_error, status, data)"
                )
            is_error, status, data = item
            exchange.status = status
            if data:
                exchange.stamps.append(now)
                exchange.messages.append(message_text(data))
                exchange.ends.append(len(exchange.messages))
            if is_error or status not in GOOD:
                kind: ErrorKind = "error_event" if status in GOOD else "http_status"
                told = f"HTTP {status}: " if status is not None else ""
                exchange.fail(kind, f"{told}{message_text(data)}"[:500], now)
                return
    if not exchange.messages:
        exchange.fail("empty", f"{place_of(process)}: process_request yielded nothing", perf_counter_ns())
    exchange.end = exchange.end or exchange.stamps[-1]


GOOD = (200, 101, None)
"""Statuses of a yield that is not a failure: HTTP's, a websocket's, and that of a protocol which has none."""


async def _next(yields: AsyncIterator[Any], patience: float) -> Any:
    """Return what a generator yields next, None at its end."""
    limit = asyncio.timeout(patience)
    try:
        async with limit:
            return await anext(yields, None)
    except TimeoutError:
        if limit.expired():
            raise aiohttp.SocketTimeoutError(f"nothing was yielded for {patience:g} s") from None
        raise


async def _through_coroutine(
    binding: Binding, arguments: Arguments, session: aiohttp.ClientSession, ready: Sendable, exchange: Exchange
) -> None:
    """Run a plugin's ``process_request`` that returns a BenchmarkData, and take its fields over."""
    process = binding.api.process_request
    called = perf_counter_ns()
    data = await process(session, binding.url, dict(binding.headers), ready.body)
    take_over(data, exchange, place_of(process), called)


def _session(arguments: Arguments, decode: bool) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_on_chunk_sent)
    https = urlsplit(arguments.address).scheme in ("https", "wss")
    tls: Any = run_context(arguments) if https else True
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(arguments.unix_socket, limit=0, keepalive_timeout=KEEP_ALIVE)
        if arguments.unix_socket
        else aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE, ssl=tls)
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(
            total=arguments.total_timeout, connect=arguments.connect_timeout, sock_read=arguments.read_timeout
        ),
        trace_configs=[trace],
        read_bufsize=2**18,
        auto_decompress=decode,  # our own requests' answers are decoded as those of the other transport are
    )


async def _on_chunk_sent(_session: Any, _context: Any, _params: Any) -> None:
    """Stamp the start right before the socket write: what aiohttp did until here is not the server's time."""
    exchange = _under_way.get(None)
    if exchange is not None and exchange.written is None:
        exchange.start = exchange.written = perf_counter_ns()


def _proxy(arguments: Arguments, url: str) -> str | None:
    if arguments.proxy != "env":
        return arguments.proxy
    name = "HTTPS_PROXY" if url.startswith("https") else "HTTP_PROXY"
    found = os.environ.get(name) or os.environ.get(name.lower())
    if not found:
        raise UsageError(f"proxy=env, but {name} is not set; give the proxy's URL")
    return found


def _told(error: BaseException, proxy: str | None) -> tuple[ErrorKind, str]:
    """Return kind and text of what went wrong: the network's doing, or the plugin's."""
    text = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "connect_timeout", text
    if isinstance(error, aiohttp.SocketTimeoutError):
        return "read_timeout", text
    if isinstance(error, TimeoutError):
        return "total_timeout", text
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        cause: Any = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
        return "tls", f"TLS with {error.host}:{error.port} failed: {tls_problem(cause)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        named = urlsplit(proxy or "").hostname == error.host  # an unknown name has the same error as a server's
        whom = "the proxy " if named or isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return "connect", f"cannot connect to {whom}{error.host}:{error.port}: {system_message(error.os_error)}"
    if isinstance(error, ConnectionRefusedError):
        return "connect", text
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError)):
        return "reset", text
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "protocol", f"the proxy refused the connection: HTTP {error.status} {error.message}"
    if isinstance(error, aiohttp.ClientResponseError):
        return _told_of_answer(error)
    if isinstance(error, asyncio.IncompleteReadError):
        return "incomplete", text
    return "plugin", f"{type(error).__name__}: {text}"


def _told_of_answer(error: aiohttp.ClientResponseError) -> tuple[ErrorKind, str]:
    """Return kind and text of an answer that was refused: by aiohttp as no HTTP, or by a plugin for what it is."""
    if isinstance(error, aiohttp.ContentTypeError):
        return "protocol", error.message
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return "http_status", f"no websocket: HTTP {error.status}: {error.message}"
    if isinstance(error.__cause__, HttpProcessingError):
        return "protocol", f"not an HTTP answer: {error.message}"
    return "http_status", f"HTTP {error.status}: {error.message}"
