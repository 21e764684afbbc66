"""Where a process stands among the others, asked of the kernel."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

import perfkit as pk
from perfkit.loadgen.recorder.scheduling_class import may_return, stand
from tests.loadgen.workers.processes import children, until

pytestmark = [
    pytest.mark.skipif(not may_return(), reason="only a privileged process may leave the idle class"),
    pytest.mark.processes,
]


@pytest.fixture
def process() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started.pid
        started.kill()


def test_a_process_steps_behind_all_others_and_returns(process: int) -> None:
    stand(process, False)
    assert os.sched_getscheduler(process) == os.SCHED_IDLE
    stand(process, True)
    assert os.sched_getscheduler(process) == os.SCHED_OTHER


def test_one_that_has_ended_stands_nowhere_and_that_is_no_error(process: int) -> None:
    os.kill(process, 9)
    os.waitpid(process, 0)
    stand(process, True)


def test_asking_changes_nothing() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    assert may_return()
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)) == before


def test_the_recorder_steps_back_while_its_loop_is_late_and_returns_after_the_load(
    tmp_path: Path,
) -> None:
    with pk.simulate(ttft=0.01, itl=0.005, output_tokens=20) as server:
        before = set(children(os.getpid()))
        job = pk.start(server.url, parallel=2, duration=30, db=str(tmp_path / "run.db"))
        (worker,) = set(children(os.getpid())) - before
        until(lambda: job.progress.done > 10)
        (recorder,) = children(worker)

        def stopped_for_a_moment() -> bool:
            os.kill(worker, signal.SIGSTOP)
            sleep(0.01)
            os.kill(worker, signal.SIGCONT)
            return os.sched_getscheduler(recorder) == os.SCHED_IDLE

        until(stopped_for_a_moment)
        assert os.sched_getscheduler(worker) == os.SCHED_OTHER
        job.stop()
        until(lambda: recorder not in children(worker) or os.sched_getscheduler(recorder) == os.SCHED_OTHER)
        job.wait(30)
