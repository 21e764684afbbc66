"""How much of a load is served within objectives."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import METRICS, RATES, rates
from perfkit.analysis.metrics.bounds import request_bounds
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.loads import each_load
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import LOADS, quantity, scale, scale_from_zero
from perfkit.analysis.plots.sweep import load_of, over_loads, scale_loads
from perfkit.analysis.stats.distribution import percentile
from perfkit.errors import UsageError

_READ = (*LOADS, "name", *RATES["request_throughput"].columns)
GOOD, ALL = "within the objectives [requests/s]", "successful [requests/s]"


def goodput_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", slo: Any = None) -> DataFrame:
    """Return one row per group and load: group, load, requests, goodput and throughput in requests per second."""
    return _panel(requests, metric, by, _bounds(requests, metric, slo)).table


@chart("goodput", columns=_READ, pooled=False, table=goodput_table)
def goodput(
    requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None, slo: Any = None
) -> Axes:
    """Requests per second that meet objectives, against the load; thin: all that succeeded.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs, with ``parallel`` or ``rate``. Those outside the measured window are left out.
    metric : str
        Without ``slo``: the metric of which each request is to have at most twice the median under the lowest load.
    slo : str, several, or mapping of metric to bound, optional
        Objectives of each request, such as ``["ttft < 500ms", "tpot < 50ms"]``.

    Returns
    -------
    Axes
        Where the two lines of a group part, requests take longer than they may.

    Raises
    ------
    UsageError
        The requests have neither users nor a rate, or an objective cannot be read.

    Examples
    --------
    >>> frame = DataFrame({"run_id": ["a"] * 3, "parallel": 1, "success": True, "start_time": [0.0, 1.0, 2.0],
    ...                    "completed_time": [1.0, 2.0, 3.0], "ttft": [0.1, 0.9, 0.1]})
    >>> goodput_table(frame, slo="ttft < 500ms")["within the objectives [requests/s]"].tolist()
    [0.5]
    """
    bounds = _bounds(requests, metric, slo)
    panel = _panel(requests, metric, by, bounds)
    said = " and ".join(f"{name} {_sign(name)} {_shown(name, bound)}" for name, bound in bounds.items())
    with panel.on(ax, [f"objectives: {said}{'' if slo else ' (twice the median under the lowest load)'}"]) as (
        ax,
        signs,
    ):
        for group, points in panel:
            _draw(ax, group, points)
        signs.append("thin: all that succeeded")
        ax.margins(0.07)
        scale(ax.yaxis, "requests/s within the objectives", [], log=False)
        scale_from_zero(ax)
        scale_loads(ax, panel.table["load"])
        ax.set(xlabel=LOADS[load_of(panel.requests)])
    return ax


def _bounds(requests: DataFrame, metric: str, slo: Any) -> Mapping[str, float]:
    if slo:
        return request_bounds(slo)
    if metric not in METRICS or METRICS[metric].pooled:
        raise UsageError(
            f"goodput needs a metric of each request, such as ttft, or objectives: slo='ttft < 500ms'; got {metric!r}"
        )
    inside = notes.measured(requests)
    loads = inside[load_of(inside)]
    lowest = inside[loads == loads[loads > 0].min()] if (loads > 0).any() else inside
    shown = quantity(metric)
    return {metric: 2 * percentile(shown.of(lowest), 50) / shown.factor}


def _panel(requests: DataFrame, metric: str, by: str | None, bounds: Mapping[str, float]) -> Panel:
    def points(panel: Panel) -> Iterator[DataFrame]:
        for group in panel.groups:
            rungs = [rung for rung in each_load(panel) if rung.group is group]
            yield DataFrame(
                {
                    "group": group.key,
                    "load": [rung.load for rung in rungs],
                    "requests": [len(notes.measured(rung.rows)) for rung in rungs],
                    GOOD: [_goodput(rung.rows, bounds) for rung in rungs],
                    ALL: [RATES["request_throughput"].of(_judged(rung.rows)) for rung in rungs],
                }
            )

    # A rate counts what happened in its window, whichever phase a request is of.
    return over_loads(requests, metric, by, points, all_phases=True)


def _judged(rows: DataFrame) -> DataFrame:
    return rows.assign(success=rows["success"] == 1)


def _goodput(rows: DataFrame, bounds: Mapping[str, float]) -> float:
    with_columns = _judged(rows)
    for name in bounds:  # where only the metric itself was loaded, not what it is computed from
        if name in rows:
            good = rows[name] >= bounds[name] if METRICS[name].better == "higher" else rows[name] <= bounds[name]
            with_columns = with_columns.assign(success=with_columns["success"] & good)
    rest = {name: bound for name, bound in bounds.items() if name not in rows}
    return rates.goodput(with_columns, rest)


def _draw(ax: Axes, group: Group, points: DataFrame) -> None:
    points = points.assign(place=points["load"].where(points["load"] > 0, np.nan))
    label = group.label(int(points["requests"].sum()))
    ax.plot(points["place"], points[GOOD], marker=group.marker, label=label, **group.line)
    ax.plot(points["place"], points[ALL], gid="all", **group.tail)


def _sign(name: str) -> str:
    return "≥" if METRICS[name].better == "higher" else "≤"


def _shown(name: str, bound: float) -> str:
    shown = quantity(name)
    return f"{bound * shown.factor:.4g} {shown.unit}"
