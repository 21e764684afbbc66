"""A metric at each percentile under each load, as numbers on a coloured ground."""

from collections.abc import Iterator, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from pandas import DataFrame

from perfkit.analysis.plots.canvas import current, letter_of, letters_across
from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.loads import Rung, each_load, name_rungs
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import LOADS, plain_number
from perfkit.analysis.plots.sweep import over_loads
from perfkit.analysis.stats.distribution import BEYOND, percentile, present, thin

PERCENTILES = (50, 75, 90, 95, 99, 99.9)


def heatmap_table(
    requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", percentiles: Sequence[float] = PERCENTILES
) -> DataFrame:
    """Return one row per group, load and percentile: group, load, requests, percentile, the value, thin."""
    return _panel(requests, metric, by, percentiles).table


@chart("heatmap", columns=(*LOADS, "name"), table=heatmap_table)
def heatmap(
    requests: DataFrame,
    metric: str = "ttft",
    *,
    by: str | None = "run",
    ax: Axes | None = None,
    percentiles: Sequence[float] = PERCENTILES,
) -> Axes:
    """A metric by load and percentile: a row per load, a column per percentile, darker for larger values.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of several runs, with ``parallel`` or ``rate``. Those outside the measured window are left out.
    percentiles : sequence of float
        0 to 100, a column each.

    Returns
    -------
    Axes
        A number in brackets: fewer than ten values lie beyond that percentile.

    Raises
    ------
    UsageError
        The requests have neither users nor a rate, or there is no such metric.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3 + ["b"] * 3, "parallel": [1] * 3 + [8] * 3, "success": 1,
    ...                    "ttft": [0.1, 0.1, 0.2, 0.3, 0.4, 0.5]})
    >>> [text.get_text() for text in heatmap(frame, percentiles=[50]).texts[:2]]
    ['(100)', '(400)']
    """
    panel = _panel(requests, metric, by, percentiles)
    with panel.on(ax, [f"in brackets: fewer than {BEYOND} {panel.shown.counted} beyond"]) as (ax, _):
        table = panel.table
        rungs = each_load(panel)
        values = table[panel.shown.title].to_numpy(dtype=float).reshape(len(rungs), len(percentiles))
        known = present(values[values > 0])
        if known.size:
            colours = mpl.colormaps["Greys" if current().grey else "YlGnBu"]
            norm = LogNorm(known.min(), max(known.max(), 1.001 * known.min()))
            ax.pcolormesh(
                np.where(values > 0, values, np.nan), cmap=colours, norm=norm, edgecolors="white", linewidth=0.6
            )
            thins = table["thin"].to_numpy(dtype=bool).reshape(values.shape)
            for (row, column), value in np.ndenumerate(values):
                if value == value:
                    dark = value > 0 and norm(value) > 0.55
                    text = _number(value)
                    shown = f"({text})" if thins[row, column] else text
                    size = min(0.85 * letter_of(ax), 7.0 * letters_across(ax) / (10 * len(percentiles)))
                    middle = column + 0.5, row + 0.5
                    ax.text(
                        *middle, shown, ha="center", va="center", fontsize=size, color="white" if dark else "#222222"
                    )
        ax.set_xticks(np.arange(len(percentiles)) + 0.5, [f"p{q:g}" for q in percentiles])
        name_rungs(ax, panel, rungs)
        ax.set(xlabel=panel.shown.title, ylim=(max(len(rungs), 1), 0))
        ax.grid(visible=False)
    return ax


def _panel(requests: DataFrame, metric: str, by: str | None, percentiles: Sequence[float]) -> Panel:
    def cells(panel: Panel) -> Iterator[DataFrame]:
        for group in panel.groups:
            rungs = [rung for rung in each_load(panel) if rung.group is group]
            yield DataFrame([_cell(rung, q, panel) for rung in rungs for q in percentiles])

    return over_loads(requests, metric, by, cells, rows_beyond=0)


def _cell(rung: Rung, q: float, panel: Panel) -> dict[str, object]:
    values = present(panel.shown.of(rung.rows))
    head = {"group": rung.group.key, "load": rung.load, panel.shown.counted: len(values), "percentile": q}
    return {**head, panel.shown.title: percentile(values, q), "thin": thin(len(values), q)}


def _number(value: float) -> str:
    return plain_number(float(f"{value:.3g}")) if value < 1000 else plain_number(round(value))
