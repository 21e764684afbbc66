"""Opens sqlite files that somebody else wrote: nothing in them can run, and nothing beside them changes.

Opening a database read-write can do harm: sqlite plays back the journal that lies beside it, and a crafted journal
deletes a file of the reader's. A view called ``result`` can take all memory, a computed column as well. Here
journals are played back in a private copy only, and only plain tables and stored columns are read.
"""

import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from perfkit.errors import UnsafeFile

MAGIC: Final = b"SQLite format 3\x00"
CELL_LIMIT: Final = 64 << 20
"""Characters of the longest cell that ``bounded`` lets through."""

# The end of a rollback journal that names a super-journal, whose member files sqlite would delete.
_SUPER_JOURNAL: Final = bytes.fromhex("d9d505f920a163d7")
_ROW_LIMIT: Final = 160 << 20
# A scan of a run file takes about one step a byte; a crafted tree of pages that hold each other has no end.
_STEPS: Final = 30_000_000
_STEPS_PER_BYTE: Final = 50
_STRETCH: Final = 20_000
_JOURNALS: Final = ("-journal", "-wal")


class _Connection(sqlite3.Connection):
    """A connection that counts what each query costs, names its file in errors, and closes with its private copy."""

    folder: tempfile.TemporaryDirectory[str] | None = None
    path = Path()
    place = Path()
    budget = 0
    spent = 0

    def count(self) -> bool:
        """Count a stretch of sqlite's steps; True, which ends the query, when it has had enough."""
        self.spent += _STRETCH
        if self.spent > self.budget:
            # A live run's file has grown since it was opened.
            self.budget = _allowance(self.place)
        return self.spent > self.budget

    def cursor(self, *args: Any, **kwargs: Any) -> sqlite3.Cursor:  # type: ignore[override]
        self.spent = 0
        cursor: sqlite3.Cursor = super().cursor(*args, **kwargs)
        return cursor

    def execute(self, *args: Any, **kwargs: Any) -> sqlite3.Cursor:
        self.spent = 0
        try:
            return super().execute(*args, **kwargs)
        except sqlite3.Error as error:
            raise refusal(self.path, error) from None

    def close(self) -> None:
        super().close()
        if self.folder:
            self.folder.cleanup()


def open_readonly(path: str | Path) -> sqlite3.Connection:
    """Open a stranger's sqlite file without trusting it and without changing it or its folder.

    Parameters
    ----------
    path : str or Path
        A regular file.

    Returns
    -------
    sqlite3.Connection
        Read-only; texts that are no UTF-8 come with replacement characters. A query that takes far more steps than
        reading the whole file is interrupted. Close it: it may own a private copy.

    Raises
    ------
    UnsafeFile
        It is no regular file, no sqlite file, locked, damaged, or its journal reaches for other files.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.db"
    >>> writer = sqlite3.connect(path)
    >>> _ = writer.execute("CREATE TABLE result (success INTEGER)"); writer.close()
    >>> with reading(path) as connection:
    ...     stored_columns(connection, "result", {"success", "latency"})
    ('success',)
    """
    path = Path(path)
    size = _regular_size(path)
    header = _header(path)
    journals = [suffix for suffix in _JOURNALS if _beside(path, suffix)]
    if journals:
        return _prepared(path, *_private_copy(path, size, journals))
    # A finished file in WAL mode has no log; read-only sqlite would want to make one, unless told nobody writes.
    mode = "mode=ro&immutable=1" if header[18:20] == b"\x02\x02" else "mode=ro"
    return _prepared(path, path, mode, None)


def open_live(path: str | Path) -> sqlite3.Connection:
    """Open a run file of our own, in place, while another process may be writing it.

    A file with a rollback journal, or with a write-ahead log that no process holds, is opened as
    ``open_readonly`` does it.

    Raises
    ------
    UnsafeFile
        As ``open_readonly``.
    """
    path = Path(path)
    _regular_size(path)
    _header(path)
    if _beside(path, "-journal") or not _beside(path, "-wal") or not _beside(path, "-shm"):
        return open_readonly(path)
    return _prepared(path, path, "mode=ro", None)


@contextmanager
def reading(path: str | Path) -> Iterator[sqlite3.Connection]:
    """Open a stranger's file for a ``with`` block, in which errors of sqlite become ``UnsafeFile``.

    Yields
    ------
    sqlite3.Connection
        See ``open_readonly``; closed at the end of the block.

    Raises
    ------
    UnsafeFile
        The file cannot be opened, or turns out to be damaged or endless while it is read.
    """
    connection = open_readonly(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise refusal(Path(path), error) from None
    finally:
        connection.close()


def stored_columns(connection: sqlite3.Connection, table: str, known: Collection[str]) -> tuple[str, ...]:
    """List the known columns that a plain table really stores, in the table's order.

    Parameters
    ----------
    connection : sqlite3.Connection
        From ``open_readonly``.
    table : str
        Its name.
    known : collection of str
        The names to look for; all others are left unread.

    Returns
    -------
    tuple of str
        Empty when there is no such table.

    Raises
    ------
    UnsafeFile
        It is a view or a virtual table, or computes a known column: reading it would run the file's own code.
    """
    query = "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
    found = connection.execute(query, (table,)).fetchone()
    if found is None:
        return ()
    kind, sql = found
    if kind != "table" or str(sql).lstrip().upper().startswith("CREATE VIRTUAL"):
        raise UnsafeFile(
            f"{table} is no plain table ({str(sql)[:40]!r}); perfkit does not run queries that a file brings"
        )
    columns = connection.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (table,)).fetchall()
    computed = [name for name, hidden in columns if hidden and name in known]
    if computed:
        raise UnsafeFile(f"column {computed[0]} of {table} is computed, not stored; perfkit does not run it")
    return tuple(name for name, hidden in columns if name in known and not hidden)


def bounded(column: str, limit: int = CELL_LIMIT) -> str:
    r"""Return an SQL expression for a text column that replaces endless cells by a remark.

    Examples
    --------
    >>> bounded("request", 100)
    'CASE WHEN length("request") > 100 THEN \'too long: \' || length("request") ELSE "request" END'
    """
    name = quoted(column)
    return f"CASE WHEN length({name}) > {limit} THEN 'too long: ' || length({name}) ELSE {name} END"


def quoted(name: str) -> str:
    """Quote a name for SQL.

    Examples
    --------
    >>> quoted('odd"name')
    '"odd""name"'
    """
    return '"' + name.replace('"', '""') + '"'


def _regular_size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise UnsafeFile(f"cannot open {path}: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise UnsafeFile(f"{path} is no regular file")
    return status.st_size


def _header(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise UnsafeFile(f"cannot read {path}: {error.strerror}") from None
    if not header.startswith(MAGIC):
        raise UnsafeFile(f"{path} is no sqlite file" if header else f"{path} is empty")
    return header


def _beside(path: Path, suffix: str) -> bool:
    try:
        return path.with_name(path.name + suffix).lstat().st_size > 0
    except FileNotFoundError:
        return False


def _allowance(place: Path) -> int:
    """Return how many steps a query may take on a file and its write-ahead log, as large as they are now."""
    parts = [part for part in (place, place.with_name(f"{place.name}-wal")) if part.exists()]
    return _STEPS + _STEPS_PER_BYTE * sum(part.stat().st_size for part in parts)


def _private_copy(path: Path, size: int, journals: list[str]) -> tuple[Path, str, tempfile.TemporaryDirectory[str]]:
    sources = {suffix: path.with_name(path.name + suffix) for suffix in journals}
    for suffix, source in sources.items():
        status = source.lstat()
        size += status.st_size
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeFile(f"{source} is no regular file")
        if suffix == "-journal" and _names_other_files(source):
            raise UnsafeFile(f"{source} names other files that sqlite would delete; remove it if you trust {path.name}")
    folder = tempfile.TemporaryDirectory(prefix="perfkit-")
    if shutil.disk_usage(folder.name).free < 2 * size:
        folder.cleanup()
        raise UnsafeFile(f"{path} needs a private copy of {size / 1e6:.0f} MB; set TMPDIR to a roomier place")
    copy = Path(folder.name, "copy.db")
    shutil.copyfile(path, copy)
    for suffix, source in sources.items():
        shutil.copyfile(source, copy.with_name(copy.name + suffix))
    return copy, "mode=rw", folder


def _names_other_files(journal: Path) -> bool:
    with journal.open("rb") as file:
        file.seek(max(0, journal.stat().st_size - len(_SUPER_JOURNAL)))
        return file.read() == _SUPER_JOURNAL


def _prepared(
    path: Path, place: Path, mode: str, folder: tempfile.TemporaryDirectory[str] | None
) -> sqlite3.Connection:
    """Connect to the file or its copy with every door shut, and read a first page."""
    connection = sqlite3.connect(
        f"{place.absolute().as_uri()}?{mode}",
        uri=True,
        timeout=1.0,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )
    connection.folder, connection.path = folder, path
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _ROW_LIMIT)
    # Steps, not seconds: whoever reads the rows may take as long as they like between two of them.
    connection.place = place
    connection.set_progress_handler(connection.count, _STRETCH)
    try:
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except UnsafeFile:
        connection.close()
        raise
    return connection


def refusal(path: str | Path, error: sqlite3.Error) -> UnsafeFile:
    """Return the error to raise for one of sqlite's, which does not name the file."""
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return UnsafeFile(f"{path} is locked by another program; open it again when that has finished")
    if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
        return UnsafeFile(f"reading {path} takes far more steps than a file of its size can need")
    return UnsafeFile(f"{path} cannot be read: {error}")
