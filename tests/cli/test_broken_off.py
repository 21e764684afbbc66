"""What is shown of a run that broke off: the server died, the worker, the dataset, the file."""

import json
import os
import re
import signal
import sqlite3
import sys
from contextlib import closing

import pytest

import perfkit as pk
from perfkit.errors import StorageError, UsageError
from tests.cli.commands import begun, perfkit
from tests.loadgen.workers.processes import children, until

pytestmark = pytest.mark.processes

WORDS = ("--max-tokens", 10, "--prompt", "hi", "--db", "a.db")
COUNT = "SELECT count(*) FROM result"


def stored(path, sql=COUNT):
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
            return file.execute(sql).fetchone()[0]
    except sqlite3.OperationalError:  # not there, or its tables are being made
        return 0


def test_a_server_that_dies_between_points_leaves_the_points_before_and_says_so(tmp_path):
    path = tmp_path / "a.db"
    with pk.simulate(ttft=0.01, itl=0.02) as server:
        words = ("--url", server.url, "--parallel", 4, 8, "--number", 30, *WORDS)
        running = begun("run", *words, folder=tmp_path)
        until(lambda: stored(path) >= 8)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 1
    assert "time to first token [ms]" in out
    assert "kept in a.db" in out
    assert err.splitlines()[-1].startswith("perfkit: cannot connect to http://127.0.0.1")
    failed = stored(path, "SELECT failed FROM run WHERE parallel = 4")
    assert 0 < failed < 30
    with pk.simulate(ttft=0.01, itl=0.005) as server, closing(sqlite3.connect(path)) as file, file:
        (plan,) = file.execute("SELECT plan FROM run").fetchone()
        elsewhere = json.loads(plan)
        elsewhere["arguments"]["url"] = server.url
        file.execute("UPDATE run SET plan = ?", (json.dumps(elsewhere),))
        file.commit()
        again = perfkit("resume", "a.db", folder=tmp_path)
    assert again.returncode == 0
    what = f"parallel=4, where {failed} of 30 requests failed"
    assert again.stderr.splitlines()[0] == f"finished, and left as they are: {what}"
    with pytest.raises(UsageError, match=re.escape(f"all 2 points of the sweep finished ({what}; parallel=8)")):
        pk.resume(path)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_sweep_whose_server_died_returns_its_runs_and_has_the_reason(workers, tmp_path):
    with pk.simulate(ttft=0.01, itl=0.02) as server:
        given = {"parallel": [4, 8], "number": 30, "max_tokens": 10, "prompt": "hi", "db": str(tmp_path / "a.db")}
        job = pk.start(server.url, workers=workers, **given)
        until(lambda: job.progress.done >= 8)
    runs = job.wait(60)
    assert runs.requests["success"].sum() >= 8
    assert job.interrupted
    assert job.problem.startswith("cannot connect")
    assert set(runs.table["parallel"]) >= {4}


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
def test_a_killed_worker_leaves_a_summary_and_the_place_where_it_is_kept(slow_server, tmp_path):
    words = ("--url", slow_server.url, "--parallel", 8, "-n", 10_000, "--max-tokens", 4, "--db", "a.db")
    running = begun("run", *words, folder=tmp_path)
    until(lambda: stored(tmp_path / "a.db") >= 8)
    (worker,) = children(running.pid)
    os.kill(worker, signal.SIGKILL)
    out, err = running.communicate(timeout=300)
    assert running.returncode == 1
    assert out.startswith("1 run, ")
    assert " was interrupted: " in out
    assert "kept in a.db" in out
    assert err.splitlines()[-1].startswith("perfkit: the worker exited unexpectedly")
    assert f"stopped: {stored(tmp_path / 'a.db')} of 10,000 requests" in err


def test_a_dataset_that_breaks_midway_is_told_with_the_file_s_own_counts(slow_server, tmp_path):
    lines = [json.dumps({"prompt": f"story {n} of a river"}).encode() for n in range(1_800)]
    (tmp_path / "p.jsonl").write_bytes(b"\n".join([*lines, b'{"prompt": "caf\xe9"}', b""]))
    words = ("--parallel", 40, "-n", 100_000, "--max-tokens", 4, "--dataset", "p.jsonl", "--db", "a.db")
    done = perfkit("run", "--url", slow_server.url, *words, folder=tmp_path)
    cut_off = stored(tmp_path / "a.db", f"{COUNT} WHERE error_kind = 'interrupted'")
    ended = stored(tmp_path / "a.db") - cut_off
    assert done.returncode == 2
    assert 0 < cut_off <= 40
    assert f"stopped: {ended:,} of 100,000 requests · {cut_off} cut off" in done.stderr
    assert "is not UTF-8 in line" in done.stderr.splitlines()[-1]
    assert "kept in a.db" in done.stdout


def test_a_file_that_is_removed_while_it_is_written_is_named(server, tmp_path):
    path = tmp_path / "a.db"
    job = pk.start(server.url, duration=60, parallel=2, max_tokens=10, prompt="hi", db=str(path))
    until(lambda: stored(path))
    path.unlink()
    with pytest.raises(StorageError, match=r"deleted or replaced during the run; what was measured is in .*a-kept\.db"):
        job.wait(60)


def test_replay_of_a_file_of_several_runs_names_its_own_option(server, tmp_path):
    words = ("--url", server.url, "--parallel", 1, 2, "-n", 2, "--name", "s", *WORDS)
    assert perfkit("run", *words, folder=tmp_path).returncode == 0
    told = perfkit("replay", "a.db", folder=tmp_path)
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "perfkit: replay takes one run; choose with --run: s parallel=1, s parallel=2\n"
