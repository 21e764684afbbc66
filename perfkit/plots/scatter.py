"""One metric against another, a dot per request."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.errors import UsageError
from perfkit.plots import notes
from perfkit.plots.canvas import MANY, canvas, letter_of
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, groups, has_failed, legend, mark_failures, stacked
from perfkit.plots.quantity import Quantity, quantity, scale, widely_spread


def scatter_table(
    requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", x: str = "prompt_tokens"
) -> DataFrame:
    """Return the dots of a scatter chart: columns group, x and the metric in their shown units."""
    across, shown = _quantities(x, metric)
    return stacked(_dots(group, across, shown) for group in groups(notes.measured(requests), by))


@chart("scatter", columns=("prompt_tokens",), table=scatter_table)
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
    requests : DataFrame, one row per request
        Requests outside the measured window are left out.
    metric : str
        A metric, or a column of numbers.
    by : str or None
        The column whose values have a colour and a marker each.
    ax : Axes, optional
        Where to draw; default: a figure of its own.
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
    across, shown = _quantities(x, metric)
    parts = groups(notes.measured(requests), by)
    with canvas(ax) as ax:
        dots = [_dots(group, across, shown) for group in parts]
        look = _look(sum(map(len, dots)), letter_of(ax))
        for group, some in zip(parts, dots, strict=True):
            _draw(ax, group, some, across, look)
        if not sum(map(len, dots)):
            notes.empty(ax, shown.label, parts)
        for axis, name in ((ax.xaxis, across.title), (ax.yaxis, shown.title)):
            values = [some[name].to_numpy() for some in dots]
            scale(axis, name, values, log=widely_spread(values))
        legend(ax, by)
        notes.write(ax, _beneath(parts, across), notes.remarks(requests, metric))
    return ax


def _quantities(x: str, metric: str) -> tuple[Quantity, Quantity]:
    """Return what the x axis shows and what the y axis."""
    across, shown = quantity(x), quantity(metric)
    for each in (across, shown):
        if each.pooled:
            raise UsageError(f"{each.name} has several values per request and cannot be drawn as one dot")
    if across.title == shown.title:
        raise UsageError(f"scatter draws {metric} against {x}, which is the same: choose another metric, or another x")
    return across, shown


def _dots(group: Group, across: Quantity, shown: Quantity) -> DataFrame:
    dots = DataFrame({across.title: across.of(group.rows), shown.title: shown.of(group.rows)}).dropna()
    dots.insert(0, "group", group.key)
    return dots


def _look(n: int, letter: float) -> dict[str, Any]:
    """Make dots fainter and smaller the more there are."""
    return {
        "alpha": float(np.clip(30 / max(n, 1) ** 0.5, 0.12, 0.8)),
        "s": (18 if n < 500 else 10 if n < 5000 else 4) * (letter / 10) ** 2,
        "linewidths": 0,
        "rasterized": n > MANY,
    }


def _draw(ax: Axes, group: Group, dots: DataFrame, across: Quantity, look: dict[str, Any]) -> None:
    values = dots.drop(columns="group").to_numpy().T
    drawn = ax.scatter(*values, label=group.label(len(dots)), color=group.colour, marker=group.marker, **look)
    drawn.set_zorder(1.5 if group.rest else 2)
    if group.failures:
        mark_failures(ax, group, across.of(group.rows[has_failed(group.rows)]))


def _beneath(parts: list[Group], across: Quantity) -> list[str]:
    n = sum(int((has_failed(group.rows) & across.of(group.rows).isna()).sum()) for group in parts)
    return [f"not drawn: {n:,} failed request{'s' * (n > 1)} without {across.label}"] if n else []
