"""What the loop knows of its recorder, and what it tells it when."""

import asyncio
from collections.abc import Callable
from time import perf_counter

import pytest

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.arrivals import WHOLE
from perfkit.loadgen.recorder import client as client_module
from perfkit.loadgen.recorder.channel import LoopEnd, RecorderEnd, pair
from perfkit.loadgen.recorder.client import AT_ONCE, HELD_AT_MOST, RecorderClient
from perfkit.loadgen.recorder.requests import Ready
from perfkit.options.arguments import Arguments
from tests.loadgen.workers.processes import until

REQUEST = Ready(0, 0, 0, b"", None, None, None, None, more=False, cancel_after=None)


def begun() -> RecorderClient:
    client = RecorderClient()
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


class Heard:
    """The recorder's end of a channel, and what has come there."""

    def __init__(self, client: RecorderClient) -> None:
        ours, self._theirs = pair()
        self._end, self.words, self.tickets = RecorderEnd(self._theirs), list[str](), list[int]()
        self.messages: list[tuple[object, ...]] = []
        self.channel = LoopEnd(asyncio.get_running_loop(), ours, client.on_message, client.on_end)
        client.connect(self.channel)

    def hang_up(self) -> None:
        """Die."""
        self._theirs.close()

    def listen(self) -> int:
        """Take what has come; return the number of answers so far."""
        while (message := self._end.receive(0)) is not None:
            self.words.append(message[0])
            self.messages.append(message)
            if message[0] == "done":
                self.tickets.append(message[1])
        return len(self.tickets)


class Successors:
    """Starts recorders that say nothing by themselves."""

    def __init__(self) -> None:
        self.client = RecorderClient(successor=self)
        self.heard = [Heard(self.client)]

    async def ended(self) -> str:
        return "SIGKILL"

    async def start(self) -> LoopEnd:
        self.heard.append(Heard(self.client))
        return self.heard[-1].channel


def replaced(successors: Successors) -> None:
    """Have the recorder die."""
    successors.heard[-1].hang_up()


async def turned(holds: Callable[[], object]) -> None:
    """Let the loop turn until something holds."""
    while not holds():
        await asyncio.sleep(0)


def test_a_recorder_that_never_gets_as_far_as_to_go_on_is_started_twice_again_and_no_more() -> None:
    async def dying() -> tuple[int, str]:
        successors = Successors()
        client = successors.client
        while client.failure is None:
            count = len(successors.heard)
            replaced(successors)
            await turned(lambda count=count: client.failure or len(successors.heard) > count)
        return len(successors.heard) - 1, str(client.failure)

    starts, why = asyncio.run(dying())
    assert starts == 2
    assert "3 times in a row without getting on (SIGKILL)" in why


def test_what_the_next_recorder_has_not_made_comes_with_its_request_until_the_next_run_begins() -> None:
    async def two_runs() -> list[int]:
        successors = Successors()
        client = successors.client
        opening = asyncio.ensure_future(client.open("run.db"))
        await asyncio.sleep(0)
        client.on_message(("opened",))
        await opening
        client.begin(Arguments(), "first", 0, WHOLE, {})
        replaced(successors)
        await turned(lambda: len(successors.heard) > 1)
        client.on_message(("goes on",))
        client.deliver(REQUEST._replace(more=True), "steady", 0, Exchange())
        client.begin(Arguments(), "second", 0, WHOLE, {})
        client.deliver(REQUEST._replace(more=True), "steady", 0, Exchange())
        successors.heard[-1].listen()
        return [len(message) for message in successors.heard[-1].messages if message[0] == "done"]

    assert asyncio.run(two_runs()) == [6, 5]


def delivering(count: int) -> tuple[RecorderClient, Heard]:
    """Give a client so many answers at once, in a loop that has not turned since."""
    client = RecorderClient()
    heard = Heard(client)
    for ticket in range(count):
        client.deliver(REQUEST._replace(ticket=ticket), "steady", 0, Exchange())
    return client, heard


def test_answers_that_end_together_are_handed_over_a_few_at_a_time_and_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "HELD_AT_MOST", 10**12)  # however long a turn takes here

    async def turns() -> tuple[list[int], list[int]]:
        _, heard = delivering(2 * AT_ONCE + 1)
        counts = [heard.listen()]
        while counts[-1] < 2 * AT_ONCE + 1:
            await asyncio.sleep(0)
            counts.append(heard.listen())
        return counts, heard.tickets

    counts, tickets = asyncio.run(turns())
    assert list(dict.fromkeys(counts)) == [0, AT_ONCE, 2 * AT_ONCE, 2 * AT_ONCE + 1]
    assert tickets == list(range(2 * AT_ONCE + 1))


def test_answers_that_have_waited_are_handed_over_all_at_once() -> None:
    async def turn() -> int:
        _, heard = delivering(5 * AT_ONCE)
        began = perf_counter()
        until(lambda: perf_counter() - began > HELD_AT_MOST / 1e9)
        while not (count := heard.listen()):
            await asyncio.sleep(0)
        return count

    assert asyncio.run(turn()) == 5 * AT_ONCE


def test_no_answer_comes_behind_the_end_of_its_run() -> None:
    async def turn() -> list[str]:
        client, heard = delivering(5 * AT_ONCE)
        finishing = asyncio.ensure_future(client.finish({}, {}))
        await asyncio.sleep(0)
        finishing.cancel()
        heard.listen()
        return heard.words

    assert asyncio.run(turn()) == ["done"] * 5 * AT_ONCE + ["finish"]


def test_an_answer_that_a_conversation_waits_for_is_handed_over_at_once() -> None:
    async def turn() -> list[int]:
        client, heard = delivering(2)
        client.deliver(REQUEST._replace(ticket=2, more=True), "steady", 0, Exchange())
        heard.listen()
        return heard.tickets

    assert asyncio.run(turn()) == [0, 1, 2]
