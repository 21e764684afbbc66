"""Every chunk of a few answers as a tick: when text came, and in how many pieces."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots.canvas import figure_of
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import NAMED, Group
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import scale
from perfkit.records import TOKEN_KINDS

ANSWERS = 40
"""Answers that are drawn: the first of each group."""
_TOKENS = tuple(kind.name.lower() for kind in TOKEN_KINDS)


def raster_table(chunks: DataFrame, metric: str | None = None, *, by: str | None = "run") -> DataFrame:
    """Return one row per tick: columns group, row, arrival (ms), kind."""
    return Panel(chunks, None, by, _ticks, rows_beyond=NAMED).table


@chart("raster", metric=None, needs="chunks", table=raster_table)
def raster(chunks: DataFrame, metric: str | None = None, *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Every chunk of the first answers as a tick, a row per answer; thin grey ticks carry no token.

    Parameters
    ----------
    chunks : DataFrame, one row per chunk
        Columns ``request``, ``arrival`` (seconds after the request's start), ``kind``, and ``censored`` where it is.
    metric : None
        This chart has none.

    Returns
    -------
    Axes
        At most 40 answers. Ticks of chunks that shared a read with a later one are short: they came at that time or
        before.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "request": [1, 1, 2], "arrival": [0.1, 0.2, 0.15], "kind": "content"})
    >>> raster(frame).get_xlabel()
    'time since the request was sent [ms]'
    """
    panel = Panel(chunks, None, by, _ticks, rows_beyond=NAMED)
    with panel.on(ax, ["thin grey: no token", "short: came with a later chunk in one read"]) as (ax, _):
        width, height = _tick_width(ax, panel.tables), 0
        middles = []
        for group, ticks in panel:
            drawn = _draw(ax, group, ticks, height, width)
            middles.append(height + (drawn - 1) / 2)
            height += drawn
        scale(ax.xaxis, "time since the request was sent [ms]", [], log=False)
        ax.set(ylabel="answers", ylim=(max(height, 1), -1))
        ax.set_xlim(left=0)
        ax.set_yticks([])
        ax.grid(axis="y", visible=False)
        panel.name_rows(ax, middles, [f" ({len(ticks['row'].unique())} answers)" for ticks in panel.tables])
    return ax


def _ticks(panel: Panel) -> Iterator[DataFrame]:
    answers = max(2, ANSWERS // max(len(panel.groups), 1))
    for group in panel.groups:
        kept = group.rows["request"].unique()[:answers]
        rows = group.rows[group.rows["request"].isin(kept)]
        yield DataFrame(
            {
                "group": group.key,
                "row": np.searchsorted(np.sort(kept), rows["request"]),
                "arrival [ms]": rows["arrival"] * 1e3,
                "kind": rows["kind"],
                "censored": rows.get("censored", False),
            }
        )


def _tick_width(ax: Axes, ticks: list[DataFrame]) -> float:
    """Return a width, in points, at which two ticks of the usual gap have as much white between them."""
    gaps = [some.groupby("row")["arrival [ms]"].diff() for some in ticks]
    narrowest = min((gap[gap > 0].median() for gap in gaps if (gap > 0).any()), default=np.inf)
    longest = max((some["arrival [ms]"].max() for some in ticks if len(some)), default=1.0)
    across = 72 * figure_of(ax).get_size_inches()[0] * ax.get_position().width
    return float(np.clip(0.4 * across * narrowest / longest, 0.15, 0.9))


def _draw(ax: Axes, group: Group, ticks: DataFrame, above: int, width: float) -> int:
    token = ticks["kind"].isin(_TOKENS)
    answers = int(ticks["row"].max()) + 1 if len(ticks) else 0
    for some, colour, thickness in ((ticks[~token], "#b0b0b0", width / 2), (ticks[token], group.colour, width)):
        half = np.where(some["censored"].astype(bool), 0.18, 0.4)
        at = some["row"] + above
        ax.vlines(some["arrival [ms]"], at - half, at + half, colors=colour, linewidths=thickness)
    ax.plot([], [], color=group.colour, linestyle="-", linewidth=3, label=f"{group.name} ({answers} answers)")
    return answers
