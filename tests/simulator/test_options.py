import subprocess
import sys
from types import SimpleNamespace

import pytest

from perfkit.errors import UsageError
from perfkit.simulator import Simulation
from tests.simulator.conversation import stream


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttft": -1}, "ttft must be 0 or more, got -1"),
        ({"jitter": 1.0}, "jitter must be from 0 to below 1"),
        ({"slots": 0}, "slots must be above 0"),
        ({"output_tokens": 0}, "output_tokens must be above 0"),
        ({"fail_status": 200}, "fail_status must be from 400 to 599"),
        ({"prefill_rate": 0}, "prefill_rate must be above 0"),
        ({"ttft": "soon"}, "ttft must be a number, got 'soon'"),
        ({"crlf": 1}, "crlf must be true or false, got 1"),
        ({"style": "sglang"}, "style must be one of vllm, transformers, llama.cpp; got 'sglang'"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Simulation(**options)


def run(*words):
    return [sys.executable, "-m", "perfkit", "simulate", *words]


@pytest.mark.processes
def test_the_command_serves_with_the_options_that_it_was_passed():
    words = [
        "--ttft",
        "0",
        "--itl",
        "0.001",
        "--output-tokens",
        "3",
        "--no-done",
        "--style",
        "llama.cpp",
        "--until-eof",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(run(*words), stdin=pipe, stdout=pipe, text=True) as process:
        port = int(process.stdout.readline().rpartition(":")[2])
        events = stream(SimpleNamespace(port=port))
        process.stdin.close()
        assert process.wait(30) == 0
    assert [event["choices"][0]["delta"].get("content", "").count(" ") for event in events] == [0, 1, 1, 1, 0]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--log", "/no/such/folder/log.csv"], "No such file"),
        (["--ttft", "soon"], "ttft must be a number, got 'soon'"),
        (["--style", "sglang"], "style must be one of"),
    ],
)
def test_the_command_says_why_it_cannot_serve(words, message):
    found = subprocess.run(run(*words), capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
