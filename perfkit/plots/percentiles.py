"""The tail of a metric: its value at every percentile, the last ones drawn apart from each other."""

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import canvas
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, legend, stacked
from perfkit.plots.lines import body, ranks, sampled
from perfkit.plots.quantity import Quantity, scale, widely_spread
from perfkit.stats import Floats

TICKS = (0, 50, 75, 90, 95, 99, 99.9, 99.99, 99.999)


def percentiles_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the points of a percentile curve: columns group, percentile, the metric, requests beyond."""
    shown, parts, values = sampled(requests, metric, by)
    return stacked(_points(group, each, shown) for group, each in zip(parts, values, strict=True))


@chart("percentiles", columns=(), table=percentiles_table)
def percentiles(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Value of a metric at every percentile, where 90, 99 and 99.9 lie equally far apart.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Requests outside the measured window are left out.
    metric : str
        A metric, or a column of numbers.
    by : str or None
        The column whose values are drawn as one line each.
    ax : Axes, optional
        Where to draw; default: a figure of its own.

    Returns
    -------
    Axes
        Where fewer than ten requests lie beyond, a line is thin.

    Raises
    ------
    UsageError
        There is no such metric or column.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 300, "ttft": np.linspace(0.1, 0.2, 300), "success": 1})
    >>> [tick.get_text() for tick in percentiles(frame).get_xticklabels()]
    ['0', '50', '75', '90', '95', '99']
    """
    shown, parts, values = sampled(requests, metric, by)
    with canvas(ax) as ax:
        for group, each in zip(parts, values, strict=True):
            _draw(ax, group, each)
        if not any(each.size for each in values):
            notes.empty(ax, shown.label, parts)
        # This chart is about the largest values, not about the 99th percentile.
        scale(ax.yaxis, shown.title, values, log=widely_spread(values, top=100))
        _nines(ax, max(map(len, values), default=0))
        ax.set(xlabel="percentile of requests")
        legend(ax, by)
        notes.write(ax, [notes.THIN], notes.remarks(requests, metric))
    return ax


def _points(group: Group, values: Floats, shown: Quantity) -> DataFrame:
    n, drawn = len(values), ranks(len(values))
    return DataFrame(
        {
            "group": group.key,
            "percentile": 100 * drawn / max(n - 1, 1),
            shown.title: values[drawn],
            "requests beyond": n - 1 - drawn,
        }
    )


def _draw(ax: Axes, group: Group, values: Floats) -> None:
    n, drawn = len(values), ranks(len(values))
    # The largest value lies at the 100th percentile, which is nowhere on this axis: it is drawn at 1 - 1/2n.
    position = _stretched(np.minimum(100 * drawn / max(n - 1, 1), 100 * (1 - 0.5 / max(n, 1))))
    end, start = body(drawn, n), max(body(drawn, n) - 1, 0)
    ax.plot(position[:end], values[drawn][:end], label=group.label(n), **group.line)
    ax.plot(position[start:], values[drawn][start:], gid="tail", **group.tail)


def _stretched(percentile: Floats) -> Floats:
    """Place percentiles by the number of nines: 90 at 1, 99 at 2."""
    return -np.log10(1 - percentile / 100)


def _nines(ax: Axes, n: int) -> None:
    last = 1 - 0.5 / max(n, 20)
    ticks = [q for q in TICKS if q / 100 <= last]
    ax.set_xticks(_stretched(np.array(ticks, dtype=float)), [f"{q:g}" for q in ticks])
    ax.set_xlim(0, float(_stretched(np.array([100 * last]))[0]) * 1.02)
