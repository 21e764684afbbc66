"""Files into runs: finds them, opens them safely, and names what is in them."""

import glob
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from perfkit.analysis.importers import open_imported, recognise, unknown
from perfkit.analysis.query import annotations
from perfkit.analysis.query.labels import Candidate, labels
from perfkit.analysis.query.run import Run, Source
from perfkit.decoding.pending import fold
from perfkit.errors import PerfkitError, UnsafeFile, UsageError
from perfkit.records import CANCELLED, Json
from perfkit.runfile.owner import lives, status
from perfkit.runfile.pending import segments
from perfkit.runfile.raw_bytes import head_of
from perfkit.runfile.record import RunRecord
from perfkit.runfile.safe_file import MAGIC, open_copy, open_live, quoted, stored_columns
from perfkit.runfile.schema import ADDED, APPLICATION_ID, FAILED, RESULT_NAMES, RUN, SCHEMA_VERSION, SUFFIXES

RECORDED = frozenset(column.name for column in RUN)
"""Settings with a column of their own in the ``run`` table; all others are among its arguments."""

Place = str | os.PathLike[str]
Places = Place | Iterable[Place | Iterable[Place]]
_TAKES = "open takes files, folders or patterns, such as open('a.db', 'b.db') or open(['a.db', 'b.db'])"


class Problem(NamedTuple):
    """A file that was found but not opened, and why."""

    path: str
    reason: str


def open_all(places: Places, tags: str | None = None) -> tuple[tuple[Run, ...], tuple[Problem, ...]]:
    """Open every file that the places name.

    Parameters
    ----------
    places : path, folder, glob pattern, or several of these, also nested
        Where to look; folders are searched at every depth.
    tags : str, optional
        A pattern of paths; see ``tag_pattern``.

    Returns
    -------
    runs : tuple of Run
        In the order of the places, then of paths, then of time; those that someone has removed last.
    problems : tuple of Problem
        Files that could not be opened, or used.

    Raises
    ------
    UsageError
        No file was found, or ``tags`` is not a pattern.
    UnsafeFile
        Files were found and none could be opened.
    """
    pattern = tag_pattern(tags) if tags is not None else None
    runs: list[Run] = []
    problems: list[Problem] = []
    base = 0
    for path in paths(places):
        try:
            source = open_source(path, base)
            found = runs_of(source)
            problems += [Problem(path, reason) for reason in source.waits]
            if source.annotations == "beside":
                found, unused = annotations.read_beside(path, found)
                problems += [Problem(str(annotations.file_beside(path)), reason) for reason in unused]
            named = path_tags(path, pattern) if pattern else {}
            runs += [replace(run, tags={**run.tags, **named}) for run in found]
            base += source.height + 1
        except PerfkitError as error:
            problems.append(Problem(path, str(error)))
    if problems and not runs:
        raise UnsafeFile("; ".join(problem.reason for problem in problems[:3]))
    kept, removed = (with_labels(run for run in runs if run.is_removed == gone) for gone in (False, True))
    return (*kept, *removed), tuple(problems)


def path_tags(path: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """Read tags from the parts of a path; none when the pattern fits nowhere in it.

    Examples
    --------
    >>> path_tags("outputs/H100/run-2025-06-01/a.db", tag_pattern("{gpu}/run-{date}"))
    {'gpu': 'H100', 'date': '2025-06-01'}
    """
    found = pattern.search(Path(path).as_posix())
    return found.groupdict() if found else {}


def tag_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern of whole parts of a path, in which ``{name}`` stands for a tag and ``*`` for anything.

    Raises
    ------
    UsageError
        It names no tag, one twice, or one that is not an identifier.
    """
    names = re.findall(r"{(.*?)}", text)
    if not names or not all(name.isidentifier() for name in names) or len(set(names)) < len(names):
        raise UsageError(f"tags is a pattern such as '{{gpu}}/run-{{date}}', each name once; got {text!r}")
    regex = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(text)).replace(r"\*", "[^/]*")
    return re.compile(f"(?:^|/){regex}(?:/|$)")


def paths(places: Places) -> list[str]:
    """Return the files that places name, each once.

    Raises
    ------
    UsageError
        A place does not exist, a pattern matches nothing, or a folder holds no result file; or it is not a place.
    """
    found = list(dict.fromkeys(path for place in list(flattened(places)) for path in _expanded(place)))
    if not found:
        raise UsageError(f"{_TAKES}; got none")
    return found


def flattened(places: Places) -> Iterator[str]:
    """Yield each place by itself.

    Raises
    ------
    UsageError
        What was given is neither a place nor a list of places.
    """
    if isinstance(places, (str, os.PathLike)):
        yield os.fspath(places)
    elif isinstance(places, Iterable) and not isinstance(places, bytes):
        for place in places:
            yield from flattened(place)
    else:
        raise UsageError(f"{_TAKES}; got {places!r}")


def _expanded(place: str) -> list[str]:
    if os.path.isdir(place):
        found = [str(path) for path in Path(place).rglob("*") if path.is_file() and _is_result(path)]
    elif os.path.lexists(place):
        return [place]
    else:
        found = [path for path in glob.glob(place, recursive=True) if os.path.isfile(path) and not _is_beside(path)]
    if not found:
        raise UsageError(f"no result file in {place!r}; give a file, a folder or a pattern such as 'outputs/**/*.db'")
    return sorted(found, key=_in_natural_order)


def _in_natural_order(path: str) -> list[str | int]:
    """Return a key by which run2 comes before run14."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path)]


def _is_result(path: Path) -> bool:
    """Tell by the name, so that a damaged database is reported, else by the content."""
    return path.suffix in SUFFIXES or (not _is_beside(path.name) and recognise(path) is not None)


def _is_beside(path: str) -> bool:
    """Tell whether a file holds what people wrote about the runs of another one."""
    return path.endswith(annotations.BESIDE)


def open_source(path: str, base: int = 0) -> Source:
    """Open one file as canonical tables, read only.

    Raises
    ------
    UnsafeFile
        It cannot be opened safely, or holds no results that perfkit knows.
    """
    if _is_beside(path):
        raise UnsafeFile(f"{path} holds names, tags and notes; open {path.removesuffix(annotations.BESIDE)} beside it")
    if recognise(path):
        return replace(source_of(path, open_imported(path), base), annotations="beside")
    if _is_other_text(Path(path)):
        raise UnsafeFile(unknown(Path(path)))
    connection, waits = _opened(path)
    return replace(source_of(path, connection, base), annotations="inside", waits=waits)


def _opened(path: str) -> tuple[sqlite3.Connection, tuple[str, ...]]:
    """Open a run file with the answers that wait beside it, and say which of them could not be read."""
    connection = open_live(path)
    if not segments(path) or _is_under_way(connection):
        return connection, ()
    said: list[str] = []

    def change(copy: Path) -> None:
        for api, count in fold(copy, beside=path).left.values():
            said.append(f"{count:,} answers read by {api} wait beside it; perfkit recover {path} adds them")

    try:
        changed = open_copy(path, change)
    except PerfkitError as error:
        return connection, (f"the answers that wait beside it cannot be read: {error}",)
    connection.close()
    return changed, tuple(said)


def _is_under_way(connection: sqlite3.Connection) -> bool:
    """Tell whether somebody writes a file that may be one of ours: what waits beside it will soon be in it."""
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        return True
    cursor = connection.execute("SELECT * FROM run WHERE status = 'running'")
    names = [column[0] for column in cursor.description]
    # All at once: a query that is not read to its end would keep the writer from folding its journal.
    return any(lives(dict(zip(names, row, strict=True))) for row in cursor.fetchall())


def _is_other_text(path: Path) -> bool:
    """Tell whether a file neither is a database nor says by its name that it should be one."""
    if path.suffix in SUFFIXES or not path.is_file():
        return False
    try:
        head = head_of(path, len(MAGIC))
    except OSError:
        return False
    return bool(head) and head != MAGIC


def source_of(path: str, connection: sqlite3.Connection, base: int = 0) -> Source:
    """Take a connection as a source if it has canonical tables, else close it.

    Raises
    ------
    UnsafeFile
        It has not.
    """
    try:
        lacks, has_preflight = _check_tables(path, connection)
        height = _largest_rowid(connection, "result")
        if not has_preflight:
            return Source(path, connection, base, height, lacks)
        return Source(path, connection, base, height + _largest_rowid(connection, "preflight"), lacks, height)
    except UnsafeFile:
        connection.close()
        raise


def _largest_rowid(connection: sqlite3.Connection, table: str) -> int:
    (largest,) = connection.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()
    return int(largest)


def _check_tables(path: str, connection: sqlite3.Connection) -> tuple[frozenset[str], bool]:
    """Return the columns of ``result`` that came after this file was written, and whether it has ``preflight``."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise UnsafeFile(f"{path} is not a result file that perfkit knows")
    if version > SCHEMA_VERSION:
        raise UnsafeFile(f"{path} was written by a newer perfkit (schema {version}); update perfkit to read it")
    missing = set(RESULT_NAMES) - set(stored_columns(connection, "result", RESULT_NAMES))
    preflight = stored_columns(connection, "preflight", RESULT_NAMES)
    missing |= set(RESULT_NAMES) - set(preflight) if preflight else set()
    lost = missing.difference(ADDED)
    if lost or not stored_columns(connection, "run", {"run_id"}):
        raise UnsafeFile(f"{path} is not a complete run file; it lacks {', '.join(sorted(lost)) or 'the run table'}")
    return frozenset(missing), bool(preflight)


def runs_of(source: Source) -> list[Run]:
    """Return the runs of a source in order of time, then of storing, not yet labelled."""
    stored = stored_columns(source.connection, "run", {column.name for column in RUN})
    sql = f"SELECT {', '.join(map(quoted, stored))} FROM run ORDER BY start_time, rowid"
    return [_run(source, dict(zip(stored, row, strict=True))) for rows in source.batches(sql) for row in rows]


def _run(source: Source, record: dict[str, Json]) -> Run:
    record |= _ended(source, record)
    decoded = RunRecord.of(record)
    run = Run(source, decoded, "", decoded.tags)
    return replace(run, origin=_origin(run))


def _ended(source: Source, record: Mapping[str, Json]) -> dict[str, Json]:
    """Return what the record of a run that was killed or stopped should say; the file itself is left as it is."""
    if (now := status(record)) != record.get("status"):
        sent, succeeded, failed, cancelled = _counted(source, record)
        counts: dict[str, Json] = {"sent": sent, "succeeded": succeeded, "failed": failed, "cancelled": cancelled}
        return {"status": now, "end_time": record.get("heartbeat"), **counts}
    match [record.get(name) for name in ("status", "sent", "succeeded", "failed")]:
        # Files of before what a stop cuts off was counted apart have it among the failures.
        case ["interrupted", int(sent), int(succeeded), int(failed)] if failed and sent == succeeded + failed:
            rows, well, badly, left = _counted(source, record)
            return {"failed": failed - (rows - well - badly - left)}
    return {}


def _counted(source: Source, record: Mapping[str, Json]) -> tuple[int, int, int, int]:
    """Count the requests of a run that were sent, that succeeded, that failed, and that were cancelled."""
    query = f"""
        SELECT count(*), count(CASE WHEN success THEN 1 END), count(CASE WHEN {FAILED} THEN 1 END),
               count(CASE WHEN error_kind = '{CANCELLED}' THEN 1 END) FROM result
        WHERE run_id = ? AND phase IS NOT 'preflight'"""
    sent, succeeded, failed, cancelled = source.connection.execute(query, [record["run_id"]]).fetchone()
    return sent, succeeded, failed, cancelled


def _origin(run: Run) -> float:
    sql, parameters = run.restriction("load")
    query = f"SELECT start_time FROM result WHERE {sql} AND start_time IS NOT NULL ORDER BY start_time LIMIT 1"
    row = run.source.connection.execute(query, parameters).fetchone()
    return float(row[0]) if row and isinstance(row[0], (int, float)) else 0.0


def with_labels(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs with labels that tell them apart."""
    runs = tuple(runs)
    candidates = [Candidate(run.record.get("name"), run.source.path, {**run.settings}) for run in runs]
    return tuple(replace(run, label=label) for run, label in zip(runs, labels(candidates), strict=True))


def sources(runs: Iterable[Run]) -> Iterator[Source]:
    """Yield the files of runs, each once."""
    yield from dict.fromkeys(run.source for run in runs)
