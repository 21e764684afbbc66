"""``runs.plot``: every registered chart as a method, without its first argument."""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol

import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import METRICS, RATES, statistic_named, tags_read
from perfkit.analysis.plots import server_panels
from perfkit.analysis.plots.catalogue import CHARTS, Chart, find
from perfkit.analysis.plots.intervals import READ
from perfkit.analysis.plots.quantity import needed, require_name
from perfkit.analysis.plots.text import plain, shortened
from perfkit.analysis.query.columns import load_name, needs_requests
from perfkit.analysis.query.labels import SINCE_2001
from perfkit.analysis.query.server import Levels
from perfkit.analysis.text_table import listed
from perfkit.errors import UsageError
from perfkit.options.objectives import read_quantity
from perfkit.records import Json
from perfkit.runfile.record import as_object
from perfkit.validity.verdict import Verdict

STARTED = "started"
"""The column of a chart that asks when each run started, Unix seconds; NaN where that is unknown."""


class Drawable(Protocol):
    """What charts ask of runs."""

    @property
    def requests(self) -> DataFrame:
        """One row per request."""

    @property
    def chunks(self) -> DataFrame:
        """One row per chunk."""

    @property
    def table(self) -> DataFrame:
        """One row per run, under its label."""

    @property
    def palette(self) -> Sequence[str]:
        """Labels in the order of their colours, those of runs that are not looked at now included."""

    @property
    def verdicts(self) -> Mapping[str, Verdict | None]:
        """The verdict on each run, by its label."""

    @property
    def published(self) -> Mapping[str, Levels | None]:
        """What the servers of each run published, by its label."""

    @property
    def by_outcome(self) -> bool:
        """True after a filter on outcomes."""

    @property
    def summarized(self) -> Sequence[str]:
        """Labels of the runs that are known by a summary alone."""

    def column(self, *names: str) -> DataFrame:
        """Return columns that ``requests`` may lack: arguments of the run."""

    def with_summaries(self, rows: DataFrame) -> DataFrame:
        """Return rows with one more for each run that is known by a summary, and its ``figures``."""


class Plots:
    """The charts of some runs.

    Parameters
    ----------
    runs : Runs
        What is drawn.

    Examples
    --------
    >>> runs.plot.ecdf("ttft", by="gpu")  # doctest: +SKIP
    >>> runs.plot("hist", "tpot")  # doctest: +SKIP
    """

    def __init__(self, runs: Drawable) -> None:
        self._runs = runs

    def __call__(self, chart: str, metric: str | None = None, **options: Any) -> Axes:
        """Draw a chart by its name.

        Parameters
        ----------
        chart : str
            A name of ``CHARTS``.
        metric : str, optional
            Default: the chart's own.
        **options
            ``by``, ``ax`` and what else the chart takes; ``help(runs.plot.ecdf)`` tells of each.

        Returns
        -------
        Axes

        Raises
        ------
        UsageError
            No chart, metric or column has that name, or no request is left to draw.
        """
        found = find(chart)
        metric = metric or found.metric
        rows = rows_for(
            self._runs, found, metric, *found.named({**options, "metric": metric}), by=options.get("by", "run")
        )
        if rows.empty and self._runs.column("run").empty:
            if self._runs.summarized:
                raise UsageError(needs_requests(f"the chart {chart}", self._runs.summarized))
            raise UsageError("no request is left to draw: widen the filter, or look at runs that have requests")
        if metric in RATES and self._runs.by_outcome:
            raise UsageError(f"{metric} cannot be drawn of requests chosen by their outcome: such a choice has no rate")
        return found.draw(rows, metric, **options)

    def __getattr__(self, name: str) -> Callable[..., Axes]:
        if name not in CHARTS:
            raise AttributeError(f"no chart is called {name!r}; the charts are {', '.join(CHARTS)}")
        found = CHARTS[name]

        def draw(metric: str | None = None, **options: Any) -> Axes:
            return self(name, metric, **options)

        signature = inspect.signature(found.draw)
        given = [parameter for parameter in signature.parameters.values()][1:]
        draw.__name__, draw.__doc__ = name, found.draw.__doc__
        draw.__signature__ = signature.replace(parameters=[*map(_spelt, given)])  # type: ignore[attr-defined]
        return draw

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *CHARTS]

    def __repr__(self) -> str:
        return "\n".join(f"plot.{chart.name}: {chart.sentence}" for chart in CHARTS.values())


def _spelt(parameter: inspect.Parameter) -> inspect.Parameter:
    """Name the metrics that a chart takes, in place of "a text"."""
    if parameter.name != "metric" or parameter.default is None:
        return parameter
    return parameter.replace(annotation=Literal[(*METRICS, *RATES)])


def rows_for(
    runs: Drawable, chart: Chart, metric: str | None, *others: str | None, by: str | None = "run"
) -> DataFrame:
    """Return the requests or chunks that a chart draws, with what it must say about their runs.

    Of requests only the columns are loaded that the chart reads, and those that ``others`` and ``by`` name.
    """
    if chart.needs == "chunks":
        rows = runs.chunks
    elif chart.columns is None:
        rows = runs.requests
    else:
        others = others or tuple(chart.named({"metric": metric}))
        named = [name for each in (metric, by, *others) if each is not None for name in _loadable(each)]
        stored = [name for name in chart.columns if name not in (server_panels.COLUMN, STARTED)]
        rows = runs.column(*dict.fromkeys(["run", "phase", "success", "error_kind", *stored, *named]))
        if server_panels.COLUMN in chart.columns:
            rows[server_panels.COLUMN] = rows["run"].map(runs.published)
        rows = runs.with_summaries(rows) if chart.summaries and runs.summarized else rows
        if STARTED in chart.columns:
            rows[STARTED] = rows["run"].map(_dates(runs.table)).astype(float)
    if by in tags_read() and rows[by].isna().all():
        raise UsageError(f"no run has a tag {by!r} to group by")
    levels = {label: verdict.level if verdict else None for label, verdict in runs.verdicts.items()}
    return rows.assign(
        verdict=rows["run"].map(levels),
        basis=rows["run"].map(_bases(runs.table, metric)),
        # A chart over loads parts by them.
        pooled=None if chart.is_over_load else _pooled_loads(rows, runs.table, by),
        absent=_absent(rows, runs.table, runs.summarized),
        run=rows["run"].astype(pd.CategoricalDtype(list(runs.palette))),
    )


def numbers(runs: Drawable, chart: str, metric: str | None = None, **options: Any) -> DataFrame:
    """Return the numbers behind a chart, by its name and with its options."""
    found = find(chart)
    metric = metric or found.metric
    rows = rows_for(runs, found, metric, *found.named({**options, "metric": metric}), by=options.get("by", "run"))
    return rows if found.table is None else found.table(rows, metric, **options)


def _dates(table: DataFrame) -> dict[Hashable, float]:
    """Return when each run started, Unix seconds; NaN where a tool counts from a machine's boot, or does not say."""
    return {
        label: start if start and start > SINCE_2001 else float("nan") for label, start in table["start_time"].items()
    }


def _absent(rows: DataFrame, table: DataFrame, summarized: Sequence[str]) -> str | None:
    """Name the runs of which nothing is drawn; None where there are none."""
    there = set(rows["run"].unique())
    absent = [label for label in table.index if label not in there]
    names = listed([plain(shortened(str(label))) for label in absent])
    only = ", known by summaries alone" if absent and set(absent) <= set(summarized) else ""
    return f"nothing is drawn of {names}{only}" if absent else None


def _pooled_loads(rows: DataFrame, table: DataFrame, by: str | None) -> str | None:
    """Say which loads stand in one group; None where each group has one."""
    loads = {label: load_name(users, rate) for label, users, rate in table[["parallel", "rate"]].itertuples()}
    named = rows["run"].astype(object).map(loads)
    if by == "run" or (by is not None and by not in rows):
        return None
    groups = named.groupby(rows[by], observed=True) if by is not None else [("all", named)]
    several = [[str(load) for load in each.dropna().unique()] for _, each in groups if each.nunique() > 1]
    return f"pooled in one group: {', '.join(sorted(several, key=len)[-1])}" if several else None


def _loadable(name: str) -> tuple[str, ...]:
    """Return the columns behind a name: a quantity with one value per request is a column of its own."""
    require_name(name)
    if name not in METRICS and name not in RATES and (found := statistic_named(read_quantity(name).name)):
        return found[0].columns
    if name in RATES:
        return (*needed(name), *READ)
    several = name in METRICS and METRICS[name].pooled
    return needed(name) if several else (name,)


def _bases(table: DataFrame, metric: str | None) -> dict[Hashable, Json]:
    """Return what the metric of each run rests on: its stamps, unless its file says otherwise."""
    return {label: as_object(stored).get(str(metric), "stamps") for label, stored in table["basis"].items()}
