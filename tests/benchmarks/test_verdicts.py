import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "verdicts.py"


@pytest.mark.skipif(sys.platform != "linux", reason="pins and stops processes as Linux does")
def test_a_good_run_and_two_bad_ones_are_told_apart() -> None:
    options = ["--good", "1", "--bad", "2", "--only", "stopped", "file", "--patience", "0"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *options], capture_output=True, text=True, timeout=550, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    told = {kind: (runs, valid, said) for kind, runs, valid, *_, said in lines}
    # The good one is there, too: a neighbour of the tests can make it SUSPECT, and be right.
    assert len(told) == 3
    assert told["file limit"][:2] == told["stopped process"][:2] == ("1", "0")
    assert "file limit" in told["file limit"][2]
    assert "stall" in told["stopped process"][2]
