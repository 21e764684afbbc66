"""Every request as a line in time: waiting to be sent, waiting for its first token, answering."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import MANY, canvas, current
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, groups, has_failed, legend, stacked
from perfkit.plots.quantity import quantity

FAILED = "#b2182b"
MOST = 4000
"""Requests drawn at most, the first ones: more are thinner than a line of the picture."""
_READ = ("t", "start_time", "completed_time", "scheduled_time", "first_chunk_latency")


def timeline_table(requests: DataFrame, metric: str | None = None, *, by: str | None = "run") -> DataFrame:
    """Return one row per line: columns group, row, due, start, first token, end (seconds), failed."""
    parts = groups(notes.loaded(requests), by)
    return stacked(_spans(group, metric, MOST // len(parts)) for group in parts)


@chart("timeline", metric=None, columns=_READ, table=timeline_table)
def timeline(requests: DataFrame, metric: str | None = None, *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Every request as a line in time: pale until its first token, full until its end, crossed where it failed.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Columns ``t``, ``start_time``, ``completed_time`` and, where they are, ``scheduled_time`` and
        ``first_chunk_latency``, in seconds. Warm-up and cool-down are drawn too.
    metric : str, optional
        Put the requests in the order of this metric, smallest on top; default: in the order of their starts.
    by : str or None
        The column whose values are drawn one below the other.
    ax : Axes, optional
        Where to draw; default: a figure of its own.

    Returns
    -------
    Axes
        The thin grey line before a request is the time it was due and not sent.

    Raises
    ------
    UsageError
        There is no such metric or column.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "t": [0.0, 1.0], "start_time": [5.0, 6.0], "completed_time": [7.0, 7.5],
    ...                    "first_chunk_latency": [0.5, 0.2], "success": 1})
    >>> timeline(frame).get_ylabel()
    'requests, in order of start'
    """
    parts = groups(notes.loaded(requests), by)
    with canvas(ax) as ax:
        spans = [_spans(group, metric, MOST // len(parts)) for group in parts]
        many, height = sum(map(len, spans)), 0
        look = {"linewidth": float(np.clip(220 / max(many, 1), 0.6, 5)), "rasterized": many > MANY}
        for group, some in zip(parts, spans, strict=True):
            _draw(ax, group, some.assign(row=some["row"] + height), look)
            height += len(some)
        order = quantity(metric).label if metric else "start"
        ax.set(xlabel="time since the run's start [s]", ylabel=f"requests, in order of {order}")
        ax.set_ylim(max(height, 1), -1)
        ax.set_xlim(left=min(0.0, ax.dataLim.x0) if height else 0.0)
        ax.grid(axis="y", visible=False)
        legend(ax, by)
        signs = ["thin grey: due, not yet sent", "pale: no token yet"]
        if many < sum(len(group.rows) for group in parts):
            signs.append(f"only the first {many:,} requests")
        notes.write(ax, signs, notes.remarks(requests))
    return ax


def _spans(group: Group, metric: str | None, most: int) -> DataFrame:
    rows = group.rows.sort_values("t").head(most)
    start = rows["t"]
    first = start + rows["first_chunk_latency"] if "first_chunk_latency" in rows else start * np.nan
    end = start + rows["completed_time"] - rows["start_time"]
    due = start + rows["scheduled_time"] - rows["start_time"] if "scheduled_time" in rows else start
    spans = DataFrame(
        {
            "group": group.key,
            "due": due.fillna(start).clip(upper=start),
            "start": start,
            "first token": first.fillna(end),
            "end": end,
            "failed": has_failed(rows),
        }
    ).dropna(subset=["start", "end"])
    order = quantity(metric).of(rows.loc[spans.index]) if metric else spans["start"]
    spans = spans.loc[order.sort_values(na_position="first").index]
    spans.insert(1, "row", np.arange(len(spans)))
    return spans


def _draw(ax: Axes, group: Group, spans: DataFrame, look: dict[str, Any]) -> None:
    # Thin, too: among the greys of print the colour alone would not tell.
    waiting = look | {"linewidth": look["linewidth"] / 2}
    parts = (
        ("due", "start", {**waiting, "color": "#bbbbbb", "alpha": 0.8}),
        ("start", "first token", {**look, "color": group.colour, "alpha": 0.35}),
        ("first token", "end", {**look, "color": group.colour}),
    )
    for left, right, lines in parts:
        some = spans[spans[right] > spans[left]]
        ends = some[[left, "row", right, "row"]].to_numpy(dtype=float).reshape(-1, 2, 2)
        ax.add_collection(LineCollection(list(ends), gid=right, **lines))
    failed = spans[spans["failed"]]
    if len(failed):
        ax.plot(failed["end"], failed["row"], "x", color="black" if current().grey else FAILED, gid="failed")
    # Collections do not tell their colour to a legend.
    label = group.label(int((~spans["failed"]).sum()))
    ax.add_line(Line2D([], [], color=group.colour, linestyle="-", linewidth=3, label=label))
    ax.autoscale_view()
