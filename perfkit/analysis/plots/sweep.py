"""How a metric grows with the load: its percentiles, or a rate, against users or requests per second."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation
from pandas import DataFrame, Series

from perfkit.analysis.metrics import RATES
from perfkit.analysis.metrics.quantity import quantity as statistic
from perfkit.analysis.metrics.registry import summaries_in
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import figure_of, letter_of
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.groups import Group, failures_of, groups, requests_of, stacked
from perfkit.analysis.plots.panel import Panel, typical
from perfkit.analysis.plots.quantity import LOADS, Quantity, plain_number, scale, scale_from_zero
from perfkit.analysis.stats.distribution import present
from perfkit.analysis.stats.estimates import percentile_estimate
from perfkit.errors import UsageError

PERCENTILES, ONE_PERCENTILE = (50, 95, 99), (95,)
FEW = 4
"""Groups of which three percentiles each can be told apart."""
_DASHES = ("-", "--", ":", "-.")
AT_ONCE = -1
"""The rate that asks for everything at once."""


def sweep_table(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    x: str | None = None,
    percentiles: Sequence[float] | None = None,
) -> DataFrame:
    """Return one row per group, load and percentile: group, load, n, failed, what, the value, its interval, mark."""
    return _panel(requests, metric, by, x, percentiles).table


@chart(
    "sweep",
    columns=(*LOADS, "name"),
    usual=("ttft", "output_throughput"),
    rates="all",
    table=sweep_table,
    summaries=True,
)
def sweep(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    x: str | None = None,
    percentiles: Sequence[float] | None = None,
) -> Axes:
    """Percentiles of a metric, or a rate, against users or requested rate.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs, with ``parallel`` or ``rate``. Requests outside the measured window are left out.
    metric : str
        A metric, whose percentiles are drawn, or a rate such as ``"output_throughput"``.
    by : str or None
        The column whose values have a colour each. ``"run"``: runs that share a name are points, or repeats, of one
        sweep, and so are all where no two names meet at a load. None: all runs belong to one sweep.
    x : str, optional
        ``"parallel"`` or ``"rate"``; default: the one with more different values.
    percentiles : sequence of float, optional
        0 to 100, each with a line style of its own; default: 50, 95 and 99, or 95 alone where there are more than four
        groups.

    Returns
    -------
    Axes
        Bars are 95 % intervals, as in a comparison: none where the requests are too few for one. Hollow markers are not
        to be relied on, for the reasons named beneath. Groups stand a little beside each other, not upon each other.
        What asked for everything at once stands apart, on the right.

    Raises
    ------
    UsageError
        The requests have neither users nor a rate, or there is no such metric or percentile.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3 + ["b"] * 3, "parallel": [1] * 3 + [8] * 3, "success": 1,
    ...                    "ttft": [0.1, 0.1, 0.2, 0.3, 0.4, 0.5]})
    >>> sweep(frame).get_xlabel()
    'users'
    """
    panel = _panel(requests, metric, by, x, percentiles)
    inside = notes.measured(requests)
    x = load_of(inside, x)
    with panel.on(ax) as (ax, signs):
        points = panel.table
        points["place"] = _places(points["load"])
        kinds, several = list(points["what"].unique()), len(panel.groups)
        for slot, group in enumerate(panel.groups):
            of_group = points[points["group"] == group.key]
            drawn = _draw(ax, group, of_group, panel.shown, _entries(group, kinds, several))
            aside = (slot - (several - 1) / 2) * min(0.6, 2.4 / several) * letter_of(ax)
            # Only afterwards, or the limits of the axes would take the shift for a part of the data.
            for artist in drawn:
                artist.set_transform(ax.transData + ScaledTranslation(aside / 72, 0, figure_of(ax).dpi_scale_trans))
        if several > 2 and len(kinds) > 1:
            for kind, dash in zip(kinds, _DASHES, strict=False):
                ax.plot([], [], color="#444444", linestyle=dash, label=kind)
        ax.margins(0.07)
        _axes(ax, points, panel.shown, kinds[0] if several > 2 and len(kinds) == 1 else "")
        ax.set(xlabel=LOADS.get(x, x))
        signs += [*_beneath(inside, points, x, panel.shown), *pooled(panel.groups, x)]
    return ax


def _panel(
    requests: DataFrame, metric: str, by: str | None, x: str | None, percentiles: Sequence[float] | None
) -> Panel:
    x = load_of(notes.measured(requests), x)
    # A rate counts what happened in its window, whichever phase a request is of.
    counted = notes.loaded(requests) if metric in RATES else notes.measured(requests)
    parts = sweeps(counted, by, x, metric)
    if percentiles is None:
        percentiles = PERCENTILES if len(parts) <= FEW else ONE_PERCENTILE
    if np.ndim(percentiles) != 1 or not len(percentiles) or not all(0 <= q <= 100 for q in percentiles):
        raise UsageError(f"percentiles are one or more numbers from 0 to 100, such as [50, 95], got {percentiles!r}")
    return Panel(counted, metric, by, partial(_points, x=x, percentiles=percentiles), parts)


def over_loads(
    requests: DataFrame,
    metric: str,
    by: str | None,
    tabulate: Callable[[Panel], Iterable[DataFrame]],
    *,
    all_phases: bool = False,
    rows_beyond: int | None = None,
) -> Panel:
    """Return the panel of a chart of loads: the requests that have one, parted as in a sweep."""
    x = load_of(notes.measured(requests))
    counted = notes.loaded(requests) if all_phases else notes.measured(requests)
    parts = sweeps(counted, by, x, metric, all_named=rows_beyond is not None)
    return Panel(counted, metric, by, tabulate, parts, rows_beyond)


def _points(panel: Panel, x: str, percentiles: Sequence[float]) -> Iterator[DataFrame]:
    for group in panel.groups:
        points = [
            _point(group, load, some, panel.shown, percentiles)
            for load, rows in group.rows.groupby(x, sort=True)
            for some in apart(rows)
        ]
        table = stacked(points)
        # A summary need not have every percentile.
        yield table[(table["mark"] != "summary") | table[panel.shown.title].notna()] if len(table) else table


def apart(rows: DataFrame) -> list[DataFrame]:
    """Return requests, and the rows that stand for runs known by summaries, which cannot be pooled with them."""
    is_told = rows["figures"].notna() if "figures" in rows else Series(False, index=rows.index)
    return [some for some in (rows[~is_told], rows[is_told]) if len(some)]


def sweeps(
    requests: DataFrame, by: str | None, x: str, metric: str | None = None, *, all_named: bool = False
) -> list[Group]:
    """Return the groups of a chart of loads, each with its requests that have a load.

    Runs are called by their names here, as in a comparison: each point of a sweep has a label of its own. A run without
    a name has its label.
    """
    slots = None
    if by == "run":
        requests, by, slots = named_runs(requests[requests[x].notna()], x)
    parts = groups(requests, by, slots=slots, typical=typical(metric), all_named=all_named)
    parts = [replace(group, rows=group.rows[group.rows[x].notna()]) for group in parts]
    return [group for group in parts if len(group.rows)]


def named_runs(requests: DataFrame, x: str) -> tuple[DataFrame, str | None, Mapping[Hashable, int] | None]:
    """Give each request its run's name, tell by what to part them, and the place of each name among the colours.

    They are parted by nothing where no two names meet at a load. A name has the colour of the first run that has it.
    """
    if "run" not in requests:
        return requests, None, None
    labels = requests["run"].astype(object)
    names = requests["name"].fillna(labels) if "name" in requests else labels
    is_parted = names.nunique() == 1 or names.groupby(requests[x]).nunique().max() > 1
    runs = requests["run"]
    order = runs.cat.codes if isinstance(runs.dtype, pd.CategoricalDtype) else pd.factorize(runs)[0]
    slots = Series(order, index=requests.index).groupby(names).min().to_dict()
    return requests.assign(name=names), "name" if is_parted else None, slots


def load_of(requests: DataFrame, x: str | None = None) -> str:
    """Choose the column that the runs differ in: users or requested rate, unless told which."""
    different = {name: requests[name].nunique() for name in ([x] if x else LOADS) if name in requests}
    if not any(different.values()):
        lacking = x or " nor ".join(LOADS)
        raise UsageError(f"a sweep needs runs of several loads: no request has {lacking}")
    return max(different, key=different.__getitem__)


def _point(group: Group, load: Any, rows: DataFrame, shown: Quantity, percentiles: Sequence[float]) -> DataFrame:
    """Return what is drawn of one group at one load."""
    inside = notes.measured(rows)
    head = {"group": group.key, "load": load, "requests": requests_of(inside), "failed": failures_of(inside)}
    if summaries_in(inside):
        return DataFrame([{**head, **each} for each in _summary_rows(inside, shown, percentiles)])
    if shown.name in RATES:
        value = RATES[shown.name].of(rows.assign(success=rows["success"] == 1))
        return DataFrame([{**head, "what": "", shown.title: value, "low": np.nan, "high": np.nan, "mark": ""}])
    values = present(shown.of(rows))
    found = {q: percentile_estimate(values, q) for q in percentiles}
    return DataFrame(
        [
            {
                **head,
                "what": f"p{q:g}",
                shown.title: estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "mark": estimate.mark,
            }
            for q, estimate in found.items()
        ]
    )


def _summary_rows(rows: DataFrame, shown: Quantity, percentiles: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Yield what the summaries of some runs say of a metric or a rate: of repeats, their geometric mean."""
    for q in (None,) if shown.name in RATES else percentiles:
        found = statistic(shown.name if q is None else f"{shown.name}_p{q:g}").estimate(rows)
        ends = (found.value, found.low, found.high)
        value, low, high = (end * (1 if q is None else shown.factor) for end in ends)
        what = "" if q is None else f"p{q:g}"
        yield {"what": what, shown.title: value, "low": low, "high": high, "mark": found.mark or "summary"}


def _places(loads: Series) -> Series:
    """Return where loads stand on the x axis: everything at once is more than the highest."""
    return loads.where(loads != AT_ONCE, 2 * max(loads.max(), 0.5))


def _entries(group: Group, kinds: list[str], several: int) -> list[str | None]:
    """Return what the legend calls each line of a group; of more than two groups the percentiles are named apart."""
    own = group.label(requests_of(group.rows)) if group.rest else group.name
    if several > 2:
        return [own, *[None] * (len(kinds) - 1)]
    return [" ".join(part for part in ("" if several == 1 else own, kind) if part) or None for kind in kinds]


def _draw(ax: Axes, group: Group, points: DataFrame, shown: Quantity, entries: list[str | None]) -> list[Artist]:
    """Draw a group, and return what it consists of."""
    drawn: list[Artist] = []
    width = 0.7 * float(mpl.rcParams["lines.linewidth"])
    for slot, (what, line) in enumerate(points.groupby("what", sort=False)):
        dash = group.dash if not what or len(entries) == 1 else _DASHES[slot % len(_DASHES)]
        name = entries[slot] if slot < len(entries) else None
        known = line.dropna(subset=["low", "high"])
        error = np.abs(np.vstack([known[shown.title] - known["low"], known["high"] - known[shown.title]]))
        bars = ax.errorbar(
            known["place"], known[shown.title], error, fmt="none", color=group.colour, capsize=2, elinewidth=width
        )
        joined = line[line["load"] != AT_ONCE]
        drawn += ax.plot(
            joined["place"], joined[shown.title], label=name, color=group.colour, linestyle=dash, linewidth=width
        )
        drawn += bars.get_children()
        for is_marked, some in line.groupby(line["mark"] != ""):
            face, gid = ("white", "marked") if is_marked else (group.colour, "points")
            drawn += ax.plot(
                some["place"], some[shown.title], group.marker, color=group.colour, markerfacecolor=face, gid=gid
            )
    return drawn


def _axes(ax: Axes, points: DataFrame, shown: Quantity, kind: str) -> None:
    title = f"{kind} {shown.title}".strip()
    values = present(points[shown.title])
    if values.size and values.min() > 0 and values.max() > 20 * values.min() and shown.name not in RATES:
        scale(ax.yaxis, title, [values], log=True)
    else:
        scale(ax.yaxis, title, [values], log=False)
        scale_from_zero(ax)
    scale_loads(ax, points["load"])


def scale_loads(ax: Axes, loads: Series) -> None:
    """Put the loads on the x axis, each with its name where they are few."""
    at = _places(loads)
    names = {place: load_label(load) for place, load in zip(at, loads, strict=True)}
    places = np.unique(at)
    if places.size and places.min() > 0 and places.max() >= 8 * places.min():
        ax.set_xscale("log", base=2)
    if len(places) <= 12 or (loads == AT_ONCE).any():
        ax.xaxis.set_major_locator(FixedLocator(places[:: -(len(places) // 13 + 1)][::-1].tolist()))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place) or plain_number(place)))


def load_label(load: float) -> str:
    """Write a load as a person would."""
    return "all at once" if load == AT_ONCE else plain_number(load)


def load_names(rows: DataFrame) -> "Series[str]":
    """Name the load of each request: ``8 users``, ``2.5 requests/s``, ``all at once``, ``unknown``."""
    users, rates = (rows.get(name, Series(np.nan, rows.index)) for name in LOADS)
    named = users.map(lambda n: f"{load_label(n)} user{'s' * (n != 1)}", na_action="ignore").astype(object)
    unit = " requests/s"
    others = rates.map(lambda rate: load_label(rate) + unit * (rate != AT_ONCE), na_action="ignore").astype(object)
    return named.where(users.notna(), others).fillna("unknown")


def pooled(parts: list[Group], x: str) -> list[str]:
    """Say that points hold more than one run: two deployments at equal load would look like one."""
    runs = [group.rows.groupby(x)["run"].nunique().max() for group in parts if "run" in group.rows]
    most = max((n for n in runs if n > 1), default=0)
    return [f"up to {most:.0f} runs a point: `by` tells them apart"] if most else []


def hollow(points: DataFrame) -> list[str]:
    """Say why markers are hollow."""
    reasons = [mark for mark in points.get("mark", Series(dtype=object)).unique() if mark]
    return [f"hollow: {' or '.join(reasons)}"] if reasons else []


def _beneath(requests: DataFrame, points: DataFrame, x: str, shown: Quantity) -> list[str]:
    counts = points.drop_duplicates(["group", "load"])
    least, most = counts["requests"].min(), counts["requests"].max()
    failed = counts["failed"].sum()
    of = " requests" if shown.pooled else ""
    signs = [f"n={least:,}{of} a point" if least == most else f"n={least:,} to {most:,}{of} a point"]
    if failed:
        signs.append(f"{failed:,} failed")
    if points["low"].notna().any():
        enough = ", where the requests are enough" if points["low"].isna().any() else ""
        signs.append(f"bars: 95 % intervals{enough}")
    signs += hollow(points)
    left_out = requests[requests[x].isna()]
    if "run" in requests and len(left_out):
        runs = left_out["run"].nunique()
        signs.append(f"left out: {runs} run{'s' * (runs > 1)} without {LOADS.get(x, x).split(' [')[0]}")
    return signs
