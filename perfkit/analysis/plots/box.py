"""Where most values of a metric lie, a row per group: for many groups at a glance."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots.canvas import letter_of
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import scale, widely_spread
from perfkit.analysis.stats.distribution import BEYOND, Floats, percentile, thin
from perfkit.errors import UsageError, nearest

MARKS = (5, 25, 50, 75, 95, 99)
"""Percentiles that a box shows: ends of its line, of the box, its middle, and a dot beyond."""
FEW = 2 * BEYOND
"""Values of which each is drawn, as a box would show more than there is."""
KINDS = ("box", "violin")


def box_table(
    requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", kind: Literal["box", "violin"] = "box"
) -> DataFrame:
    """Return one row per group: group, values, failed requests, and percentiles of the metric in its shown unit."""
    return Panel.of(requests, metric, by, _marks).table


@chart("box", columns=(), rates="counted", table=box_table)
def box(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    kind: Literal["box", "violin"] = "box",
) -> Axes:
    """Quartiles and tails of a metric, a row per group: box from p25 to p75, line from p5 to p95, dot at p99.

    Parameters
    ----------
    kind : "box" or "violin"
        A box, or an outline as thick as values are frequent.

    Returns
    -------
    Axes
        Of a group with fewer than twenty values each value is a dot instead. The dot at p99 is hollow where fewer than
        ten values lie beyond it.

    Raises
    ------
    UsageError
        There is no such metric, column or kind.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 30, "ttft": np.linspace(0.1, 0.2, 30), "success": 1})
    >>> [tick.get_text() for tick in box(frame).get_yticklabels()]
    ['a (n=30)']
    """
    if kind not in KINDS:
        raise UsageError(f"kind is 'box' or 'violin', got {kind!r}{nearest(kind, KINDS)}")
    panel = Panel.of(requests, metric, by, _marks, rows_beyond=0)
    log = widely_spread(panel.values)
    with panel.on(ax, ["box: p25, median, p75; line: p5 to p95; dot: p99"]) as (ax, signs):
        for row, (group, values) in enumerate(panel.samples):
            if len(values) < FEW:
                ax.plot(values, np.full(len(values), row), "o", color=group.colour, alpha=0.6, gid="values")
            else:
                _draw(ax, row, group, values, as_violin=kind == "violin", log=log)
        if any(0 < len(values) < FEW for values in panel.values):
            signs.append(f"dots alone: fewer than {FEW} {panel.shown.counted}")
        panel.name_rows(ax, range(len(panel.groups)), most=3.2)
        scale(ax.xaxis, panel.shown.title, panel.values, log=log)
        ax.set_ylim(max(len(panel.groups), 1) - 0.4, -0.6)
        ax.grid(axis="y", visible=False)
    return ax


def _marks(panel: Panel) -> Iterator[DataFrame]:
    for group, values in panel.samples:
        marks = {f"p{q:g} {panel.shown.title}": percentile(values, q) for q in MARKS}
        row = {"group": group.key, panel.shown.counted: len(values), "failed": group.failures, **marks}
        yield DataFrame([row] if len(values) else [], columns=list(row))


def _draw(ax: Axes, row: int, group: Group, values: Floats, *, as_violin: bool, log: bool) -> None:
    low, left, middle, right, high, far = (percentile(values, q) for q in MARKS)
    ax.plot([low, high], [row, row], color=group.colour, linestyle="-", gid="line")
    if as_violin:
        ax.fill_between(*_outline(values, row, log=log), color=group.colour, alpha=0.3, linewidth=0, gid="violin")
        ax.plot([left, right], [row, row], color=group.colour, linestyle="-", linewidth=0.4 * letter_of(ax), gid="box")
    else:
        ax.fill_between([left, right], row - 0.3, row + 0.3, color=group.colour, alpha=0.35, linewidth=0, gid="box")
    ax.plot([middle, middle], [row - 0.3, row + 0.3], color=group.colour, linestyle="-", gid="median")
    face = "white" if thin(len(values), 99) else group.colour
    ax.plot([far], [row], "o", color=group.colour, markerfacecolor=face, gid="p99")


def _outline(values: Floats, row: int, *, log: bool) -> tuple[Floats, Floats, Floats]:
    """Return where an outline runs: places, lower and upper edge, as thick as values are frequent there."""
    positive = values[values > 0] if log else values
    placed = np.log(positive) if log else positive
    counts, edges = np.histogram(placed, np.linspace(placed.min(), placed.max() + 1e-12, 61))
    smooth = np.convolve(counts, np.hanning(9)[1:-1], "same")
    half = 0.42 * smooth / max(smooth.max(), 1e-12)
    middles = (edges[:-1] + edges[1:]) / 2
    return np.exp(middles) if log else middles, row - half, row + half
