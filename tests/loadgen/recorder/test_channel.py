import asyncio
import contextlib
import threading
from collections.abc import Callable

import pytest

from perfkit.loadgen.recorder.channel import LoopEnd, RecorderEnd, pair

BIG = b"x" * 12_000_000  # more than any socket's buffer


def with_loop_end(do: Callable[[LoopEnd, list[object]], object], theirs: Callable[[RecorderEnd], None]) -> list[object]:
    """Serve the recorder's end on a thread while ``do`` uses the loop's; return what the loop heard."""

    async def loop_side() -> list[object]:
        heard: list[object] = []
        done = asyncio.Event()
        channel = LoopEnd(asyncio.get_running_loop(), ours, heard.append, done.set)
        do(channel, heard)
        async with asyncio.timeout(5):
            await done.wait()
        return heard

    ours, other = pair()
    thread = threading.Thread(target=theirs, args=(RecorderEnd(other),), daemon=True)
    thread.start()
    heard = asyncio.run(loop_side())
    thread.join(5)
    assert not thread.is_alive()
    return heard


def test_messages_of_any_size_arrive_whole_and_in_order() -> None:
    sent = [("done", index, b"x" * size) for index, size in enumerate([0, 1, 300_000, 3_000_000, 7])]

    def echo(end: RecorderEnd) -> None:
        for _ in sent:
            end.send(end.receive(wait=None) or ())
        end._end.close()

    def send(channel: LoopEnd, heard: list[object]) -> None:
        for message in sent:
            channel.send(message)

    assert with_loop_end(send, echo) == sent


@pytest.mark.slow
def test_the_loop_can_hang_up_while_both_have_much_to_say() -> None:
    ours, other = pair()
    received: list[object] = []

    def talk_then_listen(end: RecorderEnd) -> None:
        end.send(("requests", BIG))
        with contextlib.suppress(EOFError):
            while True:
                received.append(end.receive(wait=None))

    async def hang_up() -> None:
        channel = LoopEnd(asyncio.get_running_loop(), ours, lambda message: None, lambda: None)
        for index in range(3):
            channel.send(("done", index, BIG))
        assert channel.waiting > 0
        channel.close()

    thread = threading.Thread(target=talk_then_listen, args=(RecorderEnd(other),), daemon=True)
    thread.start()
    asyncio.run(asyncio.wait_for(hang_up(), 5))
    thread.join(5)
    assert received == [("done", index, BIG) for index in range(3)]


def test_what_the_loop_said_before_it_died_is_read_even_after_a_failed_send() -> None:
    ours, other = pair()
    end = RecorderEnd(other)

    async def say_and_die() -> None:
        channel = LoopEnd(asyncio.get_running_loop(), ours, lambda message: None, lambda: None)
        channel.send(("done", 1))
        end.send(("stored", 1))
        ours.close()

    asyncio.run(say_and_die())
    end.send(("stored", 2))
    assert end.receive(wait=None) == ("done", 1)
    with pytest.raises(EOFError):
        end.receive(wait=None)


def test_nothing_to_receive_is_none_when_there_is_no_time_to_wait() -> None:
    _ours, other = pair()
    assert RecorderEnd(other).receive(wait=0.0) is None
