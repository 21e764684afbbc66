"""A number of each request as a person reads it: a metric or a column, with its name and its unit."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from pandas import DataFrame, Series, to_numeric

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.stats.distribution import Floats, percentile
from perfkit.errors import UsageError, nearest
from perfkit.runfile.schema import RESULT

_TYPES = ("REAL", "INTEGER")
LOADS = {"parallel": "users", "rate": "requested rate [requests/s]"}
"""The columns that say how much load a run was, and what an axis calls them."""
COLUMNS = {column.name: column for column in RESULT if column.type in _TYPES}


@dataclass(frozen=True)
class Quantity:
    """What an axis shows.

    Parameters
    ----------
    name : str
        Of the metric or the column.
    label : str
        For people.
    unit : str
        As shown; empty for a bare number.
    factor : float
        Shown value over stored value: 1000 for seconds shown in milliseconds.
    pooled : bool
        True where a request has several values, such as the gaps between its tokens.
    counted : str
        What its values are values of: requests, or, where a request has several, such as gaps.
    """

    name: str
    label: str
    unit: str
    factor: float = 1.0
    pooled: bool = False
    counted: str = "requests"

    @property
    def title(self) -> str:
        """Name and unit, as an axis or the head of a column has it."""
        return f"{self.label} [{self.unit}]" if self.unit and self.unit not in self.label else self.label

    def of(self, rows: DataFrame) -> Series:
        """Return the values of the rows in the unit shown; NaN where there is none."""
        if self.name in rows:
            values = rows[self.name]
        elif self.name in RATES:
            raise UsageError(
                f"{self.name} is a number of a whole run and has no distribution: draw it with sweep or tradeoff"
            )
        elif missing := [column for column in needed(self.name) if column not in rows]:
            raise UsageError(f"{self.name} cannot be drawn: these requests have no column {', '.join(missing)}")
        else:
            values = METRICS[self.name].compute(rows)
        return to_numeric(values, errors="coerce").astype(float) * self.factor


def needed(name: str) -> tuple[str, ...]:
    """Return the stored columns that a metric, a rate or a column is computed from."""
    known = METRICS.get(name) or RATES.get(name)
    return known.columns if known else (name,)


def quantity(name: str) -> Quantity:
    """Look up a metric, a rate, or a column of numbers.

    Examples
    --------
    >>> quantity("ttft").title
    'time to first token [ms]'
    >>> quantity("cached_tokens").title
    'cached tokens'
    """
    require_name(name)
    if name in METRICS:
        metric = METRICS[name]
        return Quantity(name, metric.label, metric.display_unit, metric.scale(), bool(metric.pooled), metric.counted)
    if name in RATES:
        return Quantity(name, RATES[name].label, RATES[name].unit, counted="intervals")
    if name == "t":
        return Quantity("t", "time since the run's start", "s")
    if name in COLUMNS:
        return Quantity(name, name.replace("_", " "), COLUMNS[name].unit)
    raise UsageError(f"no metric or column of numbers is called {name!r}{nearest(name, [*METRICS, *RATES, *COLUMNS])}")


def require_name(given: object) -> None:
    """Refuse what is not a name: a chart draws one metric, and groups by one column."""
    if not isinstance(given, str):
        raise UsageError(f"a chart takes one metric and one column, by name, such as 'ttft' or 'gpu'; got {given!r}")


def widely_spread(samples: Iterable[Floats], top: float = 99) -> bool:
    """Tell whether a logarithmic axis reads better: the 99th percentile is above ten times the median.

    Of several groups the largest such percentile is held against the smallest median: a group that lies far below the
    others would be squeezed against a linear axis' end.

    Examples
    --------
    >>> widely_spread([np.array([1.0] * 90 + [50.0] * 10)]), widely_spread([np.arange(1.0, 100.0)])
    (True, False)
    >>> widely_spread([np.array([1.0]), np.array([20.0])])
    True
    """
    some = [values for values in samples if values.size]
    middle = min((percentile(values, 50) for values in some), default=0.0)
    return bool(middle > 0 and max(percentile(values, top) for values in some) > 10 * middle)


def scale(axis: Axis, shown: str, samples: Iterable[Floats], *, log: bool) -> None:
    """Name an axis and set its scale and ticks, which are plain numbers.

    Values at or below zero (a lag may be) stay on a logarithmic axis: below the smallest of the positive ones it is
    linear.
    """
    axis.set_label_text(shown)
    values = np.concatenate([np.empty(0), *samples])
    positive = values[values > 0]
    if log and positive.size:
        _logarithmic(axis, positive, reaches_zero=positive.size < values.size)
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))


def _logarithmic(axis: Axis, positive: Floats, *, reaches_zero: bool) -> None:
    smallest = percentile(positive, 1)
    scaled = axis.axes.set_xscale if axis is axis.axes.xaxis else axis.axes.set_yscale
    if reaches_zero:
        scaled("symlog", linthresh=smallest)
    else:
        scaled("log")
    decades = np.log10(positive.max() / smallest)
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,), numticks=12))
    axis.set_minor_formatter(NullFormatter())


def scale_from_zero(ax: Axes) -> None:
    """Let the y axis begin at zero, or at the least of negative values, and end well above the highest value."""
    lowest, highest = min(ax.dataLim.y0, 0.0), max(ax.dataLim.y1, 0.0)
    if highest > lowest:
        ax.set_ylim(lowest, highest + 0.08 * (highest - lowest))


def percent(axis: Axis) -> None:
    """Show the shares of an axis as percent, without needless digits."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def plain_number(value: float) -> str:
    """Write a tick as a person would.

    Examples
    --------
    >>> [plain_number(value) for value in (0.05, 20.0, 20000.0)]
    ['0.05', '20', '20,000']
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.12g}"
