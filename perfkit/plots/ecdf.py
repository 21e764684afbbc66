"""The share of requests at or below each value of a metric."""

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import canvas
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, legend, stacked
from perfkit.plots.lines import body, ranks, sampled
from perfkit.plots.quantity import Quantity, percent, scale, widely_spread
from perfkit.stats import Floats


def ecdf_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the steps drawn: columns group, the metric in its shown unit, share of requests, requests beyond."""
    shown, parts, values = sampled(requests, metric, by)
    return stacked(_steps(group, each, shown) for group, each in zip(parts, values, strict=True))


@chart("ecdf", columns=(), table=ecdf_table)
def ecdf(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Share of requests at or below each value of a metric, one step line per group.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Requests outside the measured window are left out.
    metric : str
        A metric, or a column of numbers.
    by : str or None
        The column whose values are drawn as one line each; None for one line.
    ax : Axes, optional
        Where to draw; default: a figure of its own.

    Returns
    -------
    Axes
        Where fewer than ten requests lie beyond, a line is thin: one more or less of them moves it.

    Raises
    ------
    UsageError
        There is no such metric or column.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3, "ttft": [0.1, 0.3, 0.2], "success": 1})
    >>> ecdf(frame, "ttft").get_xlabel()
    'time to first token [ms]'
    """
    shown, parts, values = sampled(requests, metric, by)
    with canvas(ax) as ax:
        for group, each in zip(parts, values, strict=True):
            _draw(ax, group, each)
        if not any(each.size for each in values):
            notes.empty(ax, shown.label, parts)
        scale(ax.xaxis, shown.title, values, log=widely_spread(values))
        ax.set(ylabel="share of requests", ylim=(0, 1.01))
        percent(ax.yaxis)
        legend(ax, by)
        notes.write(ax, [notes.THIN], notes.remarks(requests, metric))
    return ax


def _steps(group: Group, values: Floats, shown: Quantity) -> DataFrame:
    n, drawn = len(values), ranks(len(values))
    return DataFrame(
        {
            "group": group.key,
            shown.title: values[drawn],
            "share of requests": (drawn + 1) / max(n, 1),
            "requests beyond": n - 1 - drawn,
        }
    )


def _draw(ax: Axes, group: Group, values: Floats) -> None:
    n, drawn = len(values), ranks(len(values))
    x, share = np.append(values[:1], values[drawn]), np.append(np.zeros(min(n, 1)), (drawn + 1) / max(n, 1))
    end = body(drawn, n)
    ax.step(x[: end + 1], share[: end + 1], where="post", label=group.label(n), **group.line)
    ax.step(x[end:], share[end:], where="post", gid="tail", **group.tail)
