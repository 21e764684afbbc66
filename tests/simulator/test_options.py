import argparse

import pytest

from perfkit.errors import UsageError
from perfkit.simulator.options import Simulation, add_arguments, from_arguments


@pytest.mark.parametrize(
    "simulation",
    [
        Simulation(),
        Simulation(ttft=0.25, slots=4, output_tokens=9, text="emoji"),
        Simulation(role_chunk=False, done=False, crlf=True, usage="always", style="llama.cpp"),
        Simulation(log="a log.csv", certfile="c.pem", cached_tokens=0, idle_timeout=1.5),
    ],
)
def test_a_command_line_means_the_options_it_was_made_from(simulation):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert from_arguments(parser.parse_args(simulation.argv())) == simulation


def test_every_option_is_documented(capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert all(action.help for action in parser._actions)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttft": -1}, "ttft must be 0 or more, got -1"),
        ({"jitter": 1.0}, "jitter must be from 0 to below 1"),
        ({"slots": 0}, "slots must be above 0"),
        ({"output_tokens": 0}, "output_tokens must be above 0"),
        ({"fail_status": 200}, "fail_status must be from 400 to 599"),
        ({"prefill_rate": 0}, "prefill_rate must be above 0"),
    ],
)
def test_a_value_out_of_range_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Simulation(**options)
