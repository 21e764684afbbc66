"""A run whose processes were all stopped for a while, as a laptop that sleeps or a debugger does it."""

import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from time import sleep

import pytest

import perfkit as pk
from tests.loadgen.workers.processes import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="stops processes by their group"),
    pytest.mark.processes,
]
STOPPED = 2.0


def test_a_run_that_was_stopped_says_so_stores_it_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with pk.simulate(ttft=0.01, itl=0.002, output_tokens=5) as server:
        job = pk.start(server.url, parallel=4, duration=600, max_tokens=5, prompt="hi", db=str(path))
        until(lambda: job.progress.done > 20)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            (recorder,) = db.execute("SELECT pid FROM run").fetchone()
        group = os.getpgid(recorder)
        os.killpg(group, signal.SIGSTOP)
        sleep(STOPPED)
        before = job.progress.done
        os.killpg(group, signal.SIGCONT)
        until(lambda: job.progress.done > before + 50)
        job.stop()
        runs = job.wait()
    rows = runs.requests
    assert rows["seq"].tolist() == list(range(len(rows)))
    with closing(sqlite3.connect(path)) as db:
        verdict, reasons = db.execute("SELECT verdict, reasons FROM run").fetchone()
        (latest,) = db.execute("SELECT max(value) FROM sample WHERE name = 'loop_late'").fetchone()
    assert verdict != "VALID"
    assert "the client stood still for" in reasons
    assert latest >= STOPPED - 0.1
