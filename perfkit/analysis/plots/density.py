"""Very many dots as a ground whose strength says how many there are."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from perfkit.analysis.plots.groups import Group
from perfkit.analysis.stats.distribution import Floats

DENSE = 5000
"""Dots beyond which single ones are no longer told apart."""
CELLS = 120, 70
SIGN = "colour: the fuller, the more requests"


def edges(values: list[Floats], *, log: bool, cells: int) -> Floats:
    """Cut the range of all values into cells of one width on their axis."""
    pooled = np.concatenate([np.empty(0), *values])
    low, high = (pooled.min(), pooled.max()) if pooled.size else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    if not log:
        return np.linspace(low, high, cells + 1)
    positive = pooled[pooled > 0]
    cut = np.geomspace(positive.min(), positive.max() * (1 + 1e-9), cells + 1)
    return cut if low > 0 else np.concatenate([[low], cut])  # an axis that reaches zero is linear below its least value


def draw(ax: Axes, group: Group, dots: tuple[Floats, Floats], cells: tuple[Floats, Floats], label: str = "") -> None:
    """Draw a group's dots as cells in its colour."""
    counts, _, _ = np.histogram2d(*dots, bins=cells)
    ground: NDArray[np.float64] = np.empty((*counts.T.shape, 4))
    ground[..., :3] = to_rgb(group.colour)
    strength = np.log1p(counts.T) / np.log1p(max(counts.max(), 1))
    ground[..., 3] = np.where(counts.T > 0, (0.12 if group.rest else 0.2) + 0.7 * strength, 0)
    ax.pcolormesh(*cells, ground, rasterized=True, zorder=1.5 if group.rest else 2, linewidth=0, gid="density")
    if label:
        ax.plot([], [], "s", color=group.colour, label=label)
