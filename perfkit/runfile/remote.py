"""A run file on another machine: whoever writes it there does so in the driver's name, row by row.

Every call waits for its answer, so that what counts as stored is committed where it will be read, and what a worker
had stored is safe when its machine is gone.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import time, time_ns
from types import NoneType
from typing import Any

from perfkit import errors
from perfkit.errors import PerfkitError, StorageError
from perfkit.runfile.repeats import Repeats
from perfkit.runfile.texts import without_texts
from perfkit.runfile.writer import Row, Value, Writer

Question = tuple[str, list[Any], dict[str, Any]]
"""A method's name, its arguments, and those by name: plain data."""
Answer = tuple[str | None, Any]
"""What went wrong, as the name of an error, and what it said; else None, and what came of it."""

PINGS = 60
PINGING = 0.05
"""Seconds that a comparison of clocks may take: over a long way fewer pings must do."""
COMPARED_EVERY = 0.5
"""Seconds between two comparisons."""


@dataclass
class RemoteStore:
    """Stands for a ``Writer`` in the driver's process.

    Parameters
    ----------
    ask : callable
        Puts a question to ``RemoteStoreServer.answer`` and returns its answer; raises OSError when it is gone.
    path : str
        The run file, as the driver names it.
    texts : bool
        Send prompts, bodies and answers.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = RemoteStore(RemoteStoreServer(folder).answer, "run.db")  # without a connection between them
    ...     store.begin_run({"run_id": "R", "name": "first"})
    ...     store.orders("R")
    ...     store.close()
    (False, 0.0)
    """

    ask: Callable[[Question], Answer]
    path: str
    texts: bool = True
    _ahead: int = 0
    _compared: float = 0.0
    _clocks: list[tuple[float, float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tell("open", self.path)

    def ahead(self) -> int:
        """Measure by how many nanoseconds the clock here is ahead of the driver's.

        The tightest of a few round trips counts, and half of it is the largest error.
        """
        self._ahead = self._compare()
        return self._ahead

    def begin_run(self, run: Mapping[str, Value]) -> None:
        """As ``Writer``."""
        self._tell("begin_run", dict(run))

    def go_on_with_run(self, run: Mapping[str, Value]) -> None:
        """As ``Writer``."""
        self._tell("go_on_with_run", dict(run))

    def has_result(self, run_id: str, seq: int | None) -> bool:
        """As ``Writer``."""
        return bool(self._tell("has_result", run_id, seq))

    def has_ended(self, run_id: str, worker: int, shares: int) -> bool:
        """As ``Writer``."""
        return bool(self._tell("has_ended", run_id, worker, shares))

    def update_run(self, run_id: str, **fields: Value) -> None:
        """As ``Writer``."""
        self._tell("update_run", run_id, **fields)

    def merge_run(self, run_id: str, fields: Row, worker: int = 0, shares: int = 1) -> None:
        """As ``Writer``."""
        self._tell("merge_run", run_id, fields, worker, shares)

    def discard_run(self, run_id: str) -> bool:
        """As ``Writer``."""
        return bool(self._tell("discard_run", run_id))

    def add_results(self, rows: Iterable[Row]) -> None:
        """As ``Writer``."""
        self._tell("add_results", [_plain(row if self.texts else without_texts(row)) for row in rows])

    def add_samples(self, rows: Iterable[tuple[str, int, float, str, float]]) -> None:
        """As ``Writer``, on the driver's clock; how far the clocks are apart is measured and stored as well."""
        moved = [(run_id, worker, moment - self._ahead / 1e9, *rest) for run_id, worker, moment, *rest in rows]
        self._tell("add_samples", moved)
        if moved and time() - self._compared > COMPARED_EVERY:
            self._compare()
        if self._clocks and moved:
            run_id, worker = moved[0][:2]
            self._tell("add_clocks", [(run_id, worker, *clock) for clock in self._clocks])
            self._clocks.clear()

    def cached_repeats(self, run_id: str) -> Repeats | None:
        """As ``Writer``."""
        found: Repeats | None = self._tell("cached_repeats", run_id)
        return found

    def orders(self, run_id: str) -> tuple[bool, float]:
        """As ``Writer``."""
        stop, more = self._tell("orders", run_id)
        return bool(stop), float(more)

    def check_file(self) -> str | None:
        """As ``Writer``."""
        copy: str | None = self._tell("check_file")
        return copy

    def close(self) -> None:
        """As ``Writer``."""
        self._tell("close")

    def _compare(self) -> int:
        until = time() + PINGING
        pings = [self._ping()]
        while len(pings) < PINGS and time() < until:
            pings.append(self._ping())
        bound, offset = min(pings)
        self._compared = time()
        self._clocks.append((self._compared - offset / 1e9, offset / 1e9, bound / 1e9))
        return offset

    def _ping(self) -> tuple[int, int]:
        before = time_ns()
        driver: int = self._tell("now")
        after = time_ns()
        return (after - before + 1) // 2, (before + after) // 2 - driver

    def _tell(self, name: str, *arguments: Any, **named: Any) -> Any:
        try:
            error, said = self.ask((name, list(arguments), named))
        except OSError as broken:
            raise StorageError(
                f"the connection to the driver ended ({broken}); what it had not taken is lost"
            ) from None
        if error is not None:
            kind: type[PerfkitError] = getattr(errors, error)
            raise kind(said)
        return said


_PLAIN = frozenset({str, bytes, int, float, bool, NoneType})


def _plain(row: Row) -> Row:
    """Return a row that holds plain values only: the driver takes no others from another machine.

    Examples
    --------
    >>> from perfkit.secrets import Secret
    >>> _plain({"seq": 1, "request_id": Secret("of a class of its own")})
    {'seq': 1, 'request_id': 'of a class of its own'}
    """
    if all(type(value) in _PLAIN for value in row.values()):
        return row
    return {name: value if type(value) in _PLAIN else _plainly(value) for name, value in row.items()}


def _plainly(value: Any) -> Value:
    kinds: tuple[Any, ...] = (str, bytes, int, float)
    plain: Value = next((kind(value) for kind in kinds if isinstance(value, kind)), str(value))
    return plain


class RemoteStoreServer:
    """Writes the run file for one ``RemoteStore``.

    Parameters
    ----------
    folder : str or Path
        Where a relative path begins.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._writer: Writer | None = None

    def answer(self, question: Question) -> Answer:
        """Do what is asked for."""
        name, arguments, named = question
        try:
            if name == "now":
                return None, time_ns()
            if name == "open":
                self._writer = Writer(self._folder / arguments[0])
                return None, None
            return None, self._do(name, arguments, named)
        except PerfkitError as error:
            return type(error).__name__, str(error)

    def close(self) -> None:
        """Close the file, where the other end could not."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _do(self, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        if name == "close":
            return self.close()
        if name not in _METHODS or self._writer is None:
            raise StorageError(f"a run file knows no {name!r}, or is not open")
        if name in ("begin_run", "go_on_with_run"):
            # This process writes the file: whether it lives says whether the run does.
            arguments = [{**arguments[0], "pid": os.getpid(), "pid_time": None, "start_time": time()}]
        for fields in (named, *(argument for argument in arguments if isinstance(argument, dict))):
            if "heartbeat" in fields:
                fields["heartbeat"] = time()
        return getattr(self._writer, name)(*arguments, **named)


_METHODS = frozenset(
    {"begin_run", "update_run", "merge_run", "add_results", "add_samples", "add_clocks", "cached_repeats"}
    | {"discard_run", "orders", "check_file", "go_on_with_run", "has_result", "has_ended"}
)
