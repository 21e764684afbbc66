import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "scraping.py"


def test_runs_with_and_without_scraping_stand_beside_each_other() -> None:
    words = [sys.executable, str(PROGRAM), "--users", "4", "--rounds", "1", "--seconds", "1", "--stamps", "auto"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=550, check=False)
    without, beside = (line.split(" | ") for line in done.stdout.splitlines()[2:])
    assert without[:4] == ["| auto", "without", "1", "0"]
    assert beside[:3] == ["| auto", "with", "1"]
    assert int(beside[3]) >= 4  # two pages, before the load and after it
    assert float(beside[5]) > 0
