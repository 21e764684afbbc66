"""What the loop knows of its desk: here, whether it had to wait for requests."""

import asyncio
from time import perf_counter

import pytest

from perfkit.arguments import Arguments
from perfkit.engine.desk_client import DeskClient
from perfkit.engine.plan import Ready
from perfkit.load import WHOLE
from tests.workers.processes import until

REQUEST = Ready(0, 0, 0, b"", None, None, None, False)


def begun() -> DeskClient:
    client = DeskClient()
    client.begin(Arguments(), "run", 0, WHOLE, {})
    return client


async def starved_by(*messages: tuple[object, ...], takes: int = 1) -> tuple[float, float]:
    """Want requests when there are none, hear the messages 10 ms later; return the wait as counted, and all of it."""
    client, began = begun(), perf_counter()
    for _ in range(takes):
        assert client.take() is None
    until(lambda: client.starved >= 0.01)
    for message in messages:
        client.on_message(message)
    return client.starved, perf_counter() - began


@pytest.mark.parametrize("users", [1, 50])
def test_the_time_until_a_wanted_request_comes_counts_once_however_many_wait(users: int) -> None:
    counted, elapsed = asyncio.run(starved_by(("requests", [REQUEST], False), takes=users))
    assert 0.01 <= counted <= elapsed


def test_learning_late_that_the_plan_has_ended_is_no_waiting() -> None:
    assert asyncio.run(starved_by(("requests", [], True)))[0] == 0


def test_waiting_that_has_not_ended_counts_so_far() -> None:
    assert asyncio.run(starved_by())[0] >= 0.01


def test_requests_that_are_ready_keep_nobody_waiting() -> None:
    async def take() -> tuple[Ready | None, float]:
        client = begun()
        client.on_message(("requests", [REQUEST], False))
        return client.take(), client.starved

    assert asyncio.run(take()) == (REQUEST, 0)
