"""Opens sqlite files that somebody else wrote: nothing in them can run, and nothing beside them changes.

Opening a database read-write can do harm: sqlite plays back the journal that lies beside it, and a crafted journal
deletes a file of the reader's. A view called ``result`` can take all memory, a computed column as well. Here
journals are played back in a private copy only, and only plain tables and stored columns are read.
"""

import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from perfkit.errors import UnsafeFile
from perfkit.runfile.raw_bytes import copy_bytes, head_of, kept_open
from perfkit.runfile.schema import APPLICATION_ID

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
_LOGGED: Final = b"\x02\x02"
"""Bytes 18 and 19 of a database with a write-ahead log."""
_JOURNALS: Final = ("-journal", "-wal")
PATIENCE = 5.0
"""Seconds that whoever changes a file waits for others who write it."""


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
        except UnicodeDecodeError:  # of what sqlite says is wrong, which quotes the file
            raise UnsafeFile(f"{self.path} cannot be read: its schema is damaged") from None

    def close(self) -> None:
        super().close()
        if self.folder:
            self.folder.cleanup()


def open_readonly(path: str | Path) -> sqlite3.Connection:
    """Open a stranger's sqlite file without trusting it and without changing it or its folder.

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
    if journals := _journals(path):
        return _prepared(path, *_private_copy(path, size, journals))
    # A finished file in WAL mode has no log; read-only sqlite would want to make one, unless told nobody writes.
    mode = "mode=ro&immutable=1" if header[18:20] == _LOGGED else "mode=ro"
    return _prepared(path, path, mode, None)


def open_live(path: str | Path) -> sqlite3.Connection:
    """Open a run file of our own, in place, while another process may be writing it.

    A file with a rollback journal, or with a write-ahead log that no process holds, is opened as
    ``open_readonly`` does it.
    """
    path = Path(path)
    _regular_size(path)
    _header(path)
    if _beside(path, "-journal") or not _beside(path, "-wal") or not _beside(path, "-shm"):
        return open_readonly(path)
    return _prepared(path, path, "mode=ro", None)


def open_copy(path: str | Path, change: Callable[[Path], None]) -> sqlite3.Connection:
    """Open a private copy of a file, and of the journals that lie beside it, once it was changed.

    Parameters
    ----------
    path : path
    change : callable
        Takes the path of the copy.

    Raises
    ------
    UnsafeFile
        It cannot be opened, or would run something of its own when it is written to.
    """
    path = Path(path)
    place, mode, folder = _private_copy(path, _regular_size(path), _journals(path))
    try:
        connection = _prepared(path, place, mode, None)
        try:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger'").fetchone():
                raise UnsafeFile(f"{path} has triggers, which perfkit's own files have not; perfkit does not run them")
        finally:
            connection.close()
        change(place)
        return _prepared(path, place, "mode=ro", folder)
    except BaseException:
        folder.cleanup()
        raise


def is_our_live_file(path: Path) -> bool:
    """Tell whether somebody writes a file of perfkit's: who it belongs to may stand in its journal alone."""
    if not (_beside(path, "-wal") and _beside(path, "-shm")):
        return False
    try:
        with closing(open_live(path)) as connection:
            return bool(connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,))
    except (UnsafeFile, sqlite3.Error):
        return False


@contextmanager
def reading(path: str | Path) -> Iterator[sqlite3.Connection]:
    """Open a stranger's file for a ``with`` block, in which errors of sqlite become ``UnsafeFile``."""
    connection = open_readonly(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise refusal(Path(path), error) from None
    finally:
        connection.close()


def is_logged(path: str | Path) -> bool:
    """Tell whether a database has a write-ahead log, as that of a run under way, where the file system can."""
    return _header(Path(path))[18:20] == _LOGGED


@contextmanager
def writing(path: str | Path, patience: float = PATIENCE) -> Iterator[sqlite3.Connection]:
    """Change a run file in one short transaction, the ``with`` block, for which others who write it wait, as we do.

    We wait for ``patience`` seconds.

    A file that would run something of its own, a trigger, is refused, as is one that is marked as read-only.
    """
    path = Path(path)
    _regular_size(path)
    if not path.stat().st_mode & 0o222:
        raise UnsafeFile(f"{path} is read-only; make it writable, or a copy with runs.save")
    _journals(path)
    with kept_open(path):
        yield from _transaction(path, patience)


def _transaction(path: Path, patience: float) -> Iterator[sqlite3.Connection]:
    try:
        connection = _prepared(path, path, "mode=rw", None)
    except sqlite3.Error as error:
        raise refusal(path, error) from None
    try:
        # Folding the log of a live run waits for the disk: that is left to its writer.
        for pragma in (
            f"busy_timeout = {1e3 * patience:.0f}",
            "wal_autocheckpoint = 0",
            "synchronous = NORMAL",
            "query_only = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'trigger'").fetchone():
            raise UnsafeFile(f"{path} has triggers, which perfkit's own files have not; perfkit does not run them")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()  # takes back what was not committed


def stored_columns(connection: sqlite3.Connection, table: str, known: Collection[str]) -> tuple[str, ...]:
    """List the known columns that a plain table really stores, in the table's order."""
    query = "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
    found = connection.execute(query, (table,)).fetchone()
    if found is None:
        return ()
    kind, sql = found
    if kind != "table" or str(sql).lstrip().upper().startswith("CREATE VIRTUAL"):
        raise UnsafeFile(
            f"{table} is not a plain table ({str(sql)[:40]!r}); perfkit does not run queries that a file brings"
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
        raise UnsafeFile(f"{path} is not a regular file")
    return status.st_size


def _header(path: Path) -> bytes:
    try:
        header = head_of(path, 100)
    except OSError as error:
        raise UnsafeFile(f"cannot read {path}: {error.strerror}") from None
    if not header.startswith(MAGIC):
        raise UnsafeFile(f"{path} is not a SQLite file" if header else f"{path} is empty")
    return header


def _journals(path: Path) -> dict[str, Path]:
    """Return the journals that lie beside a file, after a look at what sqlite would do with them."""
    found = {suffix: path.with_name(path.name + suffix) for suffix in _JOURNALS if _beside(path, suffix)}
    for suffix, journal in found.items():
        if not stat.S_ISREG(journal.lstat().st_mode):
            raise UnsafeFile(f"{journal} is not a regular file")
        if suffix == "-journal" and _names_other_files(journal):
            raise UnsafeFile(
                f"{journal} names other files that sqlite would delete; remove it if you trust {path.name}"
            )
    return found


def _beside(path: Path, suffix: str) -> bool:
    try:
        return path.with_name(path.name + suffix).lstat().st_size > 0
    except FileNotFoundError:
        return False


def _allowance(place: Path) -> int:
    """Return how many steps a query may take on a file and its write-ahead log, as large as they are now."""
    parts = [part for part in (place, place.with_name(f"{place.name}-wal")) if part.exists()]
    return _STEPS + _STEPS_PER_BYTE * sum(part.stat().st_size for part in parts)


def _private_copy(
    path: Path, size: int, journals: dict[str, Path]
) -> tuple[Path, str, tempfile.TemporaryDirectory[str]]:
    size += sum(journal.lstat().st_size for journal in journals.values())
    folder = tempfile.TemporaryDirectory(prefix="perfkit-")
    if shutil.disk_usage(folder.name).free < 2 * size:
        folder.cleanup()
        raise UnsafeFile(f"{path} needs a private copy of {size / 1e6:.0f} MB; set TMPDIR to a roomier place")
    copy = Path(folder.name, "copy.db")
    copy_bytes(path, copy)
    for suffix, source in journals.items():
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
    if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN):
        return UnsafeFile(f"{path} or its folder is read-only ({error}); copy it to where you may write")
    return UnsafeFile(f"{path} cannot be read: {error}")
