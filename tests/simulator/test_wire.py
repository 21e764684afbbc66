import pytest

from perfkit.simulator.faults import NONE, named
from perfkit.simulator.options import Simulation
from perfkit.simulator.wire import Wire

EVENT = b"data: 1\n\n"


def test_each_event_is_a_chunk_of_its_own():
    assert Wire(Simulation(), NONE).frame([EVENT, EVENT]) == b"9\r\ndata: 1\n\n\r\n" * 2


def test_a_comment_comes_before_each_nth_event():
    framed = Wire(Simulation(ping_every=2), NONE).frame([EVENT] * 4)
    assert [b"ping" in piece for piece in framed.split(b"\r\n")[1::2]] == [False, True, False, False, True, False]


def test_an_event_rewritten_to_nothing_does_not_end_the_message():
    assert Wire(Simulation(), named("no_done")).frame([b"data: [DONE]\n\n"]) == b""


@pytest.mark.parametrize("complete", [True, False])
def test_what_was_kept_back_comes_at_the_end(complete):
    wire = Wire(Simulation(), named("at_once"))
    assert wire.frame([EVENT]) == b""
    assert wire.end(complete=complete) == b"9\r\ndata: 1\n\n\r\n" + b"0\r\n\r\n" * complete
