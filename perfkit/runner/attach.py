"""A measurement that another process started, found again by its run file."""

import contextlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

from perfkit.errors import NothingSucceeded, UsageError, explain
from perfkit.runfile.owner import lives, status
from perfkit.runfile.record import as_object, count_requests
from perfkit.runfile.schema import APPLICATION_ID, OUTPUTS, SUFFIXES
from perfkit.runfile.writer import order
from perfkit.runner.job import LOOK_EVERY, STOP_WAIT, BaseJob, Progress

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs

_JOB = "(run_id = :job OR sweep_id = :job)"
_RECORD = f"SELECT * FROM run WHERE {_JOB} ORDER BY rowid DESC LIMIT 1"
_POINTS = f"SELECT run_id, point, status FROM run WHERE {_JOB} ORDER BY rowid"
_IN_FLIGHT = """
    SELECT total(value) FROM sample WHERE run_id = :run_id AND name = 'in_flight'
    AND time = (SELECT max(time) FROM sample WHERE run_id = :run_id AND name = 'in_flight')"""


class AttachedJob(BaseJob):
    """A job of another process: detached, in another notebook, or on another terminal. Made by ``attach``.

    It is used as ``Job`` is, but an interruption of ``wait`` ends the waiting alone.
    """

    def __init__(self, path: Path, job: str) -> None:
        self._path = path
        self._job = job
        """The sweep's identity, or the one run's."""

    @property
    def path(self) -> Path:
        """The run file."""
        return self._path

    @property
    def progress(self) -> Progress:
        """How far it is, as of the last commit."""
        record, points = self._record(), self._points()
        stored = count_requests(self.path, record["run_id"])
        (in_flight,) = self._one(_IN_FLIGHT, {"run_id": record["run_id"]})
        running = record["status"] == "running"
        in_flight = int(in_flight) if running else 0
        return Progress(
            point=points[-1][1] or 0,
            points=_planned(record),
            sent=stored.sent + in_flight,
            done=stored.done,
            failed=stored.failed,
            in_flight=in_flight,
            elapsed=max(0.0, (time() if running else record["end_time"] or record["heartbeat"]) - record["start_time"]),
            expected=record["number"],
            duration=record["duration"],
            path=str(self.path),
            run_ids=tuple(run_id for run_id, _, _ in points),
        )

    def done(self) -> bool:
        """Tell whether it has ended, by itself or because its process died."""
        record, points = self._record(), self._points()
        if not lives(record):
            return True
        finished = {point for _, point, status in points if status == "finished"}
        between = record["status"] == "finished" and len(finished) < _planned(record)
        return record["status"] != "running" and not between

    def stop(self) -> "Runs":
        """Have it stop sending, by an order in its file; keep what has arrived, and return it.

        The worker looks for orders once a second.

        Raises
        ------
        TimeoutError
            It has not stopped within a few seconds: it may hang before its load, and go on when that ends.
        """
        self._wait(STOP_WAIT, lambda: order(self.path, str(self._record()["run_id"]), "stop"))
        return self.runs

    def wait(self, timeout: float | None = None) -> "Runs":
        """Wait for the end and return the runs. An interruption ends the waiting, not the job.

        Raises
        ------
        NothingSucceeded
            No request was answered well.
        TimeoutError
            ``timeout`` seconds have passed.
        """
        try:
            self._wait(timeout)
        except KeyboardInterrupt as error:
            explain(error, self._goes_on())
            raise
        self.raise_failure()
        return self.runs

    def raise_failure(self) -> None:
        """Raise NothingSucceeded if no request was answered well."""
        if not self._one(f"SELECT total(succeeded) FROM run WHERE {_JOB}", {"job": self._job})[0]:
            error = self._one(
                f"SELECT max(error) FROM result WHERE run_id IN (SELECT run_id FROM run WHERE {_JOB})",
                {"job": self._job},
            )[0]
            why = self.problem or f"no request succeeded; {error or 'the worker ended before it sent any'}"
            raise NothingSucceeded(why)

    @property
    def interrupted(self) -> bool:
        """True when it was stopped, or killed, before its end."""
        last = {point: status for _, point, status in self._points()}  # a point that was resumed has several runs
        return self.done() and list(last.values()).count("finished") < _planned(self._record())

    @property
    def problem(self) -> str | None:
        """Why it was ended before its end, where that was nobody's wish: one sentence."""
        return self._record().get("problem")  # a column that files of an earlier perfkit lack

    @property
    def runs(self) -> "Runs":
        """What has been stored so far; works while it runs, too."""
        from perfkit.analysis.results.open import open as open_runs

        return open_runs(self.path).pick(run_id=[run_id for run_id, _, _ in self._points()])

    def _wait(self, timeout: float | None, meanwhile: Callable[[], None] = lambda: None) -> None:
        until = None if timeout is None else monotonic() + timeout
        ordered: str | None = None
        while not self.done():
            if (run_id := str(self._record()["run_id"])) != ordered:  # the next point of a sweep has not heard of it
                ordered = run_id
                meanwhile()
            if until is not None and monotonic() > until:
                raise TimeoutError(f"the job of {self.path} is still running after {timeout:g} s")
            sleep(LOOK_EVERY)

    def _record(self) -> dict[str, Any]:
        """Return the record of its last run, with the status as it is."""
        record = dict(self._rows(_RECORD, {"job": self._job})[0])
        return {**record, "status": status(record)}

    def _points(self) -> list[tuple[str, int | None, str]]:
        return [tuple(row) for row in self._rows(_POINTS, {"job": self._job})]

    def _one(self, query: str, values: Any) -> tuple[Any, ...]:
        return tuple(self._rows(query, values)[0])

    def _rows(self, query: str, values: Any) -> list[sqlite3.Row]:
        return _rows(self.path, query, values)


def attach(place: str | Path | None = None) -> AttachedJob:
    """Find the job that writes a run file, or the last one that did.

    Parameters
    ----------
    place : str or Path, optional
        The run file; a folder, for the newest job in it; or the name of a run. Default: the newest job. Names and the
        newest job are looked for in this folder and in ``outputs/``.

    Returns
    -------
    AttachedJob
        ``.progress``, ``.runs``, ``.path``, ``.wait()``, ``.stop()``, ``.done()``.

    Raises
    ------
    UsageError
        There is no such file, or it holds no run that perfkit measured.

    Examples
    --------
    >>> import tempfile
    >>> import perfkit as pk
    >>> with pk.simulate(ttft=0.01, itl=0.001) as server, tempfile.TemporaryDirectory() as folder:
    ...     _ = pk.start(server.url, number=3, max_tokens=4, db=f"{folder}/a.db").wait()
    ...     job = attach(folder)
    ...     job.done(), job.progress.done, job.path.name
    (True, 3, 'a.db')
    """
    if place is None:
        return _newest(_nearby(), "", f"in this folder or in {OUTPUTS}/")
    path = _main_file(Path(place).expanduser())
    if path.is_dir():
        return _newest(_files(path), "", f"in {path}")
    if path.is_file():
        return _chosen(path, _measured(path))
    return _newest(_nearby(), str(place), "")


_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite appends to the name of a database for the files that it keeps beside it."""


def _main_file(path: Path) -> Path:
    """Return the run file that a file lies beside, or the path itself."""
    for end in _BESIDE:
        if path.name.endswith(end) and (main := path.with_name(path.name.removesuffix(end))).is_file():
            return main
    return path


def _nearby() -> list[Path]:
    here = [path for path in Path().iterdir() if path.suffix in SUFFIXES and path.is_file()]
    return [*here, *_files(Path(OUTPUTS))]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file()]


def _newest(paths: list[Path], name: str, where: str) -> AttachedJob:
    """Find the job that began last in some files, among those of a name if there is one.

    Raises
    ------
    UsageError
        There is none.
    """
    found: list[tuple[float, Path, list[sqlite3.Row]]] = []
    for path in paths:
        with contextlib.suppress(UsageError):  # other files lie there, too
            records = [each for each in _measured(path) if name in ("", each["name"], path.stem)]
            found += [(max(each["start_time"] or 0.0 for each in records), path, records)] if records else []
    if not found and name:
        raise UsageError(f"no run file at {name}, and no run of that name in this folder or in {OUTPUTS}/")
    if not found:
        raise UsageError(f"no run that perfkit measured {where}; name a run file")
    _, path, records = max(found, key=lambda each: each[0])
    return _chosen(path, records)


def _chosen(path: Path, records: list[sqlite3.Row]) -> AttachedJob:
    """Return the job under way in a file, or its last one."""
    running = [record for record in records if status(dict(record)) == "running"]
    chosen = (running or records)[0]
    return AttachedJob(path, str(chosen["sweep_id"] or chosen["run_id"]))


def _measured(path: Path) -> list[sqlite3.Row]:
    """Read the records of the runs that perfkit measured, the last first.

    Raises
    ------
    UsageError
        There are none.
    """
    try:
        ours = _rows(path, "PRAGMA application_id")[0][0] == APPLICATION_ID
        measured = "SELECT * FROM run WHERE source = 'perfkit' ORDER BY rowid DESC"
        records = _rows(path, measured) if ours else []
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path} is not a run file: {error}") from None
    if not records:
        raise UsageError(f"{path} holds no run that perfkit measured")
    return records


def _rows(path: Path, query: str, values: Any = ()) -> list[sqlite3.Row]:
    """Read all at once, in place: a reader that lingers would keep the writer from folding its journal."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as file:
        file.row_factory = sqlite3.Row
        return file.execute(query, values).fetchall()


def _planned(record: dict[str, Any]) -> int:
    """Return how many points the job has."""
    return int(as_object(record["plan"]).get("points", 1))
