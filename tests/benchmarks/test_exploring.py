"""The benchmarks of large files, with small ones."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PROGRAMS = Path(__file__).parents[2] / "benchmarks"


def printed(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=PROGRAMS, capture_output=True, text=True, timeout=300, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_files_are_summarised_decoded_and_reported() -> None:
    told = printed("exploring.py", "--requests", "400", "--bodies", "200")
    assert "400 requests, no bodies: opened and summarised in" in told
    assert all(f"{what}" in told for what in ("decoded() of 1,000", "s for 200 rows", "a report:"))


def test_the_explorer_opens_and_every_change_is_drawn() -> None:
    told = printed("explorer.py", "--requests", "300")
    assert told.count(" ms\n") == 12
    assert "open to first picture" in told
