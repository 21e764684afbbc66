"""Beneath a chart over time, on its time axis: what the servers published of their queue and their KV cache."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import ChartAxes, drawing, figure_of, grow
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.query.server import STALE, Levels
from perfkit.analysis.stats.distribution import Floats

COLUMN = "published"
"""The column of requests in which each row has what the servers of its run published, a ``Levels``; None: nothing."""

HEIGHT = 0.3
"""Of a panel, as a share of the chart's own height."""


class Shown(NamedTuple):
    """What a panel shows: a quantity of ``runs.server``, its name at the axis, and whether it is a share."""

    quantity: str
    label: str
    is_share: bool = False


PANELS = (Shown("waiting", "waiting\n[requests]"), Shown("kv_cache_use", "KV cache\n[%]", is_share=True))


def published(rows: DataFrame) -> Iterator[tuple[object, Levels, float]]:
    """Yield what was published during each run of some requests, within the times of its requests, and their end."""
    if COLUMN not in rows:
        return
    for run, own in rows.groupby("run", sort=False, observed=True):
        levels = own[COLUMN].iloc[0]
        if isinstance(levels, Levels):
            ends = own["t"] + (own["completed_time"] - own["start_time"])
            end = float(np.nanmax([ends.max(), own["t"].max()]))
            yield run, levels.between(float(own["t"].min()), end), end


def draw(ax: Axes, groups: Sequence[Group]) -> None:
    """Draw a panel for each quantity that a server published, a line for each run in the colour of its group.

    The label of the time and what stands beneath the chart move beneath the last one. On axes of a caller's there is no
    room for any.
    """
    lines = [(group, levels, end) for group in groups for _, levels, end in published(group.rows)]
    shown = [each for each in PANELS if any(np.isfinite(levels.of(each.quantity)).any() for _, levels, _ in lines)]
    if not shown or not isinstance(ax, ChartAxes):
        return
    with drawing(ax.style):
        figure = figure_of(ax)
        grow(ax, len(shown) * HEIGHT * 72 * figure.get_size_inches()[1] * ax.get_position().height)
        grid = figure.add_gridspec(1 + len(shown), 1, height_ratios=[1, *[HEIGHT] * len(shown)])
        ax.set_subplotspec(grid[0])
        panels = [figure.add_subplot(grid[row], sharex=ax) for row, _ in enumerate(shown, 1)]
        for panel, each in zip(panels, shown, strict=True):
            _fill(panel, each, lines)
        for above in (ax, *panels[:-1]):
            above.tick_params(axis="x", labelbottom=False)
        panels[-1].set_xlabel(ax.get_xlabel())
        ax.set_xlabel("")
        notes.move(ax, panels[-1])


def _fill(panel: Axes, shown: Shown, lines: Sequence[tuple[Group, Levels, float]]) -> None:
    scale = 100 if shown.is_share else 1
    for group, levels, end in lines:
        # The last look holds until the next one, which was after the run.
        held = min(end, levels.t[-1] + STALE) if levels.t.size else end
        values = levels.of(shown.quantity) * scale
        panel.step(
            np.append(levels.t, held),
            np.append(values, values[-1] if values.size else np.nan),
            where="post",
            **group.line,
        )
    highest = max(np.nanmax(np.append(levels.of(shown.quantity) * scale, 0.0)) for _, levels, _ in lines)
    panel.set_ylim(0, 1.08 * (highest or 1))
    panel.yaxis.set_major_locator(MaxNLocator(3, integer=not shown.is_share))
    panel.set_ylabel(shown.label)
    panel.set_gid(shown.quantity)


def tables(group: Group) -> Iterator[DataFrame]:
    """Yield the numbers behind the panels: ``run``, time and the quantities of each run of a group."""
    for run, levels, _ in published(group.rows):
        columns: dict[str, Floats] = {each.quantity: levels.of(each.quantity) for each in PANELS}
        yield DataFrame({"group": group.key, "run": run, "t": levels.t, **columns})
