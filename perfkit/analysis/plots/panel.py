"""What all charts have in common: the groups and the rows behind them, the axes, the legend and what stands beneath."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import inf

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import RATES
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.canvas import canvas, fit_rows, letter_of
from perfkit.analysis.plots.groups import Group, groups, legend, short_names, stacked
from perfkit.analysis.plots.intervals import counted_over_time, steady_rates
from perfkit.analysis.plots.quantity import Quantity, quantity
from perfkit.analysis.stats.distribution import Floats, percentile, present
from perfkit.analysis.stats.marks import marks


@dataclass(frozen=True)
class Panel:
    """What a chart draws: the requests that count, in groups, each with the rows of its table.

    Parameters
    ----------
    requests : DataFrame
        Those that count.
    metric : str or None
        What is shown of them; None for a chart without a metric.
    by : str or None
        The column that tells the groups apart.
    tabulate : callable
        ``(panel) -> DataFrames``: what is drawn of each group.
    parted : list of Group, optional
        The groups, where they are not those of ``by``.
    rows_beyond : int, optional
        For a chart that gives each group rows of its own: more groups than this are named at their rows, in place of a
        legend.
    nothing : str
        What empty axes say; default: that no request has the metric.
    about : DataFrame, optional
        The requests that the line on trust is about, where they are more than those drawn.
    """

    requests: DataFrame
    metric: str | None
    by: str | None
    tabulate: Callable[["Panel"], Iterable[DataFrame]]
    parted: list[Group] | None = None
    rows_beyond: int | None = None
    nothing: str = ""
    about: DataFrame | None = None

    @cached_property
    def groups(self) -> list[Group]:
        """The groups, in order."""
        if self.parted is not None:
            return self.parted
        return groups(self.requests, self.by, typical=typical(self.metric), all_named=self.rows_beyond is not None)

    @property
    def is_named_at_rows(self) -> bool:
        """Whether each group is named at its own rows."""
        return self.rows_beyond is not None and len(self.groups) > self.rows_beyond

    def name_rows(self, ax: Axes, middles: Sequence[float], counts: Sequence[str] = (), *, most: float = inf) -> None:
        """Name each group at the middle of its rows, and make the figure as tall as they need, each so high at most."""
        if not self.is_named_at_rows:
            return
        if not counts:
            labels = [group.label(len(values), self.shown.counted) for group, values in self.samples]
            counts = [label.removeprefix(group.name) for group, label in zip(self.groups, labels, strict=True)]
        short = short_names({group.key: group.key for group in self.groups}, 30)
        names = [f"{short[group.key]}{n}" for group, n in zip(self.groups, counts, strict=True)]
        ax.set_yticks(list(middles), names, fontsize=0.85 * letter_of(ax))
        ax.tick_params(axis="y", length=0)
        ax.set_ylabel("")
        fit_rows(ax, len(names), most=most)

    @cached_property
    def shown(self) -> Quantity:
        """What the metric is called, and its unit."""
        return quantity(str(self.metric))

    @cached_property
    def values(self) -> list[Floats]:
        """The metric of each group, sorted, without what is missing; of a rate, its values second by second."""
        if counted_over_time(str(self.metric)):
            return [np.sort(present(steady_rates(group.rows, self.shown.name))) for group in self.groups]
        return [np.sort(present(self.shown.of(group.rows))) for group in self.groups]

    @property
    def samples(self) -> Iterator[tuple[Group, Floats]]:
        """Each group with its values."""
        return zip(self.groups, self.values, strict=True)

    @property
    def dependence(self) -> list[str]:
        """Say of which groups neighbours were slow together, and as how many independent ones they count."""
        if self.metric in RATES:
            return []
        said = []
        for group in self.groups:
            values = present(self.shown.of(group.rows))
            effective, marked = marks(values, [50])
            if marked.get("p50") == "dependent":
                said.append(
                    f"{group.name}: neighbours depend on one another, {len(values):,} say as much as {effective:,.0f}"
                )
        return said

    @cached_property
    def tables(self) -> list[DataFrame]:
        """The rows drawn of each group."""
        return list(self.tabulate(self))

    @property
    def table(self) -> DataFrame:
        """The rows of all groups under each other: the numbers behind the picture."""
        return stacked(self.tables)

    def __iter__(self) -> Iterator[tuple[Group, DataFrame]]:
        return zip(self.groups, self.tables, strict=True)

    @classmethod
    def of(
        cls,
        requests: DataFrame,
        metric: str,
        by: str | None,
        tabulate: Callable[["Panel"], Iterable[DataFrame]],
        *,
        rows_beyond: int | None = None,
    ) -> "Panel":
        """Return the panel of a distribution: a rate counts what happened in its time, whatever a request's phase."""
        counted = notes.loaded(requests) if metric in RATES else notes.measured(requests)
        return cls(counted, metric, by, tabulate, rows_beyond=rows_beyond)

    @contextmanager
    def on(
        self, ax: Axes | None, signs: Sequence[str] = (), sentences: Sequence[str] = ()
    ) -> Iterator[tuple[Axes, list[str]]]:
        """Give the axes to draw on, and the signs to explain beneath; afterwards add all that no chart goes without."""
        explained = list(signs)
        with canvas(ax) as ax:
            yield ax, explained
            if not any(map(len, self.tables)):
                notes.empty_note(
                    ax, self.nothing or notes.lacking(self.shown.label if self.metric else "chunk", self.groups)
                )
            if not self.is_named_at_rows:
                legend(ax, self.by)
            if rest := sum(group.rest for group in self.groups):
                explained.append(f"grey: {rest} that lie between those named, of {len(self.groups)}")
            about = self.requests if self.about is None else self.about
            notes.write(ax, explained, [*sentences, *notes.remarks(about, self.metric)])


def typical(metric: str | None) -> Callable[[DataFrame], float] | None:
    """Return what groups are ranked by: a rate, or the median of a metric."""
    if metric is None:
        return None
    if metric in RATES:
        return RATES[metric].of
    shown = quantity(metric)
    return lambda rows: percentile(shown.of(rows), 50)
