import subprocess
import sys
from pathlib import Path

import pytest

from tests.busyness import busyness

pytestmark = pytest.mark.processes

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "durability.py"


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_nothing_that_had_ended_is_missing_from_runs_killed_and_interrupted() -> None:
    limits = ["--patience", str(busyness() * 2), "--grace", str(min(1, busyness() / 4))]
    words = [sys.executable, str(PROGRAM), "--kills", "5", "--interrupts", "1", *limits]
    done = subprocess.run(words, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(" | ")[0] for line in done.stdout.splitlines()[2:]] == [
        "| SIGKILL to worker and recorder",
        "| SIGKILL to recorder, then Ctrl-C",
        "| SIGKILL to worker",
        "| SIGKILL to all, after a second without recorder",
        "| SIGKILL to driver",
        "| Ctrl-C to driver",
    ]
