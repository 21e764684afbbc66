"""What happened when: throughput, requests in flight, or a metric of each request, over the time of the run."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import MANY, canvas, letter_of
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, groups, has_failed, legend, mark_failures, stacked
from perfkit.plots.lines import samples
from perfkit.plots.quantity import Quantity, quantity, scale, scale_from_zero, widely_spread
from perfkit.stats import Floats, present

RATES_DRAWN = ("output_throughput", "request_throughput", "concurrency")
INTERVALS = 60
"""Intervals that the time of a run is cut into at most."""
_READ = ("t", "start_time", "completed_time", "completion_tokens", "first_chunk_latency", "last_token_time")
_TIME = "time since the run's start [s]"


def over_time_table(requests: DataFrame, metric: str = "output_throughput", *, by: str | None = "run") -> DataFrame:
    """Return the lines of each group: columns group, run, time, and the rate or the metric's median in each interval.

    A rate has a line per run of a group; medians are of all its runs, and ``run`` is empty.
    """
    shown, parts = quantity(metric), groups(notes.loaded(requests), by)
    width = _interval(parts)
    return stacked(_lines(group, shown, width) for group in parts)


@chart("over_time", metric="output_throughput", columns=_READ, table=over_time_table)
def over_time(
    requests: DataFrame, metric: str = "output_throughput", *, by: str | None = "run", ax: Axes | None = None
) -> Axes:
    """Throughput, requests in flight, or a metric of each request over the time of the run; crosses are failures.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Columns ``t``, ``start_time``, ``completed_time`` in seconds; for ``output_throughput`` also
        ``completion_tokens``, ``first_chunk_latency`` and ``last_token_time``. Warm-up and cool-down are drawn, shaded.
    metric : str
        ``"output_throughput"``, ``"request_throughput"``, ``"concurrency"``, or a metric: then a dot per request at
        its start, and a line through the medians of equal intervals.
    by : str or None
        The column whose values have a colour each, every run from its own start. A rate belongs to a run: each run
        has a line of its own, in the colour of its group.
    ax : Axes, optional
        Where to draw; default: a figure of its own.

    Returns
    -------
    Axes
        Failed requests are crosses above the axes, at their end, or at their start where they have none.

    Raises
    ------
    UsageError
        There is no such metric or column.

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
    shown, requests = quantity(metric), notes.loaded(requests)
    parts = groups(requests, by)
    width = _interval(parts)
    with canvas(ax) as ax:
        for group in parts:
            _draw(ax, group, _lines(group, shown, width), shown)
        shaded = _shade(ax, requests)
        _scale(ax, parts, shown)
        ax.set(xlabel=_TIME)
        legend(ax, by)
        notes.write(ax, _beneath(shown, width, shaded), notes.remarks(requests, metric))
    return ax


def _beneath(shown: Quantity, width: float, shaded: bool) -> list[str]:
    lines = f"lines: {'means' if shown.name in RATES_DRAWN else 'medians'} of {width:g} s"
    return [*([lines] if width else []), *(["shaded: not in the summary"] if shaded else [])]


def _ends(rows: DataFrame) -> Floats:
    """Return when each request ended, seconds since its run's start."""
    ends: Floats = (rows["t"] + rows["completed_time"] - rows["start_time"]).to_numpy(dtype=float)
    return ends


def _interval(parts: list[Group]) -> float:
    """Choose a round number of seconds that cuts the longest group into at most 60 intervals."""
    ends = [present(_ends(group.rows)).max(initial=0) for group in parts]
    least = max(ends, default=0) / INTERVALS
    if least <= 0:
        return 0.0
    power = 10 ** np.floor(np.log10(least))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least))


def _lines(group: Group, shown: Quantity, width: float) -> DataFrame:
    if shown.name not in RATES_DRAWN:
        at, values = _medians(group.rows, shown, width)
        return DataFrame({"group": group.key, "run": "", _TIME: at, shown.title: values})
    # Runs that followed each other would add up to a rate that never was.
    rates = {run: _rate(rows, shown.name, width) for run, rows in group.rows.groupby("run", sort=False, observed=True)}
    return stacked(
        DataFrame({"group": group.key, "run": run, _TIME: at, shown.title: rate}) for run, (at, rate) in rates.items()
    )


def _rate(rows: DataFrame, name: str, width: float) -> tuple[Floats, Floats]:
    """Return the mean rate in each interval, at the interval's start; the last one may be longer or shorter."""
    rows = rows[rows["completed_time"].notna()]
    if not len(rows) or not width:
        return np.empty(0), np.empty(0)
    amount, first, last = _spread(rows, name)
    end = max(last.max(), 1e-6)
    edges = np.append(np.arange(0, max(end - width / 4, 1e-9), width), end)
    # An answer in one piece comes all at once: a span of no length would divide by zero.
    span = np.maximum(last - first, 1e-6)
    done = np.array([float(amount @ np.clip(1 - (last - edge) / span, 0, 1)) for edge in edges])
    rate = np.diff(done) / np.diff(edges)
    return edges, np.append(rate, rate[-1:])


def _spread(rows: DataFrame, name: str) -> tuple[Floats, Floats, Floats]:
    """Return what each request adds up to, and from when to when: seconds in flight, one answer, or its tokens."""
    start, ends = rows["t"].to_numpy(dtype=float), _ends(rows)
    if name == "concurrency":
        return ends - start, start, ends
    good = np.asarray(rows["success"] == 1, dtype=float)
    if name == "request_throughput":
        return good, ends, ends
    first = start + rows["first_chunk_latency"].to_numpy(dtype=float)
    last = start + (rows["last_token_time"] - rows["start_time"]).to_numpy(dtype=float)
    tokens = rows["completion_tokens"].fillna(0).to_numpy(dtype=float)
    return good * tokens, _or(first, ends), _or(last, ends)


def _or(times: Floats, instead: Floats) -> Floats:
    return np.asarray(np.where(np.isnan(times), instead, times), dtype=float)


def _medians(rows: DataFrame, shown: Quantity, width: float) -> tuple[Floats, Floats]:
    values = shown.of(rows)
    at = rows["t"].reindex(values.index) if width else rows["t"].iloc[:0]
    middle = values[values.notna()].groupby(np.floor(at / (width or 1))).median()
    return (middle.index.to_numpy(dtype=float) + 0.5) * width, middle.to_numpy()


def _draw(ax: Axes, group: Group, points: DataFrame, shown: Quantity) -> None:
    if shown.name in RATES_DRAWN:
        label = group.label(len(group.rows) - group.failures)
        for _, rates in points.groupby("run", sort=False):
            ax.step(rates[_TIME], rates[shown.title], where="post", label=label, **group.line)
            label = "_"
    else:
        dots = shown.of(group.rows).dropna()
        faint = float(np.clip(12 / max(len(dots), 1) ** 0.5, 0.1, 0.5))
        size = 0.08 * letter_of(ax) ** 2
        start = group.rows["t"].reindex(dots.index)
        ax.scatter(start, dots, s=size, color=group.colour, alpha=faint, linewidths=0, rasterized=len(dots) > MANY)
        line = ax.plot(points[_TIME], points[shown.title], label=group.label(len(dots)), **group.line)[0]
        line.set_path_effects([withStroke(linewidth=line.get_linewidth() + 1, foreground="white")])
    if group.failures:
        failed = group.rows[has_failed(group.rows)]
        # One whose worker died has no end.
        mark_failures(ax, group, _or(_ends(failed), failed["t"].to_numpy(dtype=float)))


def _scale(ax: Axes, parts: list[Group], shown: Quantity) -> None:
    ax.margins(y=0.08)
    if shown.name in RATES_DRAWN:
        scale(ax.yaxis, shown.title, [], log=False)
        scale_from_zero(ax)
        return
    values = samples(parts, shown)
    log = widely_spread(values)
    if not any(each.size for each in values):
        notes.empty(ax, shown.label, parts)
    scale(ax.yaxis, shown.title, values, log=log)
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
