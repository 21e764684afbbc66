"""The share of requests at or below each value of a metric."""

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import canvas
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, groups, legend, stacked
from perfkit.plots.quantity import Quantity, percent, quantity, scale, widely_spread
from perfkit.stats import BEYOND, Floats

VERTICES = 2000
"""Steps that a line is drawn with at most; a picture shows no more."""


def ecdf_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the steps of an ECDF: columns group, the metric in its shown unit, share of requests, requests beyond."""
    shown = quantity(metric)
    return stacked(_steps(group, shown) for group in groups(notes.measured(requests), by))


@chart("ecdf", table=ecdf_table)
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
        The last nine requests of a line are faint: one of them more or less moves the line.

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
    shown = quantity(metric)
    parts = groups(notes.measured(requests), by)
    with canvas(ax) as ax:
        values = [_draw(ax, group, shown) for group in parts]
        pooled = np.concatenate(values) if values else np.empty(0)
        if not pooled.size:
            notes.empty(ax, shown.label, parts)
        scale(ax.xaxis, shown.title, pooled, log=widely_spread(pooled))
        ax.set(ylabel="share of requests", ylim=(0, 1.01))
        percent(ax.yaxis)
        legend(ax, by)
        notes.write(ax, [notes.FAINT], notes.remarks(requests, metric))
    return ax


def _steps(group: Group, shown: Quantity) -> DataFrame:
    x = np.sort(shown.of(group.rows).dropna())
    n = len(x)
    return DataFrame(
        {
            "group": group.key,
            shown.title: x,
            "share of requests": np.arange(1, n + 1) / max(n, 1),
            "requests beyond": np.arange(n - 1, -1, -1),
        }
    )


def _draw(ax: Axes, group: Group, shown: Quantity) -> Floats:
    x: Floats = np.sort(shown.of(group.rows).dropna().to_numpy())
    n = len(x)
    if not n:
        ax.plot([], [], label=group.label(0), **group.line)
        return x
    steps = np.append(x[0], x), np.arange(n + 1) / n
    body, tail = max(n - BEYOND + 1, 0), slice(max(n - BEYOND + 1, 0), None)
    kept = _thinned(body + 1)
    ax.step(steps[0][kept], steps[1][kept], where="post", label=group.label(n), **group.line)
    ax.step(steps[0][tail], steps[1][tail], where="post", alpha=0.4, gid="tail", **group.line)
    return x


def _thinned(n: int) -> np.ndarray:
    """Choose the vertices of a line of n steps that a picture can show."""
    return np.unique(np.linspace(0, n - 1, min(n, VERTICES)).astype(int))
