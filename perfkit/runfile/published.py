"""Stores what servers published while a run was under way: a row for a value that has changed, and none for others."""

import json
import sqlite3
from collections.abc import Iterable, MutableMapping
from typing import NamedTuple

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
            insert = "INSERT INTO server_series (run_id, page, name, labels, kind) VALUES (?, ?, ?, ?, ?)"
            number = known[series] = int(db.execute(insert, series).lastrowid or 0)
        values.append((number, row.time, row.value))
    db.executemany("INSERT INTO server_sample VALUES (?, ?, ?)", values)
    return later
