"""Files into runs: finds them, opens them safely, and names what is in them."""

import glob
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from perfkit.errors import PerfkitError, UnsafeFile, UnsafePickle, UsageError
from perfkit.frame import Run, Source
from perfkit.importers import open_imported, recognise
from perfkit.labels import Candidate, labels
from perfkit.records import CUT_OFF, Json
from perfkit.safe_file import open_live, quoted, reading, stored_columns
from perfkit.safe_pickle import decode_cell
from perfkit.store.process import status
from perfkit.store.schema import APPLICATION_ID, RESULT_NAMES, RUN, SCHEMA_VERSION

SUFFIXES = (".db", ".sqlite", ".sqlite3")
"""What a folder is searched for, beside what an importer recognises."""

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
        In the order of the places, then of paths, then of time.
    problems : tuple of Problem
        Files that could not be opened.

    Raises
    ------
    UsageError
        No file was found, or ``tags`` is no pattern.
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
            named = path_tags(path, pattern) if pattern else {}
            runs += [replace(run, tags={**run.tags, **named}) for run in runs_of(source)]
            base += source.height + 1
        except PerfkitError as error:
            problems.append(Problem(path, str(error)))
    if problems and not runs:
        raise UnsafeFile("; ".join(problem.reason for problem in problems[:3]))
    return labelled(runs), tuple(problems)


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
        It names no tag, one twice, or one that is no identifier.
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
        A place does not exist, a pattern matches nothing, or a folder holds no result file; or it is no place.
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
        What was given is no place and no list of places.
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
        found = sorted(str(path) for path in Path(place).rglob("*") if path.is_file() and _is_result(path))
    elif os.path.lexists(place):
        return [place]
    else:
        found = sorted(path for path in glob.glob(place, recursive=True) if os.path.isfile(path))
    if not found:
        raise UsageError(f"no result file in {place!r}; give a file, a folder or a pattern such as 'outputs/**/*.db'")
    return found


def _is_result(path: Path) -> bool:
    """Tell by the name, so that a damaged database is reported, else by the content."""
    return path.suffix in SUFFIXES or recognise(path) is not None


def open_source(path: str, base: int = 0) -> Source:
    """Open one file as canonical tables, read only.

    Raises
    ------
    UnsafeFile
        It cannot be opened safely, or holds no results that perfkit knows.
    """
    if recognise(path):
        return source_of(path, open_imported(path), base)
    try:
        return source_of(path, open_live(path), base)
    except UnsafeFile as error:
        raise UnsafeFile(f"{error}{_results_beside(Path(path))}") from None


def _results_beside(path: Path) -> str:
    """Say where the results are, when a file is one of those that tools write beside them: its input, a summary."""
    if path.suffix in SUFFIXES or not path.is_file():
        return ""
    found = ((name, recognise(name)) for name in sorted(path.parent.iterdir()) if name != path)
    whole = ((name, tool) for name, tool in found if tool and not _is_damaged(name))
    return next((f"; the results of {tool} are in {name.name} beside it" for name, tool in whole), "")


def _is_damaged(path: Path) -> bool:
    """Tell whether a database cannot be read: any such is recognised as evalscope's, so that reading it says why."""
    try:
        if recognise(path) == "evalscope":
            with reading(path) as connection:
                stored_columns(connection, "result", RESULT_NAMES)
    except UnsafeFile:
        return True
    return False


def source_of(path: str, connection: sqlite3.Connection, base: int = 0) -> Source:
    """Take a connection as a source if it has canonical tables, else close it.

    Raises
    ------
    UnsafeFile
        It has not.
    """
    try:
        _check_tables(path, connection)
        (height,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM result").fetchone()
    except UnsafeFile:
        connection.close()
        raise
    return Source(path, connection, base, height)


def _check_tables(path: str, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise UnsafeFile(f"{path} is no result file that perfkit knows")
    if version > SCHEMA_VERSION:
        raise UnsafeFile(f"{path} was written by a newer perfkit (schema {version}); update perfkit to read it")
    missing = set(RESULT_NAMES) - set(stored_columns(connection, "result", RESULT_NAMES))
    if missing or not stored_columns(connection, "run", {"run_id"}):
        raise UnsafeFile(f"{path} is no whole run file; it lacks {', '.join(sorted(missing)) or 'the run table'}")


def runs_of(source: Source) -> list[Run]:
    """Return the runs of a source in order of time, then of storing, not yet labelled."""
    stored = stored_columns(source.connection, "run", {column.name for column in RUN})
    sql = f"SELECT {', '.join(map(quoted, stored))} FROM run ORDER BY start_time, rowid"
    return [_run(source, dict(zip(stored, row, strict=True))) for rows in source.batches(sql) for row in rows]


def _run(source: Source, record: dict[str, Json]) -> Run:
    record |= _ended(source, record)
    tags = {str(key): str(value) for key, value in _object(record, "tags").items()}
    run = Run(source, record, "", _object(record, "arguments"), tags)
    return replace(run, origin=_origin(run))


def _ended(source: Source, record: Mapping[str, Json]) -> dict[str, Json]:
    """Return what the record of a run that was killed or stopped should say; the file itself is left as it is."""
    if (now := status(record)) != record.get("status"):
        sent, succeeded, cut_off = _counted(source, record)
        counts: dict[str, Json] = {"sent": sent, "succeeded": succeeded, "failed": sent - succeeded - cut_off}
        return {"status": now, "end_time": record.get("heartbeat"), **counts}
    match [record.get(name) for name in ("status", "sent", "succeeded", "failed")]:
        # Files of before what a stop cuts off was counted apart have it among the failures.
        case ["interrupted", int(sent), int(succeeded), int(failed)] if failed and sent == succeeded + failed:
            return {"failed": failed - _counted(source, record)[2]}
    return {}


def _counted(source: Source, record: Mapping[str, Json]) -> tuple[int, int, int]:
    """Count the requests of a run that were sent, that succeeded, and that a stop cut off."""
    query = """
        SELECT count(*), count(CASE WHEN success THEN 1 END), count(CASE WHEN error_kind = ? THEN 1 END) FROM result
        WHERE run_id = ? AND phase IS NOT 'preflight'"""
    sent, succeeded, cut_off = source.connection.execute(query, [CUT_OFF, record["run_id"]]).fetchone()
    return sent, succeeded, cut_off


def _object(record: Mapping[str, Json], column: str) -> dict[str, Json]:
    """Decode a JSON object of the run table; a text that is none counts as empty."""
    try:
        value = decode_cell(record.get(column), column)
    except UnsafePickle:
        return {}
    return value if isinstance(value, dict) else {}


def _origin(run: Run) -> float:
    sql, parameters = run.restriction("load")
    query = f"SELECT start_time FROM result WHERE {sql} AND start_time IS NOT NULL ORDER BY start_time LIMIT 1"
    row = run.source.connection.execute(query, parameters).fetchone()
    return float(row[0]) if row and isinstance(row[0], (int, float)) else 0.0


def labelled(runs: Iterable[Run]) -> tuple[Run, ...]:
    """Return the runs with labels that tell them apart."""
    runs = tuple(runs)
    candidates = [Candidate(run.record.get("name"), run.source.path, {**run.settings}) for run in runs]
    return tuple(replace(run, label=label) for run, label in zip(runs, labels(candidates), strict=True))


def sources(runs: Iterable[Run]) -> Iterator[Source]:
    """Yield the files of runs, each once."""
    yield from dict.fromkeys(run.source for run in runs)
