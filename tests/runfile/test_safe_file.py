import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from perfkit.errors import UnsafeFile
from perfkit.runfile.safe_file import bounded, open_live, open_readonly, quoted, reading, stored_columns

FILES = Path(__file__).parents[1] / "corpus" / "files"
ITEMS = json.loads((FILES / "manifest.json").read_text(encoding="utf-8"))
KNOWN = {"request", "response_messages", "success", "latency", "start_time", "inter_token_latencies", "chunk_times"}
SUPER_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")


def rows(path: Path) -> list:
    with reading(path) as connection:
        columns = stored_columns(connection, "result", KNOWN)
        return connection.execute(f"SELECT {', '.join(map(bounded, columns))} FROM result").fetchall()


def database(folder: Path, name: str = "run.db", sql: str = "", rows: int = 3) -> Path:
    path = folder / name
    connection = sqlite3.connect(path)
    connection.executescript(sql or "CREATE TABLE result (request TEXT, success INTEGER)")
    connection.executemany("INSERT INTO result (request, success) VALUES (?, 1)", [(str(i),) for i in range(rows)])
    connection.commit()
    connection.close()
    return path


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item["id"])
def test_a_file_of_the_corpus_is_read_or_refused_as_its_manifest_says(item, tmp_path):
    folder = shutil.copytree((FILES / item["path"]).parent, tmp_path / "copy")
    path = folder / Path(item["path"]).name
    before = content(folder)
    expected, _, count = item["expect"].partition(":")
    if expected == "refuse":
        with pytest.raises(UnsafeFile):
            rows(path)
    elif expected == "accept":
        assert len(rows(path)) == int(count)
    else:
        with reading(path) as connection:
            assert connection.execute("SELECT count(*) FROM result").fetchone()[0] >= 0
    assert content(folder) == before


def test_a_journal_that_names_other_files_is_refused_and_deletes_nothing(tmp_path):
    path = database(tmp_path)
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    name = bytes(victim)
    record = b"\0" * 4 + name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + SUPER_JOURNAL_MAGIC
    path.with_name("run.db-journal").write_bytes(bytes(512) + record)
    with pytest.raises(UnsafeFile, match="names other files"):
        open_readonly(path)
    assert victim.exists()
    assert path.with_name("run.db-journal").exists()


def test_a_fifo_named_like_a_database_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "run.db")
    with pytest.raises(UnsafeFile, match="regular"):
        open_readonly(tmp_path / "run.db")


def test_a_folder_named_like_a_database_is_refused(tmp_path):
    with pytest.raises(UnsafeFile, match="regular"):
        open_readonly(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UnsafeFile, match=r"nowhere\.db"):
        open_readonly(tmp_path / "nowhere.db")


def test_a_journal_that_is_a_link_is_refused(tmp_path):
    path = database(tmp_path)
    path.with_name("run.db-journal").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeFile, match="regular"):
        open_readonly(path)


def test_nothing_can_be_written_through_the_connection(tmp_path):
    connection = open_readonly(database(tmp_path))
    with pytest.raises(UnsafeFile, match=r"readonly|attempt to write"):
        connection.execute("DELETE FROM result")
    connection.close()


@pytest.mark.processes
def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "private"))
    (tmp_path / "private").mkdir()
    path = killed_writer(tmp_path)
    connection = open_readonly(path)
    assert len(list((tmp_path / "private").iterdir())) == 1
    connection.close()
    assert list((tmp_path / "private").iterdir()) == []


KILLED = """
import os, sqlite3, sys
writer = sqlite3.connect(sys.argv[1], isolation_level=None)
writer.execute("PRAGMA journal_mode=WAL")
writer.execute("CREATE TABLE result (request TEXT, success INTEGER)")
writer.executemany("INSERT INTO result VALUES (?, 1)", [(str(i),) for i in range(7)])
os._exit(0)
"""


def killed_writer(folder: Path) -> Path:
    path = folder / "killed.db"
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=True, timeout=120)
    assert path.with_name("killed.db-wal").stat().st_size > 0
    return path


@pytest.mark.processes
def test_a_killed_writers_log_is_played_back_in_a_copy(tmp_path):
    path = killed_writer(tmp_path)
    before = content(tmp_path)
    assert len(rows(path)) == 7
    assert content(tmp_path) == before


def test_a_finished_file_left_in_wal_mode_is_read_without_making_files(tmp_path):
    path = tmp_path / "run.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE result (request TEXT)")
    writer.execute("INSERT INTO result VALUES ('a')")
    writer.close()
    assert rows(path) == [("a",)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.db"]


def test_a_live_run_is_read_in_place_and_its_new_rows_appear(tmp_path):
    path = tmp_path / "run.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE result (request TEXT)")
    reader = open_live(path)
    for expected in range(1, 4):
        writer.execute("INSERT INTO result VALUES ('a')")
        assert reader.execute("SELECT count(*) FROM result").fetchone() == (expected,)
    reader.close()
    writer.close()


@pytest.mark.processes
@pytest.mark.parametrize("finish", ["killed", "finished"])
def test_open_live_reads_what_a_dead_writer_left(tmp_path, finish):
    path = killed_writer(tmp_path) if finish == "killed" else database(tmp_path, rows=7)
    if finish == "killed":
        path.with_name("killed.db-shm").unlink()
    connection = open_live(path)
    assert connection.execute("SELECT count(*) FROM result").fetchone() == (7,)
    connection.close()


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"


@pytest.mark.slow
def test_a_query_without_end_is_stopped(tmp_path):
    with pytest.raises(UnsafeFile, match="far more steps"), reading(database(tmp_path)) as connection:
        connection.execute(ENDLESS).fetchone()


@pytest.mark.slow
def test_one_endless_query_does_not_spoil_the_next(tmp_path):
    connection = open_readonly(database(tmp_path))
    for query in (connection.execute, lambda sql: connection.cursor().execute(sql)):
        with pytest.raises((UnsafeFile, sqlite3.OperationalError), match=r"interrupted|far more steps"):
            query(ENDLESS).fetchone()
        assert query("SELECT count(*) FROM result").fetchone() == (3,)
    connection.close()


@pytest.mark.slow
def test_a_live_file_may_grow_far_beyond_what_it_was_when_opened(tmp_path):
    path = tmp_path / "run.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE result (request TEXT)")
    reader = open_live(path)
    writer.execute("INSERT INTO result VALUES (zeroblob(20000000))")
    twice = ENDLESS.replace("FROM n)", "FROM n WHERE i < 4000000)")
    assert reader.execute(twice).fetchone() == (8000002000000,)
    reader.close()
    writer.close()


@pytest.mark.slow
def test_many_queries_on_one_connection_do_not_add_up(tmp_path):
    connection = open_readonly(database(tmp_path))
    some = ENDLESS.replace("FROM n)", "FROM n WHERE i < 400000)")
    for _ in range(10):
        assert connection.execute(some).fetchone() == (80000200000,)
    connection.close()


def test_a_locked_file_says_so(tmp_path):
    path = database(tmp_path)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UnsafeFile, match="locked by another program"):
        open_readonly(path)
    writer.close()


def test_an_endless_cell_is_replaced_by_a_remark_and_its_neighbours_stay(tmp_path):
    path = database(tmp_path)
    writer = sqlite3.connect(path)
    writer.execute("INSERT INTO result VALUES (?, 1)", ("x" * 2000,))
    writer.commit()
    writer.close()
    with reading(path) as connection:
        found = connection.execute(f"SELECT {bounded('request', 1000)} FROM result").fetchall()
    assert found == [("0",), ("1",), ("2",), ("too long: 2000",)]


def test_text_that_is_no_utf8_keeps_its_row(tmp_path):
    path = database(tmp_path)
    writer = sqlite3.connect(path)
    writer.execute("INSERT INTO result VALUES (CAST(x'61ff62' AS TEXT), 1)")
    writer.commit()
    writer.close()
    assert ("a\ufffdb", 1) in rows(path)


def test_unknown_columns_are_left_unread(tmp_path):
    path = database(tmp_path, sql='CREATE TABLE result (request TEXT, success INTEGER, "x y" AS (zeroblob(900000000)))')
    assert len(rows(path)) == 3


def test_a_missing_table_has_no_columns(tmp_path):
    with reading(database(tmp_path)) as connection:
        assert stored_columns(connection, "run", {"run_id"}) == ()


def test_a_quote_in_a_name_cannot_leave_it():
    name = 'a"; DROP TABLE x; --'
    cursor = sqlite3.connect(":memory:").execute(f"SELECT 1 AS {quoted(name)}")
    assert cursor.description[0][0] == name


def test_a_damaged_schema_is_refused_in_a_sentence_whatever_bytes_it_quotes(tmp_path):
    path = database(tmp_path)
    # The name of the table stands in what sqlite says of it.
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"tableresultresult\x02CREATE TABLE", b"tableresul\x80resul\x80\x02CREATE TABLX"))
    assert path.read_bytes() != whole
    with pytest.raises(UnsafeFile, match="cannot be read: its schema is damaged"):
        open_readonly(path)


def test_a_file_cut_short_is_refused(tmp_path):
    path = database(tmp_path, rows=5000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with pytest.raises(UnsafeFile, match="malformed"):
        rows(path)
