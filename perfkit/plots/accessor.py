"""``runs.plot``: every registered chart as a method, without its first argument."""

import inspect
import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.errors import UsageError
from perfkit.metrics import METRICS, RATES
from perfkit.plots.catalogue import CHARTS, Chart, find
from perfkit.plots.quantity import needed, require_name
from perfkit.records import Json
from perfkit.verdict import Verdict


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
    def by_outcome(self) -> bool:
        """True after a filter on outcomes."""

    def column(self, *names: str) -> DataFrame:
        """Return columns that ``requests`` may lack: arguments of the run."""


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
            No chart, metric or column has that name.
        """
        found = find(chart)
        metric = metric or found.metric
        rows = rows_for(self._runs, found, metric, options.get("by"), options.get("x"))
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
        draw.__signature__ = signature.replace(parameters=given)  # type: ignore[attr-defined]
        return draw

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *CHARTS]

    def __repr__(self) -> str:
        return "\n".join(f"plot.{chart.name}: {chart.sentence}" for chart in CHARTS.values())


def rows_for(runs: Drawable, chart: Chart, metric: str | None, *others: str | None) -> DataFrame:
    """Return the requests or chunks that a chart draws, with what it must say about their runs.

    Of requests only the columns are loaded that the chart reads, and those that ``others`` (``by``, ``x``) name.
    """
    if chart.needs == "chunks":
        rows = runs.chunks
    elif chart.columns is None:
        rows = runs.requests
    else:
        named = [name for each in (metric, *others) if each is not None for name in _loadable(each)]
        rows = runs.column(*dict.fromkeys(["run", "phase", "success", "error_kind", *chart.columns, *named]))
    levels = {label: verdict.level if verdict else None for label, verdict in runs.verdicts.items()}
    return rows.assign(
        verdict=rows["run"].map(levels),
        basis=rows["run"].map(_bases(runs.table, metric)),
        run=rows["run"].astype(pd.CategoricalDtype(list(runs.palette))),
    )


def _loadable(name: str) -> tuple[str, ...]:
    """Return the columns behind a name: a quantity with one value per request is a column of its own."""
    require_name(name)
    several = name in RATES or (name in METRICS and METRICS[name].pooled)
    return needed(name) if several else (name,)


def _bases(table: DataFrame, metric: str | None) -> dict[Hashable, Json]:
    """Return what the metric of each run rests on: its stamps, unless its file says otherwise."""
    return {label: as_object(stored).get(str(metric), "stamps") for label, stored in table["basis"].items()}


def as_object(cell: object) -> dict[str, Json]:
    """Read a cell of JSON as an object; an empty one where the cell is missing or holds something else.

    Examples
    --------
    >>> as_object('{"ttft": "stamps"}'), as_object(None), as_object("[1"), as_object("[1]")
    ({'ttft': 'stamps'}, {}, {}, {})
    """
    try:
        found = json.loads(cell) if isinstance(cell, str) else None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
