"""What a metric is: a pure function of stored columns, with a name, a unit and a direction."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from perfkit.errors import UsageError
from perfkit.registry import Registry

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
    pooled: bool | str = False
    sql: str | None = None
    shown: bool = True

    @property
    def counted(self) -> str:
        """What its values are values of: requests, or, where a request has several, what one of them is called."""
        if not self.pooled:
            return "requests"
        return self.pooled if isinstance(self.pooled, str) else "values"

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
    """A quantity of a whole run.

    One that reads ``window_start`` and ``window_end`` counts what happened between them and is given every request of
    the load; any other is given those of the steady state. ``counted`` names the columns whose sum over the window it
    is, per second; none for a count of requests, None for what is not such a sum.
    """

    name: str
    label: str
    unit: str
    better: Better | None
    columns: tuple[str, ...]
    compute: ComputeRate
    counted: tuple[str, ...] | None = None
    shown: bool = True

    def of(self, requests: pd.DataFrame) -> float:
        """Return the rate of the requests of a load; those of other phases are told by the column ``phase``."""
        if "window_start" not in self.columns and "phase" in requests:
            requests = requests[requests["phase"] == "steady"]
        return self.compute(requests)

    @property
    def definition(self) -> str:
        """The docstring: definition, who counts differently."""
        return inspect.getdoc(self.compute) or self.label


METRICS: Registry[Metric] = Registry("metric", "perfkit.analysis.metrics")
"""Every per-request metric by name, the users' own too."""

RATES: Registry[Rate] = Registry("rate", "perfkit.analysis.metrics")
"""Every per-run rate by name, the users' own too."""

metric_named = METRICS.find


def metric(
    label: str,
    *,
    unit: str,
    columns: Iterable[str],
    display_unit: str | None = None,
    better: Better | None = None,
    pooled: bool | str = False,
    sql: str | None = None,
    shown: bool = True,
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
    pooled : bool or str
        True when it returns several values per request; or what one of them is called: ``"gaps"``.
    sql : str, optional
        The same quantity as an SQL expression over ``result``, which makes filters on it quick.
    shown : bool
        Whether a summary shows it unasked.

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
        read_in = display_unit or ("ms" if unit == "s" else unit)
        entry = Metric(name, label, unit, read_in, better, tuple(columns), compute, pooled, sql, shown)
        METRICS.register(name, entry, compute.__module__)
        return compute

    return register


def rate(
    label: str,
    *,
    unit: str,
    columns: Iterable[str],
    better: Better | None = None,
    counted: Iterable[str] | None = None,
    shown: bool = True,
) -> Callable[[ComputeRate], ComputeRate]:
    """Register a function of a run's requests as a rate, under the function's name.

    Parameters
    ----------
    label : str
        What axes and table heads call it, without its unit.
    unit : str
        Of the value returned.
    columns : iterable of str
        The columns it reads. Without ``window_start`` and ``window_end`` it is given the steady requests alone.
    better : {"lower", "higher"}, optional
        Direction of improvement; None for quantities that are neither.
    counted : iterable of str, optional
        For what is a sum per second of the window: the columns that it adds up, none for requests. A comparison then
        knows its interval from one run; of other rates it needs repeated runs.
    shown : bool
        Whether a summary shows it unasked.

    Returns
    -------
    decorator
        Leaves the function as it is.

    Examples
    --------
    >>> @rate("mean answer", unit="tokens", columns=("completion_tokens",))
    ... def mean_answer(requests):
    ...     return requests["completion_tokens"].mean()
    >>> RATES.pop("mean_answer").label
    'mean answer'
    """

    def register(compute: ComputeRate) -> ComputeRate:
        name = compute.__name__
        sums = None if counted is None else tuple(counted)
        RATES.register(name, Rate(name, label, unit, better, tuple(columns), compute, sums, shown), compute.__module__)
        return compute

    return register
