import contextlib
import json
import resource
import sqlite3
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perfkit.errors import StorageError
from perfkit.runfile.safe_file import open_live
from perfkit.runfile.schema import NARROW, RESULT_NAMES, SCHEMA_VERSION, statements
from perfkit.runfile.writer import Row, Writer, order

ANCESTOR = """
request start_time inter_token_latencies success response_messages completed_time latency first_chunk_latency
prompt_tokens completion_tokens max_gpu_memory_cost time_per_output_token request_id is_stream
"""
EMPTY: Row = dict.fromkeys(RESULT_NAMES)


def row(seq: int | None, **columns: object) -> Row:
    return {**EMPTY, "run_id": "r", "seq": seq, "success": 1, **columns}  # type: ignore[dict-item]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def writer(path: Path) -> Writer:
    return Writer(path)


def fetched(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        return db.execute(query).fetchall()


def test_the_first_fourteen_columns_are_the_ancestors(writer: Writer, path: Path) -> None:
    columns = fetched(path, "SELECT name, type FROM pragma_table_info('result') ORDER BY cid")
    assert [name for name, _ in columns[:14]] == ANCESTOR.split()
    assert dict(columns)["success"] == "INTEGER"
    assert dict(columns)["latency"] == "REAL"


@pytest.mark.parametrize("made", range(len(statements()) + 1))
def test_a_file_that_another_worker_is_just_making_is_ours(path: Path, made: int) -> None:
    with sqlite3.connect(path, isolation_level=None) as other:
        for statement in statements()[:made]:
            other.execute(statement)
        writer = Writer(path)
        writer.begin_run({"run_id": "r"})
        writer.close()
    assert fetched(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


@pytest.mark.slow
def test_runs_that_begin_in_a_new_file_at_the_same_moment_wait_for_each_other(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def begin(path: Path, run_id: str) -> None:
        together.wait(10)
        with contextlib.closing(Writer(path)) as writer:
            writer.begin_run({"run_id": run_id, "name": run_id, "status": "running"})

    for attempt in range(20):
        path = tmp_path / f"{attempt}.db"
        with ThreadPoolExecutor(4) as threads:
            for begun in [threads.submit(begin, path, run_id) for run_id in "abcd"]:
                begun.result(30)
        with contextlib.closing(sqlite3.connect(path)) as db:
            assert db.execute(
                "SELECT group_concat(run_id, '') FROM (SELECT run_id FROM run ORDER BY 1)"
            ).fetchone() == ("abcd",)


def test_the_file_says_what_it_is(writer: Writer, path: Path) -> None:
    assert fetched(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert fetched(path, "PRAGMA application_id") == [(int.from_bytes(b"pfk1", "big"),)]


def test_a_scan_of_narrow_columns_never_walks_the_texts(writer: Writer, path: Path) -> None:
    names = ", ".join(NARROW)
    plan = fetched(path, f"EXPLAIN QUERY PLAN SELECT {names} FROM result WHERE run_id = 'r' AND latency > 1")
    assert [step[-1] for step in plan] == ["SEARCH result USING COVERING INDEX result_narrow (run_id=?)"]
    plan = fetched(path, "EXPLAIN QUERY PLAN SELECT avg(latency) FROM result")
    assert "USING COVERING INDEX result_narrow" in str(plan[0][-1])


def test_rows_are_on_disk_when_add_results_returns(writer: Writer, path: Path) -> None:
    writer.add_results([row(0), row(1)])
    assert fetched(path, "SELECT seq FROM result") == [(0,), (1,)]


@pytest.mark.parametrize(
    ("column", "value", "stored"),
    [
        ("completion_tokens", 2**70, None),
        ("prompt_text", "half a pair \ud800", "half a pair ?"),
        ("error", ["a", "list"], "['a', 'list']"),
    ],
)
def test_one_row_that_sqlite_cannot_hold_does_not_take_the_others(
    writer: Writer, path: Path, column: str, value: object, stored: object
) -> None:
    writer.add_results([row(0), row(1, **{column: value}), row(2)])
    found = fetched(path, f"SELECT seq, {column}, flags FROM result ORDER BY seq")
    assert found == [(0, None, None), (1, stored, "unstorable"), (2, None, None)]


def test_a_row_whose_number_is_taken_is_kept_and_says_so(writer: Writer, path: Path) -> None:
    writer.add_results([row(0)])
    writer.add_results([row(0, flags="cycled"), row(1)])
    assert fetched(path, "SELECT seq, flags FROM result ORDER BY rowid") == [
        (0, None),
        (None, "cycled seq_0_twice"),
        (1, None),
    ]


def test_a_reader_that_holds_a_transaction_does_not_stop_the_writer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perfkit.runfile.writer.PATIENCE", 0.2)  # the folding at the end waits for the reader
    writer = Writer(path)
    writer.add_results([row(0)])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM result").fetchone() == (1,)
    writer.add_results([row(seq) for seq in range(1, 50)])
    writer.close()
    assert reader.execute("SELECT count(*) FROM result").fetchone() == (1,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM result").fetchone() == (50,)
    reader.close()


def test_a_finished_file_is_one_file(writer: Writer, path: Path) -> None:
    writer.add_results([row(0)])
    assert path.with_name("run.db-wal").exists()
    writer.close()
    assert [each.name for each in path.parent.iterdir()] == ["run.db"]
    assert path.read_bytes()[18:20] == b"\x01\x01"  # read and write version 1: no write-ahead log


def test_a_file_that_was_looked_at_as_it_finished_holds_every_row_and_is_one_file_after_the_next_run(
    writer: Writer, path: Path
) -> None:
    writer.add_results([row(0)])
    reader = open_live(path)
    writer.close()
    reader.close()
    assert {each.name: each.stat().st_size > 0 for each in path.parent.iterdir()} == {
        "run.db": True,
        "run.db-wal": False,
        "run.db-shm": True,
    }
    Writer(path).close()
    assert [each.name for each in path.parent.iterdir()] == ["run.db"]
    assert fetched(path, "SELECT count(*) FROM result") == [(1,)]


def test_a_file_gains_runs(path: Path) -> None:
    for name in ("first", "second"):
        writer = Writer(path)
        writer.begin_run({"run_id": name, "name": name})
        writer.close()
    assert fetched(path, "SELECT run_id FROM run") == [("first",), ("second",)]


def test_the_database_of_another_program_is_refused_and_not_touched(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(StorageError, match=r"run\.db is a database of another program; give another file with db"):
        Writer(path)
    assert path.read_bytes() == before


def test_a_file_of_a_newer_schema_is_refused(path: Path) -> None:
    Writer(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StorageError, match="was written by a newer perfkit"):
        Writer(path)


@pytest.mark.parametrize("content", [b"no database at all, only text\n" * 99, b"a note", None])
def test_what_is_no_database_is_refused_in_one_sentence(path: Path, content: bytes | None) -> None:
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"cannot write .*run\.db: .*; give another file with db"):
        Writer(path)
    assert content is None or path.read_bytes() == content


def test_orders_stand_in_the_file(writer: Writer, path: Path) -> None:
    assert writer.orders("r") == (False, 0)
    order(path, "other", "stop")
    for seconds in ("30.5", "10", "nan", "-5", "1e400"):  # what is no number of seconds is no order
        order(path, "r", f"extend {seconds}")
    assert writer.orders("r") == (False, 40.5)
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO control VALUES (0, NULL, 'stop')")
    assert writer.orders("r") == (True, 40.5)


FILL = """
    import resource, signal, sys
    from perfkit.errors import StorageError
    from perfkit.runfile.schema import RESULT_NAMES
    from perfkit.runfile.writer import Writer

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = Writer("full/run.db")
    writer.begin_run({"run_id": "r"})
    size = 250_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    empty = dict.fromkeys(RESULT_NAMES)
    failed = 0
    for seq in range(0, 39, 3):
        rows = [{**empty, "run_id": "r", "seq": each, "prompt_text": "x" * 4000} for each in range(seq, seq + 3)]
        try:
            writer.add_results(rows)
        except StorageError as error:
            failed += 1
            print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.add_results([{**empty, "run_id": "r", "seq": 39}])
    writer.close()
    print("failed", failed)
"""


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit of file sizes here")
def test_every_row_that_a_full_disk_refuses_is_in_the_spill_and_the_writer_goes_on(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FILL)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    *sentences, last = done.stdout.splitlines()
    assert last == f"failed {len(sentences)}"
    assert sentences
    assert "unsaved rows are in" in sentences[0]
    lines = (tmp_path / "run.db.unsaved.jsonl").read_text().splitlines()
    spilled = {json.loads(line)["seq"] for line in lines}
    stored = {seq for (seq,) in fetched(tmp_path / "full" / "run.db", "SELECT seq FROM result")}
    assert len(lines) == len(spilled) == 3 * len(sentences)
    assert stored | spilled == set(range(40))
    assert not stored & spilled
    assert 39 in stored


def test_a_file_of_an_earlier_perfkit_gains_the_columns_of_run_that_it_lacks(writer: Writer, path: Path) -> None:
    writer.begin_run({"run_id": "earlier"})
    writer.close()
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE run DROP COLUMN problem")
    later = Writer(path)
    later.begin_run({"run_id": "r"})
    later.merge_run("r", {"problem": "ended early"})
    later.close()
    assert fetched(path, "SELECT problem FROM run") == [(None,), ("ended early",)]


def test_a_new_file_without_a_run_is_removed_and_one_that_was_there_is_not(tmp_path: Path) -> None:
    for name, run_ids in {"new.db": [], "old.db": ["kept"]}.items():
        for run_id in [*run_ids, "gone"]:
            writer = Writer(tmp_path / name)
            writer.begin_run({"run_id": run_id})
            writer.add_samples([(run_id, 0, 1.0, "in_flight", 1.0)])
            assert run_id != "gone" or writer.discard_run(run_id)
            writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["old.db"]
    for table in ("run", "sample"):
        assert fetched(tmp_path / "old.db", f"SELECT run_id FROM {table}") == [("kept",)]


def test_a_run_of_nothing_but_its_preflight_request_is_discarded_whole(writer: Writer, path: Path) -> None:
    writer.begin_run({"run_id": "kept"})
    writer.begin_run({"run_id": "gone"})
    writer.add_results([row(None, run_id="gone", phase="preflight"), row(0, run_id="kept")])
    assert writer.discard_run("gone")
    writer.close()
    for table in ("run", "result"):
        assert fetched(path, f"SELECT run_id FROM {table}") == [("kept",)]
    assert fetched(path, "SELECT run_id FROM preflight") == []


def test_a_run_with_a_row_is_not_discarded(writer: Writer, path: Path) -> None:
    writer.begin_run({"run_id": "r"})
    writer.add_results([row(0)])
    assert not writer.discard_run("r")
    writer.close()
    assert fetched(path, "SELECT run_id FROM run") == [("r",)]


def test_what_a_stop_cut_off_of_a_settled_run_has_not_failed(writer: Writer, path: Path) -> None:
    writer.begin_run({"run_id": "r"})
    kinds = [None, "reset", "interrupted", "interrupted"]
    writer.add_results(row(seq, success=int(not kind), error_kind=kind) for seq, kind in enumerate(kinds))
    writer.settle_run("r")
    assert fetched(path, "SELECT sent, succeeded, failed FROM run") == [(4, 1, 1)]


def test_one_workers_problem_is_the_runs(writer: Writer, path: Path) -> None:
    writer.begin_run({"run_id": "r"})
    for problem in ("ended early", None):
        writer.merge_run("r", {"status": "interrupted", "end_time": 1.0, "problem": problem})
    assert fetched(path, "SELECT problem FROM run") == [("ended early",)]


@pytest.mark.parametrize(("second", "verdict", "told"), [("same", "VALID", False), ("other", "SUSPECT", True)])
@pytest.mark.parametrize("first_ends_first", [True, False])
def test_workers_that_read_different_dataset_files_are_told_apart(
    writer: Writer, path: Path, second: str, verdict: str, told: bool, first_ends_first: bool
) -> None:
    writer.begin_run({"run_id": "r"})
    writer.update_run("r", dataset_hash="same")  # the first worker's, once it has opened it
    said = {"status": "finished", "end_time": 1.0, "verdict": "VALID", "reasons": "[]"}
    for file in ("same", second) if first_ends_first else (second, "same"):
        writer.merge_run("r", {**said, "dataset_hash": file})
    ((hash_, level, reasons),) = fetched(path, "SELECT dataset_hash, verdict, reasons FROM run")
    assert (hash_, level, "different dataset files" in reasons) == ("same", verdict, told)
