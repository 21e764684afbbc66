import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "notebook.py"


@pytest.mark.kernel
def test_a_run_goes_on_while_the_kernel_draws() -> None:
    words = [sys.executable, str(PROGRAM), "--users", "4", "--seconds", "1.5", "--stamps", "auto"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=550, check=False)
    quiet, panel, busy = (line.split(" | ") for line in done.stdout.splitlines()[2:])
    assert quiet[:3] == ["| auto", "quiet", "0"]
    assert panel[:3] == ["| auto", "panel", "0"]
    assert busy[:2] == ["| auto", "busy"]
    assert int(busy[2]) >= 1
    assert all(int(each[3]) >= 8 for each in (quiet, panel, busy))
