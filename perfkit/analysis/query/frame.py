"""DataFrames from run files: one row a request, a chunk or a run; only the columns that are asked for.

A number that is missing is NaN, a text that is missing is NA (``isna()``). Whole numbers are ``int64``, or ``float64``
where one is missing; ``success`` is ``bool``. Times are Unix seconds, durations seconds, as ``store.schema`` says.
"""

import sqlite3
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from perfkit.analysis.metrics.rates import rate_window
from perfkit.analysis.query import server
from perfkit.errors import CorruptPickle
from perfkit.records import Json, Kind
from perfkit.runfile.chunks import NO_LAG, unpack
from perfkit.runfile.record import RunRecord
from perfkit.runfile.safe_file import refusal
from perfkit.runfile.schema import RESULT, RUN

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
_LONG = frozenset(column.name for column in RESULT if column.wide) | {"crossing_chunks", "crossing_gaps"}
"""Columns that are read anew each time: texts and blobs."""
_KINDS = np.array([kind.name.lower() for kind in Kind], dtype=object)


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
        parts = [np.array(rows, dtype=float) for rows in self.source.batches(query, parameters)]
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


def requests(runs: Sequence[Run], columns: Sequence[str], part: Part = "load") -> pd.DataFrame:
    """Load columns of requests, one row each."""
    stored = [name for name in dict.fromkeys(columns) if is_stored(name)]
    read = [_columns(run, stored, part) for run in runs]
    # A run without rows has no say in the types of columns.
    return _assembled(runs, [[batch] if len(batch[0]) else [] for batch in read], columns)


def request_batches(runs: Sequence[Run], columns: Sequence[str], part: Part = "load") -> Iterator[pd.DataFrame]:
    """Yield what ``requests`` returns a batch of rows at a time."""
    stored = [name for name in dict.fromkeys(columns) if is_stored(name)]
    for run in runs:
        for batch in _batches(run, stored, part):
            yield _assembled([run], [[batch]], columns)


Batch = list[npt.NDArray[np.generic]]
"""The index of some rows, then their stored columns."""


def _assembled(runs: Sequence[Run], loaded: Sequence[Sequence[Batch]], columns: Sequence[str]) -> pd.DataFrame:
    """Return the batches of each run as one frame, with the runs' settings beside them."""
    stored = [name for name in dict.fromkeys(columns) if is_stored(name)]
    counts = [sum(len(batch[0]) for batch in batches) for batches in loaded]
    flat = [batch for batches in loaded for batch in batches]
    index = np.concatenate([batch[0] for batch in flat]) if flat else np.empty(0, dtype=np.int64)
    data: dict[str, npt.NDArray[np.generic]] = {}
    for at, name in enumerate(stored, 1):
        data[name] = np.concatenate([batch[at] for batch in flat]) if flat else empty(name)
    for name in set(columns) - set(stored):
        data[name] = np.repeat(_uniform([run.setting(name) for run in runs]), counts)
    return pd.DataFrame({name: pd.Series(data[name], index=index) for name in dict.fromkeys(columns)}, index=index)


def with_summaries(frame: pd.DataFrame, runs: Sequence[Run]) -> pd.DataFrame:
    """Return a frame of requests with one more row for each run that is known by a summary: its settings and figures.

    Their column ``figures`` holds what the summary says, and nothing for a request. Without such runs there is none.
    """
    told = [run for run in runs if run.figures is not None]
    if not told:
        return frame
    index = np.concatenate([frame.index.to_numpy(), -1 - np.arange(len(told))])
    data: dict[str, npt.NDArray[np.generic]] = {}
    for name in frame.columns:
        there, own = frame[name].to_numpy(), _uniform([_of_summary(run, name) for run in told])
        if own.dtype == object and there.dtype != object:
            own = typed_as(there, own)
        data[name] = np.concatenate([there, own]) if len(there) else own
    data["figures"] = np.empty(len(index), dtype=object)
    data["figures"][len(frame) :] = [run.figures for run in told]  # type: ignore[assignment]
    return pd.DataFrame({name: pd.Series(values, index=index) for name, values in data.items()}, index=index)


def _of_summary(run: Run, name: str) -> Json:
    """Return what stands in a column of requests for a run without any."""
    return {"phase": "steady", "success": True}.get(name, None if is_stored(name) else run.settings.get(name))


def typed_as(like: npt.NDArray[np.generic], values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return values that are known or None as numbers, where those beside them are."""
    if like.dtype == bool:
        return np.array([value is True for value in values])
    if np.issubdtype(like.dtype, np.number) and all(
        value is None or isinstance(value, (int, float)) for value in values
    ):
        return np.array(values, dtype=float)
    return values


def is_stored(name: str) -> bool:
    """Tell whether a column has a value of its own for each request, rather than one for the whole run.

    Examples
    --------
    >>> is_stored("latency"), is_stored("t"), is_stored("model")
    (True, True, False)
    """
    return name in TYPES and name != "run_id"


def _uniform(values: list[Json]) -> npt.NDArray[np.generic]:
    """Return one setting of several runs as an array: of numbers where all are, else of objects."""
    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {int, float}:
        return np.array(values, dtype=np.int64 if kinds == {int} and None not in values else float)
    array = np.empty(len(values), dtype=object)
    array[:] = [value if value is None or isinstance(value, (bool, str)) else str(value) for value in values]
    return array


def _columns(run: Run, names: list[str], part: Part) -> Batch:
    """Return the index and the columns of a run's rows; those read before are not read again."""
    sql, parameters = run.restriction(part)
    loaded = run.source.loaded.of(run.source.version)
    keys = {name: (part, sql, *parameters, run.expression(name)) for name in names if name not in _LONG}
    known = {name: loaded[key] for name, key in keys.items() if key in loaded}
    missing = [name for name in names if name not in known]
    if missing or not names:
        index, *read = _read(run, missing, part)
        known |= {name: [index, column] for name, column in zip(missing, read, strict=True)}
    else:
        index = known[names[0]][0]
    if not all(other is index or np.array_equal(other, index) for other, _ in known.values()):
        return _read(run, names, part)  # rows that began at one time came in another order
    for name, key in keys.items():
        loaded.pop(key, None)
        run.source.loaded.keep(key, [index, known[name][1]])
    return [index, *(known[name][1] for name in names)]


def _read(run: Run, columns: list[str], part: Part) -> Batch:
    """Return the index and the columns of a run's rows."""
    batches = list(_batches(run, columns, part))
    if not batches:
        return [np.empty(0, dtype=np.int64), *map(empty, columns)]
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _batches(run: Run, columns: list[str], part: Part) -> Iterator[Batch]:
    """Yield the index and the columns of a run's rows as arrays, a batch at a time."""
    sql, parameters = run.query(columns, part)
    for rows in run.source.batches(sql, parameters):
        index, *values = zip(*rows, strict=True)
        yield [
            np.array(index, dtype=np.int64) + run.source.base,
            *(typed(name, column) for name, column in zip(columns, values, strict=True)),
        ]


def typed(name: str, values: Sequence[Json]) -> npt.NDArray[np.generic]:
    """Return the values of one stored column as an array of its documented type."""
    kind = TYPES[name]
    if kind in ("TEXT", "BLOB"):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if name == "success":
        return np.array([value == 1 for value in values])
    try:
        return np.array(values, dtype=np.int64 if kind == "INTEGER" else float)
    except (TypeError, ValueError, OverflowError):
        # None, or what another program put into a column of numbers: sqlite does not keep it out.
        return np.array([value if isinstance(value, (int, float)) else np.nan for value in values], dtype=float)


def empty(name: str) -> npt.NDArray[np.generic]:
    """Return no values of a column's type."""
    if name == "success":
        return np.empty(0, dtype=bool)
    kind = TYPES.get(name, "REAL")
    return np.empty(0, dtype=object if kind in ("TEXT", "BLOB") else float)


def chunks(runs: Sequence[Run], part: Part = "load") -> pd.DataFrame:
    """Load the chunks of all answers, one row each."""
    parts = [_unpacked(run, part) for run in runs]
    frames = [frame for frame in parts if len(frame)]
    if not frames:
        return parts[0] if parts else _chunk_frame([], [], [], "")
    return pd.concat(frames, ignore_index=True)


def _unpacked(run: Run, part: Part) -> pd.DataFrame:
    index, seqs, blobs = [], [], []
    sql, parameters = run.query(["seq", "chunks"], part)
    for rows in run.source.batches(sql, parameters):
        for rowid, seq, blob in rows:
            if isinstance(blob, bytes):
                index.append(rowid + run.source.base)
                seqs.append(seq)
                blobs.append(blob)
    return _chunk_frame(index, seqs, blobs, run.label)


def _chunk_frame(index: list[int], seqs: list[int | None], blobs: list[bytes], label: str) -> pd.DataFrame:
    unpacked = [chunk_arrays(blob) for blob in blobs]
    lengths = [len(columns[0]) for columns in unpacked]
    columns = [np.concatenate(column) for column in zip(*unpacked, strict=True)] or [np.empty(0, int)] * 6
    arrival, lag, read, kind, choice, message = columns
    frame = pd.DataFrame({"request": np.repeat(np.array(index, dtype=np.int64), lengths), "run": label})
    frame["seq"] = np.repeat(np.array(seqs, dtype=float), lengths)
    frame["chunk"] = frame.groupby("request").cumcount()
    frame["arrival"] = arrival / 1e9
    frame["gap"] = frame.groupby("request")["arrival"].diff()
    frame["stamp_lag"] = np.where(lag == NO_LAG, np.nan, lag / 1e6)
    frame["read"] = read
    frame["kind"] = _KINDS[np.minimum(kind, Kind.OTHER)]
    frame["choice"] = choice
    frame["message"] = message
    frame["censored"] = frame.duplicated(["request", "read"], keep="last")
    return frame


def chunk_arrays(blob: bytes) -> list[npt.NDArray[np.int64]]:
    """Return the six columns of a ``chunks`` blob; no chunks where another program left something unreadable."""
    try:
        unpacked = unpack(blob)
    except CorruptPickle:
        return [np.empty(0, dtype=np.int64)] * 6
    names = ("arrival", "lag", "read", "kind", "choice", "message")
    return [np.asarray(getattr(unpacked, name)).astype(np.int64) for name in names]


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row a run: its label (index), the columns of the ``run`` table, its path, and its tags."""
    names = [column.name for column in RUN if column.name not in ("tags", "removed", "figures", "cancelled")]
    names[names.index("failed") + 1 : 0] = ["cancelled", "cut_off"]
    records = [{**run.record, "cut_off": _cut_off(run.record)} for run in runs]
    rows = [
        {**{name: record.get(name) for name in names}, "path": run.source.path, **run.tags}
        for run, record in zip(runs, records, strict=True)
    ]
    index = pd.Index([run.label for run in runs], name="run", dtype=object)
    return pd.DataFrame(rows, index=index, columns=None if rows else [*names, "path"])


def _cut_off(record: Mapping[str, Json]) -> int | None:
    match [record.get(name) for name in ("sent", "succeeded", "failed")]:
        case [int(sent), int(succeeded), int(failed)]:
            return max(0, sent - succeeded - failed - (record.get("cancelled") or 0))
    return None
