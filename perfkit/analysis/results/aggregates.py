"""Requests into numbers per group: percentiles, rates, goodput, failures, and how many rows there are."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from perfkit.analysis.metrics import RATES, Metric, metric_named, rates
from perfkit.analysis.metrics.bounds import request_bounds
from perfkit.analysis.metrics.quantity import Quantity
from perfkit.analysis.metrics.registry import summaries_in, without_summaries
from perfkit.analysis.query import columns, frame
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.distribution import Floats, present
from perfkit.analysis.stats.estimates import estimates
from perfkit.analysis.stats.marks import Mark, by_mark, marks
from perfkit.analysis.text_table import listed
from perfkit.records import CANCELLED, CUT_OFF, NOT_FAILED, Json
from perfkit.runfile.schema import SHORT_OF

QUANTILES = (50, 90, 95, 99)
COUNTS = ("requests", "failed", "cancelled", "cut_off", "resent")
"""What is counted beside the rates."""
_REMARKS = ("marks", "pooled")
"""Columns that say what is not to be relied on, and which loads stand together."""
_LEFT_OUT = {"preflight": "preflight", "warmup": "warm-up", "ramp": "ramp", "cooldown": "cool-down"}
NO_RATE = "no rates: the rows were chosen by their outcome, and a choice of outcomes has no throughput"
NO_WINDOW = "no rates: these groups are parts of runs, and a rate belongs to a whole run"


def rows_for(
    runs: Sequence[Run], by: Sequence[str], metrics: Iterable[str] = (), rates: Iterable[str] = ()
) -> pd.DataFrame:
    """Load what metrics, rates and groups need, in one pass over the file.

    The requests of the load with their ``phase`` where there are rates, which count what others do in the window; else
    the steady ones.
    """
    for name in by:
        columns.check_group(runs, name)
    needed = [column for name in metrics for column in metric_named(name).columns]
    needed += [column for name in rates for column in RATES[name].columns]
    needed += ["parallel", "rate"]
    counted = list(dict.fromkeys([*by, *needed, "phase", "success", "error_kind", "attempts"]))
    return frame.with_summaries(columns.load(runs, counted, "load" if rates else "steady"), runs)


def percentiles(
    rows: pd.DataFrame,
    metrics: Iterable[str],
    quantiles: Iterable[float],
    by: Sequence[str],
    unit: str | None,
    *,
    intervals: bool = False,
) -> pd.DataFrame:
    """Return n, mean and percentiles of metrics over successful requests.

    Parameters
    ----------
    rows : DataFrame
        Requests with the columns of the metrics and groups, and ``phase``: those of the steady state count.
    metrics : iterable of str
        Names in ``METRICS``.
    quantiles : iterable of float
        0 to 100.
    by : sequence of str
        Columns, settings or tags to group by.
    unit : str or None
        Of durations; None for seconds. Other quantities keep theirs.
    intervals : bool
        Whether to add the ends of 95 % intervals.

    Returns
    -------
    DataFrame
        Index: the groups and ``metric``. Columns: ``unit``, ``n``, ``effective``, ``mean``, ``p50``, ..., ``marks``,
        ``pooled``: loads that stand together in a group.
    """
    chosen = [metric_named(name) for name in metrics]
    quantiles = tuple(quantiles)
    rows = rows[rows["phase"] == "steady"]
    table = []
    for key, group in grouped(rows, by):
        pooled = "" if "run" in by else _pooled(group)
        is_told = bool(summaries_in(group)) and not len(without_summaries(group))
        group = group if is_told else without_summaries(group)
        for metric in chosen:
            shown = unit if unit and metric.unit == "s" else metric.unit
            if is_told:
                row = {**dict(zip(by, key, strict=True)), "metric": metric.name, "unit": shown}
                told = _summary_statistics(metric, group, quantiles, metric.scale(shown))
                table.append(row | told | ({} if not intervals else _ends(np.empty(0), quantiles)) | {"pooled": pooled})
                continue
            values = present(metric.compute(group[group["success"]])) * metric.scale(shown)
            effective, marked = marks(values, quantiles)
            row = {**dict(zip(by, key, strict=True)), "metric": metric.name, "unit": shown, "n": values.size}
            row |= {"effective": effective, **_numbers(values, quantiles)}
            table.append(
                row | (_ends(values, quantiles) if intervals else {}) | {"marks": by_mark(marked), "pooled": pooled}
            )
    names = [*_numbers(np.empty(0), quantiles), *(_ends(np.empty(0), quantiles) if intervals else [])]
    return pd.DataFrame(table, columns=[*by, "metric", "unit", "n", "effective", *names, *_REMARKS]).set_index(
        [*by, "metric"]
    )


def _summary_statistics(
    metric: Metric, rows: pd.DataFrame, quantiles: Sequence[float], factor: float
) -> dict[str, Any]:
    """Return the numbers of a metric that stand in the summaries of some runs: of several, their geometric mean."""
    asked = {"mean": Quantity("", metric), **{f"p{q:g}": Quantity("", metric, q) for q in quantiles}}
    found = {name: wanted.estimate(rows) for name, wanted in asked.items()}
    known = {name: each.value * factor for name, each in found.items()}
    marked: dict[str, Mark] = {name: "summary" for name, value in known.items() if value == value}
    n = max((found[name].n for name in marked), default=0)
    return {"n": n, "effective": float("nan"), **known, "marks": by_mark(marked)}


def _pooled(group: pd.DataFrame) -> str:
    """Name the loads of a group that has several: a percentile over 1 and 64 users is of neither."""
    known = group[["parallel", "rate"]].drop_duplicates().astype(object).itertuples(index=False)
    loads = dict.fromkeys(columns.load_name(users, rate) or "unknown" for users, rate in known)
    return ", ".join(loads) if len(loads) > 1 else ""


def _numbers(values: Floats, quantiles: Sequence[float]) -> dict[str, float]:
    if not values.size:
        return {"mean": float("nan"), **{f"p{q:g}": float("nan") for q in quantiles}}
    found = np.percentile(values, quantiles)
    return {"mean": float(values.mean()), **{f"p{q:g}": float(at) for q, at in zip(quantiles, found, strict=True)}}


def _ends(values: Floats, quantiles: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_{end}": getattr(each, end)
        for name, each in estimates(values, quantiles).items()
        for end in ("low", "high")
    }


def grouped(rows: pd.DataFrame, by: Sequence[str]) -> Iterable[tuple[tuple[Json, ...], pd.DataFrame]]:
    """Yield each group with the values it has in common, in order of appearance."""
    if rows.empty:
        return
    yield from rows.groupby(list(by), sort=False, dropna=False)


def run_rates(rows: pd.DataFrame, by: Sequence[str], reason: str | None) -> pd.DataFrame:
    """Return one row per group: the counts (``cut_off`` is by the order to stop), and every rate.

    ``reason`` says why there can be no rates; they are NaN then.
    """
    table = []
    for key, group in grouped(rows, by):
        steady = group[group["phase"] == "steady"]
        if steady.empty:
            continue
        if (told := summaries_in(steady)) and len(told) == len(steady):
            table.append({**dict(zip(by, key, strict=True)), **_summary_rates(told, steady, reason)})
            continue
        group, steady = without_summaries(group), without_summaries(steady)
        kinds = steady["error_kind"]
        counts = {"requests": len(steady), "failed": int((~steady["success"] & ~kinds.isin(NOT_FAILED)).sum())}
        counts |= {"cancelled": int((kinds == CANCELLED).sum()), "cut_off": int((kinds == CUT_OFF).sum())}
        counts["resent"] = int((steady["attempts"] > 1).sum())
        values = {name: float("nan") if reason else rate.of(group) for name, rate in RATES.items()}
        table.append({**dict(zip(by, key, strict=True)), **counts, **values})
    return pd.DataFrame(table, columns=[*by, *COUNTS, *RATES]).set_index(list(by))


def _summary_rates(told: Sequence[Mapping[str, float]], rows: pd.DataFrame, reason: str | None) -> dict[str, Any]:
    """Return the counts of runs that are known by summaries, and their rates: of several, their geometric mean."""
    counts = {name: sum(figures.get(name, float("nan")) for figures in told) for name in ("requests", "failed")}
    values = {name: Quantity(name, rate).estimate(rows).value for name, rate in RATES.items()}
    return {**dict.fromkeys(COUNTS, 0), **counts, **({name: float("nan") for name in values} if reason else values)}


def figures(runs: Sequence[Run]) -> pd.DataFrame:
    """Return what summaries say, a row a number; see ``Runs.figures``."""
    counts = ("requests", "failed")
    rows = [
        {"run": run.label, "quantity": name, "value": value, "n": found.get("requests"), "basis": _basis(run, name)}
        for run in runs
        if (found := run.figures) is not None
        for name, value in found.items()
        if name not in counts and not name.endswith("_n")
    ]
    return pd.DataFrame(rows, columns=["run", "quantity", "value", "n", "basis"])


def _basis(run: Run, name: str) -> str | None:
    # itl_p50 is the median of all gaps here, and not the metric of that name.
    return run.basis(name if name in run.record.basis else name.rpartition("_")[0])


def summary_notes(runs: Sequence[Run], by: Sequence[str]) -> list[str]:
    """Say which runs are known by summaries alone, what their numbers are, and where they are left out of a group."""
    told = [run for run in runs if run.is_summary]
    by_tool: dict[str, list[str]] = {}
    for run in told:
        by_tool.setdefault(str(run.record.get("source")), []).append(run.label)
    said = [
        f"{listed(labels)}: {'a summary' if len(labels) == 1 else 'summaries'} of {tool} without single requests; the "
        f"numbers are as {tool} counted them, and nothing tells how far they are to be relied on"
        for tool, labels in by_tool.items()
    ]
    empty = [run.label for run in told if run.figures is None]
    if empty:
        said.append(f"nothing is left of {listed(empty)}: no filter or warm-up can be applied to a summary")
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(str(run.settings.get(name)) for name in by), []).append(run)
    for group, members in groups.items():
        summed = [run.label for run in members if run.is_summary]
        if summed and len(summed) < len(members):
            said.append(
                f"{listed(summed)}: left out of {', '.join(group)}, as a summary cannot be pooled with requests"
            )
        elif len(summed) > 1:
            said.append(f"{', '.join(group)}: geometric means of {len(summed)} summaries, which cannot be pooled")
    return said


def goodput(runs: Sequence[Run], slo: Any, by: Sequence[str], reason: str | None) -> pd.Series:
    """Return goodput per group; NaN where a reason says that there can be no rates."""
    bounds = request_bounds(slo)
    rows = without_summaries(rows_for(runs, by, bounds, ["request_throughput"]))
    values = {key: float("nan") if reason else rates.goodput(group, bounds) for key, group in grouped(rows, by)}
    index = pd.DataFrame(list(values), columns=list(by)).set_index(list(by)).index
    return pd.Series(list(values.values()), index=index, name="goodput", dtype=float)


def failures(runs: Sequence[Run]) -> pd.DataFrame:
    """Return requests without success by run, outcome, kind and status: count, share, and the commonest error text.

    The outcome is ``failed``, ``cancelled`` where the client was to close the connection, or ``cut off`` for those that
    were under way when the order to stop came.
    """
    rows = columns.load(runs, ["run", "success", "error_kind", "status_code", "error"])
    totals = rows.groupby("run", sort=False).size()
    failed = rows[~rows["success"]].drop(columns="success")
    kinds = failed["error_kind"]
    failed["outcome"] = np.select([kinds == CUT_OFF, kinds == CANCELLED], ["cut off", "cancelled"], "failed")
    groups = failed.groupby(["run", "outcome", "error_kind", "status_code"], sort=False, dropna=False)
    counted = groups.agg(count=("run", "size"), example=("error", _commonest)).reset_index()
    # Without failures the map is an empty column of texts, which no number can be divided by.
    counted["share"] = counted["count"] / counted["run"].map(totals).astype(float)
    return counted[["run", "outcome", "error_kind", "status_code", "count", "share", "example"]]


def _commonest(texts: pd.Series) -> Json:
    found = Counter(texts.dropna()).most_common(1)
    return found[0][0] if found else None


_MOST_REASONS = 5
_WORDS = 160
"""Characters of a server's words that a summary shows."""


def failure_sentences(counted: pd.DataFrame) -> list[str]:
    """Say why requests failed, a line per run, kind and status: the most frequent first, with the commonest words.

    Parameters
    ----------
    counted : DataFrame
        What ``failures`` returns.

    Examples
    --------
    >>> row = {"run": "a", "outcome": "failed", "error_kind": "http_status", "status_code": 503.0, "count": 2}
    >>> failure_sentences(pd.DataFrame([{**row, "share": 0.5, "example": "HTTP 503: busy"}]))
    ['a: 2 failed (http_status): HTTP 503: busy']
    """
    failed = counted[counted["outcome"] == "failed"].sort_values("count", ascending=False, kind="stable")
    said = []
    for run, group in failed.groupby("run", sort=False):
        for _, row in group.head(_MOST_REASONS).iterrows():
            words = " ".join(str(row["example"] or "").split())
            words = words if len(words) <= _WORDS else f"{words[:_WORDS]}…"
            said.append(f"{run}: {row['count']:,} failed ({row['error_kind']}){': ' * bool(words)}{words}")
        if len(group) > _MOST_REASONS:
            rest = group.iloc[_MOST_REASONS:]
            said.append(f"{run}: {rest['count'].sum():,} failed for {len(rest)} other reasons; see failures()")
    return said


_DOUBTS = {
    "not_streamed": "a stream was asked for, but {number} came whole: they have no TTFT, ITL and TPOT",
    "zero_usage": "{number} have text and a usage of 0 tokens: the count cannot be right and is not used; pass "
    "--tokenizer-path to have tokens counted",
    "fewer_tokens_than_chunks": "{number} came in more pieces of text than the server counts tokens: the count cannot "
    "be right",
    "text_after_done": "{number} went on after [DONE]: clients do not read that text, and it is not counted",
    "bad_event": "{number} hold events that are not JSON: these are left out",
    "unread_messages": "{number} are in a protocol in which no text was found: each message counts as a chunk",
    "unstorable": "{number} hold values that the file cannot store: these are replaced or left out",
}
"""What is said of answers by the flags of their rows."""


def doubts(run: Run) -> dict[str, str]:
    """Say of a run's answers, once for each kind, how many cannot be taken as they are, and why; by flag of the row."""
    sql, parameters = run.restriction()
    count = run.expression("completion_tokens")
    query = (
        f"SELECT {run.expression('flags')}, count(*), min({count}), max({count}) FROM result "
        f"WHERE {sql} AND {run.expression('success')} = 1 GROUP BY 1"
    )
    found = [row for rows in run.source.batches(query, parameters) for row in rows]
    answers = sum(row[1] for row in found)
    flagged = [(set(str(row[0] or "").split()), *row[1:]) for row in found]
    said = {}
    for flag, sentence in _DOUBTS.items():
        if number := sum(row[1] for row in flagged if flag in row[0]):
            said[flag] = sentence.format(number=f"{number:,} of {answers:,} answers")
    short = [
        (int(flag.removeprefix(SHORT_OF)), *rest)
        for flags, *rest in flagged
        for flag in flags
        if flag.startswith(SHORT_OF) and flag.removeprefix(SHORT_OF).isdecimal()
    ]
    if short:
        asked, number = [row[0] for row in short], sum(row[1] for row in short)
        had = _between(min(row[2] for row in short), max(row[3] for row in short))
        said[SHORT_OF] = (
            f"{number:,} of {answers:,} answers had {had} tokens where {_between(min(asked), max(asked))} were asked "
            "with ignore_eos or min_tokens: the server does not follow it, or ended them for another reason"
        )
    return said


def _between(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def head(runs: Sequence[Run]) -> str:
    """Say in one line how much is looked at, and what is left out.

    Examples
    --------
    >>> head([])
    '0 runs, 0 requests'
    """
    counts: Counter[str] = Counter()
    failed = cut_off = cancelled = 0
    for run in runs:
        for phase, success, kind, count in _phases(run):
            cut_off += count if kind == CUT_OFF else 0
            if kind == CUT_OFF and phase == "cooldown":
                continue  # said once
            counts[phase] += count
            cancelled += count if phase == "steady" and kind == CANCELLED else 0
            failed += count if phase == "steady" and not success and kind is None else 0
    steady = counts.pop("steady", 0)
    left_out = ", ".join(f"{counts[phase]:,} {words}" for phase, words in _LEFT_OUT.items() if counts[phase])
    told = sum(run.is_summary for run in runs)
    parts = [f"{len(runs):,} run{'s' * (len(runs) != 1)}, {steady:,} request{'s' * (steady != 1)}"]
    parts += (
        [f"{told:,} of the runs {'is a summary' if told == 1 else 'are summaries'} without requests"] if told else []
    )
    parts += [f"{failed:,} failed"] if failed else []
    parts += [f"{cancelled:,} cancelled by their clients"] if cancelled else []
    parts += [f"{cut_off:,} cut off when it was stopped"] if cut_off else []
    return ", ".join(parts) + (f" (left out: {left_out})" if left_out else "")


def nothing_left(runs: Sequence[Run]) -> list[str]:
    """Say where no request is steady why, and how to look at the others; nothing of a run that has some."""
    counts: dict[Run, Counter[str]] = {run: Counter() for run in runs}
    for run, counted in counts.items():
        for phase, _, _, count in _phases(run):
            counted[phase] += count
    said = []
    for run, counted in counts.items():
        found = [f"{counted[phase]:,} {words}" for phase, words in _LEFT_OUT.items() if counted[phase]]
        if counted.total() > counted["preflight"] and not counted["steady"]:
            said.append(
                f"nothing is left of {run.label}: none of its requests is of the steady state ({', '.join(found)}); "
                "measure longer, or take them in with `perfkit show --warmup 0` (in Python runs.trim())"
            )
    if any(run.conditions for run in runs) and not any(counted.total() for counted in counts.values()):
        said.append("nothing is left: no request meets the condition")
    return said


def _phases(run: Run) -> list[tuple[str, bool, str | None, int]]:
    """Count the requests of each phase by whether they succeeded and, where that was no failure, why not."""
    counted = []
    for part in ("preflight", "load"):
        sql, parameters = run.restriction(part)
        outcome = f"success = 1, CASE WHEN error_kind IN {NOT_FAILED} THEN error_kind END"
        query = f"SELECT {run.phase}, {outcome}, count(*) FROM {run.table(part)} WHERE {sql} GROUP BY 1, 2, 3"
        counted += [row for rows in run.source.batches(query, parameters) for row in rows]
    return counted
