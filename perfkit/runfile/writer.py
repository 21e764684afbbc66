"""Writes a run file: many rows a commit, a commit as soon as there is nothing more to write."""

import contextlib
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from itertools import count
from operator import itemgetter
from pathlib import Path
from time import monotonic, sleep, time
from types import NoneType
from typing import Any

from perfkit.errors import StorageError
from perfkit.records import CANCELLED
from perfkit.runfile.published import ServerSample, add_samples
from perfkit.runfile.raw_bytes import head_of, kept_open
from perfkit.runfile.record import merge
from perfkit.runfile.repeats import Repeats, cached_repeats
from perfkit.runfile.safe_file import MAGIC
from perfkit.runfile.schema import (
    APPLICATION_ID,
    FAILED,
    REQUEST_METRICS,
    RESULT,
    RESULT_NAMES,
    RUN,
    SCHEMA_VERSION,
    Column,
    statements,
)
from perfkit.runfile.texts import without_texts

Value = str | bytes | int | float | None
Row = dict[str, Value]

PATIENCE = 5.0
"""Seconds that we wait for others who write the same file."""

_SETTINGS = (
    "PRAGMA page_size = 16384",  # of a new file: a row is 20 KB of text, and a write for each of its pages costs most
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 2000",  # 32 MiB: folding the journal waits for the disk, and the load is under way
)

_INSERT = f"INSERT INTO result ({', '.join(RESULT_NAMES)}) VALUES ({', '.join('?' * len(RESULT_NAMES))})"
_INSERT_PREFLIGHT = _INSERT.replace("result", "preflight", 1)
_values = itemgetter(*RESULT_NAMES)  # by place: looking up 57 names in each row is a fifth of writing it
_RUN_NAMES = tuple(column.name for column in RUN)
_COUNTED = "SELECT count(*) FROM result WHERE run_id = :run_id AND phase IS NOT 'preflight'"
_SETTLE = f"""
    UPDATE run SET status = 'interrupted', end_time = coalesce(end_time, :now),
                   sent = max(coalesce(sent, 0), ({_COUNTED})),
                   succeeded = ({_COUNTED} AND success),
                   failed = ({_COUNTED} AND {FAILED}),
                   cancelled = ({_COUNTED} AND error_kind = '{CANCELLED}')
    WHERE run_id = :run_id AND status IS NOT 'finished'"""
_ENDED = "SELECT count(*), min(value) FROM sample WHERE run_id = ? AND name = 'ended'"
_LARGEST = 2**63
_LARGE = 2**20
_UNSTORABLE = (
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeEncodeError,
)
"""What sqlite3 raises, in one release or another, for a value that it cannot hold."""

_EXTEND = re.compile(r"extend (\d{1,9}(?:\.\d{1,9})?)")


class Writer:
    """One connection to a run file that gains rows.

    Write-ahead logging with ``synchronous=NORMAL``: a killed process loses nothing that was committed, and a
    reader that holds a transaction open does not stop us. Where the file system cannot do that (a network share),
    the rollback journal serves. Used from one thread.

    Parameters
    ----------
    path : str or Path
        The file; made if missing, gains runs if it is a run file.
    texts : bool
        Keep prompts, bodies and answers.

    Raises
    ------
    StorageError
        The file is not a run file, is newer than this perfkit, or cannot be written.
    """

    def __init__(self, path: str | Path, *, texts: bool = True) -> None:
        self.path, self._texts = Path(path), texts
        self._pending: list[Row] = []
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _check_no_other(self.path)
            with kept_open(self.path):
                self._db = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
                self._removable = _check_ours(self._db, self.path)
                self._set_up()
            self._file = os.stat(self.path)
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"cannot write {self.path}: {error}; give another file with db") from None

    def _set_up(self) -> None:
        """Create the schema; a concurrent creator waits."""
        until = monotonic() + PATIENCE
        while True:
            try:
                for statement in _SETTINGS:
                    self._db.execute(statement)
                _add_missing_columns(self._db)  # before the statements, whose index is of all columns
                for statement in statements():
                    self._db.execute(statement)
                _replace_old_view(self._db)
                return
            except sqlite3.OperationalError as error:
                # A change of the journal's mode does not wait by itself.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                    raise
                sleep(0.01)

    def check_file(self) -> str | None:
        """Look whether the file is still the one that was opened; if not, go on in a copy, and return its path.

        Raises
        ------
        StorageError
            It is not, and nothing can be copied.
        """
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(self.path), self._file):
                return None
        lost = self.path
        try:
            self.path = _new_file_beside(lost)
            copy = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            self._db.backup(copy)  # it is still held open, though nobody finds it by its name
            self._db.close()
            self._db, self._removable, self._file = copy, False, os.stat(self.path)
            self._set_up()
        except (sqlite3.Error, OSError) as error:
            raise StorageError(f"{lost} was deleted or replaced during the run, and not copied: {error}") from None
        return str(self.path)

    def ahead(self) -> int:
        """Return by how many nanoseconds the clock here is ahead of the file's: none."""
        return 0

    def begin_run(self, run: Mapping[str, Value]) -> None:
        """Add a row to ``run`` and commit it."""
        names = [name for name in _RUN_NAMES if name in run]
        holes = ", ".join(":" + name for name in names)
        self._execute(f"INSERT INTO run ({', '.join(names)}) VALUES ({holes})", dict(run))

    def go_on_with_run(self, run: Mapping[str, Value]) -> None:
        """Take over a run from a process that has died, which may have begun it or not."""
        if not self._count("run WHERE run_id = ?", run["run_id"]):
            self.begin_run(run)
            return
        self.update_run(str(run["run_id"]), pid=run["pid"], pid_time=run["pid_time"], heartbeat=time())

    def has_result(self, run_id: str, seq: int | None) -> bool:
        """Tell whether the row of a request is committed; without a number that of the preflight request."""
        if seq is None:
            return bool(self._count("preflight WHERE run_id = ?", run_id))
        return bool(self._count("result WHERE run_id = ? AND seq = ?", run_id, seq))

    def has_ended(self, run_id: str, worker: int, shares: int) -> bool:
        """Tell whether ``merge_run`` was called for a worker's share."""
        if shares == 1:
            return not self._count("run WHERE run_id = ? AND status = 'running'", run_id)
        return bool(self._count("sample WHERE run_id = ? AND worker = ? AND name = 'ended'", run_id, worker))

    def update_run(self, run_id: str, **fields: Value) -> None:
        """Change fields of a run and commit."""
        places = ", ".join(f"{name} = :{name}" for name in fields)
        self._execute(f"UPDATE run SET {places} WHERE run_id = :run_id", {**fields, "run_id": run_id})

    def merge_run(self, run_id: str, fields: Row, worker: int = 0, shares: int = 1) -> None:
        """Add what one worker says at its end to the run's record, and commit.

        Counts are added up, the earliest start and the latest end stand, and of two verdicts the worse. The run is
        running until every share has ended, and interrupted if one of them was.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            cursor = self._db.execute(f"SELECT {', '.join(_RUN_NAMES)} FROM run WHERE run_id = ?", (run_id,))
            known: Row = dict(zip(_RUN_NAMES, cursor.fetchone() or (), strict=False))
            record = merge(known, fields)
            if shares > 1:
                record["status"] = self._status(run_id, worker, shares, well=fields["status"] == "finished")
            places = ", ".join(f"{name} = :{name}" for name in record)
            self._db.execute(f"UPDATE run SET {places} WHERE run_id = :run_id", {**record, "run_id": run_id})
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(f"cannot write {self.path}: {error}") from None

    def _status(self, run_id: str, worker: int, shares: int, *, well: bool) -> str:
        """Note that a worker's share has ended, and return the status of the run."""
        self._db.execute("INSERT INTO sample VALUES (?, ?, ?, 'ended', ?)", (run_id, worker, time(), well))
        ended, all_well = self._db.execute(_ENDED, (run_id,)).fetchone()
        if ended < shares:
            return "running"
        return "finished" if all_well else "interrupted"

    def settle_run(self, run_id: str) -> None:
        """Count the requests of a run that has not finished anew, and mark it interrupted: for one that cannot."""
        self._execute(_SETTLE, {"run_id": run_id, "now": time()})

    def discard_run(self, run_id: str) -> bool:
        """Take back a run that has no row but the preflight request's; tell whether it is gone."""
        self._removable = True
        empty = f"run_id = :run_id AND ({_COUNTED}) = 0"
        of_series = f"series IN (SELECT series FROM server_series WHERE {empty})"
        self._execute(f"DELETE FROM server_sample WHERE {of_series}", {"run_id": run_id})
        for table in ("server_series", "run", "sample", "clock", "preflight", "result"):
            self._execute(f"DELETE FROM {table} WHERE {empty}", {"run_id": run_id})
        return not self._count("run WHERE run_id = ?", run_id)

    def add_results(self, rows: Iterable[Row]) -> None:
        """Write rows of ``result`` and commit them; those of the phase preflight go to the table of that name."""
        self._pending += rows if self._texts else map(without_texts, rows)
        if not self._pending:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                preflight = [row for row in self._pending if row["phase"] == "preflight"]
                load = [row for row in self._pending if row["phase"] != "preflight"] if preflight else self._pending
                self._db.executemany(_INSERT_PREFLIGHT, map(_values, preflight))
                self._db.executemany(_INSERT, map(_values, load))
            except (*_UNSTORABLE, sqlite3.IntegrityError):
                self._add_one_by_one()
            self._db.execute("COMMIT")
            self._let_go(load)
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(self._spill(error)) from None
        finally:
            self._pending = []

    def _let_go(self, rows: list[Row]) -> None:
        """Have the statement forget the last row if it was large: it holds what it was given until the next one."""
        if rows and len(str(rows[-1]["response_messages"] or "")) > _LARGE:
            self._db.execute("BEGIN")
            self._db.execute(_INSERT, [None] * len(RESULT_NAMES))
            self._db.execute("ROLLBACK")

    def add_samples(self, rows: Iterable[tuple[str, int, float, str, float]]) -> None:
        """Write rows of ``sample``: run_id, worker, Unix time, name, value."""
        self._execute_many("INSERT INTO sample VALUES (?, ?, ?, ?, ?)", rows)

    def add_server_samples(self, rows: Iterable[ServerSample], known: dict[tuple[str, ...], int]) -> None:
        """Write what servers published; ``known`` are the numbers of the series that stand in the file, and grows."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            add_samples(self._db, rows, known)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(f"cannot write {self.path}: {error}") from None

    def add_clocks(self, rows: Iterable[tuple[str, int, float, float, float]]) -> None:
        """Write rows of ``clock``: run_id, worker, Unix time, offset, bound."""
        self._execute_many("INSERT INTO clock VALUES (?, ?, ?, ?, ?)", rows)

    def cached_repeats(self, run_id: str) -> Repeats | None:
        """Return the repeated prompts of a run whose server reports cached tokens; None for any other."""
        try:
            return cached_repeats(self._db, run_id)
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {self.path}: {error}") from None

    def stored_of(self, run_id: str) -> tuple[Row | None, set[tuple[Value, bool]]]:
        """Return a run's record, None if there is none, and its rows: their numbers, and whether of the preflight."""
        try:
            cursor = self._db.execute("SELECT * FROM run WHERE run_id = ?", (run_id,))
            names, found = [column[0] for column in cursor.description], cursor.fetchone()
            stored = {(seq, False) for (seq,) in self._db.execute("SELECT seq FROM result WHERE run_id = ?", (run_id,))}
            preflight = self._db.execute("SELECT seq FROM preflight WHERE run_id = ?", (run_id,))
            stored |= {(seq, True) for (seq,) in preflight}
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {self.path}: {error}") from None
        return dict(zip(names, found, strict=True)) if found else None, stored

    def orders(self, run_id: str) -> tuple[bool, float]:
        """Tell what someone has written into ``control``: whether to stop, and for how many seconds more to go on."""
        query = "SELECT word FROM control WHERE run_id = ? OR run_id IS NULL"
        try:
            words = [str(word) for (word,) in self._db.execute(query, (run_id,))]
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {self.path}: {error}") from None
        return "stop" in words, sum(float(found[1]) for word in words if (found := _EXTEND.fullmatch(word)))

    def close(self) -> None:
        """Fold the journal, so that a finished file is one file, and close.

        A new one without a run is removed, and one whose only run was taken back.

        A reader that holds a transaction can keep the journal from being folded; the next open does it then.
        """
        empty = False
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.execute("PRAGMA busy_timeout = 200")
            self._db.execute("PRAGMA journal_mode = DELETE")
            # Folding wants the file for itself, so nobody else is about to begin a run in it.
            empty = self._removable and not (self._count("run") or self._count("result"))
        except (sqlite3.OperationalError, StorageError):
            pass  # best effort, as said above: every row is committed
        self._db.close()
        if empty:
            self.path.unlink(missing_ok=True)

    def _count(self, rows: str, *values: Value) -> int:
        try:
            (count,) = self._db.execute(f"SELECT count(*) FROM {rows}", values).fetchone()
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {self.path}: {error}") from None
        return int(count)

    def _add_one_by_one(self) -> None:
        """Write rows apart, so that one which sqlite cannot hold does not take the others with it."""
        self._db.execute("ROLLBACK")
        self._db.execute("BEGIN IMMEDIATE")
        for row in self._pending:
            insert = _INSERT_PREFLIGHT if row["phase"] == "preflight" else _INSERT
            try:
                self._db.execute(insert, _values(row))
            except _UNSTORABLE:
                self._db.execute(insert, _values(_storable(row)))
            except sqlite3.IntegrityError:  # run_id and seq are taken: the row is kept all the same
                apart = {**row, "seq": None, "flags": _flagged(row, f"seq_{row['seq']!s}_twice")}
                self._db.execute(insert, _values(apart))

    def _roll_back(self) -> None:
        """Leave the transaction that failed, so that the next one can begin: a full disk may gain room."""
        if self._db.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                self._db.execute("ROLLBACK")

    def _spill(self, error: sqlite3.Error) -> str:
        lines = "".join(json.dumps(row, default=_hex) + "\n" for row in self._pending)
        spilled = None
        for folder in (Path.cwd(), Path(tempfile.gettempdir())):
            try:
                spilled = folder / f"{self.path.name}.unsaved.jsonl"
                with spilled.open("a", encoding="utf-8") as file:
                    file.write(lines)
                break
            except OSError:
                spilled = None
        where = f"unsaved rows are in {spilled}" if spilled else "and the unsaved rows could not be put elsewhere"
        return f"cannot write {self.path} ({error}); {len(self._pending)} {where}"

    def _execute(self, statement: str, values: Mapping[str, Value]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise StorageError(f"cannot write {self.path}: {error}") from None

    def _execute_many(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StorageError(f"cannot write {self.path}: {error}") from None


def _new_file_beside(lost: Path) -> Path:
    """Make an empty file beside one that is gone; where its folder is gone, too, in the nearest that is there."""
    problem: OSError | None = None
    for folder in (lost.parent, Path.cwd(), Path(tempfile.gettempdir())):
        for number in count(1):
            path = folder / f"{lost.stem}-kept{number if number > 1 else ''}{lost.suffix}"
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                return path
            except FileExistsError:
                continue
            except OSError as error:
                problem = error
                break
    raise problem or FileNotFoundError(lost)


def order(path: Path, run_id: str, word: str) -> None:
    """Write an order into a run file, ``stop`` or ``extend 30.0``; the run's worker looks for it once a second."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=5.0)) as file:
            file.execute("INSERT INTO control (time, run_id, word) VALUES (?, ?, ?)", (time(), run_id, word))
            file.commit()
    except sqlite3.Error as error:
        raise StorageError(f"cannot write {path}: {error}") from None


def _check_no_other(path: Path) -> None:
    """Refuse a file that is no database: sqlite takes one of less than a page for an empty one, and writes over it."""
    if path.is_file() and path.stat().st_size and head_of(path, len(MAGIC)) != MAGIC:
        raise StorageError(f"cannot write {path}: it is not a database; give another file with db")


def _check_ours(db: sqlite3.Connection, path: Path) -> bool:
    """Refuse to write into somebody else's database, or one of a later schema; tell whether the file is new."""
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    owner = db.execute("PRAGMA application_id").fetchone()[0]  # after the tables: whoever makes them is there before
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise StorageError(f"{path} is a database of another program; give another file with db")
    if version > SCHEMA_VERSION:
        raise StorageError(f"{path} was written by a newer perfkit (schema {version}, ours is {SCHEMA_VERSION})")
    return not tables


def _add_missing_columns(db: sqlite3.Connection) -> None:
    """Add the columns that have come since an earlier perfkit wrote the file."""
    if not _missing_columns(db):
        return
    with db:  # rolls back on an error
        db.execute("BEGIN IMMEDIATE")  # another run may begin in the same file: whoever is second finds them there
        for table, column in _missing_columns(db):
            db.execute(f'ALTER TABLE {table} ADD COLUMN "{column.name}" {column.type}')


def _missing_columns(db: sqlite3.Connection) -> list[tuple[str, Column]]:
    tables = {"run": RUN, "result": RESULT, "preflight": RESULT}
    stored = {table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")} for table in tables}
    return [
        (table, column)
        for table, columns in tables.items()
        for column in columns
        if stored[table] and column.name not in stored[table]
    ]


def _replace_old_view(db: sqlite3.Connection) -> None:
    """Let the view of a file that an earlier perfkit wrote show what ours shows."""
    query = "SELECT sql FROM sqlite_master WHERE name = 'request_metrics' AND type = 'view'"
    if db.execute(query).fetchone() != (REQUEST_METRICS.strip(),):
        with db:  # rolls back on an error
            db.execute("BEGIN IMMEDIATE")
            db.execute("DROP VIEW IF EXISTS request_metrics")
            db.execute(REQUEST_METRICS)


def _storable(row: Row) -> Row:
    """Return the row with what sqlite cannot hold as NULL or replaced, and a flag that says so."""
    fixed: Row = {}
    for name, value in row.items():
        if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
            value = None
        elif isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()
        elif not isinstance(value, (bytes, int, float, NoneType)):
            value = str(value)
        fixed[name] = value
    return {**fixed, "flags": _flagged(row, "unstorable")}


def _flagged(row: Row, flag: str) -> str:
    return " ".join(dict.fromkeys([*str(row.get("flags") or "").split(), flag]))


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
