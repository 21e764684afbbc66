"""evalscope and llmuses: the database of a run, with the settings that lie beside it."""

import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import COLUMNS, REQUIRED, Reading, canonical, decode, generation, number
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import beside, without_secrets
from perfkit.errors import UnsafeFile
from perfkit.records import Json
from perfkit.runfile.safe_file import MAGIC, bounded, quoted, reading, stored_columns
from perfkit.runfile.schema import APPLICATION_ID

RECOMPUTE_LIMIT: Final = 10_000
"""Rows up to which answers are decoded (about 1 ms each) to recompute times; longer runs keep the tool's own."""

_TELLING_ROWS: Final = 20

_LEAST_ROW: Final = 4
"""Bytes of the smallest row that sqlite can store: pages that hold each other claim rows without end."""

_TEXTS: Final = ("request", "response_messages", "chunk_times", "inter_token_latencies")
_POINT: Final = re.compile(r"(?P<load>parallel|rate)_(?P<value>-?[\d.]+)_number_(?P<number>\d+)$")
_DATES: Final = (
    (re.compile(r"(?<!\d)\d{8}_\d{6}(?!\d)"), "%Y%m%d_%H%M%S"),
    (re.compile(r"\d{4}(_\d{2}){5}(?=_\d{6})"), "%Y_%m_%d_%H_%M_%S"),
)


@importer(
    "evalscope",
    side_files=("benchmark_args.json", "benchmark_summary.json", "benchmark_percentile.json", "benchmark.log"),
)
class Evalscope:
    """Every generation of evalscope's and llmuses' ``result`` table."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the columns of the ``result`` table; a perfkit run file is marked as such."""
        if not head.startswith(MAGIC) or head[68:72] == APPLICATION_ID.to_bytes(4, "big"):
            return False
        try:
            with reading(path) as connection:
                # The mark of a run that is being written may still be in its log.
                if connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,):
                    return False
                return set(stored_columns(connection, "result", COLUMNS)) >= REQUIRED
        except UnsafeFile:
            # Recognised all the same, so that reading it says why it is refused.
            return True

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        with reading(path) as connection:
            columns = stored_columns(connection, "result", COLUMNS)
            if not set(columns) >= REQUIRED:
                missing = ", ".join(sorted(REQUIRED - set(columns)))
                raise UnsafeFile(f"{path} has no result table that perfkit knows (missing: {missing})")
            run = settings(path) | {"basis": {"clock": "boot"}, "versions": {"schema": generation(columns)}}
            (height,) = connection.execute("SELECT count(*) FROM result").fetchone()
            if height > path.stat().st_size / _LEAST_ROW + 1000:
                raise UnsafeFile(f"{path} claims {height} rows, more than its size can hold")
            yield ImportedRun(run, _results(connection, columns, run, recompute=height <= RECOMPUTE_LIMIT))


def rows(connection: sqlite3.Connection, columns: tuple[str, ...]) -> Iterator[dict[str, Json]]:
    """Yield the rows of a result table as stored, endless texts aside."""
    wanted = ", ".join(bounded(name) if name in _TEXTS else quoted(name) for name in columns)
    for row in connection.execute(f"SELECT {wanted} FROM result"):
        yield dict(zip(columns, row, strict=True))


def _results(
    connection: sqlite3.Connection, columns: tuple[str, ...], run: dict[str, Json], *, recompute: bool
) -> Iterator[dict[str, Json]]:
    """Yield canonical rows, and note on the run what its numbers rest on."""
    stored, partial = False, False
    for index, row in enumerate(rows(connection, columns)):
        read = decode(row, messages=recompute)
        result = canonical(read)
        stored = stored or "stored_times" in (result.get("flags") or "")
        # Which messages a release kept the time of tells it apart; a few answers show that as well as all.
        told = read if recompute or index >= _TELLING_ROWS else decode(row)
        partial = partial or None in told.arrivals
        run["model"] = run.get("model") or read.request.get("model")
        yield result
    every = "chunk_times" in columns
    release = "evalscope-1.0" if every else "evalscope" if partial else "evalscope-1.10"
    kept = "nothing" if not recompute else "events" if every else "visible" if partial else "choices"
    basis = f"stored:{release}" if stored else "recomputed"
    # From 1.1.1 on E2E ends at the last event, whatever else changed.
    e2e = f"stored:{release if every else 'evalscope'}"
    run["basis"] |= dict.fromkeys(("ttft", "itl", "tpot"), basis) | {"e2e": e2e, "chunks": kept}


def readings(path: str | Path) -> list[Reading]:
    """Decode every row of a file, for a closer look than the canonical columns give."""
    with reading(path) as connection:
        return [decode(row) for row in rows(connection, stored_columns(connection, "result", COLUMNS))]


def settings(path: Path) -> dict[str, Json]:
    """Return the columns of ``run`` that the files and folders around a database tell."""
    arguments = without_secrets(beside(path, "benchmark_args.json"))
    point = _POINT.search(path.parent.name)
    told = {point["load"]: float(point["value"]), "number": int(point["number"])} if point else {}
    given = {name: number(arguments.get(name)) for name in ("parallel", "rate", "number")}
    sizes = {name: value if value is not None else told.get(name) for name, value in given.items()}
    rate = sizes["rate"] if sizes["rate"] and sizes["rate"] > 0 else None
    is_open = bool(arguments.get("open_loop")) or rate is not None
    return {
        "model": arguments.get("model"),
        "target": arguments.get("url"),
        "api": arguments.get("api"),
        "dataset": arguments.get("dataset_path") or arguments.get("dataset"),
        "load": "open" if is_open else "closed",
        "parallel": int(sizes["parallel"]) if sizes["parallel"] and not arguments.get("open_loop") else None,
        "rate": (rate or -1.0) if is_open else None,
        "number": int(sizes["number"]) if sizes["number"] else None,
        "arguments": arguments or None,
        "start_time": _date(path),
        "end_time": None,
    }


def _date(path: Path) -> float | None:
    """Return when the run started, by the name of its folder or file: the database itself does not know."""
    for part in reversed(path.parts):
        for pattern, form in _DATES:
            if found := pattern.search(part):
                try:
                    return datetime.strptime(found[0], form).timestamp()
                except (ValueError, OverflowError):
                    continue
    return None
