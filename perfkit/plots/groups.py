"""The groups of a chart: which rows each holds, what it is called, and the colour it keeps in every chart."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from pandas import DataFrame, Series

from perfkit.errors import UsageError, nearest
from perfkit.plots.canvas import MANY, Style, current, figure_of, letter_of, letters_across, lines_down
from perfkit.plots.quantity import require_name
from perfkit.plots.text import letters, plain, shortened
from perfkit.records import CUT_OFF
from perfkit.stats import present
from perfkit.tables import group_name

MARKERS = ("o", "s", "^", "D", "v", "P")
NAMED = 8
"""Groups that a reader can still tell apart by colour and line style."""
DISTINCT = 24
"""Numbers with more distinct values than this are cut into quarters, not shown one by one."""
SAMPLE = 8
"""Width of the sample of a line in a legend, and the space around it, in letters."""
REST = "#c4c4c4"


@dataclass(frozen=True)
class Group:
    """Some rows, and how they are drawn. ``key`` is the whole name, ``name`` what a legend shows of it."""

    key: str
    name: str
    rows: DataFrame
    colour: Any
    dash: Any
    marker: str
    rest: bool = False
    """Beyond the groups that can be told apart: drawn thin and grey, behind the others."""
    others: int = 0
    """On the first of these: how many there are."""

    @property
    def failures(self) -> int:
        """Requests that failed."""
        return int(has_failed(self.rows).sum())

    def label(self, n: int) -> str:
        """Name the group with the number of requests drawn, and of those that failed."""
        if self.rest:
            return f"{self.others:,} more" if self.others else "_"
        failures = f", {self.failures:,} failed" if self.failures else ""
        # A name that begins with an underscore would stay out of the legend.
        name = f" {self.name}" if self.name.startswith("_") else self.name
        return f"{name} (n={n:,}{failures})"

    @property
    def line(self) -> dict[str, Any]:
        """How its lines look."""
        thin = {"linewidth": 0.8, "zorder": 1.5} if self.rest else {}
        return {"color": self.colour, "linestyle": self.dash, **thin}

    @property
    def tail(self) -> dict[str, Any]:
        """How its lines look where they rest on few requests: thin, as a fainter grey would be another group's."""
        return self.line | {"linewidth": 0.4 * float(self.line.get("linewidth", mpl.rcParams["lines.linewidth"]))}


def has_failed(requests: DataFrame) -> "Series[bool]":
    """Tell of each request whether it failed; one that was under way when the run was stopped has not."""
    if "success" not in requests:
        return Series(False, index=requests.index)
    without = requests["success"] == 0
    return without & (requests["error_kind"] != CUT_OFF) if "error_kind" in requests else without


def groups(requests: DataFrame, by: str | None = "run", *, style: Style | None = None) -> list[Group]:
    """Split requests into the groups of a chart.

    Parameters
    ----------
    requests : DataFrame, one row per request
    by : str or None
        A column; None for one group. Numbers of many values are cut into quarters.
    style : Style, optional
        Whose colours to use; default: the one chosen by ``pk.style``.

    Returns
    -------
    list of Group
        Numbers in order, names in order of appearance. A Categorical column keeps the colour of each category even
        where the others are absent.

    Raises
    ------
    UsageError
        There is no such column.

    Examples
    --------
    >>> frame = pd.DataFrame({"run": ["b", "a", "b"], "success": [1, 1, 0]})
    >>> [group.label(len(group.rows)) for group in groups(frame)]
    ['b (n=2, 1 failed)', 'a (n=1)']
    """
    style = style or current()
    if by is None:
        return [Group("all requests", "all requests", requests, **_look(0, 1, style, False))]
    keys = _keys(requests, by)
    parts = {key: rows for key, rows in requests.groupby(keys, sort=False, observed=True, dropna=False)}
    slots = _slots(keys, list(parts))
    ordered = sorted(parts, key=slots.__getitem__)
    full = {key: group_name(by, None) if pd.isna(key) else _shown(key) for key in ordered}
    names, places = _names(full), _places([slots[key] for key in ordered])
    numeric = pd.api.types.is_numeric_dtype(keys)
    return [
        Group(full[key], names[key], parts[key], **_look(place, len(ordered), style, numeric))
        for key, place in zip(ordered, places, strict=True)
    ]


def _keys(requests: DataFrame, by: str) -> Series:
    require_name(by)
    if by not in requests:
        raise UsageError(f"there is no column {by!r} to group by{nearest(by, map(str, requests.columns))}")
    keys = requests[by]
    if pd.api.types.is_numeric_dtype(keys) and keys.nunique() > DISTINCT:
        quarters = pd.qcut(keys, 4, duplicates="drop", precision=3)
        return quarters.cat.rename_categories(lambda cut: f"{max(cut.left, keys.min()):.4g} to {cut.right:.4g}")
    return keys


def _slots(keys: Series, present: list[Hashable]) -> dict[Hashable, int]:
    """Give each group its place in the cycle of colours."""
    missing = [key for key in present if pd.isna(key)]  # type: ignore[call-overload]
    known: list[Hashable] = [key for key in present if key not in missing]
    if isinstance(keys.dtype, pd.CategoricalDtype):
        known = list(keys.cat.categories)
    elif pd.api.types.is_numeric_dtype(keys):
        known = sorted(known)  # type: ignore[type-var]
    return {key: slot for slot, key in enumerate([*known, *missing]) if key in present}


def _places(slots: list[int]) -> list[int]:
    """Give the first eight groups that are there a place among the colours, their own where that is one of the eight.

    Examples
    --------
    >>> _places([1, 40, 41])
    [1, 0, 2]
    """
    free = [place for place in range(NAMED) if place not in slots[:NAMED]]
    named = [slot if slot < NAMED else free.pop(0) for slot in slots[:NAMED]]
    return [*named, *range(NAMED, len(slots))]


def _names(full: dict[Hashable, str]) -> dict[Hashable, str]:
    """Shorten long names, unless that would make two the same."""
    short = {key: shortened(name) for key, name in full.items()}
    chosen = short if len(set(short.values())) == len(short) else full
    return {key: plain(name) for key, name in chosen.items()}


def _shown(key: Hashable) -> str:
    return f"{key:.12g}" if isinstance(key, float) else str(key)


def _look(place: int, count: int, style: Style, numeric: bool) -> dict[str, Any]:
    """Choose how one of several groups is drawn."""
    palette, dashes = style.palette, style.dashes
    # A second round through the colours meets other line styles.
    turn = place + place // len(palette)
    marker = MARKERS[turn % len(MARKERS)]
    if count > NAMED and numeric:
        scale, share = mpl.colormaps["Greys" if style.grey else "viridis"], place / (count - 1)
        return {"colour": scale(0.35 + 0.65 * share if style.grey else 0.92 * share), "dash": "-", "marker": marker}
    if place >= NAMED:
        others = count - NAMED if place == NAMED else 0
        return {"colour": REST, "dash": "-", "marker": marker, "rest": True, "others": others}
    return {"colour": palette[place % len(palette)], "dash": dashes[turn % len(dashes)], "marker": marker}


def mark_failures(ax: Axes, group: Group, where: npt.ArrayLike) -> None:
    """Put a cross above the axes, where no value can be, for each failed request whose place is known.

    Each group has a lane of its own; those that nobody can tell apart share one.
    """
    at, lanes = present(where), _lanes(ax)
    if not at.size:
        return
    place = _above(ax, 0.9 + 0.8 * min(lanes, NAMED))
    if not lanes:
        size = 0.85 * letter_of(ax)
        ax.text(-0.01, 1, "failed", transform=ax.transAxes + place, ha="right", va="center", size=size, color="#666666")
    edge, many = ax.get_xaxis_transform(), len(at) > MANY
    look = {"color": group.colour, "clip_on": False, "gid": "failed", "rasterized": many}
    (crosses,) = ax.plot(at, np.ones(at.shape), "x", transform=edge, **look)
    # Not from the beginning, or the limits of the axes would take the lane for a part of them.
    crosses.set_transform(edge + place)


def _lanes(ax: Axes) -> int:
    """Return how many groups have their failures above the axes."""
    return sum(line.get_gid() == "failed" and not line.get_clip_on() for line in ax.lines)


def _above(ax: Axes, letters: float) -> ScaledTranslation:
    """Return what moves an artist up by some letters' height."""
    return ScaledTranslation(0, letters * letter_of(ax) / 72, figure_of(ax).dpi_scale_trans)


def stacked(tables: Iterable[DataFrame]) -> DataFrame:
    """Put the tables of several groups under each other."""
    several = list(tables)
    return pd.concat(several, ignore_index=True) if several else DataFrame()


def legend(ax: Axes, title: str | None) -> Legend | None:
    """Put the legend where it covers nothing: above the axes, or beside them when it is long and narrow."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return None
    lanes = _lanes(ax)
    room = letters_across(ax, 0.9)
    labels = [_fitting(label, room - SAMPLE) for label in labels]
    widths = [letters(label) + SAMPLE for label in labels]
    beside = len(labels) > NAMED + 1 and max(widths) < 0.4 * room
    columns = 1 if beside else _columns(widths, room)
    most = max(NAMED + 1, int(columns * lines_down(ax, 0.9) * (0.9 if beside else 0.4)))
    if len(labels) > most:
        nothing = Line2D([], [], linestyle="none")
        handles = [*handles[: most - 1], nothing]
        labels = [*labels[: most - 1], f"… and {len(labels) - most + 1} more"]
    # matplotlib fills one column after the other; people read along the lines.
    order = [place for first in range(columns) for place in range(first, len(labels), columns)]
    return ax.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        # Runs name themselves; other groups need to be told what their values are of.
        title=plain(title.replace("_", " ")) if title and title != "run" else None,
        loc="upper left" if beside else "lower left",
        bbox_to_anchor=(1.02, 1) if beside else (0, 1.02),
        bbox_transform=ax.transAxes + _above(ax, 0 if beside or not lanes else 0.8 + 0.8 * min(lanes, NAMED + 1)),
        ncols=columns,
        alignment="left",
        markerscale=1.6,
    )


def _fitting(label: str, room: int) -> str:
    """Cut the middle out of a label that is wider than the chart; its end is the number of requests."""
    return plain(shortened(label.replace(r"\$", "$"), room)) if letters(label) > room else label


def _columns(widths: list[float], room: int) -> int:
    """Return how many columns of entries fit beside each other, when they are read line by line."""
    for columns in range(len(widths), 1, -1):
        if sum(max(widths[first::columns]) for first in range(columns)) <= room:
            return columns
    return 1
