"""How a quantity went on over nights or commits, and where it changed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from math import exp, nan
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from pandas import DataFrame, Series

from perfkit.analysis.metrics import METRICS, RATES, Rate
from perfkit.analysis.metrics.quantity import Quantity, of_repeats, quantity
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import letter_of
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group, groups, requests_of
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import LOADS, scale
from perfkit.analysis.plots.sweep import FEW, apart, hollow, load_names, named_runs
from perfkit.analysis.plots.text import plain, shortened
from perfkit.analysis.query.labels import SINCE_2001
from perfkit.analysis.stats.changes import FEWEST, Change, changes, first_split
from perfkit.analysis.stats.distribution import holm, present
from perfkit.analysis.text_table import change, group_name
from perfkit.errors import UsageError, nearest

NIGHT = "night"
_READ = (*LOADS, "name", "started", *RATES["total_throughput"].columns)
_EPOCH = datetime(1970, 1, 1).toordinal()
"""Matplotlib counts days from then."""
_NAMED = 12
"""Points that each have a name beneath the axis."""


def trend_table(
    requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", over: str = NIGHT, percentile: float = 95
) -> DataFrame:
    """Return one row per series and point: the quantity with its interval, and the level that it belongs to.

    Columns ``group``, ``point`` (the night or the value of ``over``), ``started`` (Unix seconds of its first run),
    ``runs``, ``requests``, ``value``, ``low``, ``high`` (in seconds where it is a duration), ``mark``, ``level`` (the
    geometric mean of all points between two changes), ``change`` (the ratio to the level before, at the first point of
    a new one), ``change_low``, ``change_high``, ``p``.
    """
    return _panel(requests, wanted_of(metric, percentile), by, over).table


def quantities_named(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the quantity and the column that the options of a trend name."""
    yield wanted_of(options.get("metric") or "ttft", options.get("percentile", 95)).name
    if (over := options.get("over", NIGHT)) != NIGHT:
        yield over


def wanted_of(metric: str, percentile: float = 95) -> Quantity:
    """Return the quantity that is followed: of a metric without a statistic, its percentile."""
    if metric in METRICS:
        return replace(quantity(f"{metric}_p{percentile:g}"), name=f"{metric}_p{percentile:g}")
    return quantity(metric)


@chart("trend", columns=_READ, rates="all", table=trend_table, named=quantities_named, summaries=True)
def trend(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    over: str = NIGHT,
    percentile: float = 95,
) -> Axes:
    """A quantity over nights or commits, a line per deployment and load, and where it changed.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs, with ``started``, Unix seconds.
    metric : str
        A metric, of which the percentile is drawn; a statistic such as ``"mean tpot"``; or a rate.
    by : str or None
        What tells the lines apart, beside the load. ``"run"``: the names of the runs, where two of them meet on one
        night at one load; else all are one line.
    over : str
        ``"night"``: the day (UTC) on which a run started; or a tag or setting such as ``"commit"``, whose values come
        in the order of their first runs, or of their names where no run is dated.
    percentile : float
        0 to 100, of a metric.

    Returns
    -------
    Axes
        Bars are 95 % intervals: of the runs of one night, or else what the requests of its run leave open. Thick pale
        lines are levels; a dashed line is a change, with the ratio to the level before. See
        ``perfkit.analysis.stats.changes`` for the rule; fewer than eight nights show no change.

    Raises
    ------
    UsageError
        No run is dated or has such a tag, or there is no such quantity.

    Examples
    --------
    >>> frame = DataFrame({"run_id": list("ab"), "run": list("ab"), "success": True, "first_chunk_latency": [0.1, 0.2],
    ...                    "started": [1.75e9, 1.75e9 + 86400], "parallel": 8})
    >>> trend(frame).get_ylabel()
    'p95 time to first token [ms]'
    """
    wanted = wanted_of(metric, percentile)
    panel = _panel(requests, wanted, by, over)
    points = panel.table
    if points.empty or not points["value"].notna().any():
        raise UsageError(f"no run has a {wanted.name} and {'a date' if over == NIGHT else f'a value of {over}'}")
    names = list(dict.fromkeys(points.sort_values("place")["point"]))
    with panel.on(ax) as (ax, signs):
        for slot, (group, some) in enumerate(panel):
            # Each on a line of its own, as several may change in the same night; of many, the table names them.
            _draw(ax, group, some, _factor(wanted), slot if len(panel.groups) <= FEW else None)
        _scale(ax, points, names, wanted, over)
        signs += _signs(points, over)
        if left_out := len({*_labels(requests)} - {*_labels(panel.requests)}):
            lacking = "a date" if over == NIGHT else over
            signs.append(f"left out: {left_out} run{'s' * (left_out != 1)} without {lacking}")
    return ax


def _panel(requests: DataFrame, wanted: Quantity, by: str | None, over: str) -> Panel:
    rows = notes.loaded(requests)
    rows = rows.assign(success=rows["success"] == 1, load=load_names(rows), started=_started(rows))
    rows = rows.assign(point=_points_of(rows, over))
    rows = rows[rows["point"].notna()]
    rows = rows.assign(meeting=rows["load"] + " " + rows["point"].astype(str))
    if by == "run":
        rows, by, _ = named_runs(rows, "meeting")
    # A load is no part of a deployment's name where there is but one.
    own = Series("", index=rows.index) if by is None else rows[by].astype(object).map(partial(group_name, by))
    several = rows["load"].nunique() > 1
    series = (
        (own + ", " + rows["load"] if by is not None else rows["load"]) if several else own if by is not None else None
    )
    parted = groups(
        rows.assign(series=series) if series is not None else rows, "series" if series is not None else None
    )
    order = _order(rows, over)

    def tabulate(panel: Panel) -> Iterator[DataFrame]:
        tables = [_points(group, wanted, order) for group in parted]
        splits = [first_split(_known(table)["value"]) for table in tables]
        corrected = holm([p for _, p in splits])
        for table, (at, _), p in zip(tables, splits, corrected, strict=True):
            yield _with_levels(table, (at, p))

    return Panel(rows, None, by, tabulate, parted, about=notes.measured(requests))


def _labels(rows: DataFrame) -> Iterator[str]:
    yield from map(str, rows["run"].unique()) if "run" in rows else ()


def _started(rows: DataFrame) -> "Series[float]":
    """Return when the run of each request started; where nobody says, when its first request did, if that is a date."""
    if "started" in rows:
        return rows["started"]
    if "start_time" not in rows:
        return Series(nan, index=rows.index)
    first = rows["start_time"].groupby(rows["run_id"] if "run_id" in rows else Series(0, rows.index)).transform("min")
    return first.where(first > SINCE_2001)


def _points_of(rows: DataFrame, over: str) -> "Series[Any]":
    """Return the night, or the commit, of each request's run; None where it is unknown."""
    if over == NIGHT:
        days = {at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}" for at in rows["started"].dropna().unique()}
        return rows["started"].map(days)
    if over not in rows:
        raise UsageError(f"no run has a setting or tag {over!r}{nearest(over, map(str, rows.columns))}")
    return rows[over].map(str, na_action="ignore")


def _order(rows: DataFrame, over: str) -> dict[str, float]:
    """Return the place of each point: the day as a number, or the rank of the first run, or of the name."""
    names = list(dict.fromkeys(rows["point"]))
    if over == NIGHT:
        return {name: float(datetime.fromisoformat(name).toordinal() - _EPOCH) for name in names}
    first = rows.groupby("point", observed=True)["started"].min()
    if len(first) and first.notna().all():
        ranked = sorted(names, key=lambda name: float(first[name]))
    else:
        ranked = sorted(names, key=_naturally)
    return {name: float(place) for place, name in enumerate(ranked)}


def _naturally(name: str) -> tuple[float, str]:
    try:
        return float(name), ""
    except ValueError:
        return float("inf"), name


_COLUMNS = ("group", "point", "place", "started", "runs", "requests", "value", "low", "high", "mark")


def _points(group: Group, wanted: Quantity, order: Mapping[str, float]) -> DataFrame:
    """Return the points of a series in order: each the runs of one night."""
    found = []
    for point, rows in group.rows.groupby("point", sort=False, observed=True):
        runs = [
            run
            for some in apart(rows)
            for _, run in (some.groupby("run_id", sort=False) if "run_id" in some else [("", some)])
        ]
        told = of_repeats([wanted.estimate(run) for run in runs])
        started = rows["started"].min()
        counts = {"runs": len(runs), "requests": requests_of(notes.measured(rows))}
        ends = {"value": told.value, "low": told.low, "high": told.high, "mark": told.mark}
        place = {"group": group.key, "point": point, "place": order[str(point)], "started": started}
        found.append({**place, **counts, **ends})
    return DataFrame(found, columns=list(_COLUMNS)).sort_values("place").reset_index(drop=True)


def _known(table: DataFrame) -> DataFrame:
    return table[table["value"] > 0]


def _with_levels(table: DataFrame, first: tuple[int, float]) -> DataFrame:
    """Return a series with the level of each point, and its changes."""
    known = _known(table)
    found: list[Change] = changes(known["value"], first=first)
    level = np.full(len(table), nan)
    columns = {name: np.full(len(table), nan) for name in ("change", "change_low", "change_high", "p")}
    for low, high in pairwise([0, *(each.at for each in found), len(known)]):
        if high - low > 1 and len(known) >= FEWEST:
            level[known.index[low:high]] = exp(
                float(np.log(known["value"].iloc[low:high].to_numpy(dtype=float)).mean())
            )
    for each in found:
        at = known.index[each.at]
        told = (each.ratio.value, each.ratio.low, each.ratio.high, each.p)
        for name, value in zip(columns, told, strict=True):
            columns[name][at] = value
    return table.assign(level=level, **columns)


def _factor(wanted: Quantity) -> float:
    return 1.0 if isinstance(wanted.metric, Rate) else wanted.metric.scale()


def _draw(ax: Axes, group: Group, points: DataFrame, factor: float, slot: int | None) -> None:
    scaled = points.assign(**{name: points[name] * factor for name in ("value", "low", "high", "level")})
    known = scaled.dropna(subset=["low", "high"])
    if not group.rest:
        error = np.abs(np.vstack([known["value"] - known["low"], known["high"] - known["value"]]))
        look = {"fmt": "none", "color": group.colour, "capsize": 1.5, "elinewidth": 0.8, "alpha": 0.6}
        ax.errorbar(known["place"], known["value"], error, **look)
    label = group.label(int(points["requests"].sum()))
    ax.plot(scaled["place"], scaled["value"], label=label, **(group.line | {"linewidth": 0.8}))
    for is_marked, some in scaled.groupby(scaled["mark"] != ""):
        face = "white" if is_marked else group.colour
        ax.plot(some["place"], some["value"], group.marker, color=group.colour, markerfacecolor=face, gid="points")
    if group.rest:
        return
    for _, some in scaled[scaled["level"].notna()].groupby("level", sort=False):
        ends = [some["place"].min(), some["place"].max()]
        thick: dict[str, Any] = {"linestyle": "-", "linewidth": 5, "alpha": 0.25, "solid_capstyle": "butt"}
        ax.plot(ends, [some["level"].iloc[0]] * 2, color=group.colour, gid="level", **thick)
    for at in np.flatnonzero(scaled["change"].notna()):
        between = (scaled["place"].iloc[at - 1] + scaled["place"].iloc[at]) / 2
        ax.axvline(between, color=group.colour, linestyle="--", linewidth=0.9, gid="change")
        if slot is not None:
            ax.annotate(
                change(scaled["change"].iloc[at]),
                (between, 1),
                (3, -2 - 1.1 * letter_of(ax) * slot),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="top",
                color=group.colour,
                fontsize=0.85 * letter_of(ax),
            )


def _scale(ax: Axes, points: DataFrame, names: list[str], wanted: Quantity, over: str) -> None:
    values = present(points["value"]) * _factor(wanted)
    unit = wanted.metric.unit if isinstance(wanted.metric, Rate) else wanted.metric.display_unit
    what = "" if isinstance(wanted.metric, Rate) else "mean " if wanted.q is None else f"p{wanted.q:g} "
    spread = bool(values.size and 0 < 20 * values.min() < values.max())
    scale(ax.yaxis, f"{what}{wanted.metric.label} [{unit}]", [values], log=spread)
    if not spread:
        # The interval of two runs may be a hundred times as long as all that is drawn, and is then cut.
        highest = np.append(present(points["high"]) * _factor(wanted), values).max()
        ax.set_ylim(0, 1.08 * min(highest, 1.5 * values.max()))
    ax.margins(x=0.04)
    if over == NIGHT:
        if len(names) == 1:
            ax.set_xlim(points["place"].min() - 2, points["place"].max() + 2)
        locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
        ax.xaxis.set_major_locator(locator)
        ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        ax.set_xlabel("night of the run (UTC)")
        return
    step = -(-len(names) // _NAMED)
    longest = 70 // max(1, len(names[::step]))
    ax.set_xticks(range(0, len(names), step), [plain(shortened(name, max(longest, 6))) for name in names[::step]])
    ax.set_xlabel(plain(over))


def _signs(points: DataFrame, over: str) -> list[str]:
    shown = int(points["change"].notna().sum())
    most = points.groupby("group", sort=False)["point"].nunique().max()
    word = "nights" if over == NIGHT else "points"
    signs = []
    if most < FEWEST:
        signs.append(f"fewer than {FEWEST} {word}: too few to show a change")
    else:
        signs.append("thick: levels; dashed: changes" if shown else "thick: levels; no change shown")
    if points["low"].notna().any():
        signs.append("bars: 95 % intervals, where known")
    return [*signs, *hollow(points)]
