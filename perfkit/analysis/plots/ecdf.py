"""The share of requests at or below each value of a metric."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots import notes
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.lines import drawn_ranks, well_known
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import percent, scale, widely_spread


def ecdf_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return the steps drawn: columns group, the metric in its shown unit, share of requests, requests beyond."""
    return Panel.of(requests, metric, by, _steps).table


@chart("ecdf", columns=(), usual=("ttft",), rates="counted", table=ecdf_table)
def ecdf(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Share of requests at or below each value of a metric, one step line per group.

    Returns
    -------
    Axes
        Where fewer than ten requests lie beyond, a line is thin: one more or less of them moves it.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3, "ttft": [0.1, 0.3, 0.2], "success": 1})
    >>> ecdf(frame, "ttft").get_xlabel()
    'time to first token [ms]'
    """
    panel = Panel.of(requests, metric, by, _steps)
    with panel.on(ax, [notes.thin_note(panel.shown.counted)], panel.dependence) as (ax, _):
        for group, steps in panel:
            _draw(ax, group, steps, panel.shown.counted)
        scale(ax.xaxis, panel.shown.title, panel.values, log=widely_spread(panel.values))
        ax.set(ylabel=f"share of {panel.shown.counted}", ylim=(0, 1.01))
        percent(ax.yaxis)
    return ax


def _steps(panel: Panel) -> Iterator[DataFrame]:
    for group, values in panel.samples:
        n, drawn = len(values), drawn_ranks(len(values))
        yield DataFrame(
            {
                "group": group.key,
                panel.shown.title: values[drawn],
                f"share of {panel.shown.counted}": (drawn + 1) / max(n, 1),
                f"{panel.shown.counted} beyond": n - 1 - drawn,
            }
        )


def _draw(ax: Axes, group: Group, steps: DataFrame, counted: str) -> None:
    values, shares = (steps.iloc[:, place].to_numpy(dtype=float) for place in (1, 2))
    x, share = np.append(values[:1], values), np.append(np.zeros(len(values[:1])), shares)
    n, end = well_known(steps)
    ax.step(x[: end + 1], share[: end + 1], where="post", label=group.label(n, counted), **group.line)
    ax.step(x[end:], share[end:], where="post", gid="tail", **group.tail)
