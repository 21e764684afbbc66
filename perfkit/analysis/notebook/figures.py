"""The figures of a job under way as HTML: a table of its points, two curves, what failed."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from perfkit.analysis.results.so_far import Curves, Figures, PointSoFar
from perfkit.analysis.stats.distribution import Floats
from perfkit.printable import plain

WIDTH, HEIGHT, EDGE = 300, 70, 4
MOST_POINTS = 12
"""Rows of the table: of a longer sweep the last ones."""

_HEADS = ("load", "requests", "failed", "requests/s", "output tokens/s", "TTFT p50", "p95", "TPOT p50", "p95", "")
_CELL = "padding: 1px 8px; text-align: right"


def html(figures: Figures, verdict: Sequence[str] = ()) -> str:
    """Return the figures as HTML; texts of servers are escaped.

    Parameters
    ----------
    figures : Figures
    verdict : sequence of str
        What can be said so far of whether to believe them, a line each.
    """
    parts = [_table(figures.points), _curves(figures.curves), _failures(figures), *map(_line, verdict)]
    return "".join(filter(None, parts))


def _line(text: str) -> str:
    return f"<div>{escape(plain(text))}</div>" if text else ""


def _table(points: Sequence[PointSoFar]) -> str:
    if not points:
        return ""
    left_out = len(points) - MOST_POINTS
    heads = "".join(f'<th style="{_CELL}">{head}</th>' for head in _HEADS)
    rows = "".join(_row(point) for point in points[-MOST_POINTS:])
    note = _line(f"{left_out} earlier points are not shown here") if left_out > 0 else ""
    return f"{note}<table><tr>{heads}</tr>{rows}</table>"


def _row(point: PointSoFar) -> str:
    cells = (
        point.load,
        f"{point.done:,}",
        f"{point.failed:,}",
        _number(point.request_rate),
        _number(point.token_rate),
        *(_milliseconds(value) for value in (*point.ttft, *point.tpot)),
        point.verdict or "",
    )
    return "<tr>" + "".join(f'<td style="{_CELL}">{escape(plain(cell))}</td>' for cell in cells) + "</tr>"


def _number(value: float) -> str:
    return f"{value:,.1f}" if np.isfinite(value) else ""


def _milliseconds(value: float) -> str:
    return f"{value * 1e3:,.1f} ms" if np.isfinite(value) else ""


def _failures(figures: Figures) -> str:
    return "".join(_line(f"{each.number:,} failed, {each.kind}: {each.text}") for each in figures.failures)


def _curves(curves: Curves | None) -> str:
    if curves is None:
        return ""
    ms = 1e3
    drawn = (
        curve("requests/s", curves.time, [curves.request_rate]),
        curve("TTFT p50 and p95 (dashed) [ms]", curves.time, [curves.ttft_p50 * ms, curves.ttft_p95 * ms]),
    )
    return f'<div style="display: flex; flex-wrap: wrap; gap: 16px">{"".join(drawn)}</div>'


def curve(title: str, time: Floats, lines: Sequence[Floats]) -> str:
    """Return a small chart over time from 0, its largest value written at its top; the second line is dashed.

    Parameters
    ----------
    title : str
        The quantity with its unit.
    time : array, s
    lines : sequence of arrays
        One value a time; a line is parted where a value is not known.
    """
    finite = [value for line in lines for value in line[np.isfinite(line)]]
    if not finite:
        return ""
    top = max(finite) or 1.0
    x = EDGE + (WIDTH - 2 * EDGE) * time / time[-1]
    paths = "".join(
        f'<polyline points="{piece}" fill="none" stroke="currentColor" stroke-width="1.5"{dash}/>'
        for line, dash in zip(lines, ("", ' stroke-dasharray="4 3"'), strict=False)
        for piece in _pieces(x, HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * line / top)
    )
    told = f"{escape(title)}: up to {top:,.4g}, {time[-1] + time[0]:,.0f} s"
    return (
        f'<div><div style="font-size: 85%">{told}</div><svg width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{told}"><rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="currentColor" '
        f'stroke-opacity="0.3"/>{paths}</svg></div>'
    )


def _pieces(x: Floats, y: Floats) -> Iterable[str]:
    """Yield the runs of known values as the points of a line; one alone is drawn as a short dash."""
    known = np.isfinite(y)
    for piece in np.split(np.arange(len(x)), np.flatnonzero(np.diff(known)) + 1):
        if piece.size and known[piece[0]]:
            points = [f"{x[at]:.1f},{y[at]:.1f}" for at in piece]
            yield " ".join(points if len(points) > 1 else [*points, f"{x[piece[0]] + 1.5:.1f},{y[piece[0]]:.1f}"])
