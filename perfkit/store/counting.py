"""How many requests of a run a file holds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from perfkit.records import CUT_OFF

_COUNT = f"""
    SELECT count(*), total(error_kind IS NOT '{CUT_OFF}'), total(NOT success AND error_kind IS NOT '{CUT_OFF}')
    FROM result WHERE run_id = ? AND phase IS NOT 'preflight'"""


class Counted(NamedTuple):
    """Requests of a run, the preflight request left out."""

    sent: int
    done: int
    """Ended by themselves; the others were cut off."""
    failed: int
    """Of these."""


def counted(path: str | Path, run_id: str) -> Counted:
    """Count the rows of a run in place and all at once, as a reader that lingers would hold up the writer.

    Raises
    ------
    sqlite3.Error
        The file cannot be read, or is no run file.
    """
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as file:
        return Counted(*map(int, file.execute(_COUNT, (run_id,)).fetchone()))
