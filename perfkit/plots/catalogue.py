"""The table of charts: what is registered here is in ``runs.plot``, exports, the explorer and the command line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.errors import UsageError, nearest

Draw = Callable[..., Axes]
Tabulate = Callable[..., DataFrame]
Rows = Literal["requests", "chunks"]
F = TypeVar("F", bound=Draw)


@dataclass(frozen=True)
class Chart:
    """One kind of chart.

    Parameters
    ----------
    name : str
        What it is called everywhere.
    draw : callable
        ``(requests, metric, *, by, ax) -> Axes``.
    metric : str or None
        What it draws unless told otherwise; None for a chart that needs no metric.
    needs : "requests" or "chunks"
        Whether its first argument has a row per request or per chunk.
    columns : tuple of str or None
        What it reads beside metric, ``by``, ``run``, ``phase`` and ``success``; None: it may read all.
    table : callable or None
        ``(requests, metric, *, by) -> DataFrame``: the numbers behind the picture.
    """

    name: str
    draw: Draw
    metric: str | None
    needs: Rows = "requests"
    columns: tuple[str, ...] | None = None
    table: Tabulate | None = None

    @property
    def sentence(self) -> str:
        """What the chart shows, in one sentence."""
        return (self.draw.__doc__ or self.name).strip().splitlines()[0]


CHARTS: dict[str, Chart] = {}


def chart(
    name: str,
    *,
    metric: str | None = "ttft",
    needs: Rows = "requests",
    columns: Iterable[str] | None = None,
    table: Tabulate | None = None,
) -> Callable[[F], F]:
    """Register a function as a chart.

    Parameters
    ----------
    name : str
        What it is called in ``runs.plot``, the explorer and on the command line; a name that exists is replaced.
    metric : str or None
        Its metric unless told otherwise.
    needs : "requests" or "chunks"
        What its first argument has a row of.
    columns : iterable of str, optional
        The columns it reads beside metric, ``by``, ``run``, ``phase`` and ``success``: nothing else is loaded for it.
        Default: all are.
    table : callable, optional
        Returns the numbers behind the picture, for the csv of an export.

    Returns
    -------
    callable
        A decorator, which returns the function as it was.

    Examples
    --------
    >>> @chart("empty")
    ... def empty(requests, metric="ttft", *, by="run", ax=None):
    ...     "Draw nothing."
    ...     return ax
    >>> CHARTS.pop("empty").sentence
    'Draw nothing.'
    """

    def register(draw: F) -> F:
        CHARTS[name] = Chart(name, draw, metric, needs, None if columns is None else tuple(columns), table)
        return draw

    return register


def find(name: str) -> Chart:
    """Return the chart of a name.

    Raises
    ------
    UsageError
        There is none; the message suggests the nearest name.
    """
    if name not in CHARTS:
        raise UsageError(f"no chart is called {name!r}{nearest(name, CHARTS)}")
    return CHARTS[name]


def split(request: str) -> tuple[Chart, str | None]:
    """Read ``"ecdf"`` or ``"ecdf:tpot"`` as a chart and a metric.

    Examples
    --------
    >>> from perfkit.plots import ecdf
    >>> found, metric = split("ecdf:tpot")
    >>> found.draw is ecdf, metric
    (True, 'tpot')
    """
    name, _, metric = request.partition(":")
    found = find(name)
    return found, metric or found.metric
