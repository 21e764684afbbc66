"""Writes imported runs into a private database that has the tables of a run file."""

import hashlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.registry import ImportedRun, reader_of
from perfkit.errors import UnsafeFile
from perfkit.records import Json
from perfkit.runfile.schema import RESULT_NAMES, RUN, statements

_RUN_NAMES: Final = tuple(column.name for column in RUN)


def open_imported(path: str | Path) -> sqlite3.Connection:
    """Open another tool's file as canonical tables.

    Parameters
    ----------
    path : str or Path
        A file that ``recognise`` knows.

    Returns
    -------
    sqlite3.Connection
        Read-only, on a temporary database of its own that ends with the connection. Its ``run`` and ``result``
        tables are those of a run file; what the other tool did not store is NULL.

    Raises
    ------
    UnsafeFile
        No importer knows the file, or it is damaged.
    """
    path = Path(path)
    name, reader = reader_of(path)
    connection = as_tables(reader.read(path), name, lambda index: _identity(path, index))
    if connection.execute("SELECT count(*) FROM run").fetchone() == (0,):
        connection.close()
        raise UnsafeFile(f"{path} is a result file of {name} that holds no run")
    return connection


def as_tables(runs: Iterable[ImportedRun], source: str, identify: Callable[[int], str]) -> sqlite3.Connection:
    """Write runs into a private database with canonical tables; ``identify`` makes the id of the n-th run."""
    # An empty name is a database in memory that spills to an anonymous file when it grows.
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        for sql in statements():
            connection.execute(sql)
        for index, imported in enumerate(runs):
            _store(connection, imported, identify(index), source)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _identity(path: Path, index: int) -> str:
    """Return a run id that stays the same when the same file is opened again."""
    status = path.stat()
    text = f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}\0{index}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:26]


def _store(connection: sqlite3.Connection, imported: ImportedRun, run_id: str, source: str) -> None:
    connection.execute("BEGIN")
    sql = f"INSERT INTO result ({', '.join(RESULT_NAMES)}) VALUES ({', '.join(f':{name}' for name in RESULT_NAMES)})"
    connection.executemany(sql, _numbered(imported.results, run_id))
    totals = "count(*), coalesce(sum(success = 1), 0), min(start_time), max(completed_time)"
    found = connection.execute(f"SELECT {totals} FROM result WHERE run_id = ?", (run_id,)).fetchone()
    sent, succeeded, start, end = found
    filled = {"status": "finished", "start_time": start, "end_time": end, "source": source} | imported.run
    filled |= {"run_id": run_id}
    if imported.figures is None:
        filled |= {"sent": sent, "succeeded": succeeded, "failed": sent - succeeded}
    else:
        filled["figures"] = dict(imported.figures)
    values = [_cell(filled.get(name)) for name in _RUN_NAMES]
    connection.execute(f"INSERT INTO run ({', '.join(_RUN_NAMES)}) VALUES ({', '.join('?' * len(values))})", values)
    connection.execute("COMMIT")


def _numbered(results: Iterable[dict[str, Json]], run_id: str) -> Iterator[dict[str, Json]]:
    empty = dict.fromkeys(RESULT_NAMES)
    for seq, result in enumerate(results):
        told = {name: _cell(value) for name, value in result.items()}
        yield {**empty, "phase": "steady", "seq": seq, **told, "run_id": run_id}


def _cell(value: Json) -> Json:
    """Return what sqlite can hold: containers as JSON, numbers beyond 64 bits and lone surrogates as nothing."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return None
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) and not value.isascii() else value
