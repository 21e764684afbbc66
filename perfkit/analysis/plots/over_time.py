"""What happened when: throughput, requests in flight, or a metric of each request, over the time of the run."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from pandas import DataFrame

from perfkit.analysis.plots import density, notes, server_panels
from perfkit.analysis.plots.canvas import MANY, letter_of
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group, has_failed, mark_failures, stacked
from perfkit.analysis.plots.intervals import READ, counted_over_time, ends_of, interval_of, or_else, rate_in_intervals
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import Quantity, scale, scale_from_zero, widely_spread
from perfkit.analysis.stats.distribution import Floats

_TIME = "time since the run's start [s]"


def over_time_table(requests: DataFrame, metric: str = "output_throughput", *, by: str | None = "run") -> DataFrame:
    """Return the lines of each group: columns group, run, time, and the rate or the metric's median in each interval.

    A rate has a line per run of a group; medians are of all its runs, and ``run`` is empty. What servers published has
    rows of its own, in the columns ``waiting`` (requests) and ``kv_cache_use`` (0 to 1).
    """
    panel = Panel(notes.loaded(requests), metric, by, _lines)
    beneath = [table.rename(columns={"t": _TIME}) for group in panel.groups for table in server_panels.tables(group)]
    return stacked([panel.table, *beneath])


@chart(
    "over_time",
    metric="output_throughput",
    columns=(*READ, "completion_tokens", server_panels.COLUMN),
    usual=("output_throughput", "concurrency"),
    rates="counted",
    table=over_time_table,
)
def over_time(
    requests: DataFrame, metric: str = "output_throughput", *, by: str | None = "run", ax: Axes | None = None
) -> Axes:
    """Throughput, requests in flight, or a metric of each request over the time of the run; crosses are failures.

    Beneath, on the same time axis, queue and KV cache of the server, where what it publishes was read (``scrape``).

    Parameters
    ----------
    requests : DataFrame, one row per request
        Columns ``t``, ``start_time``, ``completed_time`` in seconds; for ``output_throughput`` also
        ``completion_tokens``, ``first_chunk_latency`` and ``last_token_time``. Warm-up and cool-down are drawn, shaded.
    metric : str
        A rate that is counted (``"output_throughput"``, ``"request_throughput"``), ``"concurrency"``, or a metric: then
        a dot per request at its start, and a line through the medians of equal intervals.
    by : str or None
        The column whose values have a colour each, every run from its own start. A rate belongs to a run: each run
        has a line of its own, in the colour of its group.

    Returns
    -------
    Axes
        Failed requests are crosses above the axes, at their end, or at their start where they have none.

    Notes
    -----
    Tokens are spread evenly from a request's first token to its last, so that a long answer does not look like a
    burst at its end.

    Examples
    --------
    >>> frame = DataFrame({"run": "a", "t": [0.0, 1.0], "start_time": [5.0, 6.0], "completed_time": [7.0, 7.5],
    ...                    "success": 1})
    >>> over_time(frame, "concurrency").get_ylabel()
    'concurrency [requests]'
    """
    panel = Panel(notes.loaded(requests), metric, by, _lines)
    width, is_rate = interval_of(group.rows for group in panel.groups), counted_over_time(metric)
    with panel.on(ax, [f"lines: {'means' if is_rate else 'medians'} of {width:g} s"] if width else []) as (ax, signs):
        if not is_rate and _draw_all_dots(ax, panel):
            signs.append(density.SIGN)
        for group, lines in panel:
            (_draw_rates if is_rate else _draw_medians)(ax, group, lines, panel.shown)
            _mark(ax, group)
        if _shade(ax, panel.requests):
            signs.append("shaded: not in the summary")
        _scale(ax, panel, from_zero=is_rate)
        ax.set(xlabel=_TIME)
    server_panels.draw(ax, panel.groups)
    return ax


def _lines(panel: Panel) -> Iterator[DataFrame]:
    width = interval_of(group.rows for group in panel.groups)
    for group in panel.groups:
        head = {"group": group.key}
        if not counted_over_time(panel.shown.name):
            at, values = _medians(group.rows, panel.shown, width)
            yield DataFrame({**head, "run": "", _TIME: at, panel.shown.title: values})
            continue
        # Runs that followed each other would add up to a rate that never was.
        runs = group.rows.groupby("run", sort=False, observed=True)
        rates = {run: rate_in_intervals(rows, panel.shown.name, width) for run, rows in runs}
        yield stacked(
            DataFrame({**head, "run": run, _TIME: at, panel.shown.title: rate}) for run, (at, rate) in rates.items()
        )


def _medians(rows: DataFrame, shown: Quantity, width: float) -> tuple[Floats, Floats]:
    values = shown.of(rows)
    at = rows["t"].reindex(values.index) if width else rows["t"].iloc[:0]
    middle = values[values.notna()].groupby(np.floor(at / (width or 1))).median()
    return (middle.index.to_numpy(dtype=float) + 0.5) * width, middle.to_numpy()


def _draw_rates(ax: Axes, group: Group, lines: DataFrame, shown: Quantity) -> None:
    label = group.label(len(group.rows) - group.failures)
    for _, rates in lines.groupby("run", sort=False):
        ax.step(rates[_TIME], rates[shown.title], where="post", label=label, **group.line)
        label = "_"


def _draw_all_dots(ax: Axes, panel: Panel) -> bool:
    """Draw a dot per request, or of very many their density, which is told."""
    values = [panel.shown.of(group.rows).dropna() for group in panel.groups]
    starts = [group.rows["t"].reindex(dots.index) for group, dots in zip(panel.groups, values, strict=True)]
    axes = [[each.to_numpy(dtype=float) for each in some] for some in (starts, values)]
    is_dense, log = sum(map(len, values)) > density.DENSE, widely_spread(panel.values)
    cells = [density.edges(axes[at], log=log and at == 1, cells=density.CELLS[at]) for at in (0, 1)]
    for group, start, dots in zip(panel.groups, *axes, strict=True):
        if is_dense:
            density.draw(ax, group, (start, dots), (cells[0], cells[1]))
            continue
        faint = float(np.clip(12 / max(len(dots), 1) ** 0.5, 0.1, 0.5))
        size = 0.08 * letter_of(ax) ** 2
        ax.scatter(start, dots, s=size, color=group.colour, alpha=faint, linewidths=0, rasterized=len(dots) > MANY)
    return is_dense


def _draw_medians(ax: Axes, group: Group, lines: DataFrame, shown: Quantity) -> None:
    n = int(shown.of(group.rows).notna().sum())
    line = ax.plot(lines[_TIME], lines[shown.title], label=group.label(n, shown.counted), **group.line)[0]
    line.set_path_effects([withStroke(linewidth=line.get_linewidth() + 1, foreground="white")])


def _mark(ax: Axes, group: Group) -> None:
    if group.failures:
        failed = group.rows[has_failed(group.rows)]
        # One whose worker died has no end.
        mark_failures(ax, group, or_else(ends_of(failed), failed["t"].to_numpy(dtype=float)))


def _scale(ax: Axes, panel: Panel, *, from_zero: bool) -> None:
    ax.margins(y=0.08)
    values = [] if from_zero else panel.values
    log = widely_spread(values)
    scale(ax.yaxis, panel.shown.title, values, log=log)
    if not log:
        scale_from_zero(ax)


def _shade(ax: Axes, requests: DataFrame) -> bool:
    """Shade the time whose requests do not count; tell whether there is any."""
    steady = requests["phase"] == "steady" if "phase" in requests else requests["t"].notna()
    if steady.all() or not steady.any():
        return False
    first, last = requests.loc[steady, "t"].min(), requests.loc[steady, "t"].max()
    for low, high in ((requests["t"].min(), first), (last, requests["t"].max())):
        if (~steady & requests["t"].between(low, high)).any():
            ax.axvspan(low, high, color="#f0f0f0", zorder=0, gid="outside")
    return True
