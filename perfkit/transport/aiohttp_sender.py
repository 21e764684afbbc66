"""The second transport: aiohttp, for proxies and for plugins that send by themselves.

Slower and less exact than our own (``benchmarks/``), but stamped as well as it can be: the start at the socket
write, every piece as it is read, never line by line.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from itertools import accumulate
from time import perf_counter_ns
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp

from perfkit.arguments import Arguments
from perfkit.errors import UsageError
from perfkit.records import ErrorKind, Json
from perfkit.transport.connection import LARGEST_BODY, TOO_LARGE
from perfkit.transport.exchange import Exchange
from perfkit.transport.pool import STOPPED, refusal
from perfkit.transport.sender import Sendable, unsent
from perfkit.transport.tls import tls_context

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

    return AiohttpSender(exchange, arguments)


class AiohttpSender:
    """Sends over one aiohttp session.

    Parameters
    ----------
    exchanging : callable
        Sends one request and fills its exchange.
    arguments : Arguments
    """

    def __init__(self, exchanging: Exchanging, arguments: Arguments) -> None:
        self._exchanging, self._arguments = exchanging, arguments
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._interrupted = False

    async def warm(self, count: int, spare: int) -> None:
        """Make the session; aiohttp opens connections as they are needed."""
        if self._session is None:
            self._session = _session(self._arguments)

    async def send(self, ready: Sendable) -> Exchange:
        """Send one request and come back with its exchange, whatever happened."""
        if ready.error is not None or self._session is None:
            return unsent()
        exchange = Exchange(start=perf_counter_ns())
        if self._interrupted:
            exchange.fail("interrupted", STOPPED, exchange.start)
            return exchange
        _under_way.set(exchange)
        task = asyncio.ensure_future(self._exchanging(self._session, ready, exchange))
        self._tasks.add(task)
        await asyncio.wait({task})
        self._tasks.discard(task)
        if task.cancelled():
            exchange.fail("interrupted", STOPPED, perf_counter_ns())
        elif (error := task.exception()) is not None:
            exchange.fail(*_told(error, self._arguments.proxy), perf_counter_ns())
        exchange.end = exchange.end or perf_counter_ns()
        return exchange

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
    async with session.request(
        head.partition(b" ")[0].decode(),
        binding.url,
        data=body,
        headers=dict(binding.headers),
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
                exchange.fail("too_large", TOO_LARGE, exchange.stamps[-1])
                answer.close()
                return
        exchange.end = exchange.stamps[-1] if exchange.stamps else perf_counter_ns()


async def _through_generator(
    binding: Binding, arguments: Arguments, session: aiohttp.ClientSession, ready: Sendable, exchange: Exchange
) -> None:
    """Run a plugin's ``process_request`` that yields (is_error, status, data), and stamp each yield."""
    exchange.messages = []
    async for is_error, status, data in binding.api.process_request(
        session, binding.url, dict(binding.headers), ready.body
    ):
        now = perf_counter_ns()
        exchange.status = status
        if data:
            exchange.stamps.append(now)
            exchange.messages.append(_as_text(data))
            exchange.ends.append(len(exchange.messages))
        if is_error or status != 200:
            kind: ErrorKind = "error_event" if status == 200 else "http_status"
            exchange.fail(kind, f"HTTP {status}: {_as_text(data)}"[:500], now)
            return
    exchange.end = exchange.stamps[-1] if exchange.stamps else perf_counter_ns()


async def _through_coroutine(
    binding: Binding, arguments: Arguments, session: aiohttp.ClientSession, ready: Sendable, exchange: Exchange
) -> None:
    """Run a plugin's ``process_request`` that returns a BenchmarkData, and take its own stamps over."""
    data = await binding.api.process_request(session, binding.url, dict(binding.headers), ready.body)
    ended = perf_counter_ns()
    began = _nanoseconds(data.start_time)
    # A plugin may stamp by another clock than perf_counter; its durations hold on any.
    shift = 0 if exchange.start - 10**9 <= began <= ended else exchange.start - began
    exchange.start = began + shift
    exchange.by_plugin = True
    exchange.status = data.status_code
    exchange.messages = [_as_text(message) for message in data.response_messages]
    exchange.stamps = _stamps_of(data, exchange.start, shift)
    exchange.ends = list(range(1, len(exchange.stamps) + 1))
    exchange.counts = (data.prompt_tokens, data.completion_tokens) if data.completion_tokens is not None else None
    latency = data.query_latency if data.query_latency is not None and data.query_latency > 0 else None
    exchange.end = exchange.start + _nanoseconds(latency) if latency else _nanoseconds(data.completed_time) + shift
    if not data.success:
        kind: ErrorKind = "http_status" if data.status_code not in (None, 200) else "plugin"
        exchange.fail(kind, str(data.error or "process_request reported no success"), exchange.end)


def _stamps_of(data: Any, start: int, shift: int) -> list[int]:
    """Return when each message came, by whichever of its fields the plugin filled."""
    if data.chunk_times:
        return [_nanoseconds(moment) + shift for moment in data.chunk_times]
    if data.first_chunk_latency is None or data.first_chunk_latency <= 0:
        return []
    gaps = [data.first_chunk_latency, *data.inter_chunk_latency]
    return [start + _nanoseconds(elapsed) for elapsed in accumulate(gaps)]


def _session(arguments: Arguments) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_on_chunk_sent)
    https = urlsplit(arguments.url).scheme == "https"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE,
            ssl=tls_context(arguments.verify, arguments.ca_file) if https else True,
        ),
        timeout=aiohttp.ClientTimeout(
            total=arguments.total_timeout, connect=arguments.connect_timeout, sock_read=arguments.read_timeout
        ),
        trace_configs=[trace],
        read_bufsize=2**18,
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
        return "tls", text
    if isinstance(error, aiohttp.ClientConnectorError):
        named = urlsplit(proxy or "").hostname == error.host  # an unknown name has the same error as a server's
        whom = "the proxy " if named or isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return "connect", f"cannot connect to {whom}{error.host}:{error.port}: {refusal(error.os_error)}"
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError)):
        return "reset", text
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "protocol", f"the proxy lets nobody through: HTTP {error.status} {error.message}"
    if isinstance(error, aiohttp.ClientResponseError):
        return "protocol", f"not an HTTP answer: {error.message}"
    return "plugin", f"{type(error).__name__}: {text}"


def _as_text(data: Json | bytes) -> str:
    if isinstance(data, bytes):
        return data.decode("utf-8", "replace")
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
