"""Stores what servers published while a run was under way: a row for a value that has changed, and none for others.

As a program, ``python -P -m perfkit.runfile.published FILE``, it writes the samples on standard input, a JSON list.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, MutableMapping
from pathlib import Path
from typing import NamedTuple

from perfkit.errors import PerfkitError, StorageError
from perfkit.runfile.safe_file import writing
from perfkit.secrets import environment

UP = "up"
"""Of each page and time: 1 if it could be read, else 0; then nothing is known of the others."""
TOOK = "scrape_duration_seconds"
"""Of each page that could be read: how long that took."""


class ServerSample(NamedTuple):
    """A value, and whose it is."""

    run_id: str
    page: str
    name: str
    labels: tuple[tuple[str, str], ...]
    kind: str
    time: float
    value: float | None

    @property
    def series(self) -> tuple[str, ...]:
        """What tells its series from all others of the file."""
        labels = json.dumps(dict(self.labels), ensure_ascii=False, sort_keys=True)
        return self.run_id, self.page, self.name, labels, self.kind


def add_samples(
    db: sqlite3.Connection, rows: Iterable[ServerSample], known: MutableMapping[tuple[str, ...], int]
) -> list[ServerSample]:
    """Write samples in a transaction that the caller has begun; return those whose run is not there (yet).

    Parameters
    ----------
    db : Connection
        To a run file.
    rows : iterable of ServerSample
    known : mapping
        Numbers of series that were written before, by ``ServerSample.series``; filled.
    """
    runs = {run_id for (run_id,) in db.execute("SELECT run_id FROM run")}
    later, values = [], []
    for row in rows:
        if row.run_id not in runs:
            later.append(row)
            continue
        series = row.series
        number = known.get(series)
        if number is None:
            number = known[series] = _number_of(db, series)
        values.append((number, row.time, row.value))
    db.executemany("INSERT INTO server_sample VALUES (?, ?, ?)", values)
    return later


_FIND = "SELECT series FROM server_series WHERE run_id = ? AND page = ? AND name = ? AND labels = ? AND kind = ?"
_NUMBER = "INSERT INTO server_series (run_id, page, name, labels, kind) VALUES (?, ?, ?, ?, ?)"


def _number_of(db: sqlite3.Connection, series: tuple[str, ...]) -> int:
    """Return the number of a series, which gets one if it has none."""
    found = db.execute(_FIND, series).fetchone()
    return int(found[0] if found else db.execute(_NUMBER, series).lastrowid or 0)


def write_apart(path: str, rows: Iterable[ServerSample]) -> None:
    """Write samples from a process of its own, into the file of a run that may have ended.

    Where this process opened the file while it had a write-ahead log, by ``job.runs``, sqlite does not let it write
    once that is folded: such a connection counts as a reader for as long as it is open. Another process does not see
    it, unless this one has tried.

    Raises
    ------
    StorageError
        They could not be written.
    """
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    done = subprocess.run(
        [sys.executable, "-P", "-m", "perfkit.runfile.published", path],
        input=json.dumps(list(rows)),
        capture_output=True,
        text=True,
        env=environment(*paths),
        check=False,
    )
    if done.returncode:
        raise StorageError(done.stderr.strip().rpartition("\n")[2] or f"status {done.returncode}")


def main() -> None:
    """Write what standard input holds; one sentence and status 1 where that cannot be."""
    rows = [
        ServerSample(run_id, page, name, tuple(map(tuple, labels)), *rest)
        for run_id, page, name, labels, *rest in json.load(sys.stdin)
    ]
    try:
        with writing(sys.argv[1]) as file:
            add_samples(file, rows, {})  # those of a run that was taken back are for nobody
    except (PerfkitError, sqlite3.Error) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
