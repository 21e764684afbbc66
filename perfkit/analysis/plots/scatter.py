"""One metric against another, a dot per request."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots import density, notes
from perfkit.analysis.plots.canvas import MANY, letter_of
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group, has_failed, mark_failures
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import Quantity, quantity, scale, widely_spread
from perfkit.errors import UsageError


def scatter_table(
    requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", x: str = "prompt_tokens"
) -> DataFrame:
    """Return the dots of a scatter chart: columns group, x and the metric in their shown units."""
    return _panel(requests, metric, by, x).table


@chart("scatter", columns=("prompt_tokens",), usual=("ttft",), pooled=False, table=scatter_table)
def scatter(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    x: str = "prompt_tokens",
) -> Axes:
    """One metric against another, a dot per request; failed requests are crosses above the axes.

    Parameters
    ----------
    x : str
        The metric or column to draw it against.

    Returns
    -------
    Axes
        A failed request whose place on the x axis is not known, as where the server counts the tokens of the prompt,
        is counted beneath.

    Raises
    ------
    UsageError
        There is no such metric or column, or both are the same.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "ttft": [0.1, 0.3], "prompt_tokens": [10, 30], "success": 1})
    >>> scatter(frame).get_xlabel()
    'prompt length [tokens]'
    """
    panel, across = _panel(requests, metric, by, x), quantity(x)
    with panel.on(ax, _beneath(panel, across)) as (ax, signs):
        n = sum(map(len, panel.tables))
        titles = across.title, panel.shown.title
        axes = [[dots[name].to_numpy() for dots in panel.tables] for name in titles]
        logs = [widely_spread(values) for values in axes]
        cells = [density.edges(axes[at], log=logs[at], cells=density.CELLS[at]) for at in (0, 1)]
        for place, (group, dots) in enumerate(panel):
            if n > density.DENSE:
                density.draw(ax, group, (axes[0][place], axes[1][place]), (cells[0], cells[1]), group.label(len(dots)))
            else:
                _draw(ax, group, dots, _look(n, letter_of(ax)))
            if group.failures:
                mark_failures(ax, group, across.of(group.rows[has_failed(group.rows)]))
        if n > density.DENSE:
            signs.append(density.SIGN)
        for axis, name, values, log in zip((ax.xaxis, ax.yaxis), titles, axes, logs, strict=True):
            scale(axis, name, values, log=log)
    return ax


def _panel(requests: DataFrame, metric: str, by: str | None, x: str) -> Panel:
    return Panel(notes.measured(requests), metric, by, partial(_dots, across=_different(x, metric)))


def _different(x: str, metric: str) -> Quantity:
    """Return what the x axis shows, which is another than the y axis does."""
    across, shown = quantity(x), quantity(metric)
    for each in (across, shown):
        if each.pooled:
            raise UsageError(f"{each.name} has several values per request and cannot be drawn as one dot")
    if across.title == shown.title:
        raise UsageError(f"scatter draws {metric} against {x}, which is the same: choose another metric, or another x")
    return across


def _dots(panel: Panel, across: Quantity) -> Iterator[DataFrame]:
    for group in panel.groups:
        values = {each.title: each.of(group.rows) for each in (across, panel.shown)}
        dots = DataFrame(values).dropna()
        dots.insert(0, "group", group.key)
        yield dots


def _look(n: int, letter: float) -> dict[str, Any]:
    """Make dots fainter and smaller the more there are."""
    return {
        "alpha": float(np.clip(30 / max(n, 1) ** 0.5, 0.12, 0.8)),
        "s": (18 if n < 500 else 10 if n < 5000 else 4) * (letter / 10) ** 2,
        "linewidths": 0,
        "rasterized": n > MANY,
    }


def _draw(ax: Axes, group: Group, dots: DataFrame, look: dict[str, Any]) -> None:
    values = dots.drop(columns="group").to_numpy().T
    drawn = ax.scatter(*values, label=group.label(len(dots)), color=group.colour, marker=group.marker, **look)
    drawn.set_zorder(1.5 if group.rest else 2)


def _beneath(panel: Panel, across: Quantity) -> list[str]:
    n = sum(int((has_failed(group.rows) & across.of(group.rows).isna()).sum()) for group in panel.groups)
    return [f"not drawn: {n:,} failed request{'s' * (n > 1)} without {across.label}"] if n else []
