"""Short names beside points, none upon another or upon a point."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from perfkit.analysis.plots.canvas import figure_of, laid_out, letter_of
from perfkit.analysis.stats.distribution import Floats

_CORNERS = (("left", "top"), ("left", "bottom"), ("right", "bottom"), ("right", "top"))
"""Which corner of a name is at its point: below to the right first, then above, then to the left."""


def write_beside(ax: Axes, names: Sequence[str], points: Floats, colours: Sequence[Any]) -> list[Annotation]:
    """Write each name at the first corner of its point that is free; one that has none is left out."""
    letter = 0.85 * letter_of(ax)
    laid_out(ax)
    pixel = figure_of(ax).dpi / 72
    inside = ax.get_window_extent()
    around = 0.3 * letter * pixel * np.array([-1, 1])
    taken = [Bbox(np.add.outer(around, middle)) for middle in ax.transData.transform(points)]
    written = []
    for name, point, colour in zip(names, points, colours, strict=True):
        at = float(point[0]), float(point[1])
        text = ax.annotate(name, at, (0, 0), textcoords="offset points", fontsize=letter, color=colour)
        text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        for side, end in _CORNERS:
            away = (0.45 if side == "left" else -0.45, 0.35 if end == "bottom" else -0.35)
            text.set(ha=side, va=end, position=(away[0] * letter, away[1] * letter))
            # Room at its sides, or 1 and 2 beside each other read as 12.
            box = text.get_window_extent().padded(0.3 * letter * pixel, 0)
            if not box.count_overlaps(taken) and inside.containsx(box.x0) and inside.containsx(box.x1):
                taken.append(box)
                written.append(text)
                break
        else:
            text.remove()
    return written
