import os
import subprocess
import sys

import pytest

from perfkit.engine.processors import Spent

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


def test_a_processor_shared_with_a_busy_loop_is_taken() -> None:
    program = (
        "import os, subprocess, sys, time; from perfkit.engine.processors import Spent\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "loop = subprocess.Popen([sys.executable, '-c', 'print(flush=True)\\nwhile True: pass'], stdout=-1)\n"
        "loop.stdout.readline(); before = Spent.now()\n"
        "while time.sleep(0.05) or (taken := (now := Spent.now()).taken_since(before)) is None or not any(\n"
        "    now.ticks[number][0] - before.ticks[number][0] > 40 for number in os.sched_getaffinity(0)\n"
        "): pass\n"
        "loop.kill(); loop.wait(); print(taken)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
    ).stdout
    assert float(told) > 0.9
