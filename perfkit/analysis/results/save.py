"""Writes chosen runs, of whatever origin, to one new run file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from perfkit.analysis.query import server
from perfkit.analysis.query.run import Run
from perfkit.errors import UsageError
from perfkit.runfile.safe_pickle import Plain
from perfkit.runfile.schema import RESULT_NAMES, RUN
from perfkit.runfile.texts import TEXTS
from perfkit.runfile.writer import Value, Writer

BODIES = (*TEXTS, "response_headers")


def save(runs: Sequence[Run], path: str | Path, *, body: bool = True) -> Path:
    """Write runs with the rows that are looked at; see ``Runs.save``."""
    path = Path(path)
    if path.exists():
        raise UsageError(f"{path} exists; save to a new file")
    writer = Writer(path)
    try:
        for number, run in enumerate(runs):
            _save_run(writer, run, _identity(run, runs[:number]), body)
    finally:
        writer.close()
    return path


def _identity(run: Run, earlier: Sequence[Run]) -> str:
    """Return the run's id, or another when two selections of one run go into the same file."""
    copies = sum(other.run_id == run.run_id for other in earlier)
    return f"{run.run_id}-{copies + 1}" if copies else run.run_id


def _save_run(writer: Writer, run: Run, run_id: str, body: bool) -> None:
    known = {column.name for column in RUN}
    record: dict[str, Value] = {name: value for name, value in run.record.items() if name in known}
    writer.begin_run({**record, "run_id": run_id, "name": run.label, "tags": json.dumps(run.tags)})
    for part in ("preflight", "load"):
        names = [name for name in RESULT_NAMES if body or name not in BODIES]
        sql, parameters = run.query(names, part)
        for rows in run.source.batches(sql, parameters):
            writer.add_results([_row(names, row[1:], run_id) for row in rows])
    for table, add in (("sample", writer.add_samples), ("clock", writer.add_clocks)):
        for rows in run.source.batches(f"SELECT * FROM {table} WHERE run_id = ?", [run.run_id]):
            add((run_id, *row[1:]) for row in rows)
    series: dict[tuple[str, ...], int] = {}
    for samples in server.stored_samples(run):
        writer.add_server_samples([sample._replace(run_id=run_id) for sample in samples], series)


def _row(names: Sequence[str], values: Sequence[Plain], run_id: str) -> dict[str, Value]:
    row: Mapping[str, Value] = dict(zip(names, values, strict=True))
    return {**dict.fromkeys(RESULT_NAMES), **row, "run_id": run_id}
