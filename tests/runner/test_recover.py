"""Runs of which everything was killed while their recorder had no time: what had come is in no row, and not lost."""

import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import perfkit as pk
from perfkit.errors import UsageError, WorkerLost
from perfkit.runfile.pending import segments
from tests.cli.commands import perfkit
from tests.loadgen.workers.processes import until

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="stops the recorder by its number"),
    pytest.mark.processes,
]

PLUGIN = """
from perfkit.apis.openai import OpenAI
import perfkit as pk

@pk.register_api("mine")
class Mine(OpenAI):
    pass
"""


def pid_of(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT pid FROM run").fetchone()[0])


def in_rows(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return int(db.execute("SELECT count(*) FROM result").fetchone()[0])


def broken_off(folder: Path, **given: Any) -> Path:
    """Kill a run after its recorder was stopped and a hundred more answers had come."""
    path = folder / "run.db"
    with pk.simulate(ttft=0.01, itl=0.002, output_tokens=5) as server:
        job = pk.start(server.url, parallel=4, duration=600, max_tokens=5, prompt="hi", db=str(path), **given)
        until(lambda: job.progress.done > 20)
        recorder = pid_of(path)
        os.kill(recorder, signal.SIGSTOP)
        before = job.progress.sent
        until(lambda: job.progress.sent > before + 100)
        os.killpg(os.getpgid(recorder), signal.SIGKILL)
        with pytest.raises(WorkerLost):
            job.wait(60)
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return broken_off(tmp_path_factory.mktemp("killed"))


def test_whoever_opens_the_file_sees_them_and_leaves_it_as_it_is(killed: Path) -> None:
    files = {path: path.read_bytes() for path in killed.parent.iterdir() if not path.name.endswith("-shm")}
    rows = pk.open(killed).requests
    assert len(rows) >= in_rows(killed) + 90
    assert sorted(rows["seq"]) == list(range(len(rows)))
    assert {path: path.read_bytes() for path in files} == files
    assert pk.open(killed).table["status"].item() == "interrupted"


def test_they_are_rows_as_the_others(killed: Path) -> None:
    rows = pk.open(killed).decoded()
    stored, waited = rows.iloc[: in_rows(killed)], rows.iloc[in_rows(killed) :]
    assert waited["success"].all()
    assert set(waited["completion_tokens"]) == {5}
    assert set(waited["output_text"].str.split().str.len()) == set(stored["output_text"].str.split().str.len())
    assert waited["ttft"].between(0.009, 5).all()
    known = [name for name in rows if stored[name].notna().all() and name not in ("connect_time", "stamp_lag")]
    # On a busy machine an answer may come in one read, which gives it no TPOT.
    assert [name for name in known if waited[name].notna().mean() < 0.8] == []
    assert (waited["request"].astype(str) == str(stored["request"].iloc[0])).all()


def test_recover_writes_them_into_the_file_which_can_be_copied_alone_then(killed: Path, tmp_path: Path) -> None:
    for path in killed.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path, before = tmp_path / "run.db", in_rows(killed)
    found = len(pk.open(path).requests)
    assert f"{found - before} answers were added" in perfkit("recover", "run.db", folder=tmp_path).stdout
    assert (segments(path), in_rows(path)) == ([], found)
    assert "0 answers were added" in perfkit("recover", "run.db", folder=tmp_path).stdout


def test_in_a_folder_that_is_read_only_they_are_seen_too(killed: Path) -> None:
    found = len(pk.open(killed).requests)
    for path in (*killed.parent.iterdir(), killed.parent):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert len(pk.open(killed).requests) == found
    finally:
        killed.parent.chmod(0o755)


def test_a_new_run_in_the_file_takes_them_in(killed: Path, tmp_path: Path) -> None:
    for path in killed.parent.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    found = len(pk.open(killed).requests)
    with pk.simulate(ttft=0.01, itl=0.002) as server:
        pk.run(server.url, number=2, max_tokens=2, db=str(tmp_path / "run.db"))
    assert segments(tmp_path / "run.db") == []
    assert [len(each.requests) for each in pk.open(tmp_path / "run.db")] == [found, 2]


def test_answers_that_a_plugin_reads_wait_for_it(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    path = broken_off(tmp_path, api="mine", plugins=[str(plugin)])
    runs, before = pk.open(path), in_rows(path)
    assert len(runs.requests) == before
    assert any("answers read by mine wait beside it; perfkit recover" in each.reason for each in runs.problems)
    told = perfkit("recover", path, folder=tmp_path)
    assert (told.returncode, "name its file with --plugins" in told.stdout) == (1, True)
    assert perfkit("recover", path, "--plugins", plugin, folder=tmp_path).returncode == 0
    assert len(pk.open(path).requests) == in_rows(path) >= before + 90


def test_a_run_without_texts_keeps_none_beside_its_file(tmp_path: Path) -> None:
    with pk.simulate(ttft=0.01, itl=0.002) as server:
        job = pk.start(server.url, parallel=4, duration=600, max_tokens=5, db=f"{tmp_path}/run.db", texts=False)
        until(lambda: job.progress.done > 20)
        assert segments(tmp_path / "run.db") == []
        job.stop()


@pytest.mark.parametrize("content", [b"", b"pfk\x02" * 50, os.urandom(500)])
def test_what_a_stranger_puts_beside_a_file_is_no_answer(killed: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.db"
    pk.open(killed).save(path)
    segments_of = f"{path.name}-answers-{pk.open(path).members[0].run_id}-0-0"
    (tmp_path / segments_of).write_bytes(content)
    before = in_rows(path)
    assert len(pk.open(path).requests) == before


def test_there_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        pk.recover(tmp_path / "none.db")
