"""Resets, half-closes and stalls, on both loops, plain and TLS."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from shutil import which

import pytest
import uvloop

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.transport.connection import not_http
from perfkit.loadgen.transport.pool import Pool
from perfkit.loadgen.transport.target import Target
from tests.certificates import serving
from tests.measured import rows_of
from tests.scripted import ANSWER, CLOSE, HANG, LAST, READ, RESET, STREAM, Do, Script, Scripted, chunk, delta, scripted

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
Loop = Callable[[], asyncio.AbstractEventLoop]
needs_openssl = pytest.mark.skipif(which("openssl") is None, reason="no openssl to make certificates with")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return serving(tmp_path_factory.mktemp("certificates"))


def send(server: Scripted, loop: Loop, trusted: Path | None = None, **limits: float) -> Exchange:
    """Send one request on a loop of this kind."""

    async def whole_life() -> Exchange:
        target = Target.of(server.url, {})
        context = ssl.create_default_context(cafile=str(trusted)) if trusted else None
        pool = Pool(target, context=context, **limits)  # type: ignore[arg-type]
        try:
            return await pool.send(target.request(b"{}"))
        finally:
            await pool.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(whole_life())


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("end", [RESET, CLOSE])
@pytest.mark.parametrize("before", [[], [STREAM], [STREAM, chunk(delta("a"))]], ids=["nothing", "head", "text"])
def test_a_lost_connection_is_seen_at_once(loop: Loop, end: Do, before: Script) -> None:
    with scripted([READ, *before, 0.05, end]) as server:
        exchange = send(server, loop, read_timeout=60)
    assert exchange.error_kind == "reset"


@pytest.mark.processes
@needs_openssl
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@pytest.mark.parametrize("end", [RESET, CLOSE])
def test_a_lost_tls_connection_is_seen_at_once(loop: Loop, end: Do, certificates: tuple[ssl.SSLContext, Path]) -> None:
    context, certificate = certificates
    with scripted([READ, STREAM, chunk(delta("a")), 0.05, end], tls=context) as server:
        exchange = send(server, loop, certificate, read_timeout=60)
    assert exchange.error_kind == "reset"


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_reset_during_the_tls_handshake_is_seen_at_once(loop: Loop) -> None:
    with scripted([0.05, RESET]) as server:
        server.tls = True
        exchange = send(server, loop, connect_timeout=60)
    assert exchange.error_kind == "connect"


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_connection_refused_late_is_seen_at_once(loop: Loop) -> None:
    """The refusal comes after the call to connect has returned, as on any network but this machine's own."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):  # fill the queue of connections not yet accepted
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())

        async def whole_life() -> Exchange:
            target = Target.of(f"http://127.0.0.1:{port}", {})
            pool = Pool(target, connect_timeout=60)
            asyncio.get_running_loop().call_later(0.1, listener.close)
            try:
                return await pool.send(target.request(b"{}"))
            finally:
                await pool.close()

        with asyncio.Runner(loop_factory=loop) as runner:
            exchange = runner.run(whole_life())
    assert exchange.error_kind == "connect"
    assert exchange.error is not None
    assert exchange.error.endswith("Connection refused")


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_a_stall_ends_at_its_time_limit(loop: Loop) -> None:
    began = time.perf_counter()
    with scripted([READ, STREAM, chunk(delta("a")), HANG]) as server:
        exchange = send(server, loop, read_timeout=0.4)
    assert exchange.error_kind == "read_timeout"
    assert exchange.end is not None
    assert 0.4 <= (exchange.end - exchange.stamps[-1]) / 1e9 <= time.perf_counter() - began


def test_what_a_server_said_before_it_closed_is_read_although_the_request_could_not_be_sent() -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    async def whole_life(server: Scripted) -> Exchange:
        target = Target.of(server.url, {})
        pool = Pool(target)
        try:
            return await pool.send(target.request(b"x" * 20_000_000))
        finally:
            await pool.close()

    with scripted([refusal, 0.1, RESET]) as server:
        exchange = asyncio.run(whole_life(server))
    assert (exchange.status, exchange.error_kind) in ((413, None), (None, "protocol"))


SETTINGS = bytes.fromhex("00000c040000000000000300000064000400100000")


def test_a_server_that_speaks_http2_only_is_named() -> None:
    with scripted([READ, SETTINGS, CLOSE]) as server:
        exchange = send(server, asyncio.new_event_loop)
    assert exchange.error_kind == "protocol"
    assert exchange.error == not_http(SETTINGS, "")
    assert exchange.error is not None
    assert exchange.error.startswith("the server speaks HTTP/2 only")


def test_a_server_that_speaks_tls_only_is_named() -> None:
    with scripted([READ, bytes.fromhex("15030100020246"), CLOSE]) as server:
        exchange = send(server, asyncio.new_event_loop)
    assert exchange.error == "the server speaks TLS; give https:// in place of http://"


@pytest.mark.alone
def test_an_answer_ends_with_its_last_event_and_not_with_a_server_that_lingers(tmp_path: Path) -> None:
    lingering = [READ, STREAM, chunk(ANSWER), 1.5, LAST, HANG]
    with scripted(lingering) as server:
        rows = rows_of(server.url, tmp_path, number=3)
    assert [row["success"] for row in rows] == [1, 1, 1]
    assert all(row["completed_time"] - row["start_time"] < 1 for row in rows)
    assert [row["connection"] for row in rows] == [1, 2, 3]  # the others are still taken
    # The first message was given a moment to end, of which nothing counts as the client's; those after it were not.
    waits = [later["start_time"] - earlier["completed_time"] for earlier, later in pairwise(rows)]
    assert waits[0] > 0.1 > waits[1]
    assert all(row["start_time"] - row["scheduled_time"] < 0.05 for row in rows)


@pytest.mark.processes
def test_an_answer_ends_with_its_last_event_even_where_its_message_ends_soon_after(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), 0.06, LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["completed_time"] == row["last_token_time"]


@pytest.mark.processes
def test_a_connection_whose_message_has_ended_is_used_again(tmp_path: Path) -> None:
    lingering = [READ, STREAM, chunk(ANSWER), 0.15, LAST]
    with scripted([*lingering, *lingering, HANG]) as server:
        rows = rows_of(server.url, tmp_path, number=2, think_time=0.5)
    assert [(row["success"], row["connection"]) for row in rows] == [(1, 1)] * 2


@pytest.mark.processes
@pytest.mark.parametrize("end", [RESET, CLOSE])
def test_what_befalls_a_connection_after_the_last_event_is_no_failure(end: Do, tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), 0.03, end]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert (row["success"], row["error_kind"]) == (1, None)
