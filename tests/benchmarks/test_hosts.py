"""Hosts that are namespaces of this machine carry a load, small."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.hosts import why_not

pytestmark = pytest.mark.processes

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "hosts.py"


@pytest.mark.skipif(bool(why_not()), reason=f"this benchmark {why_not()}")
def test_a_host_that_is_killed_takes_no_answer_with_it_and_a_long_way_keeps_its_bound() -> None:
    words = ["--rate", "40", "--seconds", "1", "--rounds", "1", "--delay", "5", "--fail", "all on near2 killed"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words], capture_output=True, text=True, timeout=550, check=False
    )
    tables = [
        [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
        for table in done.stdout.split("\n\n")
    ]
    same, clocks, killed = tables
    assert [row[:2] for row in same] == [["one worker", "40"], ["one on each of two hosts", "40"]], done.stderr
    assert [(row[0], row[4]) for row in clocks] == [("near2", "0"), ("far (5 ms each way)", "0")]
    assert float(clocks[1][3]) >= 5  # no bound is tighter than the way allows
    assert [(row[0], row[2], row[4]) for row in killed] == [("all on near2 killed", "0", "yes")]
