"""A measurement that another process started, found again by its run file."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

from perfkit.errors import NothingSucceeded, UsageError
from perfkit.job import STOP_WAIT, Progress
from perfkit.store.counting import counted
from perfkit.store.process import lives, status
from perfkit.store.schema import APPLICATION_ID
from perfkit.store.writer import order_stop

if TYPE_CHECKING:
    from perfkit.runs import Runs

LOOK_EVERY = 0.1

_JOB = "(run_id = :job OR sweep_id = :job)"
_RECORD = f"SELECT * FROM run WHERE {_JOB} ORDER BY rowid DESC LIMIT 1"
_POINTS = f"SELECT run_id, point, status FROM run WHERE {_JOB} ORDER BY rowid"
_IN_FLIGHT = """
    SELECT total(value) FROM sample WHERE run_id = :run_id AND name = 'in_flight'
    AND time = (SELECT max(time) FROM sample WHERE run_id = :run_id AND name = 'in_flight')"""


class AttachedJob:
    """A job of another process: detached, in another notebook, or on another terminal. Made by ``attach``.

    As with ``Job``: ``progress`` says how far it is, ``runs`` opens what it has stored, ``stop()`` ends it early and
    ``wait()`` returns its runs at the end.
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path = path
        self._job = job
        """The sweep's identity, or the one run's."""

    def __repr__(self) -> str:
        progress = self.progress
        state = "done" if self.done() else "running"
        return (
            f"<AttachedJob {state}: {progress.done} of {progress.expected or '?'} requests, {progress.failed} failed>"
        )

    @property
    def progress(self) -> Progress:
        """How far it is, as of the last commit."""
        record, points = self._record(), self._points()
        stored = counted(self.path, record["run_id"])
        (in_flight,) = self._one(_IN_FLIGHT, {"run_id": record["run_id"]})
        running = record["status"] == "running"
        in_flight = int(in_flight) if running else 0
        return Progress(
            point=len(points) - 1,
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
        self._wait(STOP_WAIT, lambda: order_stop(self.path, str(self._record()["run_id"])))
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
        self._wait(timeout)
        if not self._one(f"SELECT total(succeeded) FROM run WHERE {_JOB}", {"job": self._job})[0]:
            error = self._one(
                f"SELECT max(error) FROM result WHERE run_id IN (SELECT run_id FROM run WHERE {_JOB})",
                {"job": self._job},
            )[0]
            why = self.problem or f"no request succeeded; {error or 'the worker ended before it sent any'}"
            raise NothingSucceeded(why)
        return self.runs

    @property
    def interrupted(self) -> bool:
        """True when it was stopped, or killed, before its end."""
        return self.done() and any(status != "finished" for _, _, status in self._points())

    @property
    def problem(self) -> str | None:
        """Why it was ended before its end, where that was nobody's wish: one sentence."""
        return self._record().get("problem")  # a column that files of an earlier perfkit lack

    @property
    def runs(self) -> "Runs":
        """What has been stored so far; works while it runs, too."""
        from perfkit.runs import open as open_runs

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

    def _points(self) -> list[tuple[str, int, str]]:
        return [tuple(row) for row in self._rows(_POINTS, {"job": self._job})]

    def _one(self, query: str, values: Any) -> tuple[Any, ...]:
        return tuple(self._rows(query, values)[0])

    def _rows(self, query: str, values: Any) -> list[sqlite3.Row]:
        return _rows(self.path, query, values)


def attach(path: str | Path) -> AttachedJob:
    """Find the job that writes a run file, or the last one that did.

    Parameters
    ----------
    path : str or Path
        The run file.

    Returns
    -------
    AttachedJob
        ``.progress``, ``.runs``, ``.wait()``, ``.stop()``, ``.done()``.

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
    ...     job = attach(f"{folder}/a.db")
    ...     job.done(), job.progress.done
    (True, 3)
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UsageError(f"no run file at {path}")
    try:
        ours = _rows(path, "PRAGMA application_id")[0][0] == APPLICATION_ID
        measured = "SELECT * FROM run WHERE source = 'perfkit' ORDER BY rowid DESC"
        records = _rows(path, measured) if ours else []
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path} is no run file: {error}") from None
    if not records:
        raise UsageError(f"{path} holds no run that perfkit measured")
    running = [record for record in records if status(dict(record)) == "running"]
    chosen = (running or records)[0]
    return AttachedJob(path, str(chosen["sweep_id"] or chosen["run_id"]))


def _rows(path: Path, query: str, values: Any = ()) -> list[sqlite3.Row]:
    """Read all at once, in place: a reader that lingers would keep the writer from folding its journal."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)) as file:
        file.row_factory = sqlite3.Row
        return file.execute(query, values).fetchall()


def _planned(record: dict[str, Any]) -> int:
    """Return how many points the job has."""
    return int(json.loads(record["plan"])["points"]) if record["plan"] else 1
