"""When requests failed, and how."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import current
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group, groups, has_failed
from perfkit.analysis.plots.intervals import ends_of, interval_of, or_else
from perfkit.analysis.plots.panel import Panel

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----", "oo", "++")
_TIME = "time since the run's start [s]"


def failures_table(requests: DataFrame, metric: str | None = None, *, by: str | None = "error_kind") -> DataFrame:
    """Return one row per group and interval with failures: group, start of the interval, end, failed requests."""
    return _panel(requests, by).table


@chart("failures", metric=None, columns=("t", "start_time", "completed_time"), usual=(None,), table=failures_table)
def failures(
    requests: DataFrame, metric: str | None = None, *, by: str | None = "error_kind", ax: Axes | None = None
) -> Axes:
    """Failed requests over the time of the run, stacked by the kind of failure.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Columns ``t``, ``start_time``, ``completed_time`` in seconds, ``success`` and, for their kinds, ``error_kind``.
        Warm-up and cool-down are counted too.
    metric : None
        This chart has none.
    by : str or None
        What the failures are told apart by.

    Returns
    -------
    Axes
        A failure counts at its end, or at its start where it has none. Runs are laid over each other, each from its
        own start.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "t": [0.0, 1.0], "start_time": [5.0, 6.0], "completed_time": [7.0, 7.5],
    ...                    "success": [0, 0], "error_kind": ["timeout", "http"]})
    >>> failures(frame).get_ylabel()
    'failed requests in 0.05 s'
    """
    panel, all_ = _panel(requests, by), notes.loaded(requests)
    runs = all_["run"].nunique() if "run" in all_ else 1
    width = interval_of([all_])
    with panel.on(ax) as (ax, signs):
        beneath: dict[float, float] = {}
        for place, (group, bars) in enumerate(panel):
            at, counts = bars["from [s]"].to_numpy(dtype=float), bars["failed requests"].to_numpy(dtype=float)
            floor = np.array([beneath.get(float(each), 0.0) for each in at])
            look: dict[str, Any] = (
                {"hatch": HATCHES[place % len(HATCHES)], "edgecolor": "white"} if current().grey else {}
            )
            ax.bar(at, counts, width, floor, align="edge", color=group.colour, linewidth=0, label=_label(group), **look)
            beneath |= dict(zip(map(float, at), floor + counts, strict=True))
        ax.set(xlabel=_TIME, ylabel=f"failed requests in {width:g} s")
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlim(0, max(float(np.nanmax(ends_of(all_), initial=0)), width, 1e-3))
        signs.append(f"{len(panel.requests):,} of {len(all_):,} requests failed")
        if runs > 1:
            signs.append(f"{runs} runs, each from its own start")
    return ax


def _label(group: Group) -> str:
    # The name of a kind is a word of the code: no_answer, http.
    return replace(group, name=group.name.replace("_", " ")).label(len(group.rows)).split(", ")[0].rstrip(")") + ")"


def _panel(requests: DataFrame, by: str | None) -> Panel:
    loaded = notes.loaded(requests)
    failed = loaded[has_failed(loaded)]
    by = by if by != "error_kind" or "error_kind" in failed else None
    width = interval_of([loaded])

    def counted(panel: Panel) -> Iterator[DataFrame]:
        for group in panel.groups:
            at = or_else(ends_of(group.rows), group.rows["t"].to_numpy(dtype=float))
            places, counts = np.unique(np.floor(at / (width or 1)), return_counts=True)
            yield DataFrame(
                {
                    "group": group.key,
                    "from [s]": places * width,
                    "to [s]": (places + 1) * width,
                    "failed requests": counts,
                }
            )

    return Panel(
        failed, None, by, counted, groups(failed, by) if len(failed) else [], nothing="no request failed", about=loaded
    )
