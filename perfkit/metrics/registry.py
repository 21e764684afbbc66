"""What a metric is: a pure function of stored columns, with a name, a unit and a direction."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from perfkit.errors import UsageError, nearest

Better = Literal["lower", "higher"]
Compute = Callable[[pd.DataFrame], pd.Series]
ComputeRate = Callable[[pd.DataFrame], float]

UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "µs": 1e6, "min": 1 / 60}
"""Units a duration may be shown in, and how many of them make a second."""


@dataclass(frozen=True)
class Metric:
    """A quantity of each request (or of each gap between its tokens), computed from stored columns.

    ``compute`` takes a DataFrame that has ``columns`` and returns a Series on its index, in ``unit``; a ``pooled``
    metric returns several values per row, each under its row's index. ``sql`` is the same quantity for ``where``.
    """

    name: str
    label: str
    unit: str
    display_unit: str
    better: Better | None
    columns: tuple[str, ...]
    compute: Compute
    pooled: bool = False
    sql: str | None = None

    @property
    def definition(self) -> str:
        """The docstring: definition, who counts differently, reference."""
        return inspect.getdoc(self.compute) or self.label

    def scale(self, unit: str | None = None) -> float:
        """Return what a value in ``self.unit`` is multiplied by to be in another unit; default: the shown one.

        Raises
        ------
        UsageError
            The unit measures something else.
        """
        unit = unit or self.display_unit
        if unit == self.unit:
            return 1.0
        if self.unit == "s" and unit in UNITS:
            return UNITS[unit]
        raise UsageError(f"{self.name} is in {self.unit} and cannot be shown in {unit!r}")


@dataclass(frozen=True)
class Rate:
    """A quantity of a whole run, computed from the rows of its steady state."""

    name: str
    label: str
    unit: str
    better: Better | None
    columns: tuple[str, ...]
    compute: ComputeRate

    @property
    def definition(self) -> str:
        """The docstring: definition, who counts differently."""
        return inspect.getdoc(self.compute) or self.label


METRICS: dict[str, Metric] = {}
"""Every per-request metric by name, the users' own too."""

RATES: dict[str, Rate] = {}
"""Every per-run rate by name."""


def metric(
    label: str,
    *,
    unit: str,
    columns: Iterable[str],
    display_unit: str | None = None,
    better: Better | None = None,
    pooled: bool = False,
    sql: str | None = None,
) -> Callable[[Compute], Compute]:
    """Register a function of requests as a metric, under the function's name.

    Parameters
    ----------
    label : str
        What axes and table heads call it, without its unit.
    unit : str
        Of the values returned: ``"s"``, ``"tokens"``, ``"1/s"``, ...
    columns : iterable of str
        The columns it reads; nothing else is loaded for it.
    display_unit : str, optional
        Where a person reads it; by default ``"ms"`` for seconds.
    better : {"lower", "higher"}, optional
        Direction of improvement; None for quantities that are neither.
    pooled : bool
        True when it returns several values per request.
    sql : str, optional
        The same quantity as an SQL expression over ``result``, which makes filters on it quick.

    Returns
    -------
    decorator
        Leaves the function as it is.

    Examples
    --------
    >>> @metric("answer size per token", unit="bytes", columns=("bytes_received", "completion_tokens"))
    ... def token_size(requests):
    ...     return requests["bytes_received"] / requests["completion_tokens"]
    >>> METRICS.pop("token_size").label
    'answer size per token'
    """

    def register(compute: Compute) -> Compute:
        name = compute.__name__
        shown = display_unit or ("ms" if unit == "s" else unit)
        METRICS[name] = Metric(name, label, unit, shown, better, tuple(columns), compute, pooled, sql)
        return compute

    return register


def rate(
    label: str, *, unit: str, columns: Iterable[str], better: Better | None = None
) -> Callable[[ComputeRate], ComputeRate]:
    """Register a function of a run's steady requests as a rate, under the function's name."""

    def register(compute: ComputeRate) -> ComputeRate:
        RATES[compute.__name__] = Rate(compute.__name__, label, unit, better, tuple(columns), compute)
        return compute

    return register


def metric_named(name: str) -> Metric:
    """Return a metric by name.

    Raises
    ------
    UsageError
        No metric has that name; the nearest is suggested.

    Examples
    --------
    >>> metric_named("ttft").label
    'time to first token'
    """
    if name not in METRICS:
        raise UsageError(f"no metric is called {name!r}{nearest(name, METRICS)}")
    return METRICS[name]
