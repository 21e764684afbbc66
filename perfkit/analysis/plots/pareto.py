"""Which loads of which deployments no other of them beats: throughput per GPU against speed per user."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import RATES, Rate
from perfkit.analysis.metrics.bounds import bound
from perfkit.analysis.metrics.quantity import Quantity, of_repeats, quantity
from perfkit.analysis.metrics.registry import summaries_in
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group, failures_of, groups, requests_of
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.point_labels import write_beside
from perfkit.analysis.plots.quantity import LOADS, scale
from perfkit.analysis.plots.sweep import apart, hollow, load_names, named_runs
from perfkit.analysis.stats.distribution import Floats, present
from perfkit.analysis.stats.estimates import Estimate
from perfkit.errors import UsageError
from perfkit.options.objectives import read_objectives

X, Y, WITHOUT_GPUS = "interactivity", "throughput_per_gpu", "output_throughput"
_READ = (*LOADS, "name", "tags", *RATES["total_throughput"].columns, *RATES[X].columns, *RATES[Y].columns)
_PALE = 0.28


def pareto_table(
    requests: DataFrame,
    metric: None = None,
    *,
    by: str | None = "run",
    x: str = X,
    y: str | None = None,
    slo: Any = None,
) -> DataFrame:
    """Return one row per group and load: two quantities with intervals, whether it is on the frontier, and why not.

    Columns ``group``, ``run`` (labels of the repeats of one load), ``load``, ``requests``, ``failed``, ``x``,
    ``x_low``, ``x_high``, ``y``, ``y_low``, ``y_high`` (in seconds where they are durations), ``mark``, ``misses``
    (objectives), ``dominated_by`` (the run that is better in both), ``frontier``.
    """
    return _panel(requests, by, quantity(x), quantity(y or _usual(requests)), _objectives(slo)).table


def quantities_named(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the quantities that the options of a Pareto chart name."""
    yield from (options.get("x") or X, options.get("y") or Y)  # without y, what is drawn instead is among its columns
    yield from _objectives(options.get("slo"))


@chart("pareto", metric=None, columns=_READ, usual=(None,), table=pareto_table, named=quantities_named, summaries=True)
def pareto(
    requests: DataFrame,
    metric: None = None,
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    x: str = X,
    y: str | None = None,
    slo: Any = None,
) -> Axes:
    """Throughput per GPU against speed per user, a point per load; the line joins those that no other load beats.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs.
    metric : None
        It draws two: ``x`` and ``y``.
    by : str or None
        What tells deployments apart: each has a frontier of its own. ``"run"``: runs that share a name are loads, or
        repeats, of one deployment, and so are all where no two names meet at a load.
    x : str
        A rate, or a statistic of a metric, of which more or less is better: ``"interactivity"``, ``"p95 ttft"``.
    y : str, optional
        Another, such as ``"cost_per_million_output_tokens"``; default: ``"throughput_per_gpu"``, and where no run has
        the tag ``gpus`` ``"output_throughput"``, which is said.
    slo : str, several, or mapping of quantity to bound, optional
        Objectives that a load must meet to be on the frontier: ``{"interactivity": 30, "p95 ttft": "500ms"}``. A bound
        of what is better higher is a lower one.

    Returns
    -------
    Axes
        A step shows what is attained at least at that speed. Pale: dominated, another load of the deployment is at
        least as good in both and better in one. Crosses miss the objectives; the area that they rule out is grey. Bars
        are 95 % intervals: of repeats, or else what the requests of one run leave open.

    Raises
    ------
    UsageError
        No run has both quantities, or one of them is not known.

    Examples
    --------
    >>> frame = DataFrame({"run_id": list("aabb"), "parallel": [1, 1, 8, 8], "success": True, "gpus": 2,
    ...                    "start_time": [0.0, 1.0] * 2, "completed_time": [1.0, 2.0] * 2, "completion_tokens": 11,
    ...                    "first_chunk_latency": 0.5, "time_per_output_token": [0.05] * 2 + [0.1] * 2})
    >>> pareto(frame).get_xlabel()
    'interactivity [tokens/s/user]'
    """
    across, up = quantity(x), quantity(y or _usual(requests))
    for wanted in (across, up):
        if wanted.metric.better is None:
            raise UsageError(
                f"a frontier needs quantities of which more or less is better, and {wanted.name} is neither"
            )
    objectives = _objectives(slo)
    panel = _panel(requests, by, across, up, objectives)
    points = panel.table
    if points.empty or not (points["x"].notna() & points["y"].notna()).any():
        raise UsageError(_nothing(across, up))
    with panel.on(ax) as (ax, signs):
        for group, some in panel:
            _draw(ax, group, some, across, up)
        _scale(ax, points, across, up)
        _shade(ax, objectives, across, up)
        signs += _signs(points, objectives, up)
        if not y and up.name == WITHOUT_GPUS:
            signs.append("no run has the tag gpus: this is the throughput of whole deployments")
    best = points[points["frontier"]]
    colours = [{group.key: group.colour for group in panel.groups}[key] for key in best["group"]]
    places = np.column_stack([best["x"] * _factor(across), best["y"] * _factor(up)])
    # Last, when the legend has its room: the loads take what is left.
    write_beside(ax, [str(load).split(" ")[0] for load in best["load"]], places, colours)
    return ax


def _usual(requests: DataFrame) -> str:
    """Return what is on the y axis unless told otherwise."""
    return Y if "gpus" in requests and requests["gpus"].notna().any() else WITHOUT_GPUS


def _panel(requests: DataFrame, by: str | None, x: Quantity, y: Quantity, slo: Mapping[str, float]) -> Panel:
    rows = notes.loaded(requests)
    rows = rows.assign(success=rows["success"] == 1, load=load_names(rows))
    slots = None
    if by == "run":
        rows, by, slots = named_runs(rows, "load")
    parted = groups(rows, by, slots=slots, typical=y.of)

    def tabulate(panel: Panel) -> Iterator[DataFrame]:
        yield from (_points(group, x, y, slo) for group in parted)

    return Panel(rows, None, by, tabulate, parted, about=notes.measured(requests))


def _points(group: Group, x: Quantity, y: Quantity, slo: Mapping[str, float]) -> DataFrame:
    rows = group.rows
    same = ["load", *(name for name in ("name", "tags") if name in rows)]
    loads = [
        _point(group, str(key[0]), some, x, y, slo)
        for key, alike in rows.groupby(same, sort=False, dropna=False)
        for some in apart(alike)
    ]
    table = DataFrame(loads, columns=_COLUMNS)
    placed = table["x"].notna() & table["y"].notna()
    table["dominated_by"] = dominators(table[placed & (table["misses"] == "")], x, y).reindex(
        table.index, fill_value=""
    )
    table["frontier"] = placed & (table["dominated_by"] == "") & (table["misses"] == "")
    return table


_COLUMNS = (
    *("group", "run", "load", "requests", "failed", "x", "x_low", "x_high", "y", "y_low", "y_high"),
    *("mark", "misses", "dominated_by", "frontier"),
)


def _point(
    group: Group, load: str, rows: DataFrame, x: Quantity, y: Quantity, slo: Mapping[str, float]
) -> dict[str, Any]:
    """Return what is drawn of one load, whose repeats are runs of their own."""
    runs = [some for _, some in rows.groupby("run_id", sort=False)] if "run_id" in rows else [rows]
    at, up = (of_repeats([wanted.estimate(some) for some in runs]) for wanted in (x, y))
    steady = notes.measured(rows)
    missed = [name for name, limit in slo.items() if not _holds(quantity(name), runs, limit)]
    labels = pd.unique(rows["run"].astype(object)) if "run" in rows else [load]
    return {
        "group": group.key,
        "run": ", ".join(map(str, labels)),
        "load": load,
        "requests": requests_of(steady),
        "failed": failures_of(steady),
        **_ends("x", at),
        **_ends("y", up),
        "mark": "summary" if summaries_in(rows) else at.mark or up.mark,
        "misses": ", ".join(missed),
    }


def _ends(axis: str, found: Estimate) -> dict[str, float]:
    return {axis: found.value, f"{axis}_low": found.low, f"{axis}_high": found.high}


def _holds(wanted: Quantity, runs: Iterable[DataFrame], limit: float) -> bool:
    value = of_repeats([wanted.estimate(some) for some in runs]).value
    return value >= limit if wanted.metric.better == "higher" else value <= limit


def dominators(points: DataFrame, x: Quantity, y: Quantity) -> "pd.Series[str]":
    """Return, for each point, the run that is at least as good in both quantities and better in one; empty: none is.

    Of several, that which is best in the second.

    Examples
    --------
    >>> points = DataFrame({"run": ["a", "b", "c"], "x": [1.0, 2.0, 1.5], "y": [5.0, 4.0, 4.0]})
    >>> dominators(points, quantity("interactivity"), quantity("throughput_per_gpu")).tolist()
    ['', '', 'b']
    """
    signs = [1 if wanted.metric.better == "higher" else -1 for wanted in (x, y)]
    values = points[["x", "y"]].to_numpy(dtype=float) * signs
    found = []
    for value in values:
        beats = (values >= value).all(axis=1) & (values > value).any(axis=1)
        found.append(
            str(points["run"].iloc[int(np.where(beats, values[:, 1], -np.inf).argmax())]) if beats.any() else ""
        )
    return pd.Series(found, points.index, dtype=object)


def _objectives(slo: Any) -> dict[str, float]:
    """Read objectives of a run: quantities and their bounds."""
    found = {}
    for each in read_objectives(slo) if slo else []:
        wanted = quantity(f"{each.metric}_{each.statistic}" if each.statistic else each.metric)
        if isinstance(wanted.metric, Rate):
            found[wanted.name] = _number(wanted.name, each.bound)
        elif wanted.name == wanted.metric.name:
            raise UsageError(
                f"an objective of a whole run names a percentile or the mean, such as 'p95 {wanted.name} < 500ms'; "
                f"got {wanted.name}"
            )
        else:
            found[wanted.name] = bound(wanted.metric.name, each.bound)
    return found


def _number(name: str, limit: Any) -> float:
    try:
        value = float(limit)
    except (TypeError, ValueError):
        value = np.nan
    if not 0 < value < np.inf:
        raise UsageError(f"the bound of {name} is a number above 0, in {RATES[name].unit}; got {limit!r}")
    return value


def _nothing(x: Quantity, y: Quantity) -> str:
    """Say why no load has a place, and what to do."""
    tags = dict.fromkeys(name for each in (x, y) if isinstance(each.metric, Rate) for name in each.metric.settings)
    wanted = f"no run has both {x.name} and {y.name}"
    if not tags:
        return f"{wanted}: other quantities can be drawn with x= and y="
    given = ", ".join(f'{name}="…"' for name in tags)
    instead = f"; or take y='{WITHOUT_GPUS}'" if y.name == Y else ""
    return f"{wanted}, which need the tag{'s' * (len(tags) > 1)} {', '.join(tags)}: runs.tag({given}){instead}"


def _factor(wanted: Quantity) -> float:
    return 1.0 if isinstance(wanted.metric, Rate) else wanted.metric.scale()


def _title(wanted: Quantity) -> str:
    if isinstance(wanted.metric, Rate):
        return f"{wanted.metric.label} [{wanted.metric.unit}]"
    statistic = "mean" if wanted.q is None else f"p{wanted.q:g}"
    return f"{statistic} {wanted.metric.label} [{wanted.metric.display_unit}]"


def _draw(ax: Axes, group: Group, points: DataFrame, x: Quantity, y: Quantity) -> None:
    points = points.assign(x=points["x"] * _factor(x), y=points["y"] * _factor(y)).dropna(subset=["x", "y"])
    points = points.sort_values(["x", "y"])
    best = points[points["frontier"]]
    # What is attained at a speed is what the next faster load attains; at a latency, what the next shorter one does.
    where: Literal["pre", "post"] = "pre" if x.metric.better == "higher" else "post"
    label = group.label(len(points), f"load{'s' * (len(points) != 1)}")
    ax.step(best["x"], best["y"], where=where, label=label, gid="frontier", **group.line)
    for axis, wanted, kind in (("x", x, "xerr"), ("y", y, "yerr")):
        known = best.dropna(subset=[f"{axis}_low", f"{axis}_high"])
        ends = [known[f"{axis}_{end}"] * _factor(wanted) for end in ("low", "high")]
        error = np.abs(np.vstack([known[axis] - ends[0], ends[1] - known[axis]]))
        look = {"fmt": "none", "color": group.colour, "capsize": 1.5, "elinewidth": 0.8, "alpha": 0.6}
        ax.errorbar(known["x"], known["y"], **{kind: error}, **look)
    for frontier, some in points[points["misses"] == ""].groupby("frontier"):
        for is_marked, few in some.groupby(some["mark"] != ""):
            face = "white" if is_marked else group.colour
            look = {"color": group.colour, "markerfacecolor": face, "alpha": 1.0 if frontier else _PALE}
            gid = "on frontier" if frontier else "dominated"
            ax.plot(few["x"], few["y"], group.marker, gid=gid, zorder=2.5 if frontier else 1.8, **look)
    missing = points[points["misses"] != ""]
    if len(missing):
        ax.plot(missing["x"], missing["y"], "x", color=group.colour, alpha=2 * _PALE, gid="misses", zorder=1.8)


def _scale(ax: Axes, points: DataFrame, x: Quantity, y: Quantity) -> None:
    for axis, wanted, values in ((ax.xaxis, x, points["x"]), (ax.yaxis, y, points["y"])):
        shown: Floats = present(values) * _factor(wanted)
        spread = bool(0 < 30 * shown.min() < shown.max())
        scale(axis, _title(wanted), [shown], log=spread)
        # By the points: the interval of two repeats may be a hundred times as long as all that is drawn.
        ends = (shown.min() / 1.5, shown.max() * 1.5) if spread else (0.0, 1.12 * shown.max())
        (ax.set_xlim if axis is ax.xaxis else ax.set_ylim)(*ends)


def _shade(ax: Axes, objectives: Mapping[str, float], x: Quantity, y: Quantity) -> None:
    """Grey out the area that objectives of the two quantities rule out."""
    for wanted, span, limits in ((x, ax.axvspan, ax.get_xlim()), (y, ax.axhspan, ax.get_ylim())):
        if wanted.name not in objectives:
            continue
        limit = objectives[wanted.name] * _factor(wanted)
        ends = (min(limits[0], limit), limit) if wanted.metric.better == "higher" else (limit, max(limits[1], limit))
        span(*ends, color="#000000", alpha=0.06, linewidth=0, gid="slo", zorder=0)
        (ax.set_xlim if span == ax.axvspan else ax.set_ylim)(min(limits[0], limit), max(limits[1], limit * 1.02))


def _signs(points: DataFrame, objectives: Mapping[str, float], y: Quantity) -> list[str]:
    left_out = points[points["x"].isna() | points["y"].isna()]
    points = points.drop(left_out.index)
    frontier = points[points["frontier"]]
    signs = ["line: no other load beats these in both", "beside a point: its load"]
    if (points["dominated_by"] != "").any():
        signs.append(f"pale: dominated ({int((points['dominated_by'] != '').sum())})")
    if (points["misses"] != "").any():
        signs.append(f"crosses: miss {' and '.join(objectives)}")
    if frontier[["x_low", "y_low"]].notna().any(axis=None):
        signs.append("bars: 95 % intervals, where known")
    if len(left_out):
        which = y.name if left_out["y"].isna().all() else "both quantities"
        signs.append(f"left out: {len(left_out)} load{'s' * (len(left_out) != 1)} without {which}")
    return [*signs, *hollow(points)]
