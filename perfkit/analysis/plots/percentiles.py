"""The tail of a metric: its value at every percentile, the last ones drawn apart from each other."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots import notes
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.lines import drawn_ranks, well_known
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import scale, widely_spread
from perfkit.analysis.stats.distribution import Floats

TICKS = (0, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999)


def percentiles_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the points of a percentile curve: columns group, percentile, the metric, requests beyond."""
    return Panel.of(requests, metric, by, _points).table


@chart("percentiles", columns=(), usual=("e2e",), rates="counted", table=percentiles_table)
def percentiles(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Value of a metric at every percentile, where 90, 99 and 99.9 lie equally far apart.

    Returns
    -------
    Axes
        Where fewer than ten requests lie beyond, a line is thin.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 300, "ttft": np.linspace(0.1, 0.2, 300), "success": 1})
    >>> [tick.get_text() for tick in percentiles(frame).get_xticklabels()]
    ['0', '50', '75', '90', '95', '99']
    """
    panel = Panel.of(requests, metric, by, _points)
    with panel.on(ax, [notes.thin_note(panel.shown.counted)], panel.dependence) as (ax, _):
        for group, points in panel:
            _draw(ax, group, points, panel.shown.counted)
        # This chart is about the largest values, not about the 99th percentile.
        scale(ax.yaxis, panel.shown.title, panel.values, log=widely_spread(panel.values, top=100))
        _nines(ax, max(map(len, panel.values), default=0))
        ax.set(xlabel=f"percentile of {panel.shown.counted}")
    return ax


def _points(panel: Panel) -> Iterator[DataFrame]:
    for group, values in panel.samples:
        n, drawn = len(values), drawn_ranks(len(values))
        yield DataFrame(
            {
                "group": group.key,
                "percentile": 100 * drawn / max(n - 1, 1),
                panel.shown.title: values[drawn],
                f"{panel.shown.counted} beyond": n - 1 - drawn,
            }
        )


def _draw(ax: Axes, group: Group, points: DataFrame, counted: str) -> None:
    n, end = well_known(points)
    # The largest value lies at the 100th percentile, which is nowhere on this axis: it is drawn at 1 - 1/2n.
    percentile, values = (points.iloc[:, place].to_numpy(dtype=float) for place in (1, 2))
    position = _stretched(np.minimum(percentile, 100 * (1 - 0.5 / max(n, 1))))
    start = max(end - 1, 0)
    ax.plot(position[:end], values[:end], label=group.label(n, counted), **group.line)
    ax.plot(position[start:], values[start:], gid="tail", **group.tail)


def _stretched(percentile: Floats) -> Floats:
    """Place percentiles by the number of nines: 90 at 1, 99 at 2."""
    return -np.log10(1 - percentile / 100)


def _nines(ax: Axes, n: int) -> None:
    last = 1 - 0.5 / max(n, 20)
    ticks = [q for q in TICKS if q / 100 <= last]
    ax.set_xticks(_stretched(np.array(ticks, dtype=float)), [f"{q:g}" for q in ticks])
    ax.set_xlim(0, float(_stretched(np.array([100 * last]))[0]) * 1.02)
