"""What people write about runs, whatever their origin: inside perfkit's own files, beside those of other tools.

Beside ``results.json`` lies ``results.json.perfkit.json``. It knows a run by the numbers of its first request, so that
both files can be moved, mailed and copied; what is written of a run that is not there any more is kept, and said.
"""

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from perfkit.analysis.query.run import Run
from perfkit.analysis.text_table import listed
from perfkit.errors import StorageError, UnsafeFile, UsageError
from perfkit.runfile.annotations import Annotation, annotate_file
from perfkit.runfile.record import RunRecord

BESIDE = ".perfkit.json"
"""Ends the name of the file beside another tool's."""
_LIMIT = 4 << 20
_VERSION = 1
_FIRST = "start_time, completed_time, latency, first_chunk_latency, prompt_tokens, completion_tokens"

Written = dict[str, Annotation]
"""What is written about each run, by its fingerprint."""


def file_beside(path: str) -> Path:
    """Return where what is written about the runs of another tool's file is kept."""
    return Path(path + BESIDE)


def annotated(run: Run, words: Annotation) -> Run:
    """Return a run with what is written about it; a new name takes the place of the old one in its label."""
    label, renamed = run.label, run.renamed
    if words.name is not None:
        label, renamed = label.replace(run.name, words.name, 1) if run.name in label else words.name, None
    record = RunRecord.of({**run.record, **words.onto(run.record)})
    return replace(run, record=record, tags=words.tagged(run.tags), label=label, renamed=renamed)


def read_beside(path: str, runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """Return the runs of another tool's file with what is written beside it, and what of that could not be used."""
    beside = file_beside(path)
    try:
        written = _read(beside)
    except UnsafeFile as error:
        return list(runs), [f"{error}; names, tags and notes in it are left aside"]
    if not written:
        return list(runs), []
    names = [_fingerprint(run) for run in runs]
    lost = len(written.keys() - set(names))
    said = [f"{beside} tells of {lost} run{'s' * (lost != 1)} that {path} does not hold (any more)"] if lost else []
    return [annotated(run, written.get(name, Annotation())) for run, name in zip(runs, names, strict=True)], said


def keep(runs: Iterable[Run], words: Annotation) -> None:
    """Write about runs, into or beside their files.

    Raises
    ------
    UsageError
        A run has no file.
    StorageError
        A file or its folder is read-only or busy.
    UnsafeFile
        What lies beside a file is not what perfkit wrote.
    """
    by_file: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_file.setdefault((run.source.annotations, run.source.path), []).append(run)
    if any(where == "nowhere" for where, _ in by_file):
        raise UsageError("runs of a DataFrame have no file to keep this in: runs.save('runs.db'), and open that")
    for (where, path), those in by_file.items():
        if where == "inside":
            annotate_file(path, [run.run_id for run in those], words)
        else:
            _write_beside(path, those, words)


def _fingerprint(run: Run) -> str:
    """Return what tells a run among those of its file, wherever that is moved: its first request."""
    query = f"SELECT {_FIRST} FROM result WHERE run_id = ? ORDER BY rowid LIMIT 1"
    first = run.source.connection.execute(query, (run.run_id,)).fetchone()
    return sha256(repr(first).encode()).hexdigest()[:16]


def _read(beside: Path) -> Written:
    """Read what lies beside a file, which may be anybody's."""
    if not os.path.lexists(beside):
        return {}
    if not beside.is_file():  # of a pipe or a device there is no end
        raise UnsafeFile(f"{beside} is not a regular file")
    try:
        with beside.open("rb") as file:
            text = file.read(_LIMIT + 1)
        if len(text) > _LIMIT:
            raise UsageError(f"it is longer than {_LIMIT >> 20} MiB")
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("version") != _VERSION or not isinstance(found.get("runs"), dict):
            raise UsageError(f"it is not of version {_VERSION} of what perfkit writes there")
        return {str(name): _annotation(entry) for name, entry in found["runs"].items()}
    except OSError as error:
        raise UnsafeFile(f"cannot read {beside}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UnsafeFile(f"{beside} cannot be used: {error}") from None


def _annotation(entry: Any) -> Annotation:
    if not isinstance(entry, dict) or entry.keys() - {"name", "tags", "note", "removed"}:
        raise UsageError(f"of a run it holds {entry!r:.60}, and not name, tags, note, removed")
    return Annotation(**entry)


def _write_beside(path: str, runs: Sequence[Run], words: Annotation) -> None:
    beside = file_beside(path)
    try:
        written = _read(beside)
    except UnsafeFile as error:
        raise UnsafeFile(f"{error}; move it away, and write about these runs again") from None
    for run in runs:
        name = _fingerprint(run)
        earlier = written.get(name, Annotation())
        written[name] = replace(earlier, **{**_plain(words), "tags": {**earlier.tags, **words.tags}})
    entries = {name: _plain(each) for name, each in written.items()}
    text = json.dumps({"version": _VERSION, "runs": entries}, indent=1, ensure_ascii=False)
    new = beside.with_name(f"{beside.name}.{os.getpid()}.new")
    try:
        with new.open("x", encoding="utf-8") as file:  # whoever reads meanwhile finds the old one whole
            file.write(text + "\n")
        new.replace(beside)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise StorageError(f"cannot write {beside}: {error.strerror}; nothing was written about these runs") from None


def _plain(words: Annotation) -> dict[str, Any]:
    """Return what is written, as JSON has it."""
    given = {"name": words.name, "tags": dict(words.tags), "note": words.note, "removed": words.removed}
    return {key: value for key, value in given.items() if value not in (None, {})}


def said_of_removed(labels: Sequence[str]) -> list[str]:
    """Say which runs are left out as someone removed them, and how they come back."""
    if not labels:
        return []
    one = len(labels) == 1
    left_out = "1 run is left out, which was" if one else f"{len(labels)} runs are left out, which were"
    back = f"runs.annotate({json.dumps(labels[0], ensure_ascii=False)}, removed=False)"
    return [
        f"{left_out} removed: {listed(labels, most=5)}; bring {'it' if one else 'one'} back with {back} "
        "or perfkit annotate FILE --pick LABEL --restore"
    ]
