"""Any quantity by its name: a stored column, a metric, a setting of the run or a tag; in frames and in filters."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import NoReturn

import pandas as pd

from perfkit.analysis.metrics import METRICS, tags_read
from perfkit.analysis.query.frame import is_stored, request_batches, requests
from perfkit.analysis.query.run import Condition, Part, Run
from perfkit.analysis.query.where import Filter, compile_filter, names_in
from perfkit.analysis.stats.distribution import percentile
from perfkit.analysis.text_table import listed, plain
from perfkit.errors import UsageError, nearest
from perfkit.records import Json
from perfkit.runfile.schema import NARROW, RESULT, RESULT_NAMES, RUN

_LONGEST_SETTING = 80
"""Characters of a setting that ``requests`` repeats: a prompt given as an argument is not worth a column."""

_NAMES = frozenset({"name", "db", "url", "note"})
"""Arguments that only say where a run was and is."""

SETTINGS = ("model", "api", "load", "parallel", "rate", "dataset", "source")
"""Settings of a run that ``requests`` repeats on each of its rows."""

_RECORDED = tuple(column.name for column in RUN)

_NUMBERS = frozenset(column.name for column in RESULT if column.type in ("REAL", "INTEGER"))

_BEFORE = """
    seq phase session_id turn worker scheduled_time start_time t dataset_row prompt_hash prompt_text request
    request_id prompt_tokens is_stream request_model request_class request_headers request_target
    server_running server_waiting server_kv_cache
"""
KNOWN_BEFORE = frozenset(_BEFORE.split())
"""Columns that a request has before its answer: a filter on any other is a filter on outcomes."""


def load(runs: Sequence[Run], names: Iterable[str], part: Part = "load") -> pd.DataFrame:
    """Load named quantities of requests, reading only the columns that they need."""
    names = list(dict.fromkeys(names))
    return _computed(requests(runs, needed(runs, names), part), names)


def batches(runs: Sequence[Run], names: Iterable[str], part: Part = "load") -> Iterator[pd.DataFrame]:
    """Yield what ``load`` returns a batch of rows at a time."""
    names = list(dict.fromkeys(names))
    for frame in request_batches(runs, needed(runs, names), part):
        yield _computed(frame, names)


def _computed(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    computed = {name: METRICS[name].compute(frame) for name in names if name in METRICS}
    return pd.DataFrame({name: computed.get(name, frame.get(name)) for name in names}, index=frame.index)


def needed(runs: Sequence[Run], names: Iterable[str]) -> list[str]:
    """Return the stored columns and settings behind names."""
    columns: dict[str, None] = {}
    for name in names:
        check(runs, name)
        columns |= dict.fromkeys(METRICS[name].columns if name in METRICS else [name])
    return list(columns)


def check(runs: Sequence[Run], name: str) -> None:
    """Refuse a name that is not a column of requests."""
    if name in METRICS and METRICS[name].pooled:
        own = ", ".join(other for other in METRICS if other.startswith(f"{name}_"))
        raise UsageError(f"{name} has several values a request; take one of its own, such as {own}")
    if name not in METRICS and not is_stored(name) and name not in tags_read() and name not in _of_run(runs):
        similar = nearest(name, known(runs))
        listed = "" if "?" in similar else "; runs.requests.columns and docs/run-file.md list all"
        raise UsageError(f"requests have no column {name!r}{similar}{listed}")


def check_group(runs: Sequence[Run], name: str) -> None:
    """Refuse to group by what is not a column of requests, or by a tag that rates read and no run has."""
    check(runs, name)
    if name in tags_read():
        check_setting(runs, name)


def check_setting(runs: Sequence[Run], name: str) -> None:
    """Refuse a name that is not a setting or tag of any run."""
    if name not in _of_run(runs):
        raise UsageError(f"runs have no setting or tag {name!r}{nearest(name, _of_run(runs))}")


def known(runs: Sequence[Run]) -> list[str]:
    """Return every name that ``load`` accepts for these runs."""
    own = [name for name, metric in METRICS.items() if not metric.pooled]
    return list(dict.fromkeys([*RESULT_NAMES, "t", *own, *_of_run(runs)]))


def _of_run(runs: Sequence[Run]) -> dict[str, None]:
    """Return the names that have one value a run: columns of its record, its arguments, its tags."""
    return dict.fromkeys(["run", *_RECORDED, *(name for run in runs for name in run.settings)])


def everything(runs: Sequence[Run]) -> list[str]:
    """Return the columns of ``Runs.requests``: bodies are left out, metrics, settings and tags are in."""
    first = ["run", "run_id", "seq", "phase", "t"]
    metrics = [name for name, metric in METRICS.items() if not metric.pooled]
    settings = [name for name in SETTINGS if any(run.settings.get(name) is not None for run in runs)]
    asked = [name for run in runs for name, value in run.arguments.items() if _is_short(value) and name not in _NAMES]
    tags = [name for run in runs for name in run.tags]
    return list(dict.fromkeys([*first, *NARROW, "inter_token_latencies", *metrics, *settings, *asked, *tags]))


def _is_short(value: Json) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= _LONGEST_SETTING)


def load_name(users: object, rate: object) -> str | None:
    """Return what a load is called; None where it is unknown.

    Examples
    --------
    >>> load_name(1, None), load_name(None, 2.5), load_name(float("nan"), None)
    ('1 user', '2.5 requests/s', None)
    """
    if isinstance(users, Real) and users == users:
        return f"{users:g} user{'s' * (users != 1)}"
    return f"{rate:g} requests/s" if isinstance(rate, Real) and rate == rate else None


def pooled_loads(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    """Say which loads stand in one group of runs."""
    groups: dict[tuple[str, ...], dict[str, None]] = {}
    for run in runs:
        load = load_name(run.settings.get("parallel"), run.settings.get("rate")) or "unknown"
        groups.setdefault(tuple(str(run.settings.get(name)) for name in by), {})[load] = None
    return [
        f"pooled in {', '.join(group)}: {', '.join(loads)}; add parallel or rate to `by` to part them"
        for group, loads in groups.items()
        if len(loads) > 1
    ]


def stored_bases(runs: Sequence[Run], metrics: Iterable[str]) -> list[str]:
    """Note which metrics are stored under another tool's definition."""
    by_basis: dict[str, list[str]] = {}
    for name in metrics:
        found = {run.basis(name) for run in runs}
        if len(found) == 1 and str(of := found.pop()).startswith("stored:"):
            by_basis.setdefault(str(of), []).append(name)
    return [
        f"{', '.join(names)}: {of}, as {of.removeprefix('stored:')} counted and stored it (see `perfkit lens`)"
        for of, names in by_basis.items()
    ]


def needs_requests(what: str, summarized: Sequence[str]) -> str:
    """Say that something cannot be done with runs that are known by a summary alone, and what can.

    Examples
    --------
    >>> needs_requests("lens", ["a"])[:72]
    'lens needs single requests, and a has none: it is known by a summary, wh'
    """
    have, known = ("has", "it is") if len(summarized) == 1 else ("have", "they are")
    named = listed([plain(label) for label in summarized])
    return (
        f"{what} needs single requests, and {named} {have} none: {known} known by a summary, "
        "which the table, compare and the charts sweep, tradeoff, pareto and trend take"
    )


def unread_tags(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    """Say which tags that rates read are no numbers, or differ within a group, so that there is no rate."""
    said = []
    for tag in tags_read():
        given = {run: run.settings.get(tag) for run in runs}
        wrong = {str(value): run.label for run, value in given.items() if value is not None and not _is_amount(value)}
        said += [f"{tag} of {run} is {value!r}, not a number above 0: no rate by it" for value, run in wrong.items()]
        groups: dict[tuple[str, ...], dict[str, None]] = {}
        for run, value in given.items():
            groups.setdefault(tuple(str(run.settings.get(name)) for name in by), {})[str(value)] = None
        apart = [(group, found) for group, found in groups.items() if len(found) > 1]
        said += [f"{tag} differs within {', '.join(group)} ({', '.join(f)}): no rate by it" for group, f in apart]
    return said


def _is_amount(value: Json) -> bool:
    try:
        return 0 < float(value) < float("inf")
    except (TypeError, ValueError):
        return False


def coarse_windows(runs: Sequence[Run]) -> list[str]:
    """Say of runs whose tool dates requests to the whole second what their rates rest on."""
    return [
        f"{run.label}: {run.record.get('source')} dates requests to the whole second, "
        + (
            "so rates are taken over the total time in its summary.json"
            if run.basis("window") == "summary.json"
            else "so rates are off by up to a second of the run; its summary.json is missing from the folder"
        )
        for run in runs
        if run.basis("clock") == "whole seconds"
    ]


def mixed_bases(runs: Sequence[Run], metrics: Iterable[str]) -> list[str]:
    """Say of each metric whose numbers rest on different things what they rest on."""
    sentences = []
    for name in metrics:
        by_basis: dict[str, list[str]] = {}
        for run in runs:
            if of := run.basis(name):
                by_basis.setdefault(of, []).append(run.label)
        if len(by_basis) > 1:
            parts = (f"{of} ({', '.join(labels)})" for of, labels in by_basis.items())
            sentences.append(f"{name} is not measured the same way: {', '.join(parts)}")
    return sentences


def of_runs(runs: Sequence[Run], names: Iterable[str]) -> bool:
    """Tell whether all names are the same for every request of a run, so that groups by them hold whole runs."""
    return not any(is_stored(name) or name in METRICS for name in names)


def filtered(runs: Sequence[Run], expression: str) -> tuple[tuple[Run, ...], bool]:
    """Return the runs with a filter added, and whether it looks at outcomes."""
    computed = any(name in METRICS and METRICS[name].sql is None for name in names_in(expression))
    keep = _by_values if computed else _by_sql
    kept = [keep(runs, run, expression) for run in runs]
    used = kept[0][1].names if kept else compile_filter(expression, _Columns(runs, None)).names
    return tuple(run for run, _ in kept), any(_is_outcome(name) for name in used)


@dataclass(frozen=True)
class _Columns:
    """What the names of a filter stand for in the file of a run."""

    runs: Sequence[Run]
    run: Run | None
    places: Mapping[str, str] | None = None
    """The columns of a table that holds the values, where they are not in the file."""
    table: sqlite3.Connection | None = None

    @cached_property
    def known(self) -> frozenset[str]:
        return frozenset(known(self.runs))

    def sql(self, name: str) -> str | None:
        if name not in self.known:
            return None
        if self.places is not None:
            return self.places[name]
        return _expression(self.run, name) if self.run else "NULL"

    def refuse(self, name: str) -> NoReturn:
        check(self.runs, name)
        raise UsageError(f"requests have no column {name!r}")

    def is_number(self, name: str) -> bool:
        return name in METRICS or name in _NUMBERS

    def percentile(self, sql: str, parameters: Sequence[Json], percent: float) -> float | None:
        if self.table is not None:
            rows = self.table.execute(f"SELECT {sql} FROM request WHERE {_STEADY}", parameters).fetchall()
        elif self.run is not None:
            looked_at, more = self.run.restriction("steady")
            query = f"SELECT {sql} FROM result WHERE {looked_at} AND success = 1"
            rows = [row for batch in self.run.source.batches(query, [*parameters, *more]) for row in batch]
        else:
            rows = []
        found = percentile([value for (value,) in rows if isinstance(value, int | float)], percent)
        return None if found != found else found


_STEADY = "phase = 'steady' AND success"


def _is_outcome(name: str) -> bool:
    return (is_stored(name) or name in METRICS) and name not in KNOWN_BEFORE


def _by_sql(runs: Sequence[Run], run: Run, expression: str) -> tuple[Run, Filter]:
    found = compile_filter(expression, _Columns(runs, run))
    return replace(run, conditions=(*run.conditions, Condition(found.sql, found.parameters))), found


def _by_values(runs: Sequence[Run], run: Run, expression: str) -> tuple[Run, Filter]:
    """Filter on metrics that have no SQL: compute them into a table, and keep the rows by number."""
    names = sorted(names_in(expression) & set(known(runs)))
    places = {name: f"c{at}" for at, name in enumerate(names)}
    frame = load([run], [*names, "phase", "success"])
    cells = frame.astype(object).where(frame.notna(), None)
    with closing(sqlite3.connect(":memory:")) as table:
        table.execute(f"CREATE TABLE request ({', '.join(['number', *places.values(), 'phase', 'success'])})")
        columns = [frame.index.tolist(), *(cells[name].tolist() for name in (*names, "phase", "success"))]
        table.executemany(f"INSERT INTO request VALUES ({', '.join('?' * len(columns))})", zip(*columns, strict=True))
        found = compile_filter(expression, _Columns(runs, run, places, table))
        kept = [row[0] for row in table.execute(f"SELECT number FROM request WHERE {found.sql}", found.parameters)]
    return chosen([run], pd.Index(kept, dtype="int64"))[0], found


def _expression(run: Run, name: str) -> str:
    if name in METRICS:
        return "NULL" if run.source.lacks.intersection(METRICS[name].columns) else str(METRICS[name].sql)
    return run.expression(name) if is_stored(name) else _literal(run.settings.get(name))


def _literal(value: object) -> str:
    """Return a setting as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, (bool, int)):
        return str(int(value))
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else "NULL"
    quoted = str(value).replace("'", "''").replace("\0", "")
    return f"'{quoted}'"


def chosen(runs: Sequence[Run], index: pd.Index) -> tuple[Run, ...]:
    """Return the runs with only the rows of an index kept."""
    return tuple(replace(run, conditions=(*run.conditions, _rows(run, index))) for run in runs)


def _rows(run: Run, index: pd.Index) -> Condition:
    rowids = index.to_numpy() - run.source.base
    own = rowids[(rowids > 0) & (rowids <= run.source.height)]
    return Condition("rowid IN (SELECT value FROM json_each(?))", (json.dumps(own.tolist()),))
