"""Every request as a line in time: waiting to be sent, waiting for its first token, answering."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from pandas import DataFrame

from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import MANY, current
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import NAMED, Group, has_failed
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import plain_number

FAILED = "#b2182b"
MOST = 4000
"""Requests drawn at most, the first ones: more are thinner than a line of the picture."""
_READ = ("t", "start_time", "completed_time", "scheduled_time", "first_chunk_latency")


def timeline_table(requests: DataFrame, metric: str | None = None, *, by: str | None = "run") -> DataFrame:
    """Return one row per line: columns group, row, due, start, first token, end (seconds), failed."""
    return Panel(notes.loaded(requests), metric, by, _spans, rows_beyond=NAMED).table


@chart("timeline", metric=None, columns=_READ, usual=(None,), table=timeline_table)
def timeline(requests: DataFrame, metric: str | None = None, *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Every request as a line in time: pale until its first token, full until its end, crossed where it failed.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Columns ``t``, ``start_time``, ``completed_time`` and, where they are, ``scheduled_time`` and
        ``first_chunk_latency``, in seconds. Warm-up and cool-down are drawn too.
    metric : str, optional
        Put the requests in the order of this metric, smallest on top; default: in the order of their starts.

    Returns
    -------
    Axes
        The thin grey line before a request is the time it was due and not sent.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "t": [0.0, 1.0], "start_time": [5.0, 6.0], "completed_time": [7.0, 7.5],
    ...                    "first_chunk_latency": [0.5, 0.2], "success": 1})
    >>> timeline(frame).get_ylabel()
    'requests, in order of start'
    """
    panel = Panel(notes.loaded(requests), metric, by, _spans, rows_beyond=NAMED)
    with panel.on(ax, ["thin grey: due, not yet sent", "pale: no token yet"]) as (ax, signs):
        many, height = sum(map(len, panel.tables)), 0
        look = {"linewidth": float(np.clip(220 / max(many, 1), 0.6, 5)), "rasterized": many > MANY}
        middles = []
        for group, spans in panel:
            _draw(ax, group, spans.assign(row=spans["row"] + height), look)
            middles.append(height + len(spans) / 2)
            height += len(spans)
        order = panel.shown.label if metric else "start"
        ax.set(xlabel="time since the run's start [s]", ylabel=f"requests, in order of {order}")
        ax.set_ylim(max(height, 1), -1)
        ax.yaxis.set_major_formatter(lambda place, _: plain_number(place))
        ax.set_xlim(left=min(0.0, ax.dataLim.x0) if height else 0.0)
        ax.grid(axis="y", visible=False)
        panel.name_rows(ax, middles, [f" (n={len(spans):,})" for spans in panel.tables])
        if many < len(panel.requests):
            signs.append(f"only the first {many:,} requests")
    return ax


def _spans(panel: Panel) -> Iterator[DataFrame]:
    for group in panel.groups:
        rows = group.rows.sort_values("t").head(MOST // len(panel.groups))
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
        order = panel.shown.of(rows.loc[spans.index]) if panel.metric else spans["start"]
        spans = spans.loc[order.sort_values(na_position="first").index]
        spans.insert(1, "row", np.arange(len(spans)))
        yield spans


def _draw(ax: Axes, group: Group, spans: DataFrame, look: dict[str, Any]) -> None:
    # In grey the waiting is one pale grey for all: a paler grey of the group's own would be another group's.
    pale = {"color": "#c9c9c9"} if current().grey else {"color": group.colour, "alpha": 0.35}
    parts = (
        ("due", "start", {**look, "linewidth": look["linewidth"] / 2, "color": "#bbbbbb", "alpha": 0.8}),
        ("start", "first token", {**look, **pale}),
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
