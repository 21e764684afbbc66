"""Ratios to a baseline with their intervals, one line each: what a comparison found, at a glance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from pandas import DataFrame

from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import canvas, current, fit_rows
from perfkit.analysis.plots.sweep import hollow
from perfkit.analysis.plots.text import plain, shortened

_ROUND, _SQUARE, _UNCLEAR = ("#0072B2", "o"), ("#D55E00", "s"), ("#999999", "D")
_LOOKS = {"slower": _SQUARE, "lower": _SQUARE, "faster": _ROUND, "higher": _ROUND}


def ratios(
    table: DataFrame,
    baseline: str,
    names: Sequence[str],
    parts: Sequence[str] = (),
    *,
    other: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the ratio of every row of a comparison to its baseline, with the 95 % interval.

    Parameters
    ----------
    table : DataFrame
        ``ratio``, ``low``, ``high``, ``judgement`` and ``mark`` of each row.
    baseline : str
        What the ratios are to.
    names : sequence of str
        What the rows are called.
    parts : sequence of str, optional
        What each row belongs to: rows of one part stand under its name.
    other : str
        Whose ratios all of these are, if they are of one.
    ax : Axes, optional
        Where to draw.

    Examples
    --------
    >>> row = {"ratio": 1.2, "low": 1.1, "high": 1.3, "judgement": "slower"}
    >>> ratios(DataFrame([row]), "a", ["p95 TTFT of b"]).get_xlabel()
    'ratio to a'
    """
    lines = _lines(names, parts)
    with canvas(ax) as ax:
        places = [place for place, (_, is_row) in enumerate(lines) if is_row]
        for y, (_, row) in zip(places, table.iterrows(), strict=True):
            colour, marker = _LOOKS.get(row["judgement"], _UNCLEAR)
            if current().grey and colour != _UNCLEAR[0]:
                colour = "black"
            face = "white" if np.isnan(row["low"]) or row.get("mark") else colour
            ax.plot([row["low"], row["high"]], [y, y], color=colour, linestyle="-", gid="interval")
            ax.plot([row["ratio"]], [y], marker, color=colour, markerfacecolor=face, linestyle="none")
        scale_ratios(ax.xaxis)
        ax.set_yticks(range(len(lines)), [plain(shortened(name, 48)) for name, _ in lines])
        for place, (_, is_row) in enumerate(lines):
            if not is_row:
                ax.get_yticklabels()[place].set_fontweight("bold")
                ax.axhspan(place - 0.5, place + 0.5, color="#000000", alpha=0.05, linewidth=0)
        fit_rows(ax, len(lines))
        whose = f" of {shortened(other)}" if other else ""
        ax.set(xlabel=plain(f"ratio{whose} to {shortened(baseline)}"), ylim=(len(lines) - 0.5, -0.5))
        ax.grid(visible=False, axis="y")
        notes.write(ax, ["lines: 95 % intervals", *hollow(table)], ["round: faster or higher; square: slower or lower"])
    return ax


def _lines(names: Sequence[str], parts: Sequence[str]) -> list[tuple[str, bool]]:
    """Return what stands at the axis from above: the name of a part, then its rows, which are True.

    Examples
    --------
    >>> _lines(["p50", "p95", "p50"], ["1 user", "1 user", "8 users"])
    [('1 user', False), ('p50', True), ('p95', True), ('8 users', False), ('p50', True)]
    """
    found: list[tuple[str, bool]] = []
    above = None
    for name, part in zip(names, parts or [""] * len(names), strict=True):
        found += [(part, False)] if part and part != above else []
        found.append((name, True))
        above = part
    return found


def scale_ratios(axis: Axis) -> None:
    """Put ratios on a logarithmic axis, with plain numbers and a line at 1."""
    is_x = axis is axis.axes.xaxis
    (axis.axes.axvline if is_x else axis.axes.axhline)(1, color="#333333", linewidth=0.8, linestyle=":")
    (axis.axes.set_xscale if is_x else axis.axes.set_yscale)("log")
    low, high = axis.axes.get_xlim() if is_x else axis.axes.get_ylim()
    axis.set_major_locator(MaxNLocator(6) if high < 4 * low else LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:.3g}"))
    axis.set_minor_formatter(NullFormatter())
