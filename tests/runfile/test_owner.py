import os
import platform
import subprocess
import sys
from time import time
from typing import Any

import pytest

from perfkit.runfile.owner import FRESH, lives, machine, process_start, status

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


def record(**more: Any) -> dict[str, Any]:
    """The row of a run that this process writes."""
    host = f'{{"name": "{platform.node()}", "processes": "{machine()}"}}'
    ours = {"status": "running", "pid": os.getpid(), "pid_time": process_start(), "host": host, "arguments": "{}"}
    return {**ours, "heartbeat": 1.0, **more}


@linux
def test_a_run_whose_writer_lives_is_running_however_old_its_heartbeat() -> None:
    assert status(record()) == "running"


@pytest.mark.processes
@linux
def test_a_run_whose_writer_has_ended_is_interrupted_however_young_its_heartbeat() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    began = process_start(ended.pid)
    ended.wait()
    assert status(record(pid=ended.pid, pid_time=began, heartbeat=time())) == "interrupted"


@linux
def test_a_number_that_was_given_out_again_is_not_the_writer() -> None:
    assert not lives(record(pid_time=process_start() - 60))


@linux
@pytest.mark.parametrize(
    "elsewhere",
    [
        {"host": '{"name": "elsewhere"}'},
        {"host": f'{{"name": "{platform.node()}", "processes": "another boot"}}'},
        {"pid_time": None},
        {"pid": 2**22 + 1, "arguments": '{"workers": 2}'},
    ],
    ids=["another machine", "before the last boot", "no process told", "another worker may go on"],
)
def test_where_no_process_can_be_looked_at_the_heartbeat_decides(elsewhere: dict[str, Any]) -> None:
    assert lives(record(heartbeat=time(), **elsewhere))
    assert not lives(record(heartbeat=time() - 2 * FRESH, **elsewhere))


@pytest.mark.parametrize("told", ["finished", "interrupted", None])
def test_only_what_is_called_running_can_be_something_else(told: str | None) -> None:
    assert status({"status": told}) == told


def test_a_record_of_nonsense_is_no_living_run() -> None:
    nonsense = {"pid": "x", "pid_time": "y", "host": "[" * 10**5, "heartbeat": b"z"}
    assert status({"status": "running", **nonsense}) == "interrupted"
