import subprocess
import sys
from pathlib import Path

from perfkit.simulator.timekeeping import Step, keeps_time, sentence


def test_a_ramp_reports_the_rate_and_lateness_of_each_step():
    steps = keeps_time([5, 10])
    assert [step.rate for step in steps] == [500.0, 1000.0][: len(steps)]
    assert all(0 < step.p99 < 5 for step in steps)


def test_the_sentence_names_the_last_rate_that_held():
    assert sentence([Step(1e4, 2e-4), Step(2e4, 5e-3)]).startswith("keeps time up to 10,000 events/s")
    assert "5.00 ms at 20,000" in sentence([Step(1e4, 2e-4), Step(2e4, 5e-3)])


def test_the_sentence_admits_that_no_rate_held():
    assert sentence([Step(1e4, 2e-3)]).startswith("does not keep time")


def test_the_program_says_how_well_it_keeps_time_and_where_it_listens():
    command = [sys.executable, "-m", "perfkit.simulator", "--ttft", "0.01"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as program:
        lines = [program.stdout.readline(), program.stdout.readline()]
        program.terminate()
    assert "on this machine now (p99 of lateness" in lines[0]
    assert lines[1].startswith("listening on http://127.0.0.1:")
    assert program.returncode == 0
