import asyncio
import select
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter_ns
from typing import TypeVar

import pytest

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.transport import pool as pools
from perfkit.loadgen.transport.pool import ConnectFailed, Pool
from perfkit.loadgen.transport.target import Target
from tests.measured import rows_of
from tests.ports import free_port
from tests.scripted import BODY, CLOSE, HANG, READ, RESET, Script, Scripted, scripted, whole

T = TypeVar("T")
OK = whole(BODY)
ONE = [READ, OK, HANG]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


def with_pool(scripts: list[Script], do: Callable[[Pool, Target, Scripted], Awaitable[T]], **limits: float) -> T:
    """Do something with a pool to a scripted server."""

    async def whole_life(server: Scripted) -> T:
        target = Target.of(server.url, {})
        pool = Pool(target, **limits)  # type: ignore[arg-type]
        try:
            return await do(pool, target, server)
        finally:
            await pool.close()

    with scripted(*scripts) as server:
        return asyncio.run(whole_life(server))


async def send_twice(pool: Pool, target: Target, server: Scripted) -> tuple[Exchange, int, int]:
    """Send two requests; return the second exchange, and how many connections and requests the server saw."""
    await pool.send(target.request(b"{}"))
    exchange = await pool.send(target.request(b"{}"))
    return exchange, server.connections, len(server.requests)


def test_a_connection_is_used_again() -> None:
    exchange, connections, _ = with_pool([[READ, OK, READ, OK, HANG]], send_twice)
    assert (exchange.status, exchange.attempts, exchange.connection_use, connections) == (200, 1, 2, 1)


@pytest.mark.alone  # whether a close was of the request's making is told by its time
@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_a_stale_connection_is_replaced_and_its_request_sent_once_more(end: object) -> None:
    exchange, connections, requests = with_pool([[READ, OK, READ, end], ONE], send_twice)  # type: ignore[list-item]
    assert (exchange.status, exchange.error_kind, exchange.attempts) == (200, None, 2)
    assert (exchange.connection, exchange.connection_use) == (2, 1)
    assert (connections, requests) == (2, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="nobody else counts what was acknowledged")
@pytest.mark.parametrize(("script", "resent"), [([READ, OK, CLOSE], True), ([READ, OK, READ, CLOSE], False)])
def test_whether_a_request_reached_a_closing_server_is_known_however_late_the_client_is(
    script: Script, resent: bool
) -> None:
    async def write_to_what_is_closed(pool: Pool, target: Target, server: Scripted) -> Exchange:
        connection, request, exchange = await pool._open(), target.request(b"{}"), Exchange()
        await connection.exchange(request, Exchange())
        if resent:  # the close is there, and the loop has not seen it
            closed = select.poll()
            closed.register(connection._sock, select.POLLRDHUP)
            assert closed.poll(5_000)
        ending = connection.exchange(request, exchange)
        while perf_counter_ns() - exchange.start < 2 * pools.RESEND_WITHIN:
            pass
        await ending
        return exchange

    exchange = with_pool([script, ONE], write_to_what_is_closed)
    assert (exchange.error_kind, exchange.unreceived, Pool._may_have_missed(exchange)) == ("reset", resent, resent)


def test_a_request_that_the_server_had_before_it_closed_is_a_failure_and_not_sent_again() -> None:
    exchange, connections, requests = with_pool([[READ, OK, READ, 0.3, CLOSE], ONE], send_twice)
    assert (exchange.error_kind, exchange.attempts) == ("reset", 1)
    assert exchange.end is not None
    assert exchange.end - exchange.start >= 300_000_000
    assert (connections, requests) == (1, 2)


async def send_ten(pool: Pool, target: Target, server: Scripted) -> tuple[list[int], int, int]:
    exchanges = [await pool.send(target.request(b"{}")) for _ in range(10)]
    assert [exchange.status for exchange in exchanges] == [200] * 10
    return [exchange.attempts for exchange in exchanges], server.connections, len(server.requests)


@pytest.mark.alone  # how often it is met depends on how soon the close is seen
def test_a_server_that_closes_after_each_answer_without_saying_so_is_learnt() -> None:
    attempts, connections, requests = with_pool([[READ, OK, CLOSE]], send_ten)
    assert attempts[2:] == [1] * 8
    assert connections == 10
    assert requests == 10


def test_a_server_that_closes_connections_now_and_then_keeps_being_trusted() -> None:
    attempts, connections, _ = with_pool([[READ, OK, READ, OK, READ, OK, CLOSE]], send_ten)
    assert sum(attempts) <= 13
    assert connections <= 7


@pytest.mark.alone  # whether the first may be repeated is told by its time
def test_a_second_failure_is_recorded_and_not_repeated() -> None:
    exchange, connections, requests = with_pool([[READ, OK, READ, CLOSE], [READ, RESET]], send_twice)
    assert (exchange.error_kind, exchange.attempts) == ("reset", 2)
    assert (connections, requests) == (2, 3)


def test_the_reset_of_a_fresh_connection_is_not_repeated() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> tuple[Exchange, int]:
        return await pool.send(target.request(b"{}")), server.connections

    exchange, connections = with_pool([[READ, RESET]], send)
    assert (exchange.error_kind, exchange.attempts, connections) == ("reset", 1, 1)


def test_nothing_is_repeated_once_a_byte_of_the_answer_has_come() -> None:
    exchange, connections, _ = with_pool([[READ, OK, READ, b"HTTP/1.1 2", CLOSE], ONE], send_twice)
    assert (exchange.error_kind, exchange.attempts, connections) == ("reset", 1, 1)


def test_a_connection_that_the_server_closed_while_idle_is_not_used() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> Exchange:
        await pool.send(target.request(b"{}"))
        await until(lambda: not pool._idle or not pool._idle[0].alive)
        return await pool.send(target.request(b"{}"))

    exchange = with_pool([[READ, OK, CLOSE], ONE], send)
    assert (exchange.status, exchange.attempts, exchange.connection) == (200, 1, 2)


def test_a_connection_that_says_something_unasked_is_not_used() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> Exchange:
        await pool.send(target.request(b"{}"))
        await until(lambda: not pool._idle or not pool._idle[0].alive)
        return await pool.send(target.request(b"{}"))

    exchange = with_pool([[READ, OK, 0.02, b"HTTP/1.1 408 Timeout\r\n\r\n", HANG], ONE], send)
    assert (exchange.status, exchange.connection) == (200, 2)


def test_connections_are_dropped_before_servers_would_close_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_LIMIT", 10_000_000)

    async def idle(pool: Pool, target: Target, server: Scripted) -> Exchange:
        await pool.send(target.request(b"{}"))
        await until(lambda: not pool._idle)
        return await pool.send(target.request(b"{}"))

    assert with_pool([ONE], idle).connection == 2


def test_warm_connections_stand_before_the_first_request() -> None:
    async def warm(pool: Pool, target: Target, server: Scripted) -> int:
        await pool.warm(5)
        await until(lambda: server.connections == 5)
        await pool.warm(3)
        return pool.opened

    assert with_pool([[HANG]], warm) == 5


def test_spares_are_opened_while_others_are_in_use() -> None:
    async def warm(pool: Pool, target: Target, server: Scripted) -> int:
        pool.spare = lambda: 2
        await pool.warm(1)
        await until(lambda: pool.opened >= 2)
        return pool.opened

    assert with_pool([[HANG]], warm) >= 2


def test_a_stopped_pool_sends_nothing_more_even_on_a_connection_that_opens_later() -> None:
    async def stop(pool: Pool, target: Target, server: Scripted) -> tuple[Exchange, int]:
        sending = asyncio.create_task(pool.send(target.request(b"{}")))
        await asyncio.sleep(0)
        pool.interrupt()
        exchange = await sending
        return exchange, len(server.requests)

    exchange, requests = with_pool([ONE], stop)
    assert (exchange.error_kind, requests) == ("interrupted", 0)


def test_what_is_under_way_is_given_up_at_once_and_kept() -> None:
    async def stop(pool: Pool, target: Target, server: Scripted) -> Exchange:
        sending = asyncio.create_task(pool.send(target.request(b"{}")))
        await until(lambda: any(each._exchange and each._exchange.stamps for each in pool._busy))
        pool.interrupt()
        return await sending

    exchange = with_pool([[READ, OK[:-5], HANG]], stop)
    exchange.unframe()
    assert (exchange.error_kind, bytes(exchange.body)) == ("interrupted", BODY[:-5])


def test_time_limits_hold_for_a_single_request_too() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> Exchange:
        return await pool.send(target.request(b"{}"))

    exchange = with_pool([[READ, HANG]], send, read_timeout=0.15)
    assert exchange.error == "nothing came for 0.15 s"
    assert exchange.end is not None
    assert exchange.end - exchange.start >= 0.15e9


def test_a_refused_connection_says_who_refused() -> None:
    port = free_port()

    async def warm() -> None:
        pool = Pool(Target.of(f"http://127.0.0.1:{port}", {}))
        try:
            await pool.warm(1)
        finally:
            await pool.close()

    with pytest.raises(ConnectFailed, match=f"cannot connect to http://127.0.0.1:{port}: Connection refused") as told:
        asyncio.run(warm())
    assert told.value.kind == "connect"


def test_a_connection_that_is_never_accepted_times_out() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):  # fill the queue of connections not yet accepted
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
            waiting.append(sock)
        exchange = asyncio.run(_send_to(full.getsockname()[1], 0.2))
        for sock in waiting:
            sock.close()
    assert exchange.error_kind == "connect_timeout"
    assert exchange.error is not None
    assert exchange.error.endswith("within 0.2 s")


async def _send_to(port: int, connect_timeout: float) -> Exchange:
    target = Target.of(f"http://127.0.0.1:{port}", {})
    pool = Pool(target, connect_timeout=connect_timeout)
    try:
        return await pool.send(target.request(b"{}"))
    finally:
        await pool.close()


@pytest.mark.processes
def test_a_resent_request_says_so_in_its_row(tmp_path: Path) -> None:
    with scripted([READ, OK, READ, CLOSE], ONE) as server:
        rows = rows_of(server.url, tmp_path, number=2)
    assert [(row["success"], row["attempts"]) for row in rows] == [(1, 1), (1, 2)]
    # Due when the loop saw the end of the last answer; completed when the kernel had it.
    assert -1e-6 < rows[1]["scheduled_time"] - rows[0]["completed_time"] < 0.1


def test_the_next_address_of_a_name_is_tried_when_the_first_refuses() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> list[Exchange]:
        pool._addresses = [
            (socket.AF_INET, ("127.0.0.1", free_port())),
            (socket.AF_INET, ("127.0.0.1", server.port)),
        ]
        return [await pool.send(target.request(b"{}")) for _ in range(2)]

    exchanges = with_pool([[READ, OK, READ, OK, HANG]], send)
    assert [exchange.status for exchange in exchanges] == [200, 200]


def test_a_client_that_cancels_closes_the_connection_at_its_time_and_keeps_what_had_come() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> tuple[Exchange, int]:
        exchange = await pool.send(target.request(b"{}"), 0.1)
        return exchange, pool.idle

    exchange, idle = with_pool([[READ, OK[:-5], HANG]], send)
    exchange.unframe()
    assert (exchange.error_kind, bytes(exchange.body), idle) == ("cancelled", BODY[:-5], 0)
    assert (exchange.end or 0) - exchange.start >= 0.095e9  # timers of the loop are right to a millisecond or two


def test_an_answer_that_ends_before_its_client_would_cancel_is_one_like_any_other() -> None:
    async def send(pool: Pool, target: Target, server: Scripted) -> tuple[list[Exchange], int]:
        first = await pool.send(target.request(b"{}"), 1.0)
        # The time of the first passes while the second is under way on the same connection.
        return [first, await pool.send(target.request(b"{}"))], server.connections

    exchanges, connections = with_pool([[READ, OK, READ, 1.3, OK, HANG]], send)
    assert [each.error_kind for each in exchanges] == [None, None]
    assert connections == 1
