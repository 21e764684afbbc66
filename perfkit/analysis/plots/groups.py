"""The groups of a chart: which rows each holds, what it is called, and the colour it keeps in every chart."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from pandas import DataFrame, Series

from perfkit.analysis.metrics.registry import summaries_in, without_summaries
from perfkit.analysis.plots.canvas import MANY, Style, current, figure_of, grow, letter_of, letters_across, lines_down
from perfkit.analysis.plots.quantity import require_name
from perfkit.analysis.plots.text import LONGEST, letters, plain, shortened
from perfkit.analysis.stats.distribution import present
from perfkit.analysis.text_table import group_name
from perfkit.errors import UsageError, nearest
from perfkit.records import NOT_FAILED

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
        return failures_of(self.rows)

    def label(self, n: int, counted: str = "requests") -> str:
        """Name the group with the number of values drawn, whose kind is said unless it is requests, and of failures."""
        if self.rest:
            return f"{self.others:,} more" if self.others else "_"
        kind = "" if counted == "requests" else f" {counted}"
        request = f" request{'s' * (self.failures > 1)}" if kind else ""
        failures = f", {self.failures:,}{request} failed" if self.failures else ""
        # A name that begins with an underscore would stay out of the legend.
        name = f" {self.name}" if self.name.startswith("_") else self.name
        return f"{name} (n={n:,}{kind}{failures})"

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
    """Tell of each request whether it failed; one that was cancelled, or cut off by a stop, has not."""
    if "success" not in requests:
        return Series(False, index=requests.index)
    without = requests["success"] == 0
    return without & ~requests["error_kind"].isin(NOT_FAILED) if "error_kind" in requests else without


def requests_of(rows: DataFrame) -> int:
    """Count requests, and those that summaries tell of."""
    return len(without_summaries(rows)) + int(sum(figures.get("requests", 0) for figures in summaries_in(rows)))


def failures_of(rows: DataFrame) -> int:
    """Count requests that failed, and those that summaries tell of."""
    return int(has_failed(rows).sum()) + int(sum(figures.get("failed", 0) for figures in summaries_in(rows)))


def groups(
    requests: DataFrame,
    by: str | None = "run",
    *,
    style: Style | None = None,
    slots: Mapping[Hashable, int] | None = None,
    typical: Callable[[DataFrame], float] | None = None,
    all_named: bool = False,
) -> list[Group]:
    """Split requests into the groups of a chart; ``slots`` gives their places among the colours, if not their order.

    Of more than eight, those are named that a reader looks for: the first, and those whose ``typical`` value is among
    the lowest and the highest; the rest is grey. ``all_named``: none is, as where each has rows of its own.

    Examples
    --------
    >>> frame = pd.DataFrame({"run": ["b", "a", "b"], "success": [1, 1, 0]})
    >>> [group.label(len(group.rows)) for group in groups(frame)]
    ['b (n=2, 1 failed)', 'a (n=1)']
    """
    style = style or current()
    if by is None:
        (place,) = _places([min((slots or {}).values(), default=0)], [0])
        return [Group("all requests", "all requests", requests, **_look(place, 1, style, False))]
    keys = _keys(requests, by)
    parts = {key: rows for key, rows in requests.groupby(keys, sort=False, observed=True, dropna=False)}
    slots = slots or _slots(keys, list(parts))
    ordered = sorted(parts, key=slots.__getitem__)
    full = {key: group_name(by, None) if pd.isna(key) else _shown(key) for key in ordered}
    numeric = pd.api.types.is_numeric_dtype(keys)
    named = list(range(len(ordered)))[: None if all_named else NAMED]
    if typical and not numeric and len(named) < len(ordered):
        named = _outstanding([typical(parts[key]) for key in ordered])
    names, places = short_names(full), _places([slots[key] for key in ordered], named)
    return [
        Group(full[key], names[key], parts[key], **_look(place, len(ordered), style, numeric, all_named))
        for key, place in zip(ordered, places, strict=True)
    ]


def _outstanding(values: list[float]) -> list[int]:
    """Return which eight of many groups are named: the first, the four lowest, and the three highest of the others.

    Examples
    --------
    >>> _outstanding([5, 1, 2, 3, 4, 6, 7, 8, 9, 10])
    [0, 1, 2, 3, 4, 7, 8, 9]
    """
    others = sorted(range(1, len(values)), key=lambda at: (np.isnan(values[at]), values[at]))
    known = [at for at in others if not np.isnan(values[at])]
    chosen = dict.fromkeys([0, *known[:4], *reversed(known[4:]), *others])
    return sorted(list(chosen)[:NAMED])


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


def _places(slots: list[int], named: list[int]) -> list[int]:
    """Give the groups that are named a place among the eight looks: their own where it is free; the others come after.

    Examples
    --------
    >>> _places([1, 40, 41], [0, 1, 2])
    [1, 0, 2]
    """
    taken = {slots[at] for at in named if slots[at] < NAMED}
    free = [place for place in range(max(NAMED, len(named))) if place not in taken]
    after = iter(range(NAMED, NAMED + len(slots)))
    return [next(after) if at not in named else slot if slot < NAMED else free.pop(0) for at, slot in enumerate(slots)]


def short_names(full: dict[Hashable, str], longest: float = LONGEST) -> dict[Hashable, str]:
    """Shorten long names, unless that would make two the same."""
    short = {key: shortened(name, longest) for key, name in full.items()}
    chosen = short if len(set(short.values())) == len(short) else full
    return {key: plain(name) for key, name in chosen.items()}


def _shown(key: Hashable) -> str:
    return f"{key:.12g}" if isinstance(key, float) else str(key)


def _look(place: int, count: int, style: Style, numeric: bool, all_named: bool = False) -> dict[str, Any]:
    """Choose how one of several groups is drawn."""
    palette, dashes = style.palette, style.dashes
    # A second round through the colours meets other line styles.
    turn = place + place // len(palette)
    marker = MARKERS[turn % len(MARKERS)]
    if count > NAMED and numeric:
        scale, share = mpl.colormaps["Greys" if style.grey else "viridis"], place / (count - 1)
        return {"colour": scale(0.35 + 0.65 * share if style.grey else 0.92 * share), "dash": "-", "marker": marker}
    if place >= NAMED and not all_named:
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
    shared = next((line for line in lanes if group.rest and line.get_color() == REST), None)
    if not lanes:
        size, place = 0.85 * letter_of(ax), ax.transAxes + _above(ax, 0.9)
        ax.text(-0.01, 1, "failed", transform=place, ha="right", va="center", size=size, color="#666666")
    edge, many = ax.get_xaxis_transform(), len(at) > MANY
    look = {"color": group.colour, "clip_on": False, "gid": "failed", "rasterized": many}
    (crosses,) = ax.plot(at, np.ones(at.shape), "x", transform=edge, **look)
    # Not from the beginning, or the limits of the axes would take the lane for a part of them.
    lane = edge + _above(ax, 0.9 + 0.8 * len(lanes))
    crosses.set_transform(shared.get_transform() if shared else lane)
    if shared:
        crosses.set_gid("failed, too")


def _lanes(ax: Axes) -> list[Line2D]:
    """Return the first crosses of each lane above the axes."""
    return [line for line in ax.lines if line.get_gid() == "failed" and not line.get_clip_on()]


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
    lanes = len(_lanes(ax))
    # What has no name of its own comes last.
    order = sorted(range(len(labels)), key=lambda at: labels[at].endswith(" more"))
    handles, labels = [handles[at] for at in order], [labels[at] for at in order]
    room = letters_across(ax, 0.9)
    labels = [_fitting(label, room - SAMPLE) for label in labels]
    widths = [letters(label) + SAMPLE for label in labels]
    beside = len(labels) > NAMED + 1 and max(widths) < 0.4 * room
    columns = 1 if beside else _columns(widths, room)
    most = max(NAMED + 1, int(columns * lines_down(ax, 0.9) * (0.9 if beside else 0.4)))
    if not beside:
        grow(ax, 1.65 * 0.9 * letter_of(ax) * (-(-min(len(labels), most) // columns) - 1 + lanes))
    if len(labels) > most:
        nothing = Line2D([], [], linestyle="none")
        handles = [*handles[: most - 1], nothing]
        labels = [*labels[: most - 1], f"… and {len(labels) - most + 1} more"]
    # matplotlib fills one column after the other; people read along the lines.
    order = [place for first in range(columns) for place in range(first, len(labels), columns)]
    shown = ax.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        # Runs name themselves; other groups need to be told what their values are of.
        title=plain(title.replace("_", " ")) if title and title != "run" else None,
        loc="upper left" if beside else "lower left",
        bbox_to_anchor=(1.02, 1) if beside else (0, 1.02),
        bbox_transform=ax.transAxes + _above(ax, 0 if beside or not lanes else 0.8 + 0.8 * lanes),
        ncols=columns,
        alignment="left",
        markerscale=1.6,
    )
    for handle in shown.legend_handles:
        if isinstance(handle, PathCollection):  # dots are small and pale where they are many
            handle.set(sizes=[(0.6 * letter_of(ax)) ** 2], alpha=1)
    return shown


def _fitting(label: str, room: int) -> str:
    """Cut the middle out of a label that is wider than the chart; its end is the number of requests."""
    return plain(shortened(label.replace(r"\$", "$"), room)) if letters(label) > room else label


def _columns(widths: list[float], room: int) -> int:
    """Return how many columns of entries fit beside each other, when they are read line by line."""
    for columns in range(len(widths), 1, -1):
        if sum(max(widths[first::columns]) for first in range(columns)) <= room:
            return columns
    return 1
