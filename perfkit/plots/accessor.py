"""``runs.plot``: every registered chart as a method, without its first argument."""

import inspect
from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.plots.catalogue import CHARTS, Chart, find


class Plots:
    """The charts of some runs.

    Parameters
    ----------
    rows : callable
        ``(chart, metric) -> DataFrame``: the requests or chunks that a chart reads.

    Examples
    --------
    >>> frame = DataFrame({"run": ["a"] * 3, "ttft": [0.1, 0.3, 0.2], "success": 1})
    >>> plot = Plots(lambda chart, metric: frame)
    >>> plot.ecdf("ttft").get_ylabel()
    'share of requests'
    >>> plot("hist").get_xlabel()
    'time to first token [ms]'
    """

    def __init__(self, rows: Callable[[Chart, str | None], DataFrame]) -> None:
        self._rows = rows

    def __call__(self, chart: str, metric: str | None = None, **options: Any) -> Axes:
        """Draw a chart by its name.

        Parameters
        ----------
        chart : str
            A name of ``CHARTS``.
        metric : str, optional
            Default: the chart's own.
        **options
            ``by``, ``ax`` and what else the chart takes.

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
        return found.draw(self._rows(found, metric), metric, **options)

    def __getattr__(self, name: str) -> Callable[..., Axes]:
        if name not in CHARTS:
            raise AttributeError(f"no chart is called {name!r}; the charts are {', '.join(CHARTS)}")
        found = CHARTS[name]

        def draw(metric: str | None = None, **options: Any) -> Axes:
            return self(name, metric, **options)

        signature = inspect.signature(found.draw)
        draw.__name__ = name
        draw.__doc__ = found.draw.__doc__
        draw.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
        return draw

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *CHARTS]

    def __repr__(self) -> str:
        return "\n".join(f"plot.{chart.name}: {chart.sentence}" for chart in CHARTS.values())
