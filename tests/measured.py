"""Runs a small measurement and returns its rows: what the tests of the measuring side look at."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from perfkit.errors import NothingSucceeded
from perfkit.runner.start import start

SMALL = {"model": "m", "prompt": "hi", "number": 1, "preflight": False, "workers": 0}

Row = dict[str, Any]


def rows_of(url: str, folder: Path, **given: Any) -> list[Row]:
    """Measure and return the rows of ``result``; a run that nothing succeeded in is no error here."""
    path = folder / "run.db"
    job = start(url, **{**SMALL, "db": str(path), **given})
    with contextlib.suppress(NothingSucceeded):
        job.wait(30)
    return stored(path)


def stored(path: Path, query: str = "SELECT * FROM result ORDER BY rowid") -> list[Row]:
    """Return rows of a run file as dicts."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(query)]
