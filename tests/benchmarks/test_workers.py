"""The judge of equal distributions, and its program, small."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.workers import SIGNIFICANT, gaps_test

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "workers.py"


def answers(count: int, mean: float, seed: int) -> list[np.ndarray]:
    """Return gaps of answers that each have a speed of their own: gaps of one answer are alike."""
    rng = np.random.default_rng(seed)
    return [rng.normal(mean * speed, 0.001, 20) for speed in rng.uniform(0.8, 1.2, count)]


@pytest.mark.slow
def test_gaps_of_one_server_are_the_same_though_answers_differ() -> None:
    assert gaps_test(answers(150, 0.010, seed=1), answers(150, 0.010, seed=2)).pvalue > SIGNIFICANT


@pytest.mark.slow
def test_gaps_a_fifth_longer_are_not() -> None:
    assert gaps_test(answers(150, 0.010, seed=1), answers(150, 0.012, seed=2)).pvalue < SIGNIFICANT


@pytest.mark.processes
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_a_killed_dask_worker_takes_no_answer_that_had_ended_with_it() -> None:
    words = [sys.executable, str(PROGRAM), "--rate", "40", "--seconds", "1", "--rounds", "1", "--kills", "1"]
    words += ["--kinds", "worker"]  # test_hosts kills all that runs on a host
    done = subprocess.run(words, capture_output=True, text=True, timeout=550, check=False)
    same, _, killed = done.stdout.partition("\n\n")
    assert [line.split("|")[2] for line in same.splitlines()[2:]] == [" 40 "] * 3, done.stdout + done.stderr
    rows = [[cell.strip() for cell in line.split("|")] for line in killed.splitlines()[2:]]
    assert [(row[1], row[4], row[6]) for row in rows] == [("the Dask worker", "0", "1 of 1")]
