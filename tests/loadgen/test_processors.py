import os
import subprocess
import sys

import pytest

from perfkit.loadgen.processors import Spent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counted by Linux alone")


def test_one_idle_processor_of_several_is_enough() -> None:
    mine = sorted(os.sched_getaffinity(0))
    before = Spent(dict.fromkeys(mine, (100, 50)))
    full, half = (200, 50), (200, 100)
    assert Spent(dict.fromkeys(mine, full)).taken_since(before) == 1.0
    assert Spent({number: half if number == mine[0] else full for number in mine}).taken_since(before) == 0.5
    assert Spent({mine[0]: (200, 150)}).taken_since(before) == 0.0


def test_processors_that_nobody_counts_are_unknown() -> None:
    now = Spent.now()
    assert now.taken_since(Spent({})) is None
    assert now.taken_since(now) is None  # no tick has passed


@pytest.mark.processes
def test_a_processor_shared_with_a_busy_loop_is_taken() -> None:
    program = (
        "import os, subprocess, sys; from perfkit.loadgen.processors import Spent\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); before = Spent.now()\n"
        "loop = 'import time\\nwhile time.process_time() < 0.5: pass'\n"
        "subprocess.run([sys.executable, '-c', loop], check=True)\n"
        "print(Spent.now().taken_since(before))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=120
    ).stdout
    assert float(told) > 0.9
