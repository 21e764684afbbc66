"""The loads of each group, as rows of a chart: ``qwen tp2, 16 users``."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots.canvas import fit_rows, letter_of
from perfkit.analysis.plots.groups import Group, short_names
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import LOADS, plain_number
from perfkit.analysis.plots.sweep import load_label, load_of


@dataclass(frozen=True)
class Rung:
    """One group under one load."""

    group: Group
    load: float
    rows: DataFrame


def each_load(panel: Panel) -> list[Rung]:
    """Return each group under each of its loads, in order."""
    x = load_of(panel.requests)
    loads = [(group, group.rows.groupby(x, sort=True)) for group in panel.groups]
    return [Rung(group, float(str(load)), rows) for group, each in loads for load, rows in each]


def name_rungs(ax: Axes, panel: Panel, rungs: Sequence[Rung]) -> None:
    """Name each row by its load, and by its group where there are several; make the figure tall enough."""
    unit = LOADS[load_of(panel.requests)].split(" ")[-1].strip("[]")
    names = [_load(rung.load, unit) for rung in rungs]
    if len(panel.groups) > 1:
        short = short_names({group.key: group.key for group in panel.groups}, 28)
        names = [f"{short[rung.group.key]}, {name}" for rung, name in zip(rungs, names, strict=True)]
    ax.set_yticks([row + 0.5 for row in range(len(rungs))], names, fontsize=0.85 * letter_of(ax))
    ax.tick_params(axis="y", length=0)
    fit_rows(ax, len(rungs))


def _load(load: float, unit: str) -> str:
    return f"{plain_number(load)} {unit.removesuffix('s') if load == 1 else unit}" if load > 0 else load_label(load)
