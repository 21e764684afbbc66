"""The program that measures healthy streams beside faulty ones: what it tells apart, and what it refuses."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="has an address for each server on the loopback network of Linux")
def test_healthy_streams_are_told_from_the_faults_beside_them(program, tmp_path: Path):
    run = program.measure("storm", 24, 12.0, tmp_path)
    assert len(run.errors) > 0
    assert not run.failed
    assert run.faults.total() > 0
    assert set(run.faults) - {"success"}


def run_of(program, kind, p99, failed=0):
    return program.Run(
        kind, np.full(100, p99 / 1e3), Counter(reset=failed) if failed else Counter(), Counter(), "VALID"
    )


def test_a_storm_that_disturbs_is_refused(program):
    quiet = run_of(program, "quiet", 2.0)
    assert program.holds([quiet, run_of(program, "storm", 2.9)], 1.5)
    assert not program.holds([quiet, run_of(program, "storm", 3.1)], 1.5)
    assert not program.holds([quiet, run_of(program, "storm", 2.0, failed=1)], 1.5)
    told = program.table([quiet, run_of(program, "storm", 2.9)])
    assert "| 1 | quiet | 100 | 2.000 | 2.000 | 2.000 | 0 | 0 | VALID |" in told
    assert "storm 2.900 ms, 1.45 times as much." in told
