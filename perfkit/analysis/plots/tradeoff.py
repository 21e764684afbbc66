"""What throughput costs: the latency of each load against the rate that it brought."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.point_labels import write_beside
from perfkit.analysis.plots.quantity import LOADS, Quantity, quantity, scale, scale_from_zero, widely_spread
from perfkit.analysis.plots.sweep import hollow, load_label, load_of, pooled, sweep_table, sweeps
from perfkit.analysis.stats.distribution import present
from perfkit.errors import UsageError

_READ = (*LOADS, "name", *RATES["total_throughput"].columns)


def tradeoff_table(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    rate: str = "output_throughput",
    percentile: float = 95,
) -> DataFrame:
    """Return one row per group and load: group, load, requests, the percentile, its interval, mark, and the rate."""
    return _panel(requests, metric, by, rate, percentile).table


@chart("tradeoff", columns=_READ, usual=("ttft",), table=tradeoff_table, summaries=True)
def tradeoff(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    rate: str = "output_throughput",
    percentile: float = 95,
) -> Axes:
    """A percentile of a metric against the throughput it came with, a point per load: lower right is better.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs, with ``parallel`` or ``rate``. Requests outside the measured window are left out.
    metric : str
        A metric.
    by : str or None
        The column whose values have a line each. ``"run"``: runs that share a name are points, or repeats, of one
        line, and so are all where no two names meet at a load. None: all runs belong to one line.
    rate : str
        The rate on the x axis.
    percentile : float
        0 to 100, of the metric.

    Returns
    -------
    Axes
        The number beside a point is its load, left out where there is no room for it. Hollow markers are not to be
        relied on, for the reasons named beneath.

    Raises
    ------
    UsageError
        The requests have neither users nor a rate, or there is no such metric.

    Examples
    --------
    >>> frame = DataFrame({"run_id": ["a"] * 2 + ["b"] * 2, "parallel": [1] * 2 + [8] * 2, "success": 1,
    ...                    "start_time": 0.0, "completed_time": [2.0] * 2 + [1.0] * 2, "completion_tokens": 10,
    ...                    "ttft": [0.1, 0.1, 0.3, 0.4]})
    >>> tradeoff(frame).get_ylabel()
    'p95 time to first token [ms]'
    """
    panel = _panel(requests, metric, by, rate, percentile)
    x, brought = load_of(panel.requests), quantity(rate)
    with panel.on(ax) as (ax, signs):
        for group, points in panel:
            _draw(ax, group, points, brought, panel.shown)
        ax.margins(0.08)
        points = panel.table
        values = [part[panel.shown.title].to_numpy() for part in panel.tables]
        scale(ax.yaxis, f"p{percentile:g} {panel.shown.title}", values, log=widely_spread(values))
        if ax.get_yscale() == "linear":
            scale_from_zero(ax)
        rates = present(points[brought.title])
        apart = rates.size and 0 < 20 * rates.min() < rates.max()
        scale(ax.xaxis, brought.title, [rates], log=bool(apart))
        if not apart:
            ax.set_xlim(left=0)
        signs += [f"beside a point: {LOADS[x].split(' [')[0]}"]
        signs += hollow(points)
        signs += pooled(panel.groups, x)
    known = points.dropna(subset=[brought.title, panel.shown.title])
    colours = [{group.key: group.colour for group in panel.groups}[key] for key in known["group"]]
    # Last, when the legend has its room: the loads take what is left.
    places = known[[brought.title, panel.shown.title]].to_numpy(dtype=float)
    write_beside(ax, [*map(load_label, known["load"])], places, colours)
    return ax


def _panel(requests: DataFrame, metric: str, by: str | None, rate: str, percentile: float) -> Panel:
    if metric not in METRICS:
        raise UsageError(f"a trade-off needs a metric of each request, such as ttft, got {metric!r}")
    inside = notes.measured(requests)

    def points(panel: Panel) -> Iterator[DataFrame]:
        latency = sweep_table(requests, metric, by=by, percentiles=[percentile])
        told = {"is_told": lambda table: table["mark"] == "summary"}
        brought = sweep_table(requests, rate, by=by).assign(**told)[["group", "load", "is_told", quantity(rate).title]]
        both = pd.merge(latency.assign(**told), brought, on=["group", "load", "is_told"]).drop(columns="is_told")
        yield from (both[both["group"] == group.key] for group in panel.groups)

    return Panel(inside, metric, by, points, sweeps(inside, by, load_of(inside), metric))


def _draw(ax: Axes, group: Group, points: DataFrame, brought: Quantity, latency: Quantity) -> None:
    x, y = points[brought.title], points[latency.title]
    ax.plot(x, y, label=group.label(int(points["requests"].sum())), **group.line)
    for is_marked, some in points.groupby(points["mark"] != ""):
        face = "white" if is_marked else group.colour
        ax.plot(some[brought.title], some[latency.title], group.marker, color=group.colour, markerfacecolor=face)
