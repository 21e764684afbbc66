"""Requests into numbers per group: percentiles, rates, goodput, failures, and how many rows there are."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import inf, nan

import numpy as np
import pandas as pd

from perfkit import columns
from perfkit.errors import UsageError
from perfkit.estimates import mean_estimate, percentile_estimate
from perfkit.frame import Run
from perfkit.metrics import RATES, metric_named, rates
from perfkit.records import CUT_OFF, Json
from perfkit.stats import Floats, present
from perfkit.where import DURATIONS, quantity

QUANTILES = (50, 90, 95, 99)
_LEFT_OUT = {"preflight": "preflight", "warmup": "warm-up", "ramp": "ramp", "cooldown": "cool-down"}
_LONG = {"tpot": 1, "itl": 1, "lag": 10, "ttft": 10, "e2e": 100}
"""Seconds from which a bound without a unit is sooner a mistake: every server meets 50 s a token."""
NO_RATE = "no rates: the rows were chosen by their outcome, and a choice of outcomes has no throughput"
NO_WINDOW = "no rates: these groups are parts of runs, and a rate belongs to a whole run"


def rows_for(
    runs: Sequence[Run], by: Sequence[str], metrics: Iterable[str] = (), rates: Iterable[str] = ()
) -> pd.DataFrame:
    """Load the steady requests with what metrics, rates and groups need, in one pass over the file."""
    needed = [column for name in metrics for column in metric_named(name).columns]
    needed += [column for name in rates for column in RATES[name].columns]
    return columns.load(runs, [*by, *needed, "success", "error_kind"], "steady")


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
        Requests with the columns of the metrics and groups.
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
        Index: the groups and ``metric``. Columns: ``unit``, ``n``, ``mean``, ``p50``, ...
    """
    chosen = [metric_named(name) for name in metrics]
    quantiles = tuple(quantiles)
    table = []
    for key, group in grouped(rows, by):
        for metric in chosen:
            shown = unit if unit and metric.unit == "s" else metric.unit
            values = present(metric.compute(group[group["success"]])) * metric.scale(shown)
            row = {**dict(zip(by, key, strict=True)), "metric": metric.name, "unit": shown, "n": values.size}
            table.append(row | _numbers(values, quantiles) | (_ends(values, quantiles) if intervals else {}))
    names = [*_numbers(np.empty(0), quantiles), *(_ends(np.empty(0), quantiles) if intervals else [])]
    return pd.DataFrame(table, columns=[*by, "metric", "unit", "n", *names]).set_index([*by, "metric"])


def _numbers(values: Floats, quantiles: Sequence[float]) -> dict[str, float]:
    if not values.size:
        return {"mean": float("nan"), **{f"p{q:g}": float("nan") for q in quantiles}}
    found = np.percentile(values, quantiles)
    return {"mean": float(values.mean()), **{f"p{q:g}": float(at) for q, at in zip(quantiles, found, strict=True)}}


def _ends(values: Floats, quantiles: Sequence[float]) -> dict[str, float]:
    estimates = {"mean": mean_estimate(values), **{f"p{q:g}": percentile_estimate(values, q) for q in quantiles}}
    return {f"{name}_{end}": getattr(each, end) for name, each in estimates.items() for end in ("low", "high")}


def grouped(rows: pd.DataFrame, by: Sequence[str]) -> Iterable[tuple[tuple[Json, ...], pd.DataFrame]]:
    """Yield each group with the values it has in common, in order of appearance."""
    if rows.empty:
        return
    yield from rows.groupby(list(by), sort=False, dropna=False)


def run_rates(rows: pd.DataFrame, by: Sequence[str], reason: str | None) -> pd.DataFrame:
    """Return one row per group: ``requests``, ``failed``, ``cut_off`` (by the order to stop) and every rate.

    ``reason`` says why there can be no rates; they are NaN then.
    """
    table = []
    for key, group in grouped(rows, by):
        cut_off = group["error_kind"] == CUT_OFF
        counts = {"requests": len(group), "failed": int((~group["success"] & ~cut_off).sum())}
        counts["cut_off"] = int(cut_off.sum())
        values = {name: float("nan") if reason else rate.compute(group) for name, rate in RATES.items()}
        table.append({**dict(zip(by, key, strict=True)), **counts, **values})
    return pd.DataFrame(table, columns=[*by, "requests", "failed", "cut_off", *RATES]).set_index(list(by))


def goodput(runs: Sequence[Run], slo: Mapping[str, float | str], by: Sequence[str], reason: str | None) -> pd.Series:
    """Return goodput per group; NaN where a reason says that there can be no rates."""
    bounds = {name: bound(name, limit) for name, limit in slo.items()}
    rows = rows_for(runs, by, bounds, ["request_throughput"])
    values = {key: float("nan") if reason else rates.goodput(group, bounds) for key, group in grouped(rows, by)}
    index = pd.DataFrame(list(values), columns=list(by)).set_index(list(by)).index
    return pd.Series(list(values.values()), index=index, name="goodput", dtype=float)


def bound(name: str, limit: float | str) -> float:
    """Read one objective: a number in the metric's unit, or a text with a unit.

    Raises
    ------
    UsageError
        It is neither, not above 0, or so many seconds without a unit that milliseconds may be meant.

    Examples
    --------
    >>> bound("ttft", "200ms"), bound("ttft", 0.2), bound("ttft", "60s")
    (0.2, 0.2, 60.0)
    """
    metric = metric_named(name)
    value, unit = (quantity(limit) or (nan, "")) if isinstance(limit, str) else (limit, "")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise UsageError(
            f"the bound of an objective such as {name} is a number above 0, or one with a unit such as '200ms' "
            f"({DURATIONS}); got {limit!r}"
        )
    if metric.unit == "s" and not unit and value >= _LONG.get(name.partition("_")[0], _LONG["e2e"]):
        raise UsageError(
            f"the bound of {name} would be {value:g} seconds: write '{value:g}ms' for milliseconds, or '{value:g}s' if "
            "seconds are meant"
        )
    return float(value)


def failures(runs: Sequence[Run]) -> pd.DataFrame:
    """Return requests without success counted by run, outcome, kind and status, with their share and one error text.

    The outcome is ``failed``, or ``cut off`` for those that were under way when the order to stop came.
    """
    rows = columns.load(runs, ["run", "success", "error_kind", "status_code", "error"])
    totals = rows.groupby("run", sort=False).size()
    failed = rows[~rows["success"]].drop(columns="success")
    failed["outcome"] = np.where(failed["error_kind"] == CUT_OFF, "cut off", "failed")
    groups = failed.groupby(["run", "outcome", "error_kind", "status_code"], sort=False, dropna=False)
    counted = groups.agg(count=("run", "size"), example=("error", "first")).reset_index()
    # Without failures the map is an empty column of texts, which no number can be divided by.
    counted["share"] = counted["count"] / counted["run"].map(totals).astype(float)
    return counted[["run", "outcome", "error_kind", "status_code", "count", "share", "example"]]


def head(runs: Sequence[Run]) -> str:
    """Say in one line how much is looked at, and what is left out.

    Examples
    --------
    >>> head([])
    '0 runs, 0 requests'
    """
    counts: Counter[str] = Counter()
    failed = cut_off = 0
    for run in runs:
        for phase, success, stopped, count in _phases(run):
            cut_off += count if stopped else 0
            if stopped and phase == "cooldown":
                continue  # said once
            counts[phase] += count
            failed += count if phase == "steady" and not (success or stopped) else 0
    steady = counts.pop("steady", 0)
    left_out = ", ".join(f"{counts[phase]:,} {words}" for phase, words in _LEFT_OUT.items() if counts[phase])
    parts = [f"{len(runs):,} run{'s' * (len(runs) != 1)}, {steady:,} request{'s' * (steady != 1)}"]
    parts += [f"{failed:,} failed"] if failed else []
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


def _phases(run: Run) -> list[tuple[str, bool, bool, int]]:
    counted = []
    for part in ("preflight", "load"):
        sql, parameters = run.restriction(part)
        outcome = f"success = 1, error_kind IS '{CUT_OFF}'"
        query = f"SELECT {run.phase}, {outcome}, count(*) FROM result WHERE {sql} GROUP BY 1, 2, 3"
        counted += [row for rows in run.source.batches(query, parameters) for row in rows]
    return counted
