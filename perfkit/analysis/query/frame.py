"""DataFrames from run files: one row a request, a chunk or a run; only the columns that are asked for.

A number that is missing is NaN, a text that is missing is NA (``isna()``). Whole numbers are ``int64``, or ``float64``
where one is missing; ``success`` is ``bool``. Times are Unix seconds, durations seconds, as ``store.schema`` says.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from perfkit.analysis.query.run import TYPES, Batch, Part, Run, as_numbers
from perfkit.errors import CorruptPickle
from perfkit.records import Json, Kind
from perfkit.runfile.chunks import NO_LAG, unpack
from perfkit.runfile.schema import RESULT, RUN

_LONG = frozenset(column.name for column in RESULT if column.wide) | {"crossing_chunks", "crossing_gaps"}
"""Columns that are read anew each time: texts and blobs."""
_KINDS = np.array([kind.name.lower() for kind in Kind], dtype=object)


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
    if kind == "INTEGER":
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return np.array(values, dtype=np.int64)
    return as_numbers(values)


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
    frame["seq"] = np.repeat(as_numbers(seqs), lengths)
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
