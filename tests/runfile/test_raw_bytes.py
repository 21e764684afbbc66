"""Bytes of a run file can be read while this process has connections to it: their locks stay."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from perfkit.runfile.raw_bytes import copy_bytes, head_of, kept_open
from perfkit.runfile.safe_file import writing

WRITES = """
import sqlite3, sys
try:
    sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute("BEGIN IMMEDIATE")
    print("free")
except sqlite3.OperationalError as error:
    print(error)
"""
FOLDS = """
import sqlite3, sys
print(sqlite3.connect(sys.argv[1], timeout=0).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
"""


def elsewhere(program: str, path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


def made(path: Path, *settings: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (*settings, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)"):
        connection.execute(statement)
    return connection


def ways(path: Path) -> list[Callable[[], object]]:
    return [lambda: head_of(path, 16), lambda: copy_bytes(path, path.with_suffix(".copy"))]


@pytest.mark.processes
@pytest.mark.parametrize("way", [0, 1], ids=["head", "copy"])
def test_reading_a_file_keeps_the_lock_of_a_connection_that_is_being_set_up(tmp_path: Path, way: int) -> None:
    path = tmp_path / "run.db"
    with contextlib.closing(made(path)) as connection, kept_open(path):
        connection.execute("BEGIN IMMEDIATE")
        ways(path)[way]()
        assert elsewhere(WRITES, path) == "database is locked"
        connection.execute("COMMIT")
        assert elsewhere(WRITES, path) == "free"


@pytest.mark.processes
@pytest.mark.parametrize("way", [0, 1], ids=["head", "copy"])
def test_reading_a_file_keeps_the_lock_of_who_changes_it(tmp_path: Path, way: int) -> None:
    path = tmp_path / "run.db"
    made(path).close()
    with writing(path) as file:
        file.execute("INSERT INTO t VALUES (2)")
        ways(path)[way]()
        assert elsewhere(WRITES, path) == "database is locked"
    assert elsewhere(WRITES, path) == "free"


@pytest.mark.processes
@pytest.mark.parametrize("way", [0, 1], ids=["head", "copy"])
def test_reading_a_file_with_a_write_ahead_log_keeps_its_readers_locks(tmp_path: Path, way: int) -> None:
    path = tmp_path / "run.db"
    with contextlib.closing(made(path, "PRAGMA journal_mode=WAL")) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT * FROM t").fetchall()
        ways(path)[way]()
        assert elsewhere(FOLDS, path) == "1"  # busy
        connection.execute("COMMIT")
        assert elsewhere(FOLDS, path) == "0"


def test_a_copy_has_every_byte(tmp_path: Path) -> None:
    path, copy = tmp_path / "a", tmp_path / "b"
    path.write_bytes(bytes(range(256)) * 10_000)
    copy_bytes(path, copy)
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no list of open files")
def test_a_file_that_nobody_writes_any_more_is_closed(tmp_path: Path) -> None:
    def is_open() -> bool:
        return any(str(path) == str(link.resolve()) for link in Path("/proc/self/fd").iterdir())

    path = tmp_path / "run.db"
    with contextlib.closing(made(path, "PRAGMA journal_mode=WAL")):
        head_of(path, 16)
    assert is_open()
    (tmp_path / "other").write_bytes(b"x")
    head_of(tmp_path / "other", 1)
    assert not is_open()


def test_threads_read_files_that_come_and_go_without_closing_each_others(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def look(number: int) -> None:
        for turn in range(200):
            path = tmp_path / f"{turn}.db"
            if number == 0:
                path.write_bytes(b"SQLite format 3\x00")
                path.with_name(f"{path.name}-shm").touch()
            together.wait(30)
            assert head_of(path, 16) == b"SQLite format 3\x00"
            together.wait(30)
            if number == 0:
                path.with_name(f"{path.name}-shm").unlink()

    with ThreadPoolExecutor(4) as threads:
        for looked in [threads.submit(look, number) for number in range(4)]:
            looked.result(60)
