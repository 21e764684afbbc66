"""How often each value of a metric occurs."""

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import canvas
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, legend, stacked
from perfkit.plots.lines import sampled
from perfkit.plots.quantity import Quantity, percent, scale, widely_spread
from perfkit.stats import Floats

FEWEST, MOST = 8, 60


def hist_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the bars of a histogram: columns group, from, to, requests, share of requests."""
    shown, parts, values = sampled(requests, metric, by)
    edges = _edges(values)
    return stacked(_bars(group, each, shown, edges) for group, each in zip(parts, values, strict=True))


@chart("hist", columns=(), table=hist_table)
def hist(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Share of requests in each range of a metric, one outline per group over the same ranges.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Requests outside the measured window are left out.
    metric : str
        A metric, or a column of numbers.
    by : str or None
        The column whose values are drawn as one outline each.
    ax : Axes, optional
        Where to draw; default: a figure of its own.

    Returns
    -------
    Axes
        The ranges grow with the value where the largest is above ten times the median.

    Raises
    ------
    UsageError
        There is no such metric or column.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3, "ttft": [0.1, 0.3, 0.2], "success": 1})
    >>> hist(frame, "ttft").get_ylabel()
    'share of requests'
    """
    shown, parts, values = sampled(requests, metric, by)
    with canvas(ax) as ax:
        edges = _edges(values)
        for group, each in zip(parts, values, strict=True):
            _draw(ax, group, _bars(group, each, shown, edges), filled=len(parts) <= 3)
        if not any(each.size for each in values):
            notes.empty(ax, shown.label, parts)
        scale(ax.xaxis, shown.title, values, log=_skewed(values))
        ax.set(ylabel="share of requests")
        percent(ax.yaxis)
        legend(ax, by)
        notes.write(ax, [], notes.remarks(requests, metric))
    return ax


def _skewed(values: list[Floats]) -> bool:
    """Tell whether ranges of one width would put nearly all requests of a group into the first few."""
    return all((each > 0).all() for each in values) and widely_spread(values, top=100)


def _edges(values: list[Floats]) -> Floats:
    """Choose ranges for all groups by Freedman and Diaconis' rule for the narrowest of them."""
    pooled = np.concatenate([np.empty(0), *values])
    if not pooled.size:
        return np.array([0.0, 1.0])
    low, high = pooled.min(), pooled.max()
    if low == high:
        return np.array([low - 0.5, low + 0.5])
    axis = np.log if _skewed(values) else np.asarray
    widths = [
        2 * np.subtract(*np.percentile(axis(each), [75, 25])) / each.size ** (1 / 3) for each in values if each.size
    ]
    narrowest = min((width for width in widths if width > 0), default=np.inf)
    count = int(np.clip((axis(high) - axis(low)) / narrowest, FEWEST, MOST))
    return np.geomspace(low, high, count + 1) if axis is np.log else np.linspace(low, high, count + 1)


def _bars(group: Group, values: Floats, shown: Quantity, edges: Floats) -> DataFrame:
    counts, _ = np.histogram(values, edges)
    return DataFrame(
        {
            "group": group.key,
            f"{shown.title} from": edges[:-1],
            "to": edges[1:],
            "requests": counts,
            "share of requests": counts / max(counts.sum(), 1),
        }
    )


def _draw(ax: Axes, group: Group, bars: DataFrame, *, filled: bool) -> None:
    edges = [*bars.iloc[:, 1], bars["to"].iloc[-1]]
    share = bars["share of requests"]
    ax.stairs(share, edges, label=group.label(int(bars["requests"].sum())), **group.line)
    if filled:
        ax.stairs(share, edges, fill=True, color=group.colour, alpha=0.12, gid="fill")
