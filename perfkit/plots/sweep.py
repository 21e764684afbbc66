"""How a metric grows with the load: its percentiles, or a rate, against users or requests per second."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation
from pandas import DataFrame, Series

from perfkit.errors import UsageError
from perfkit.estimates import percentile_estimate
from perfkit.metrics import RATES
from perfkit.plots import notes
from perfkit.plots.canvas import canvas, figure_of, letter_of
from perfkit.plots.catalogue import chart
from perfkit.plots.groups import Group, groups, has_failed, legend, stacked
from perfkit.plots.quantity import Quantity, plain_number, quantity, scale, scale_from_zero
from perfkit.stats import BEYOND, present, thin

LOADS = {"parallel": "users", "rate": "requested rate [requests/s]"}
PERCENTILES = (50, 95, 99)
_DASHES = ("-", "--", ":", "-.")
AT_ONCE = -1
"""The rate that asks for everything at once."""


def sweep_table(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    x: str | None = None,
    percentiles: Sequence[float] = PERCENTILES,
) -> DataFrame:
    """Return one row per group, load and percentile: group, load, n, failed, what, the value, its interval, thin."""
    requests = notes.measured(requests)
    x, shown = load_of(requests, x), quantity(metric)
    if np.ndim(percentiles) != 1 or not len(percentiles) or not all(0 <= q <= 100 for q in percentiles):
        raise UsageError(f"percentiles are one or more numbers from 0 to 100, such as [50, 95], got {percentiles!r}")
    return stacked(
        _point(group, load, rows, shown, percentiles)
        for group in sweeps(requests, by, x)
        for load, rows in group.rows.groupby(x, sort=True)
    )


@chart("sweep", columns=("parallel", "rate", "name"), table=sweep_table)
def sweep(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    x: str | None = None,
    percentiles: Sequence[float] = PERCENTILES,
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
    ax : Axes, optional
        Where to draw; default: a figure of its own.
    x : str, optional
        ``"parallel"`` or ``"rate"``; default: the one with more different values.
    percentiles : sequence of float
        0 to 100, each with a line style of its own.

    Returns
    -------
    Axes
        Bars are 95 % intervals, as in a comparison: none where the requests are too few for one. Hollow markers: fewer
        than ten requests beyond. Groups stand a little beside each other, not upon each other. What asked for
        everything at once stands apart, on the right.

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
    inside = notes.measured(requests)
    x, shown = load_of(inside, x), quantity(metric)
    with canvas(ax) as ax:
        parts = sweeps(inside, by, x)
        points = sweep_table(inside, metric, by=by, x=x, percentiles=percentiles)
        points["place"] = _places(points["load"])
        for slot, group in enumerate(parts):
            drawn = _draw(ax, group, points[points["group"] == group.key], shown, lone=len(parts) == 1)
            aside = (slot - (len(parts) - 1) / 2) * min(0.6, 2.4 / len(parts)) * letter_of(ax)
            # Only afterwards, or the limits of the axes would take the shift for a part of the data.
            for artist in drawn:
                artist.set_transform(ax.transData + ScaledTranslation(aside / 72, 0, figure_of(ax).dpi_scale_trans))
        ax.margins(0.07)
        _axes(ax, points, shown)
        ax.set(xlabel=LOADS.get(x, x))
        legend(ax, by)
        notes.write(ax, [*_beneath(inside, points, x), *pooled(parts, x)], notes.remarks(requests, metric))
    return ax


def sweeps(requests: DataFrame, by: str | None, x: str) -> list[Group]:
    """Return the groups of a chart of loads, each with its requests that have a load.

    Runs are called by their names here, as in a comparison: each point of a sweep has a label of its own. A run without
    a name has its label.
    """
    if by == "run":
        requests, by = _named(requests[requests[x].notna()], x)
    parts = [replace(group, rows=group.rows[group.rows[x].notna()]) for group in groups(requests, by)]
    return [group for group in parts if len(group.rows)]


def _named(requests: DataFrame, x: str) -> tuple[DataFrame, str | None]:
    """Give each request its run's name, and tell by what to part them: by nothing where no two names meet at a load."""
    if "run" not in requests:
        return requests, None
    labels = requests["run"].astype(object)
    names = requests["name"].fillna(labels) if "name" in requests else labels
    is_parted = names.nunique() == 1 or names.groupby(requests[x]).nunique().max() > 1
    return requests.assign(name=names), "name" if is_parted else None


def load_of(requests: DataFrame, x: str | None = None) -> str:
    """Choose the column that the runs differ in: users or requested rate, unless told which.

    Raises
    ------
    UsageError
        No request has it.
    """
    different = {name: requests[name].nunique() for name in ([x] if x else LOADS) if name in requests}
    if not any(different.values()):
        lacking = x or " nor ".join(LOADS)
        raise UsageError(f"a sweep needs runs of several loads: no request has {lacking}")
    return max(different, key=different.__getitem__)


def _point(group: Group, load: Any, rows: DataFrame, shown: Quantity, percentiles: Sequence[float]) -> DataFrame:
    """Return what is drawn of one group at one load."""
    head = {"group": group.key, "load": load, "requests": len(rows), "failed": int(has_failed(rows).sum())}
    if shown.name in RATES:
        value = RATES[shown.name].compute(rows.assign(success=rows["success"] == 1))
        return DataFrame([{**head, "what": "", shown.title: value, "low": np.nan, "high": np.nan, "thin": False}])
    values = present(shown.of(rows))
    estimates = {q: percentile_estimate(values, q) for q in percentiles}
    return DataFrame(
        [
            {
                **head,
                "what": f"p{q:g}",
                shown.title: estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "thin": thin(len(values), q),
            }
            for q, estimate in estimates.items()
        ]
    )


def _places(loads: Series) -> Series:
    """Return where loads stand on the x axis: everything at once is more than the highest."""
    return loads.where(loads != AT_ONCE, 2 * max(loads.max(), 0.5))


def _draw(ax: Axes, group: Group, points: DataFrame, shown: Quantity, *, lone: bool) -> list[Artist]:
    """Draw a group, and return what it consists of."""
    drawn: list[Artist] = []
    width = 0.7 * float(mpl.rcParams["lines.linewidth"])
    for slot, (what, line) in enumerate(points.groupby("what", sort=False)):
        dash = group.dash if not what else _DASHES[slot % len(_DASHES)]
        name = " ".join(part for part in ("" if lone else group.name, str(what)) if part) or None
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
        for hollow, some in line.groupby("thin"):
            face, gid = ("white", "thin") if hollow else (group.colour, "points")
            drawn += ax.plot(
                some["place"], some[shown.title], group.marker, color=group.colour, markerfacecolor=face, gid=gid
            )
    return drawn


def _axes(ax: Axes, points: DataFrame, shown: Quantity) -> None:
    values = present(points[shown.title])
    if values.size and values.min() > 0 and values.max() > 20 * values.min() and shown.name not in RATES:
        scale(ax.yaxis, shown.title, [values], log=True)
    else:
        scale(ax.yaxis, shown.title, [values], log=False)
        scale_from_zero(ax)
    names = {place: load_name(load) for place, load in zip(points["place"], points["load"], strict=True)}
    places = np.unique(points["place"])
    if places.min() > 0 and places.max() >= 8 * places.min():
        ax.set_xscale("log", base=2)
    if len(places) <= 12 or (points["load"] == AT_ONCE).any():
        ax.xaxis.set_major_locator(FixedLocator(places[:: -(len(places) // 13 + 1)][::-1].tolist()))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda place, _: names.get(place) or plain_number(place)))


def load_name(load: float) -> str:
    """Write a load as a person would."""
    return "all at once" if load == AT_ONCE else plain_number(load)


def pooled(parts: list[Group], x: str) -> list[str]:
    """Say that points hold more than one run: two deployments at equal load would look like one."""
    runs = [group.rows.groupby(x)["run"].nunique().max() for group in parts if "run" in group.rows]
    most = max((n for n in runs if n > 1), default=0)
    return [f"up to {most:.0f} runs a point: `by` tells them apart"] if most else []


def _beneath(requests: DataFrame, points: DataFrame, x: str) -> list[str]:
    counts = points.drop_duplicates(["group", "load"])
    least, most = counts["requests"].min(), counts["requests"].max()
    failed = counts["failed"].sum()
    signs = [f"n={least:,} a point" if least == most else f"n={least:,} to {most:,} a point"]
    if failed:
        signs.append(f"{failed:,} failed")
    if points["low"].notna().any():
        enough = ", where the requests are enough" if points["low"].isna().any() else ""
        signs.append(f"bars: 95 % intervals{enough}")
    if points["thin"].any():
        signs.append(f"hollow: fewer than {BEYOND} requests beyond")
    left_out = requests[requests[x].isna()]
    if "run" in requests and len(left_out):
        runs = left_out["run"].nunique()
        signs.append(f"left out: {runs} run{'s' * (runs > 1)} without {LOADS.get(x, x).split(' [')[0]}")
    return signs
