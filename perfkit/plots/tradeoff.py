"""What throughput costs: the latency of each load against the rate that it brought."""

import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.errors import UsageError
from perfkit.metrics import METRICS
from perfkit.plots import notes
from perfkit.plots.beside import write_beside
from perfkit.plots.canvas import canvas
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, legend
from perfkit.plots.quantity import Quantity, quantity, scale, widely_spread
from perfkit.plots.sweep import LOADS, load_name, load_of, pooled, sweep_table, sweeps

_READ = (*LOADS, "name", "run_id", "start_time", "completed_time", "completion_tokens", "prompt_tokens")


def tradeoff_table(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    rate: str = "output_throughput",
    percentile: float = 95,
) -> DataFrame:
    """Return one row per group and load: group, load, requests, the percentile, its interval, thin, and the rate."""
    if metric not in METRICS:
        raise UsageError(f"a trade-off needs a metric of each request, such as ttft, got {metric!r}")
    latency = sweep_table(requests, metric, by=by, percentiles=[percentile])
    brought = sweep_table(requests, rate, by=by)
    return pd.merge(latency, brought[["group", "load", quantity(rate).title]], on=["group", "load"])


@chart("tradeoff", columns=_READ, table=tradeoff_table)
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
    ax : Axes, optional
        Where to draw; default: a figure of its own.
    rate : str
        The rate on the x axis.
    percentile : float
        0 to 100, of the metric.

    Returns
    -------
    Axes
        The number beside a point is its load, left out where there is no room for it. Hollow markers: fewer than ten
        requests beyond.

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
    inside = notes.measured(requests)
    x, latency, brought = load_of(inside), quantity(metric), quantity(rate)
    points = tradeoff_table(inside, metric, by=by, rate=rate, percentile=percentile)
    with canvas(ax) as ax:
        parts = sweeps(inside, by, x)
        for group in parts:
            _draw(ax, group, points[points["group"] == group.key], brought, latency)
        ax.margins(0.08)
        values = [part[latency.title].to_numpy() for _, part in points.groupby("group")]
        scale(ax.yaxis, f"p{percentile:g} {latency.title}", values, log=widely_spread(values))
        scale(ax.xaxis, brought.title, [], log=False)
        ax.set_xlim(left=0)
        legend(ax, by)
        signs = [f"beside a point: {LOADS[x].split(' [')[0]}", "hollow: fewer than 10 requests beyond"]
        signs = [*signs[: 1 + int(points["thin"].any())], *pooled(parts, x)]
        notes.write(ax, signs, notes.remarks(requests, metric))
        known = points.dropna(subset=[brought.title, latency.title])
        colours = [{group.key: group.colour for group in parts}[key] for key in known["group"]]
        places = known[[brought.title, latency.title]].to_numpy(dtype=float)
        write_beside(ax, [*map(load_name, known["load"])], places, colours)
    return ax


def _draw(ax: Axes, group: Group, points: DataFrame, brought: Quantity, latency: Quantity) -> None:
    x, y = points[brought.title], points[latency.title]
    ax.plot(x, y, label=group.label(int(points["requests"].sum())), **group.line)
    for thin, some in points.groupby("thin"):
        face = "white" if thin else group.colour
        ax.plot(some[brought.title], some[latency.title], group.marker, color=group.colour, markerfacecolor=face)
