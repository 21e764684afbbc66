"""People's own numbers: a DataFrame with a row a request, as canonical rows."""

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Final

import pandas as pd

from perfkit.analysis.importers.registry import ImportedRun
from perfkit.analysis.metrics import METRICS, UNITS
from perfkit.errors import UsageError, nearest
from perfkit.records import Json
from perfkit.runfile.schema import RESULT

_COLUMNS: Final = {column.name: column for column in RESULT}
_METRICS: Final = {name: metric.columns[0] for name, metric in METRICS.items() if metric.sql == metric.columns[0]}
"""Metrics that are stored as they are: ``ttft`` is ``first_chunk_latency``."""

_EPOCH: Final = frozenset(name for name in _COLUMNS if name.endswith("_time")) - {
    "dns_time",
    "connect_time",
    "tls_time",
}
"""Points in time, which are Unix seconds whatever the unit of the durations."""


def rows_of(frame: pd.DataFrame, columns: Mapping[str, str], unit: str) -> list[dict[str, Json]]:
    """Return canonical rows.

    Parameters
    ----------
    frame : DataFrame
        One row a request.
    columns : mapping of str to str
        What its columns are: stored columns or metrics. A column that already has such a name needs no mention.
    unit : str
        Of durations; points in time are Unix seconds.

    Raises
    ------
    UsageError
        A column is missing, means nothing to perfkit, or the unit is none of time.

    Examples
    --------
    >>> rows_of(pd.DataFrame({"t_first": [200.0]}), {"t_first": "ttft"}, "ms")
    [{'first_chunk_latency': 0.2, 'success': 1}]
    """
    if unit not in UNITS:
        raise UsageError(f"unit is one of {', '.join(UNITS)}; got {unit!r}")
    missing = [name for name in columns if name not in frame]
    if missing:
        raise UsageError(f"the frame has no column {missing[0]!r}{nearest(missing[0], map(str, frame.columns))}")
    meaning = {**{name: name for name in frame.columns if _canonical(str(name))}, **columns}
    renamed = {own: _known(meant) for own, meant in meaning.items()}
    if not renamed:
        raise UsageError("no column of the frame has a name that perfkit knows; say with columns= what they are")
    return [_row(record, renamed, UNITS[unit]) for record in frame[list(renamed)].to_dict("records")]


def _canonical(name: str) -> str | None:
    return name if name in _COLUMNS else _METRICS.get(name)


def _known(meant: str) -> str:
    canonical = _canonical(meant)
    if canonical is None:
        raise UsageError(f"requests have no column {meant!r}{nearest(meant, [*_METRICS, *_COLUMNS])}")
    return canonical


def _row(record: Mapping[Hashable, Json], names: Mapping[str, str], per_second: float) -> dict[str, Json]:
    row = {names[str(own)]: _value(names[str(own)], value, per_second) for own, value in record.items()}
    measured = [row.get(name) for name in ("latency", "first_chunk_latency", "completed_time")]
    row.setdefault("success", int(row.get("error") is None and any(value is not None for value in measured)))
    start, latency = row.get("start_time"), row.get("latency")
    if start is not None and latency is not None:
        row.setdefault("completed_time", start + latency)
    return row


def _value(name: str, value: Json, per_second: float) -> Json:
    """Return what sqlite stores: plain numbers in seconds, lists as JSON, nothing for what is missing."""
    if isinstance(value, (list, tuple)) or hasattr(value, "tolist"):
        value = value if isinstance(value, (list, tuple)) else value.tolist()
    if isinstance(value, (list, tuple)):
        return json.dumps([each / per_second for each in value] if name == "inter_token_latencies" else list(value))
    if pd.isna(value):
        return None
    if isinstance(value, bool):
        return int(value)
    is_duration = _COLUMNS[name].unit == "s" and name not in _EPOCH
    return value / per_second if is_duration and isinstance(value, (int, float)) else value


def runs_of_frame(
    frame: pd.DataFrame, run: str, columns: Mapping[str, str], unit: str, settings: Mapping[str, Json]
) -> Iterator[ImportedRun]:
    """Yield the runs of a frame: one, or one for each value when ``run`` is one of its columns."""
    parts = frame.groupby(run, sort=False) if run in frame else [(run, frame)]
    for name, part in parts:
        yield ImportedRun({"name": str(name), **settings}, rows_of(part, columns, unit))
