"""Sums up each URL of a run that asked several."""

from collections.abc import Sequence

from perfkit.analysis.query import columns
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.distribution import percentile, present
from perfkit.analysis.text_table import number
from perfkit.records import NOT_FAILED


def sentences(runs: Sequence[Run]) -> list[str]:
    """Say of each run with several URLs what each of them was asked, and how it answered, in one sentence."""
    return [_sentence(run) for run in runs if isinstance(run.arguments.get("url"), list)]


def _sentence(run: Run) -> str:
    rows = columns.load([run], ["request_target", "success", "error_kind", "ttft"], "steady")
    told = []
    for target, group in rows.groupby("request_target", sort=True):
        failed = int((~group["success"] & ~group["error_kind"].isin(NOT_FAILED)).sum())
        parts = [f"{len(group):,} request{'s' * (len(group) != 1)}", *([f"{failed:,} failed"] if failed else [])]
        first = present(group.loc[group["success"], "ttft"])
        parts += [f"TTFT p50 {number(percentile(first, 50) * 1e3)} ms"] if first.size else []
        told.append(f"{target}: {', '.join(parts)}")
    return f"{run.label} by URL: {'; '.join(told) or 'no steady request'}"
