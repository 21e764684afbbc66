"""What an answer's time is spent on under each load."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import METRICS
from perfkit.analysis.plots.canvas import current
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import legend
from perfkit.analysis.plots.loads import each_load, name_rungs
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import LOADS, scale
from perfkit.analysis.plots.sweep import over_loads
from perfkit.errors import UsageError

PARTS = {
    "waiting to be sent": ("#D55E00", "#111111"),
    "to the first token": ("#E69F00", "#8a8a8a"),
    "network and front end": ("#CC79A7", "#333333"),
    "server's queue": ("#E69F00", "#707070"),
    "prefill": ("#009E73", "#a0a0a0"),
    "decoding": ("#56B4E9", "#d6d6d6"),
}
"""The parts, each with its colour and its grey. The time to the first token is one, or three where servers say."""
_OF_CLIENTS = ("lag", "ttft", "e2e")
_OF_SERVERS = {"network and front end": "front_end", "server's queue": "server_queue", "prefill": "server_prefill"}
_READ = tuple(
    dict.fromkeys(column for name in (*_OF_CLIENTS, *_OF_SERVERS.values()) for column in METRICS[name].columns)
)


def latency_split_table(requests: DataFrame, metric: str | None = None, *, by: str | None = "run") -> DataFrame:
    """Return one row per group and load: group, load, requests, and the mean of each part in milliseconds."""
    return _panel(requests, metric, by).table


@chart("latency_split", metric=None, columns=(*LOADS, "name", *_READ), usual=(None,), table=latency_split_table)
def latency_split(
    requests: DataFrame, metric: str | None = None, *, by: str | None = "run", ax: Axes | None = None
) -> Axes:
    """What a request's time is spent on, a bar per load: waiting to be sent, to the first token, decoding.

    Where the server says how long its queue and its prefill were, the time to the first token is parted into these and
    what is left, network and front end.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs, with ``parallel`` or ``rate``. Those outside the measured window are left out.

    Returns
    -------
    Axes
        The parts are means over the successful streamed requests, because means add up and percentiles do not. A client
        alone cannot part queue and prefill.

    Raises
    ------
    UsageError
        The requests have neither users nor a rate, or another metric than e2e was asked for.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "parallel": 8, "success": 1, "latency": [2.0, 4.0], "start_time": 10.0,
    ...                    "scheduled_time": 9.0, "first_chunk_latency": [0.5, 1.5], "load": "open"})
    >>> latency_split_table(frame).iloc[0, 3:].tolist()
    [1000.0, 1000.0, 2000.0]
    """
    panel = _panel(requests, metric, by)
    parts = [part for part in PARTS if f"{part} [ms]" in panel.table]
    unparted = "; the time to the first token holds queue and prefill" if "to the first token" in parts else ""
    with panel.on(ax, [f"means, which add up{unparted}"]) as (ax, _):
        rungs, table = each_load(panel), panel.table
        left = np.zeros(len(table))
        for part in parts:
            width = np.nan_to_num(table[f"{part} [ms]"].to_numpy(dtype=float)) if len(table) else left
            colour = PARTS[part][current().grey]
            ax.barh(np.arange(len(table)) + 0.5, width, 0.72, left, color=colour, label=part)
            left = left + width
        name_rungs(ax, panel, rungs)
        legend(ax, None)
        scale(ax.xaxis, "mean time of a request [ms]", [], log=False)
        ax.set(ylim=(max(len(rungs), 1), 0))
        ax.grid(axis="y", visible=False)
    return ax


def _panel(requests: DataFrame, metric: str | None, by: str | None) -> Panel:
    if metric not in (None, "e2e"):
        raise UsageError(f"latency_split splits e2e and nothing else, got {metric!r}")
    return over_loads(requests, "e2e", by, _parts, rows_beyond=0)


def _parts(panel: Panel) -> Iterator[DataFrame]:
    rungs = each_load(panel)
    of_rungs = [_means(rung.rows) for rung in rungs]
    used = [part for part in PARTS if part == "to the first token" or any(part in means for means in of_rungs)]
    if of_rungs and not any("to the first token" in means for means in of_rungs):
        used.remove("to the first token")
    for group in panel.groups:
        yield DataFrame(
            [
                {"group": group.key, "load": rung.load, "requests": means["requests"]}
                | {f"{part} [ms]": means.get(part, np.nan) for part in used}
                for rung, means in zip(rungs, of_rungs, strict=True)
                if rung.group is group
            ]
        )


def _means(rows: DataFrame) -> dict[str, float]:
    """Return the mean of each part, in milliseconds, over the requests that have all of them."""
    lag, first, whole = (1e3 * METRICS[name].compute(rows).astype(float) for name in _OF_CLIENTS)
    known = first.notna() & whole.notna()
    lags = lag[known].clip(lower=0)
    found = {"requests": int(known.sum()), "waiting to be sent": lags.mean() if lags.notna().any() else 0.0}
    told = all(column in rows for name in _OF_SERVERS.values() for column in METRICS[name].columns)
    parts = {part: 1e3 * METRICS[name].compute(rows)[known] for part, name in _OF_SERVERS.items()} if told else {}
    if parts and known.any() and all(part.notna().all() for part in parts.values()):
        found |= {name: part.mean() for name, part in parts.items()}
    else:
        found["to the first token"] = first[known].mean()
    return {**found, "decoding": (whole - first)[known].mean()}
