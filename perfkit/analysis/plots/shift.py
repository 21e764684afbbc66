"""How much slower at each percentile: every group against the first."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.plots.catalogue import chart
from perfkit.analysis.plots.panel import Panel
from perfkit.analysis.plots.quantity import plain_number
from perfkit.analysis.plots.ratios import scale_ratios
from perfkit.analysis.plots.text import plain, shortened
from perfkit.analysis.stats.distribution import thin

PERCENTILES = np.arange(1, 100)
TICKS = (1, 10, 25, 50, 75, 90, 99)


def shift_table(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run") -> DataFrame:
    """Return one row per group and percentile: group, percentile, the metric, the first group's, their ratio, thin."""
    return Panel.of(requests, metric, by, _ratios).table


@chart("shift", columns=(), rates="counted", table=shift_table)
def shift(requests: DataFrame, metric: str = "ttft", *, by: str | None = "run", ax: Axes | None = None) -> Axes:
    """Ratio of a metric to that of the first group at each percentile: whether the middle or the tail differs.

    Returns
    -------
    Axes
        A flat line at 1.2 is 20 % more for every request; a line that rises to the right, a worse tail. Thin: fewer
        than ten requests beyond the percentile, of either. It shows these runs: whether servers differ, repeats tell.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 50 + ["b"] * 50, "ttft": [0.1] * 50 + [0.2] * 50, "success": 1})
    >>> sorted(set(shift_table(frame).query("group == 'b'")["ratio"]))
    [2.0]
    """
    panel = Panel.of(requests, metric, by, _ratios)
    first = plain(shortened(panel.groups[0].key)) if panel.groups else ""
    with panel.on(ax, [f"thin: fewer than 10 {panel.shown.counted} beyond"]) as (ax, signs):
        for (group, table), values in zip(panel, panel.values, strict=True):
            ratio = table["ratio"].to_numpy(dtype=float)
            known = np.where(table["thin"].astype(bool), np.nan, ratio)
            ax.plot(table["percentile"], known, label=group.label(len(values), panel.shown.counted), **group.line)
            ax.plot(table["percentile"], ratio, gid="tail", **group.tail)
        if len(panel.groups) == 1:
            signs.append("one group alone: nothing to hold against it")
        drawn = panel.table["ratio"].to_numpy(dtype=float)
        drawn = np.append(drawn[drawn > 0], 1.0)
        room = (drawn.max() / drawn.min()) ** 0.05
        ax.set_ylim(min(drawn.min() / room, 0.95), max(drawn.max() * room, 1.05))
        scale_ratios(ax.yaxis)
        ax.set(xlabel=f"percentile of {panel.shown.counted}", ylabel=f"{panel.shown.label}, ratio to\n{first}")
        ax.set_xticks(TICKS, [plain_number(q) for q in TICKS])
    return ax


def _ratios(panel: Panel) -> Iterator[DataFrame]:
    baseline = panel.values[0] if panel.values else np.empty(0)
    for group, values in panel.samples:
        if not len(values) or not len(baseline):
            yield DataFrame({"group": [], "percentile": [], "ratio": [], "thin": []})
            continue
        own, other = np.percentile(values, PERCENTILES), np.percentile(baseline, PERCENTILES)
        least = min(len(values), len(baseline))
        yield DataFrame(
            {
                "group": group.key,
                "percentile": PERCENTILES,
                panel.shown.title: own,
                f"{panel.shown.title} of {panel.groups[0].key}": other,
                "ratio": np.divide(own, other, out=np.full(len(own), np.nan), where=other != 0),
                "thin": [thin(least, float(q)) for q in PERCENTILES],
            }
        )
