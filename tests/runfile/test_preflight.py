"""The preflight request has a table of its own; files of earlier perfkits, which have it in ``result``, read alike."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.analysis.results.scrub import scrub
from perfkit.errors import UnsafeFile
from perfkit.runfile.repeats import repeats
from tests.run_files import request, write_run


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(sql).fetchall()


def make_old(path: Path) -> Path:
    """Make of a file what an earlier perfkit wrote: the preflight rows are among the others."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("INSERT INTO result SELECT * FROM preflight")
        file.execute("DROP TABLE preflight")
    return path


ROWS = [request(None, -1, phase="preflight", ttft=0.75, prompt_hash="a"), request(0, prompt_hash="a"), request(1, 1)]


@pytest.fixture(params=["new", "old", "old, written to again"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = write_run(tmp_path / "a.db", ROWS, run_id="1", name="a")
    if request.param != "new":
        make_old(path)
    if request.param == "old, written to again":
        write_run(path, ROWS, run_id="2", name="b")
    return path


@pytest.mark.slow
@pytest.mark.processes
def test_result_and_the_view_hold_the_load_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with pk.simulate(ttft=0.001, itl=0.001) as server:
        pk.start(server.url, prompt="hi", number=24, parallel=4, max_tokens=2, db=str(path), workers=0).wait(60)
    assert len(query(path, "SELECT * FROM result")) == len(query(path, "SELECT * FROM request_metrics")) == 24
    assert query(path, "SELECT phase, seq, success FROM preflight") == [("preflight", None, 1)]
    assert (len(pk.open(path).requests), len(pk.open(path).preflight)) == (24, 1)


def test_preflight_has_the_columns_of_result(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a.db", ROWS)
    described = [query(path, f"SELECT name, type FROM pragma_table_info('{name}')") for name in ("result", "preflight")]
    assert described[0] == described[1]


@pytest.mark.slow
def test_runs_show_it_apart_whatever_perfkit_wrote_the_file(path: Path) -> None:
    for run in pk.open(path):
        assert run.requests["ttft"].tolist() == [0.5, 0.5]
        assert run.preflight["ttft"].tolist() == [0.75]
        assert not set(run.preflight.index) & set(run.requests.index)
        assert "(left out: 1 preflight)" in run.summary().head


@pytest.mark.slow
def test_filters_hold_for_it_too(path: Path) -> None:
    runs = pk.open(path)
    assert runs.where("ttft > 600ms").preflight["ttft"].tolist() == [0.75] * len(runs)
    assert runs.where("ttft < 600ms").preflight.empty
    assert runs.where(runs.requests["ttft"] > 0).preflight.empty


def test_a_saved_copy_keeps_it(path: Path, tmp_path: Path) -> None:
    runs = pk.open(path)
    again = pk.open(runs.save(tmp_path / "copy.db"))
    assert again.preflight["ttft"].tolist() == runs.preflight["ttft"].tolist()
    assert query(tmp_path / "copy.db", "SELECT DISTINCT phase FROM result") == [("steady",)]


def test_its_prompt_counts_as_sent(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        found = repeats(file, "1")
    assert (found.requests, found.repeated) == (1, 1)


def test_secrets_in_it_are_masked_in_a_copy(tmp_path: Path) -> None:
    secret = "sk-abcdefghijklmnopqrstuvwx"
    path = write_run(tmp_path / "a.db", [request(None, phase="preflight", error=f"key {secret}"), request(0)])
    scrub(path, tmp_path / "clean.db")
    assert query(tmp_path / "clean.db", "SELECT error FROM preflight") == [("key ***",)]


def test_a_row_that_sqlite_cannot_hold_stays_apart(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a.db", [request(None, phase="preflight", prompt_tokens=2**70), request(0)])
    assert query(path, "SELECT prompt_tokens, flags FROM preflight") == [(None, "unstorable")]
    assert query(path, "SELECT seq FROM result") == [(0,)]


def test_a_view_that_poses_as_the_table_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "a.db", ROWS)
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TABLE preflight")
        file.execute("CREATE VIEW preflight AS SELECT * FROM result")
    with pytest.raises(UnsafeFile, match="preflight is not a plain table"):
        pk.open(path)
