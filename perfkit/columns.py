"""Any quantity by its name: a stored column, a metric, a setting of the run or a tag; in frames and in filters."""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import pandas as pd

from perfkit.errors import UnsafePickle, UsageError, nearest
from perfkit.frame import Condition, Part, Run, is_stored, request_batches, requests
from perfkit.metrics import METRICS
from perfkit.records import Json
from perfkit.safe_pickle import decode_cell
from perfkit.store.schema import NARROW, RESULT, RESULT_NAMES, RUN
from perfkit.where import Condition as Expression
from perfkit.where import Constant, Name, Value, compared, evaluate, names_in, parse, to_sql

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
    request_id prompt_tokens is_stream
"""
KNOWN_BEFORE = frozenset(_BEFORE.split())
"""Columns that a request has before its answer: a filter on any other is a filter on outcomes."""


def load(runs: Sequence[Run], names: Iterable[str], part: Part = "load") -> pd.DataFrame:
    """Load named quantities of requests, reading only the columns that they need.

    Parameters
    ----------
    runs : sequence of Run
        Whose requests.
    names : iterable of str
        Stored columns, metrics that have one value a request, settings of the runs, tags.
    part : {"load", "steady", "preflight"}
        Which rows.

    Returns
    -------
    DataFrame
        The quantities in the order given, one row a request.

    Raises
    ------
    UsageError
        A name that nothing has; the nearest is suggested.
    """
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
    """Return the stored columns and settings behind names.

    Raises
    ------
    UsageError
        A name that nothing has, or a metric with several values a request.
    """
    columns: dict[str, None] = {}
    for name in names:
        check(runs, name)
        columns |= dict.fromkeys(METRICS[name].columns if name in METRICS else [name])
    return list(columns)


def check(runs: Sequence[Run], name: str) -> None:
    """Refuse a name that is no column of requests.

    Raises
    ------
    UsageError
        Nothing has that name, or it has several values a request.
    """
    if name in METRICS and METRICS[name].pooled:
        own = ", ".join(other for other in METRICS if other.startswith(f"{name}_"))
        raise UsageError(f"{name} has several values a request; take one of its own, such as {own}")
    if name not in METRICS and not is_stored(name) and name not in _of_run(runs):
        similar = nearest(name, known(runs))
        listed = "" if "?" in similar else "; runs.requests.columns and docs/run-file.md list all"
        raise UsageError(f"requests have no column {name!r}{similar}{listed}")


def check_setting(runs: Sequence[Run], name: str) -> None:
    """Refuse a name that is no setting or tag of any run.

    Raises
    ------
    UsageError
        No run has it; the nearest is suggested.
    """
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


def basis(run: Run, metric: str | None) -> str | None:
    """Return what a metric rests on: ``stamps``, ``recomputed``, or ``stored:`` and whose; None if a file lacks it."""
    try:
        bases = decode_cell(run.record.get("basis"), "basis")
    except UnsafePickle:
        bases = None
    found = bases.get(metric, "stamps") if isinstance(bases, dict) else "stamps"
    return None if found is None else str(found)


def stored_bases(runs: Sequence[Run], metrics: Iterable[str]) -> list[str]:
    """Say of metrics that other tools stored under definitions of their own whose they are."""
    by_basis: dict[str, list[str]] = {}
    for name in metrics:
        found = {basis(run, name) for run in runs}
        if len(found) == 1 and str(of := found.pop()).startswith("stored:"):
            by_basis.setdefault(str(of), []).append(name)
    return [
        f"{', '.join(names)}: {of}, as {of.removeprefix('stored:')} counted and stored it (see `perfkit lens`)"
        for of, names in by_basis.items()
    ]


def mixed_bases(runs: Sequence[Run], metrics: Iterable[str]) -> list[str]:
    """Say of each metric whose numbers rest on different things what they rest on."""
    sentences = []
    for name in metrics:
        by_basis: dict[str, list[str]] = {}
        for run in runs:
            if of := basis(run, name):
                by_basis.setdefault(of, []).append(run.label)
        if len(by_basis) > 1:
            parts = (f"{of} ({', '.join(labels)})" for of, labels in by_basis.items())
            sentences.append(f"{name} is not measured the same way: {', '.join(parts)}")
    return sentences


def of_runs(runs: Sequence[Run], names: Iterable[str]) -> bool:
    """Tell whether all names are the same for every request of a run, so that groups by them hold whole runs."""
    return not any(is_stored(name) or name in METRICS for name in names)


def filtered(runs: Sequence[Run], expression: str) -> tuple[tuple[Run, ...], bool]:
    """Return the runs with a filter added, and whether it looks at outcomes.

    Raises
    ------
    UsageError
        The expression is not in the language of ``perfkit.where``, or names what nothing has.
    """
    tree = parse(expression)
    used = names_in(tree)
    _refuse_bare_texts(tree, set(known(runs)))
    for name in sorted(used):
        check(runs, name)
    slow = [name for name in used if name in METRICS and METRICS[name].sql is None]
    for values in compared(tree):
        _refuse_texts(values)
    kept = _by_values(runs, tree, sorted(used)) if slow else tuple(_by_sql(run, tree, used) for run in runs)
    return kept, any(_is_outcome(name) for name in used)


def _refuse_bare_texts(tree: Expression, known: Collection[str]) -> None:
    """Raise where what is compared with a column is no column: most likely a text without its quotes."""
    for values in compared(tree):
        names = [part.name for part in values if isinstance(part, Name)]
        bare = [name for name in names if name not in known and name.lower() not in known]
        if bare and len(bare) < len(names):
            column = next(name for name in names if name not in bare)
            raise UsageError(f"where: nothing is called {bare[0]!r}; a text wants quotes: {column} = '{bare[0]}'")


def _refuse_texts(values: Iterable[Value]) -> None:
    """Raise where a number is compared with a text that is none: sqlite would call every text greater."""
    parts = list(values)
    numbers = [part.name for part in parts if isinstance(part, Name) and _is_number(part.name)]
    texts = [part.value for part in parts if isinstance(part, Constant) and isinstance(part.value, str)]
    for text in texts if numbers else ():
        try:
            float(text)
        except ValueError:
            raise UsageError(
                f"where: {numbers[0]} is a number and {text!r} a text; write numbers without quotes, such as 100ms"
            ) from None


def _is_number(name: str) -> bool:
    return name in METRICS or name in _NUMBERS


def _is_outcome(name: str) -> bool:
    return (is_stored(name) or name in METRICS) and name not in KNOWN_BEFORE


def _by_sql(run: Run, tree: Expression, used: Iterable[str]) -> Run:
    sql, parameters = to_sql(tree, {name: _expression(run, name) for name in used})
    return replace(run, conditions=(*run.conditions, Condition(sql, tuple(parameters))))


def _expression(run: Run, name: str) -> str:
    if name in METRICS:
        return str(METRICS[name].sql)
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


def _by_values(runs: Sequence[Run], tree: Expression, used: list[str]) -> tuple[Run, ...]:
    """Filter on metrics that have no SQL: compute them, then keep the rows by number."""
    frame = load(runs, used)
    columns = frame.astype(object).where(frame.notna(), None)
    rows = columns.to_dict("records")
    kept = [bool(evaluate(tree, {str(name): value for name, value in row.items()})) for row in rows]
    return chosen(runs, frame.index[kept])


def chosen(runs: Sequence[Run], index: pd.Index) -> tuple[Run, ...]:
    """Return the runs with only the rows of an index kept."""
    return tuple(replace(run, conditions=(*run.conditions, _rows(run, index))) for run in runs)


def _rows(run: Run, index: pd.Index) -> Condition:
    rowids = index.to_numpy() - run.source.base
    own = rowids[(rowids > 0) & (rowids <= run.source.height)]
    return Condition("rowid IN (SELECT value FROM json_each(?))", (json.dumps(own.tolist()),))
