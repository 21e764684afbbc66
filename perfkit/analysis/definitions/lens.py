"""One run seen through every tool's definitions."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from perfkit.analysis.definitions.catalogue import DEFINITIONS, HELD, Definition, Held, Metric, Stamps, Weighted
from perfkit.analysis.definitions.catalogue import definition as by_name
from perfkit.analysis.definitions.percentile import RULES
from perfkit.analysis.importers.evalscope_cells import numbers
from perfkit.analysis.metrics import metric_named
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.marks import by_mark, marks
from perfkit.analysis.text_table import Cell, as_html, ditto, label, number, on_terminal
from perfkit.errors import CorruptPickle, UsageError, nearest
from perfkit.records import Json, Kind
from perfkit.runfile.chunks import unpack

METRICS: tuple[Metric, ...] = ("ttft", "ttfat", "itl", "tpot", "e2e")
PERCENTS = (50, 95, 99)
_STORED: Mapping[Metric, str] = {
    "ttft": "first_chunk_latency",
    "ttfat": "first_answer_latency",
    "itl": "inter_token_latencies",
    "tpot": "time_per_output_token",
    "e2e": "latency",
}


def chunks_kept(run: Run, chosen: Definition) -> Held:
    """Return which chunks a run's file keeps the arrival of, as far as a definition is concerned.

    perfkit's own runs keep all; for others the importer says so in the run's basis. A tool that keeps only what it
    counts itself (``own``) keeps enough for its own definition and for no other.
    """
    basis = run.record.basis
    if basis.get("chunks") == "own" and run.record.get("source") == chosen.tool:
        return "events"
    if basis.get("*") == "stamps" or (not basis and run.record.get("source") == "perfkit"):
        return "events"
    return next((level for level in HELD if level == basis.get("chunks")), "nothing")


def owner(run: Run, metric: Metric) -> Definition | None:
    """Return the definition under which a run's file stored a metric; None where perfkit measured or recomputed it."""
    return DEFINITIONS.get(str(run.record.basis.get(metric)).removeprefix("stored:"))


def stored_values(run: Run, metric: Metric) -> list[Weighted]:
    """Return a metric of each steady request that succeeded as the file stored it."""
    sql, parameters = run.query([_STORED[metric], "success"], "steady")
    rows = (row for rows in run.source.batches(sql, parameters) for row in rows)
    values = [numbers(value) if metric == "itl" else [value] for _, value, success in rows if success == 1]
    return [[(float(value), 1) for value in found if isinstance(value, int | float)] for found in values]


def stamps(run: Run) -> Iterator[Stamps]:
    """Yield the stamps of every answer of a run's steady state that succeeded, as far as the file keeps them."""
    ends = ["start_time", "first_chunk_latency", "last_token_time"]
    names = ["chunks", "latency", "completion_tokens", "is_stream", *ends]
    sql, parameters = run.query([*names, "success"], "steady")
    for rows in run.source.batches(sql, parameters):
        for _, *values, success in rows:
            found = _stamps(*values) if success == 1 else None
            if found:
                yield found


def _stamps(
    blob: Json, latency: Json, tokens: Json, streamed: Json, start: Json, first: Json, last: Json
) -> Stamps | None:
    if not isinstance(latency, int | float):
        return None
    if streamed == 0:
        return Stamps([], [], [], float(latency), tokens, streamed=False)
    if isinstance(blob, bytes):
        try:
            chunks = unpack(blob)
        except CorruptPickle:
            return None
        arrivals = [arrival / 1e9 for arrival in chunks.arrival]
        choices = chunks.choice if any(chunks.choice) else ()
        return Stamps(
            arrivals, chunks.kind, chunks.message, float(latency), tokens, choices=choices, counts=chunks.tokens or ()
        )
    if isinstance(first, float) and isinstance(start, float) and isinstance(last, float):
        return Stamps([first, last - start], [Kind.CONTENT] * 2, [0, 1], float(latency), tokens)
    return None


def measure(run: Run, metric: str, name: str) -> pd.Series:
    """Return a metric of one run under another tool's definition.

    Parameters
    ----------
    run : Run
        Whose steady state is looked at.
    metric : {"ttft", "ttfat", "itl", "tpot", "e2e"}
        What to measure.
    name : str
        One of ``DEFINITIONS``.

    Returns
    -------
    Series
        ``mean``, ``p50``, ``p95``, ``p99`` in seconds, by the tool's percentile rule; ``n`` values.

    Raises
    ------
    UsageError
        The file does not keep what the definition needs.
    """
    chosen = by_name(name)
    values, reason = _values(run, chosen, _known(metric), list(stamps(run)))
    if reason:
        raise UsageError(f"{run.label}: {reason}")
    return weighted_statistics(chosen, _flat(values))


def _values(run: Run, chosen: Definition, metric: Metric, answers: Sequence[Stamps]) -> tuple[list[Weighted], str]:
    """Return a metric of each request under a definition, or why the file cannot give it."""
    # A tool without gaps of its own has the gaps between its pieces stored there.
    if owner(run, metric) == chosen and (metric != "itl" or chosen.gaps is not None):
        return stored_values(run, metric), ""
    # An answer that was not streamed ends where it ends, for every tool.
    whole = bool(answers) and not any(answer.streamed for answer in answers)
    reason, counted = "" if whole else _refusal(run, chosen, metric), _by_stored_end(run, chosen)
    return ([] if reason else [counted.values(metric, answer) for answer in answers]), reason


def _by_stored_end(run: Run, chosen: Definition) -> Definition:
    """Return a definition that takes the stored latency as its E2E, where the file's tool ended it there."""
    theirs = owner(run, "e2e")
    return replace(chosen, end=None) if theirs and theirs.end == chosen.end else chosen


def _flat(values: Iterable[Weighted]) -> Weighted:
    return [pair for pairs in values for pair in pairs]


def _refusal(run: Run, chosen: Definition, metric: Metric) -> str:
    """Say why the stamps in a file cannot give a metric under a definition; empty when they can."""
    if metric == "ttfat" and chosen.first_answer is None:
        return f"{chosen.name} has no time to first answer token"
    theirs = owner(run, "e2e")
    if theirs and theirs.end is not None and chosen.ends_at_last_byte(metric):
        return f"{chosen.name}'s {metric} ends at the last byte, and this file keeps the end as {theirs.tool} counts it"
    needed = _by_stored_end(run, chosen).needs(metric)
    if HELD.index(chunks_kept(run, chosen)) >= HELD.index(needed):
        return ""
    words = {
        "ends": "of first and last output",
        "visible": "of each piece of output",
        "choices": "of role and finish chunks",
        "events": "of all chunks",
    }
    return f"{chosen.name}'s {metric} needs the arrival {words[needed]}, which this file does not keep"


def lens(run: Run, metric: str) -> pd.DataFrame:
    """Show a metric of one run under every definition.

    Parameters
    ----------
    run : Run
        Whose steady state is looked at.
    metric : {"ttft", "ttfat", "itl", "tpot", "e2e"}
        What to measure.

    Returns
    -------
    DataFrame
        One row a definition: ``mean``, ``p50``, ``p95``, ``p99`` in seconds, ``n`` values, ``changed`` (requests whose
        value is not perfkit's; NaN where either has none), ``checked`` (what the formulas were compared with),
        ``cause`` (of the difference, or why there is no figure). What a file stored under a tool's definition, and
        what would take chunks that it lacks, is that definition's figure and no other's.

    Raises
    ------
    UsageError
        There is no such metric.
    """
    known, answers = _known(metric), list(stamps(run))
    ours, unknown = _values(run, DEFINITIONS["perfkit"], known, answers)
    lines = {}
    for name, chosen in DEFINITIONS.items():
        values, reason = _values(run, chosen, known, answers)
        changed = sum(_differs(theirs, own) for theirs, own in zip(values, ours, strict=False))
        paired = not (unknown or reason) and len(values) == len(ours)
        told = {"changed": changed if paired else math.nan, "checked": chosen.checked}
        cause = reason or chosen.causes.get(known, "")
        lines[name] = {**weighted_statistics(chosen, _flat(values)), **told, "cause": cause}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("definition").astype({"n": int})


@dataclass(frozen=True)
class Lens:
    """A metric of some runs under every definition, as people read it; ``table`` is for programs, in seconds."""

    metric: str
    table: pd.DataFrame

    def __str__(self) -> str:
        return "\n".join([self._head(), on_terminal(*self._shown(), groups=1)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<b>{self._head()}</b>{as_html(*self._shown())}"

    def _head(self) -> str:
        metric = metric_named(self.metric)
        return f"{metric.label} [{metric.display_unit}]"

    def _shown(self) -> tuple[list[str], list[list[Cell]]]:
        statistics, scale = ["mean", *(f"p{q}" for q in PERCENTS)], metric_named(self.metric).scale()
        rows = [
            [
                *map(label, (row["run"], row["definition"])),
                Cell(number(int(row["n"]))),
                *(Cell(number(row[name] * scale)) for name in statistics),
                Cell(number(None if pd.isna(row["changed"]) else int(row["changed"]))),
                label(row["cause"]),
            ]
            for _, row in self.table.reset_index().iterrows()
        ]
        return ["run", "definition", "n", *statistics, "changed", "how it differs"], ditto(rows, 1)


def _differs(theirs: Weighted, ours: Weighted) -> bool:
    pairs = zip(theirs, ours, strict=False)
    return len(theirs) != len(ours) or any(not math.isclose(a, b, rel_tol=1e-6) for (a, _), (b, _) in pairs)


def summarised(
    runs: Sequence[Run], name: str, percents: Iterable[float], unit: str | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the four latencies of runs under one definition, in the shape of ``Summary.frame``.

    Parameters
    ----------
    runs : sequence of Run
        Whose steady state is looked at.
    name : str
        One of ``DEFINITIONS``.
    percents : iterable of float
        0 to 100.
    unit : str, optional
        Of the durations; seconds by default.

    Returns
    -------
    frame : DataFrame
        Index ``run`` and ``metric``; ``unit``, ``n``, ``effective``, ``mean``, ``p50``, ..., ``marks``, ``pooled``.
    reasons : list of str
        Why a file cannot give a metric: its ``n`` is 0.
    """
    chosen, percents = by_name(name), tuple(percents)
    rows, reasons = [], []
    for run in runs:
        answers = list(stamps(run))
        for metric in (metric for metric in METRICS if metric != "ttfat"):
            values, reason = _values(run, chosen, metric, answers)
            reasons += [f"{run.label}: {reason}"] if reason else []
            flat = _flat(values)
            found = weighted_statistics(chosen, flat, percents)
            effective, marked = marks([value for value, _ in flat], percents)
            measured = found.drop("n").astype(float) * metric_named(metric).scale(unit or "s")
            row = {"run": run.label, "metric": metric, "unit": unit or "s", "n": found["n"], "effective": effective}
            rows.append({**row, **measured, "marks": by_mark(marked), "pooled": ""})
    return pd.DataFrame(rows).set_index(["run", "metric"]), reasons


def weighted_statistics(chosen: Definition, values: Weighted, percents: Iterable[float] = PERCENTS) -> pd.Series:
    """Return mean and percentiles of (value, weight) pairs by a definition's percentile rule."""
    ordered = _spread(sorted(values)) if chosen.weighted else sorted(value for value, _ in values)
    mean = sum(ordered) / len(ordered) if ordered else math.nan
    rule = RULES[chosen.percentile]
    return pd.Series({"mean": mean, **{f"p{p:g}": rule(ordered, p) for p in percents}, "n": len(values)}, dtype=object)


def _spread(values: Weighted) -> Sequence[float]:
    """Repeat each value by its weight."""
    return [value for value, weight in values for _ in range(weight)]


def _known(metric: str) -> Metric:
    for known in METRICS:
        if metric == known:
            return known
    raise UsageError(f"no definition has a {metric!r}{nearest(metric, METRICS)}")
