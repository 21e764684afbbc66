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
from pandas import DataFrame, Series

from perfkit.errors import UsageError, nearest
from perfkit.plots.canvas import Style, current, letters_across
from perfkit.plots.text import plain, shortened
from perfkit.tables import width

MARKERS = ("o", "s", "^", "D", "v", "P")
NAMED = 8
"""Groups that a reader can still tell apart by colour and line style."""
LISTED = 20
"""Groups that a legend lists."""
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

    @property
    def failures(self) -> int:
        """Requests that failed."""
        return int((self.rows["success"] == 0).sum()) if "success" in self.rows else 0

    def label(self, n: int) -> str:
        """Name the group with the number of requests drawn, and of those that failed."""
        failed = f", {self.failures:,} failed" if self.failures else ""
        return f"{self.name} (n={n:,}{failed})"

    @property
    def line(self) -> dict[str, Any]:
        """How its lines look."""
        thin = {"linewidth": 0.8, "zorder": 1.5} if self.rest else {}
        return {"color": self.colour, "linestyle": self.dash, **thin}


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
        return [_group("all requests", "all requests", requests, 0, 1, style, False)]
    keys = _keys(requests, by)
    parts = {key: rows for key, rows in requests.groupby(keys, sort=False, observed=True, dropna=False)}
    slots = _slots(keys, list(parts))
    ordered = sorted(parts, key=slots.__getitem__)
    full = {key: "not given" if pd.isna(key) else _shown(key) for key in ordered}
    names = _names(full)
    numeric = pd.api.types.is_numeric_dtype(keys)
    count = max(slots.values(), default=0) + 1
    return [_group(full[key], names[key], parts[key], slots[key], count, style, numeric) for key in ordered]


def _keys(requests: DataFrame, by: str) -> Series:
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


def _names(full: dict[Hashable, str]) -> dict[Hashable, str]:
    """Shorten long names, unless that would make two the same."""
    short = {key: shortened(name) for key, name in full.items()}
    chosen = short if len(set(short.values())) == len(short) else full
    return {key: plain(name) for key, name in chosen.items()}


def _shown(key: Hashable) -> str:
    return f"{key:g}" if isinstance(key, float) else str(key)


def _group(key: str, name: str, rows: DataFrame, slot: int, count: int, style: Style, numeric: bool) -> Group:
    palette, dashes = style.palette, style.dashes
    # A second round through the colours meets other line styles.
    dash = dashes[(slot + slot // len(palette)) % len(dashes)]
    marker = MARKERS[(slot + slot // len(palette)) % len(MARKERS)]
    if count > NAMED and numeric:
        scale = mpl.colormaps["Greys" if style.grey else "viridis"]
        position = slot / (count - 1)
        return Group(key, name, rows, scale(0.35 + 0.65 * position if style.grey else 0.92 * position), "-", marker)
    if slot >= NAMED:
        return Group(key, name, rows, REST, "-", marker, rest=True)
    return Group(key, name, rows, palette[slot % len(palette)], dash, marker)


def mark_failures(ax: Axes, group: Group, where: npt.ArrayLike) -> None:
    """Put a cross on the upper edge for each failed request."""
    at = np.asarray(where, dtype=float)
    upper = ax.get_xaxis_transform()
    ax.plot(at, np.full(at.shape, 0.985), "x", color=group.colour, transform=upper, clip_on=False, gid="failed")


def stacked(tables: Iterable[DataFrame]) -> DataFrame:
    """Put the tables of several groups under each other."""
    several = list(tables)
    return pd.concat(several, ignore_index=True) if several else DataFrame()


def legend(ax: Axes, title: str | None) -> Legend | None:
    """Put the legend where it covers nothing: above the axes, or beside them when it is long."""
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return None
    # Runs name themselves; other groups need to be told what their values are of.
    title = plain(title.replace("_", " ")) if title and title != "run" else None
    if len(handles) > LISTED:
        more = len(handles) - LISTED
        handles, labels = handles[: LISTED + 1], [*labels[:LISTED], f"… and {more} more"]
    room, widths = letters_across(ax, 0.9), [width(label) + SAMPLE for label in labels]
    if len(handles) > NAMED and max(widths) < 0.4 * room:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.02, 1)}
    else:
        place = {"loc": "lower left", "bbox_to_anchor": (0, 1.02), "ncols": _columns(widths, room)}
    return ax.legend(handles, labels, title=title, alignment="left", markerscale=1.6, **place)


def _columns(widths: list[int], room: int) -> int:
    """Return how many columns of entries fit beside each other; matplotlib fills them one after the other."""
    for columns in range(len(widths), 1, -1):
        if sum(max(part) for part in np.array_split(widths, columns)) <= room:
            return columns
    return 1
