"""The table of charts: what is registered here is in ``runs.plot``, exports, the explorer and the command line."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.metrics.bounds import request_bounds
from perfkit.analysis.plots.intervals import counted_over_time
from perfkit.analysis.plots.quantity import LOADS
from perfkit.registry import Registry, as_names

Rows = Literal["requests", "chunks"]
Rates = Literal["none", "counted", "all"]
_ROWS: dict[Rows, str] = {
    "requests": "requests : DataFrame, one row per request\n    Those outside the measured window are left out.",
    "chunks": "chunks : DataFrame, one row per chunk\n    Columns ``request``, ``arrival`` in seconds, ``kind``.",
}
_SHARED = {
    "metric": "metric : str\n    A metric, or a column of numbers.",
    "by": "by : str or None\n    The column to group by; None for one group.",
    "ax": "ax : Axes, optional\n    Where to draw; default: a figure of its own.",
}
_PARAMETERS = "Parameters\n----------\n"
_RAISES = "Raises\n------\nUsageError\n    There is no such metric or column.\n\n"

Draw = Callable[..., Axes]
Tabulate = Callable[..., DataFrame]
Named = Callable[[Mapping[str, Any]], Iterable[str]]
F = TypeVar("F", bound=Draw)


def usually_named(options: Mapping[str, Any]) -> Iterator[str]:
    """Yield the quantities that the options ``x`` and ``slo`` of most charts name."""
    if options.get("x"):
        yield options["x"]
    yield from request_bounds(options["slo"]) if options.get("slo") else ()


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
    usual : tuple of str or None
        The metrics of which an export or a report draws it unless told otherwise.
    rates : "none", "counted" or "all"
        Which rates it draws in place of a metric.
    pooled : bool
        Whether it draws a metric of which a request has several values.
    named : callable
        ``(options) -> names``: the quantities that its options name.
    summaries : bool
        Whether it draws runs that are known by a summary alone: each is a row with ``figures``.
    """

    name: str
    draw: Draw
    metric: str | None
    needs: Rows = "requests"
    columns: tuple[str, ...] | None = None
    table: Tabulate | None = None
    usual: tuple[str | None, ...] = ()
    rates: Rates = "none"
    pooled: bool = True
    named: Named = usually_named
    summaries: bool = False

    def draws(self, metric: str) -> bool:
        """Tell whether it can draw a metric or a rate; what needs no metric is drawn whatever is chosen."""
        if self.metric is None:
            return True
        if metric in RATES:
            return self.rates == "all" or (self.rates == "counted" and counted_over_time(metric))
        return self.pooled or not (metric in METRICS and METRICS[metric].pooled)

    @property
    def is_over_load(self) -> bool:
        """Whether it has the load as an axis: it needs runs of several, and parts by it."""
        return LOADS.keys() <= set(self.columns or ())

    def parted(self, by: str | None) -> dict[str, str]:
        """Return the option that parts it by a column, unless it parts by something of its own."""
        own = inspect.signature(self.draw).parameters.get("by")
        return {"by": by} if by is not None and own is not None and own.default == "run" else {}

    @property
    def sentence(self) -> str:
        """What the chart shows, in one sentence."""
        return (self.draw.__doc__ or self.name).strip().splitlines()[0]


CHARTS: Registry[Chart] = Registry("chart", "perfkit.analysis.plots")
"""Every chart by name, the users' own too."""

find = CHARTS.find


def chart(
    name: str,
    *,
    metric: str | None = "ttft",
    needs: Rows = "requests",
    columns: Iterable[str] | None = None,
    table: Tabulate | None = None,
    usual: Iterable[str | None] = (),
    rates: Rates = "none",
    pooled: bool = True,
    named: Named = usually_named,
    summaries: bool = False,
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
    usual : iterable of str or None
        The metrics of which an export and a report draw it unless told otherwise; None for a chart without one.
    rates : "none", "counted" or "all"
        Which rates it draws in place of a metric, and is offered for: those that add up second by second, and the
        requests in flight, or every one.
    pooled : bool
        False where it cannot draw a metric of which a request has several values, such as the gaps between tokens.
    named : callable, optional
        ``(options) -> names``: the quantities that its options name, whose columns it needs; default: ``x``, and those
        of objectives of each request in ``slo``.
    summaries : bool
        Whether it draws runs that are known by a tool's summary alone. Each is one more row, whose column ``figures``
        is a mapping of quantities (``"ttft_p50"``, ``"output_throughput"``) to numbers, and None for requests.

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
    as_names("chart", name)

    def register(draw: F) -> F:
        describe_parameters(draw, needs)
        read = None if columns is None else tuple(columns)
        entry = Chart(name, draw, metric, needs, read, table, tuple(usual), rates, pooled, named, summaries)
        CHARTS.register(name, entry, draw.__module__)
        return draw

    return register


def usual_charts() -> list[tuple[Chart, str | None]]:
    """Return the charts that an export or a report draws unless told otherwise, those over the load first."""
    by_kind = sorted(CHARTS.values(), key=lambda chart: not chart.is_over_load)
    return [(chart, metric) for chart in by_kind for metric in chart.usual]


def describe_parameters(draw: Draw, needs: Rows) -> None:
    """Add to a chart's docstring the parameters and errors that all charts share, where it does not describe them."""
    doc = inspect.cleandoc(draw.__doc__ or "")
    sections = re.search(r"\n\n(?=\w+\n-+\n)", doc)
    if sections is None:  # a sentence needs none
        return
    summary, rest = doc[: sections.start()], doc[sections.end() :]
    own = ""
    if rest.startswith(_PARAMETERS):
        own, _, rest = rest.removeprefix(_PARAMETERS).partition("\n\n")
    described = {each.split(" :")[0]: each for each in re.split(r"\n(?=\w+ : )", own)}
    entries = [{needs: _ROWS[needs], **_SHARED, **described}.get(name) for name in inspect.signature(draw).parameters]
    if "Raises\n---" not in rest:
        rest = rest.replace("Examples\n---", f"{_RAISES}Examples\n---", 1)
    draw.__doc__ = "\n".join([summary, "", _PARAMETERS + "\n".join(filter(None, entries)), "", rest])


def split(request: str) -> tuple[Chart, str | None]:
    """Read ``"ecdf"`` or ``"ecdf:tpot"`` as a chart and a metric.

    Examples
    --------
    >>> from perfkit.analysis.plots import ecdf
    >>> found, metric = split("ecdf:tpot")
    >>> found.draw is ecdf, metric
    (True, 'tpot')
    """
    name, _, metric = request.partition(":")
    found = find(name)
    return found, metric or found.metric
