"""Ratios to a baseline with their intervals, one line each: what a comparison found, at a glance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from pandas import DataFrame

from perfkit.plots import notes
from perfkit.plots.canvas import canvas, current
from perfkit.plots.text import plain, shortened

_ROUND, _SQUARE, _UNCLEAR = ("#0072B2", "o"), ("#D55E00", "s"), ("#999999", "D")
_LOOKS = {"slower": _SQUARE, "lower": _SQUARE, "faster": _ROUND, "higher": _ROUND}


def ratios(table: DataFrame, baseline: str, names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw the ratio of every row of a comparison to its baseline, with the 95 % interval.

    Parameters
    ----------
    table : DataFrame
        ``Comparison.table``, of which ``ratio``, ``low``, ``high`` and ``judgement`` are drawn.
    baseline : str
        What everything is held against: the line at 1.
    names : sequence of str
        What each row is called.
    ax : Axes, optional
        Where to draw; default: a figure of its own.

    Returns
    -------
    Axes
        Round is faster or higher, square slower or lower, a diamond not clear; hollow where there is no interval.

    Examples
    --------
    >>> row = {"ratio": 1.2, "low": 1.1, "high": 1.3, "judgement": "slower"}
    >>> ratios(DataFrame([row]), "a", ["p95 TTFT of b"]).get_xlabel()
    'ratio to a'
    """
    with canvas(ax) as ax:
        for y, (_, row) in enumerate(table.iterrows()):
            colour, marker = _LOOKS.get(row["judgement"], _UNCLEAR)
            if current().grey and colour != _UNCLEAR[0]:
                colour = "black"
            hollow = "white" if np.isnan(row["low"]) else colour
            ax.plot([row["low"], row["high"]], [y, y], color=colour, linestyle="-", gid="interval")
            ax.plot([row["ratio"]], [y], marker, color=colour, markerfacecolor=hollow, linestyle="none")
        ax.axvline(1, color="#333333", linewidth=0.8, linestyle=":")
        ax.set_xscale("log")
        low, high = ax.get_xlim()
        ax.xaxis.set_major_locator(MaxNLocator(6) if high < 4 * low else LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:.3g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_yticks(range(len(table)), [plain(shortened(name, 48)) for name in names])
        ax.set(xlabel=f"ratio to {plain(shortened(baseline))}", ylim=(len(table) - 0.5, -0.5))
        ax.grid(visible=False, axis="y")
        notes.write(ax, ["lines: 95 % intervals"], ["round: faster or higher; square: slower or lower"])
    return ax
