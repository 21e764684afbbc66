"""Copies result files without the secrets in them: old runs kept API keys in settings, logs and answers."""

import json
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.text import SMALL_LIMIT, read_json, without_secrets
from perfkit.decoding.pending import fold
from perfkit.errors import UnsafeFile, UsageError
from perfkit.records import Json
from perfkit.runfile.pending import is_segment, segments
from perfkit.runfile.raw_bytes import head_of
from perfkit.runfile.safe_file import MAGIC, open_copy, open_readonly, quoted, stored_columns
from perfkit.runfile.safe_pickle import Plain, Refused, encode_cell, read_cell
from perfkit.runfile.schema import APPLICATION_ID, TABLES, statements
from perfkit.secrets import MASK, Scrubber, secrets_in

_PICKLED: Final = ("request", "response_messages")
_KEYS: Final = ("api_key", "wandb_api_key", "swanlab_api_key")
_SHAPES: Final = re.compile(r"\b(?:sk|hf|gsk|xai)[-_][A-Za-z0-9_-]{16,}|(?<=Bearer )[A-Za-z0-9._~+/-]{8,}=*")
"""What keys look like, for those that nothing names."""

_PLAIN_TYPE: Final = re.compile(r"[A-Za-z ]{0,40}")


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What was done."""

    path: Path
    masked: int
    """Cells and files in which something was masked."""
    dropped: int
    """Cells that could not be decoded safely, and so not looked into: they are empty in the copy."""


def scrub(source: str | Path, target: str | Path, secrets: Iterable[str] = ()) -> Scrubbed:
    """Copy a result file or a folder of them, secrets masked.

    Masked are the secrets given, those in settings beside the files (keys, headers, URLs), and what looks like a key,
    in every text: inside stored requests and answers too.

    Parameters
    ----------
    source : str or Path
        A database, a JSON or text file, or a folder. It is not changed.
    target : str or Path
        Where the copy goes; must not exist.
    secrets : iterable of str
        Values to mask besides, at least 8 characters long.

    Returns
    -------
    Scrubbed
        ``path``, ``masked``, ``dropped``.

    Raises
    ------
    UsageError
        The target exists.
    UnsafeFile
        A file cannot be read safely.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "run.log").write_text("sent Authorization: Bearer abcdefgh1234")
    >>> scrub(folder / "run.log", folder / "clean.log").masked
    1
    >>> (folder / "clean.log").read_text()
    'sent Authorization: Bearer ***'
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise UsageError(f"{target} exists; give a name that does not")
    found = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    # What waits beside a run file is read with it, and has no place beside the copy.
    files = [path for path in found if not is_segment(path)]
    known = [secret for path in files for secret in _named_secrets(path)]
    gate = _Gate([*secrets, *known])
    for path in files:
        place = target / path.relative_to(source) if source.is_dir() else target
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(path, place, gate)
    return Scrubbed(target, gate.masked, gate.dropped)


class _Gate:
    """Masks secrets in values, and counts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._known = Scrubber(secrets)
        self.masked = 0
        self.dropped = 0

    def text(self, text: str) -> str:
        return _SHAPES.sub(MASK, self._known(text))

    def value(self, value: Plain) -> Plain:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.text(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        if isinstance(value, dict):
            return {self.text(name): self.value(item) for name, item in value.items()}
        return type(value)(map(self.value, value)) if isinstance(value, list | tuple) else value

    def cell(self, column: str, cell: Json) -> Json:
        """Return a stored cell with its secrets masked, pickles looked into."""
        if not isinstance(cell, str):
            return cell
        if column in _PICKLED and cell[:1] not in ("{", "["):
            return self._pickled(column, cell)
        return self._counted(cell, self.text(cell))

    def _pickled(self, column: str, cell: str) -> str | None:
        value = read_cell(cell, column)
        if isinstance(value, Refused):
            self.dropped += 1
            return None
        clean = self.value(value)
        return self._counted(cell, encode_cell(clean)) if clean != value else cell

    def _counted(self, before: str, after: str) -> str:
        self.masked += before != after
        return after


def _named_secrets(path: Path) -> list[str]:
    """Return the secrets that a settings file names."""
    if path.suffix != ".json" or path.stat().st_size > SMALL_LIMIT:
        beside = path.with_name("benchmark_args.json")
        return _named_secrets(beside) if path.suffix == ".db" and beside.is_file() else []
    try:
        found = read_json(path, "evalscope", SMALL_LIMIT)
    except UnsafeFile:
        return []
    if not isinstance(found, dict):
        return []
    given = found.get("headers")
    headers = {str(name): str(value) for name, value in given.items()} if isinstance(given, dict) else {}
    keys = [str(found[name]) for name in _KEYS if found.get(name)]
    return secrets_in(str(found.get("url") or ""), headers, *keys)


def _copy(source: Path, target: Path, gate: _Gate) -> None:
    if head_of(source, len(MAGIC)) == MAGIC:
        _copy_database(source, target, gate)
        return
    text = source.read_bytes().decode("utf-8", "surrogateescape")
    if source.name == "benchmark_args.json":
        text = _settings(text)
    clean = gate.text(text)
    gate.masked += clean.encode("utf-8", "surrogateescape") != source.read_bytes()
    target.write_bytes(clean.encode("utf-8", "surrogateescape"))


def _settings(text: str) -> str:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return json.dumps(without_secrets(found), indent=4, ensure_ascii=False) if isinstance(found, dict) else text


# Databases ---------------------------------------------------------------------------------------------------------


def _copy_database(source: Path, target: Path, gate: _Gate) -> None:
    """Copy plain tables into a new database: triggers, views and freed pages stay behind."""
    try:
        _copy_tables(source, target, gate)
    except (sqlite3.Error, UnsafeFile) as error:
        target.unlink(missing_ok=True)
        raise UnsafeFile(f"{source} cannot be copied: {error}") from None


def _copy_tables(source: Path, target: Path, gate: _Gate) -> None:
    origin, copy = _with_waiting(source, gate), sqlite3.connect(target, isolation_level=None)
    try:
        copy.execute("BEGIN")
        ours = origin.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        for sql in statements() if ours else ():
            copy.execute(sql)
        for table in TABLES:
            columns = _columns(origin, table)
            if columns:
                if not ours:
                    copy.execute(
                        f"CREATE TABLE {table} ({', '.join(f'{quoted(name)} {kind}' for name, kind in columns)})"
                    )
                _copy_rows(origin, copy, table, [name for name, _ in columns], gate)
        copy.execute("COMMIT")
    finally:
        origin.close()
        copy.close()


def _with_waiting(source: Path, gate: _Gate) -> sqlite3.Connection:
    """Open a run file with the answers that wait beside it; those that cannot be read are counted as dropped."""
    if not segments(source):
        return open_readonly(source)

    def change(copy: Path) -> None:
        gate.dropped += sum(count for _, count in fold(copy, source).left.values())

    return open_copy(source, change)


def _columns(origin: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    """Return names and declared types of a table's columns; an odd type is left out."""
    described = origin.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()
    stored = stored_columns(origin, table, {name for name, _ in described})
    return [(name, kind if _PLAIN_TYPE.fullmatch(kind) else "") for name, kind in described if name in stored]


def _copy_rows(
    origin: sqlite3.Connection, copy: sqlite3.Connection, table: str, columns: Sequence[str], gate: _Gate
) -> None:
    names = ", ".join(map(quoted, columns))
    rows = origin.execute(f"SELECT {names} FROM {table}")
    places = ", ".join("?" * len(columns))
    copy.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", _clean(rows, columns, gate))


def _clean(rows: Iterable[Sequence[Json]], columns: Sequence[str], gate: _Gate) -> Iterator[list[Json]]:
    for row in rows:
        yield [gate.cell(name, cell) for name, cell in zip(columns, row, strict=True)]
