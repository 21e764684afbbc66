"""A run as the analysis sees it: the file it stands in, its record, and which of its rows are looked at."""

import sqlite3
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from perfkit.analysis.metrics.rates import rate_window
from perfkit.analysis.query import server
from perfkit.records import Json
from perfkit.runfile.record import RunRecord
from perfkit.runfile.safe_file import refusal
from perfkit.runfile.schema import RESULT

Batch = list[npt.NDArray[np.generic]]
"""The index of some rows, then their stored columns."""

Part = Literal["load", "steady", "preflight"]
"""Which rows: those of the load (all but preflight), those of its steady state, or the preflight requests."""

_OF_WINDOW = {
    "window_start": "REAL",
    "window_end": "REAL",
    "crossing_chunks": "BLOB",
    "crossing_gaps": "TEXT",
}
OF_SERVER = {
    "running_at_start": "running",
    "waiting_at_start": "waiting",
    "kv_cache_at_start": "kv_cache_use",
}
"""Columns that say what the server had published last when a request was sent, and what that is in ``runs.server``."""
DERIVED = {"t": "REAL", **_OF_WINDOW, **dict.fromkeys(OF_SERVER, "REAL")}
"""Columns that are computed from those stored: the time since the run's start, the window of its rates, the chunks and
gaps of the answers that were under way at its edges, and what the server published."""

TYPES = {column.name: column.type for column in RESULT} | DERIVED
_BATCH = 20_000
_KEPT = 8_000_000
"""Values of columns that are kept of a file, at most: 64 MB of numbers."""


@dataclass(frozen=True, eq=False)
class Source:
    """One opened file: a connection to canonical tables, read only, and where its rows stand in the common index."""

    path: str
    connection: sqlite3.Connection
    base: int = 0
    """What is added to a row's ``rowid`` to make its index."""
    height: int = 0
    """Largest ``rowid``, those of the table ``preflight`` counted on from those of ``result``."""
    lacks: frozenset[str] = frozenset()
    """Columns of ``result`` that the file is too old to have: NULL."""
    preflight_after: int | None = None
    """Largest ``rowid`` of ``result``; None for files that keep preflight requests among the others, as once."""
    annotations: Literal["inside", "beside", "nowhere"] = "nowhere"
    """Where what people write about its runs is kept."""
    waits: tuple[str, ...] = ()
    """What is to be said of answers that wait beside it."""
    loaded: "Loaded" = field(default_factory=lambda: Loaded())
    """Columns that were read before."""

    @property
    def version(self) -> object:
        """What changes when somebody else writes to the file."""
        return self.connection.execute("PRAGMA data_version").fetchone()

    def batches(self, sql: str, parameters: Sequence[Json] = ()) -> Iterator[list[tuple[Json, ...]]]:
        """Yield the rows of a query a batch at a time, so that a million of them never stand in memory as tuples."""
        cursor = self.connection.execute(sql, parameters)
        while rows := self._fetched(cursor):
            yield rows

    def _fetched(self, cursor: sqlite3.Cursor) -> list[tuple[Json, ...]]:
        try:
            return cursor.fetchmany(_BATCH)
        except sqlite3.Error as error:
            raise refusal(self.path, error) from None


class Loaded:
    """Columns of a file that were read before: charts and tables of the same rows ask for the same ones.

    They are forgotten when somebody has written to the file since, and the oldest when there are too many.
    """

    def __init__(self) -> None:
        self._version: object = None
        self._columns: dict[tuple[Hashable, ...], Batch] = {}

    def of(self, version: object) -> "dict[tuple[Hashable, ...], Batch]":
        """Return the columns, each with the index of its rows, that are those of a version of the file."""
        if version != self._version:
            self._version = version
            self._columns.clear()
        return self._columns

    def keep(self, key: tuple[Hashable, ...], column: "Batch") -> None:
        """Keep a column, as the last that was asked for."""
        for array in column:
            array.flags.writeable = False
        self._columns[key] = column
        while sum(len(each[0]) for each in self._columns.values()) > _KEPT:
            del self._columns[next(iter(self._columns))]


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter, compiled: which rows of a run are kept."""

    sql: str
    parameters: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """Start times, Unix seconds, between which a run is steady; None leaves that side open."""

    low: float | None = None
    high: float | None = None
    is_settled: bool = True
    """False where a steady state was looked for and not found."""


@dataclass(frozen=True, eq=False)
class Run:
    """One run as the reader sees it: its record, its label and tags, and which of its rows are looked at."""

    source: Source
    record: RunRecord
    label: str
    tags: Mapping[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    window: Window | None = None
    """None: phases as stored."""
    origin: float = 0.0
    """Unix seconds of the load's first start."""
    renamed: str | None = None
    """What it is called instead of the name that its file has."""

    @property
    def run_id(self) -> str:
        """The run's ULID."""
        return str(self.record["run_id"])

    @property
    def name(self) -> str:
        """What its points and repeats share: the name it was given, that of its file, or its label."""
        return self.renamed or str(self.record.get("name") or self.label)

    @property
    def is_removed(self) -> bool:
        """Whether someone has removed it: it is left out until it is brought back."""
        return self.record.get("removed") == 1

    @property
    def arguments(self) -> Mapping[str, Json]:
        """What the run was asked to do, beside what has a column of its own in the ``run`` table."""
        return self.record.arguments

    @property
    def settings(self) -> dict[str, Json]:
        """What the run was asked to do: its arguments, its columns of the ``run`` table, its label and tags."""
        known = {name: value for name, value in self.record.items() if value is not None}
        settings = {**self.arguments, **known, **({"name": self.renamed} if self.renamed else {})}
        if known.get("load") == "closed":
            settings.pop("rate", None)  # evalscope writes -1 into the arguments of a closed load
        return {**settings, **self.tags, "run": self.label}

    def setting(self, name: str) -> Json:
        """Return a setting or tag; of its power, where no tag tells it, what its server published."""
        given = self.settings.get(name)
        return self.measured_power if name == "power" and given is None else given

    @cached_property
    def measured_power(self) -> float | None:
        """Mean draw of the GPUs over the window of its rates, watts; None where no page told it."""
        found = server.levels(self)
        watts = float("nan") if found is None else found.mean("power", *(at - self.origin for at in self.rate_window))
        return watts if np.isfinite(watts) else None

    def basis(self, metric: str | None) -> str | None:
        """Return what a metric rests on: ``stamps``, ``recomputed``, ``stored:`` and whose; None if a file lacks it."""
        found = self.record.basis.get(str(metric), "stamps")
        return None if found is None else str(found)

    @property
    def is_summary(self) -> bool:
        """Whether it is known by a tool's summary alone, without single requests."""
        return self.record.figures is not None

    @property
    def figures(self) -> Mapping[str, float] | None:
        """What the summary says of it, with the counts of its requests; None where there are requests.

        A filter or another warm-up cannot be applied to a summary: nothing is left of it then, and this is None, too.
        """
        if self.record.figures is None or self.conditions or self.window:
            return None
        counts = {"requests": self.record.get("sent"), "failed": self.record.get("failed")}
        return {**{name: float(n) for name, n in counts.items() if isinstance(n, (int, float))}, **self.record.figures}

    @property
    def phase(self) -> str:
        """The SQL expression of a row's phase."""
        if self.window is None:
            return "coalesce(phase, 'steady')"
        sides = [("<", self.window.low, "warmup"), (">", self.window.high, "cooldown")]
        cases = "".join(f" WHEN start_time {sign} {at!r} THEN '{name}'" for sign, at, name in sides if at is not None)
        return f"CASE WHEN phase = 'preflight' THEN phase{cases} ELSE 'steady' END"

    def expression(self, name: str) -> str:
        """Return the SQL expression of a column of ``requests``."""
        if name in _OF_WINDOW:
            return self._of_window(name)
        if name in OF_SERVER:
            return self._of_server[name]
        # sqlite takes a quoted name that no column has for a text.
        derived = dict.fromkeys(self.source.lacks, "NULL")
        derived |= {"phase": self.phase, "t": f"start_time - {self.origin!r}"}
        return derived.get(name, f'"{name}"')

    @cached_property
    def rate_window(self) -> tuple[float, float]:
        """Start and end, Unix seconds, of the time over which rates are taken; NaN where nothing took time.

        See ``perfkit.analysis.metrics.rates.rate_window``. It is that of the whole run, whichever rows are looked at.
        """
        sql, parameters = replace(self, conditions=()).restriction()
        # What was cut off by a stop was sent while the load was on.
        steady = f"{self.phase} IN ('steady', 'cooldown')" if self.window is None else f"{self.phase} = 'steady'"
        times = ", ".join(map(self.expression, ("start_time", "completed_time")))
        query = f"SELECT {times}, {steady} FROM result WHERE {sql}"
        parts = [as_numbers(rows) for rows in self.source.batches(query, parameters)]
        start, end, is_steady = np.concatenate([np.empty((0, 3)), *parts]).T
        if self.basis("clock") == "whole seconds" and start.size:
            return float(np.nanmin(start)), float(np.nanmax(end))
        load, users, rate = (self.settings.get(name) for name in ("load", "parallel", "rate"))
        return rate_window(
            start,
            end,
            is_steady == 1,
            load=load,
            users=users,
            rate=rate,
            cut=self.window.low if self.window else None,
        )

    def _of_window(self, name: str) -> str:
        low, high = (repr(at) if np.isfinite(at) else "NULL" for at in self.rate_window)
        if name in ("window_start", "window_end"):
            return low if name == "window_start" else high
        stored = {"crossing_chunks": "chunks", "crossing_gaps": "inter_token_latencies"}[name]
        crossed = " OR ".join(f"(start_time < {at} AND completed_time > {at})" for at in (low, high))
        return f"CASE WHEN success AND ({crossed}) THEN {self.expression(stored)} END"

    @cached_property
    def _of_server(self) -> dict[str, str]:
        """The SQL expressions of what the server had published when a request was sent."""
        expressions = dict.fromkeys(OF_SERVER, "NULL")
        for name, quantity in OF_SERVER.items() if server.has_any(self) else ():
            known = server.at_start(self, quantity)
            if known is not None:
                # Of the run, not of this object: filters carry the expression on to others.
                function = f"{name}_{sha256(self.run_id.encode()).hexdigest()[:16]}"
                self.source.connection.create_function(function, 1, known, deterministic=True)
                expressions[name] = f"{function}(start_time)"
        return expressions

    def query(self, columns: Iterable[str], part: Part = "load") -> tuple[str, list[Json]]:
        """Return the SQL that selects the index and columns of the rows that are looked at, in order of start."""
        wanted = ", ".join(["rowid", *map(self.expression, columns)])
        sql, parameters = self.restriction(part)
        return f"SELECT {wanted} FROM {self.table(part)} WHERE {sql} ORDER BY run_id, start_time", parameters

    def table(self, part: Part = "load") -> str:
        """Return what rows are selected from in SQL."""
        after = self.source.preflight_after
        if part != "preflight" or after is None:
            return "result"
        names = ", ".join(f'"{name}"' for name in TYPES if name not in self.source.lacks)
        # Both: a file of an earlier perfkit may have gained runs since.
        return f"(SELECT rowid, {names} FROM result UNION ALL SELECT rowid + {after}, {names} FROM preflight)"

    def restriction(self, part: Part = "load") -> tuple[str, list[Json]]:
        """Return the SQL condition, with its parameters, of the rows that are looked at."""
        phase = {"load": "<> 'preflight'", "steady": "= 'steady'", "preflight": "= 'preflight'"}[part]
        conditions = (Condition("run_id = ?", (self.run_id,)), Condition(f"({self.phase}) {phase}"), *self.conditions)
        sql = " AND ".join(f"({condition.sql})" for condition in conditions)
        return sql, [value for condition in conditions for value in condition.parameters]


def as_numbers(values: Sequence[Any]) -> npt.NDArray[np.float64]:
    """Return values, or rows of them, as numbers; NaN for None and for what another program put in a number's place.

    Examples
    --------
    >>> as_numbers([1, None, "x"])
    array([ 1., nan, nan])
    >>> as_numbers([(1, 2), (3, b"x")])
    array([[ 1.,  2.],
           [ 3., nan]])
    """
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError):  # sqlite keeps no text out of a column of numbers
        known = np.array(values, dtype=object)
        found = [value if isinstance(value, (int, float)) else np.nan for value in known.flat]
        return np.array(found, dtype=float).reshape(known.shape)
