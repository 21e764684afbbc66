"""Makes the summary of runs: their tables, and all that must be said beneath them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from perfkit.analysis import definitions
from perfkit.analysis.metrics import RATES
from perfkit.analysis.query import columns, server
from perfkit.analysis.query.annotations import said_of_removed
from perfkit.analysis.query.run import Run
from perfkit.analysis.results import aggregates, cancelled, per_url, server_ttft
from perfkit.analysis.results.summary import Summary, metrics_shown, window_notes
from perfkit.analysis.text_table import listed
from perfkit.options.objectives import Objectives
from perfkit.records import Json

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs


def summarise(
    runs: "Runs",
    by: Sequence[str],
    metrics: Iterable[str] | None,
    unit: str | None,
    definition: str | None,
    slo: Objectives | None,
) -> Summary:
    """Make a summary; see ``Runs.summary``."""
    metrics = tuple(metrics or metrics_shown())
    rows = aggregates.rows_for(runs.members, by, [*metrics, "ttft", "lag"], RATES)
    reason = no_rates(runs, by)
    whose = () if definition else (columns.mixed_bases, columns.stored_bases)
    full = [run for run in runs.members if not run.is_summary]
    bases = [sentence for say in whose for sentence in say(full, metrics)]
    bases += aggregates.summary_notes(runs.members, by)
    bases += [*columns.coarse_windows(runs.members), *columns.pooled_loads(runs.members, by)]
    bases += columns.unread_tags(runs.members, by)
    rates = aggregates.run_rates(rows, by, reason)
    if slo and full:
        rates["goodput"] = runs.goodput(slo, by=by).reindex(rates.index)
    failures = aggregates.failures(runs.members)
    summary = Summary(
        aggregates.head(runs.members),
        aggregates.percentiles(rows, metrics, aggregates.QUANTILES, by, unit),
        rates,
        runs.verdicts,
        (
            *_written(runs.members),
            *said_of_removed(runs.removed),
            *aggregates.nothing_left(runs.members),
            *([reason] if reason else window_notes(runs.members, rows)),
            *server.missed(runs.members),
            *server_ttft.sentences(runs.members),
            *per_url.sentences(runs.members),
            *cancelled.sentences(runs.members),
            *_remarks(runs.members),
            *_unfinished(runs.members),
            *(f"{run.label}: {said}" for run in runs.members for said in aggregates.doubts(run).values()),
            *bases,
            *(f"not opened: {problem.reason}" for problem in runs.problems),
        ),
        failures=failures,
        why_failed=tuple(aggregates.failure_sentences(failures)),
        summarized=tuple(runs.summarized),
        runs=tuple(map(_asked, runs.members)) if by == ["run"] else (),
    )
    return _defined(summary, runs.members, definition, unit) if definition else summary


def _defined(summary: Summary, runs: Sequence[Run], definition: str, unit: str | None) -> Summary:
    """Replace the latencies by those of another tool's definition."""
    frame, reasons = definitions.summarised(runs, definition, aggregates.QUANTILES, unit)
    return replace(summary, frame=frame, notes=(*summary.notes, f"latencies as {definition} defines them", *reasons))


def _unfinished(members: Sequence[Run]) -> list[str]:
    """Say of each run that has not ended as planned why."""
    said = {"running": "is running", "interrupted": "was interrupted: rates count what was sent"}
    ended = [(run, str(run.record.get("status"))) for run in members]
    return [
        f"{run.label} {(status != 'running' and run.record.get('problem')) or said[status]}"
        for run, status in ended
        if status in said
    ]


def no_rates(runs: "Runs", by: Sequence[str]) -> str | None:
    """Say why groups of these rows have no rates; None where they have."""
    if runs.by_outcome:
        return aggregates.NO_RATE
    return None if columns.of_runs(runs.members, by) else aggregates.NO_WINDOW


_ASKED = (
    "model",
    "api",
    "dataset",
    "load",
    "parallel",
    "rate",
    "number",
    "duration",
    "start_time",
    "end_time",
    "source",
)


def _asked(run: Run) -> dict[str, Json]:
    """Return what a run was asked to do, as a summary in JSON has it."""
    known = {name: run.record.get(name) for name in _ASKED}
    return {"run": run.label, "name": run.name, **known, "tags": dict(run.tags)}


def _written(members: Sequence[Run]) -> list[str]:
    """Return the notes on runs, each once and no more than its beginning."""
    notes: dict[str, list[str]] = {}
    for run in members:
        if note := run.record.get("note"):
            notes.setdefault(" ".join(str(note).split())[:300], []).append(run.label)
    return [f"note on {listed(labels)}: {note}" for note, labels in notes.items()]


def _remarks(members: Sequence[Run]) -> list[str]:
    """Return what was said about the datasets, each sentence once: the points of a sweep read the same file."""
    return list(dict.fromkeys(sentence for run in members for sentence in run.record.remarks))
