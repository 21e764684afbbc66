"""How often each value of a metric occurs."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import percent, scale, widely_spread
from perfkit.analysis.stats.distribution import Floats

FEWEST, MOST = 8, 60


def hist_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the bars of a histogram: columns group, from, to, requests, share of requests."""
    return Panel.of(requests, metric, by, _bars).table


@chart("hist", columns=(), usual=("tpot",), rates="counted", table=hist_table)
def hist(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Share of requests in each range of a metric, one outline per group over the same ranges.

    Returns
    -------
    Axes
        The ranges grow with the value where the largest is above ten times the median.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3, "ttft": [0.1, 0.3, 0.2], "success": 1})
    >>> hist(frame, "ttft").get_ylabel()
    'share of requests'
    """
    panel = Panel.of(requests, metric, by, _bars)
    with panel.on(ax) as (ax, _):
        for group, bars in panel:
            _draw(ax, group, bars, panel.shown.counted, filled=len(panel.groups) <= 3)
        scale(ax.xaxis, panel.shown.title, panel.values, log=_skewed(panel.values))
        ax.set(ylabel=f"share of {panel.shown.counted}")
        percent(ax.yaxis)
    return ax


def _skewed(values: Sequence[Floats]) -> bool:
    """Tell whether ranges of one width would put nearly all requests of a group into the first few."""
    return all((each > 0).all() for each in values) and widely_spread(values, top=100)


def _edges(values: Sequence[Floats]) -> Floats:
    """Choose ranges for all groups by Freedman and Diaconis' rule for the narrowest of them."""
    pooled = np.concatenate([np.empty(0), *values])
    if not pooled.size:
        return np.zeros(1)
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


def _bars(panel: Panel) -> Iterator[DataFrame]:
    edges = _edges(panel.values)
    for group, values in panel.samples:
        counts, _ = np.histogram(values, edges)
        yield DataFrame(
            {
                "group": group.key,
                f"{panel.shown.title} from": edges[:-1],
                "to": edges[1:],
                panel.shown.counted: counts,
                f"share of {panel.shown.counted}": counts / max(counts.sum(), 1),
            }
        )


def _draw(ax: Axes, group: Group, bars: DataFrame, counted: str, *, filled: bool) -> None:
    edges = [*bars.iloc[:, 1], *bars["to"].tail(1)] or [0.0]
    share = bars[f"share of {counted}"]
    ax.stairs(share, edges, label=group.label(int(bars[counted].sum()), counted), **group.line)
    if filled:
        ax.stairs(share, edges, fill=True, color=group.colour, alpha=0.12, gid="fill")
