"""What a metric is: a pure function of stored columns, with a name, a unit and a direction."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd

from perfkit.analysis.stats.distribution import percentile, present
from perfkit.analysis.stats.estimates import Estimate
from perfkit.errors import UsageError
from perfkit.registry import Registry

Better = Literal["lower", "higher"]
Compute = Callable[[pd.DataFrame], pd.Series]
ComputeRate = Callable[..., float]

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
    own_columns: tuple[str, ...]
    compute: ComputeRate
    counted: tuple[str, ...] | None = None
    shown: bool | Literal["tagged", "known"] = True
    base: str | None = None
    settings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns and settings that it reads, those of its base included."""
        return (*self.own_columns, *(_base(self.base)[0].columns if self.base else ()), *self.settings)

    def of(self, requests: pd.DataFrame) -> float:
        """Return the rate of the requests of a load; those of other phases are told by the column ``phase``."""
        requests = without_summaries(requests)
        if self.base:
            return self.derived(_base_value(self.base, requests), requests)
        if "window_start" not in self.columns and "phase" in requests:
            requests = requests[requests["phase"] == "steady"]
        return self.compute(requests)

    def derived(self, value: float, requests: pd.DataFrame) -> float:
        """Return the rate that follows from a value of its base, by the settings of the run that these are of.

        NaN where a setting is unknown, is not a number above 0, or differs between the runs.
        """
        settings = [number_of_setting(requests, name) for name in self.settings]
        known = all(each > 0 for each in (value, *settings))
        return float(self.compute(value, *settings)) if known else float("nan")

    def estimate(self, base: Estimate, requests: pd.DataFrame) -> Estimate:
        """Return the rate with the interval that its base's interval makes: it only rises or only falls with it."""
        value, *ends = (self.derived(each, requests) for each in (base.value, base.low, base.high))
        return replace(base, value=value, low=min(ends), high=max(ends))

    @property
    def definition(self) -> str:
        """The docstring: definition, who counts differently."""
        return inspect.getdoc(self.compute) or self.label


METRICS: Registry[Metric] = Registry("metric", "perfkit.analysis.metrics")
"""Every per-request metric by name, the users' own too."""

RATES: Registry[Rate] = Registry("rate", "perfkit.analysis.metrics")
"""Every per-run rate by name, the users' own too."""

metric_named = METRICS.find


def statistic_named(name: str) -> "tuple[Metric | Rate, float | None] | None":
    """Return what ``"output_throughput"``, ``"ttft_p95"`` or ``"tpot_mean"`` names, with its percentile; or None.

    The percentile is None for a rate and for a mean.

    Examples
    --------
    >>> statistic_named("ttft_p95")[1], statistic_named("tpot_mean")[1], statistic_named("nothing")
    (95.0, None, None)
    """
    if name in RATES or name in METRICS:
        return (RATES[name] if name in RATES else METRICS[name]), None
    metric, _, statistic = name.rpartition("_")
    if metric not in METRICS:
        return None
    if statistic == "mean":
        return METRICS[metric], None
    is_percentile = statistic[:1] == "p" and statistic[1:].replace(".", "", 1).isdecimal()
    return (METRICS[metric], float(statistic[1:])) if is_percentile else None


def summaries_in(rows: pd.DataFrame) -> "list[Mapping[str, float]]":
    """Return the figures of the runs among some rows that are known by a summary alone."""
    return list(rows["figures"].dropna()) if "figures" in rows else []


def without_summaries(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are requests: one that stands for a run known by a summary is none."""
    return rows[rows["figures"].isna()] if "figures" in rows else rows


def _base(name: str) -> "tuple[Metric | Rate, float | None]":
    if (found := statistic_named(name)) is None:
        raise UsageError(f"the base of a rate is another rate, or a metric with _mean or _p50 behind it; got {name!r}")
    return found


def _base_value(name: str, requests: pd.DataFrame) -> float:
    """Return a rate, a percentile or a mean of the requests of a load."""
    entry, q = _base(name)
    if isinstance(entry, Rate):
        return entry.of(requests)
    steady = requests[requests["phase"] == "steady"] if "phase" in requests else requests
    values = present(entry.compute(steady[steady["success"]]))
    if q is not None:
        return percentile(values, q)
    return float(values.mean()) if values.size else float("nan")


def number_of_setting(requests: pd.DataFrame, name: str) -> float:
    """Return a tag of the runs of some requests as a number; NaN where they have none, several, or something else.

    Examples
    --------
    >>> number_of_setting(pd.DataFrame({"gpus": ["8", "8"]}), "gpus"), number_of_setting(pd.DataFrame(), "gpus")
    (8.0, nan)
    """
    values = list(requests[name].unique()) if name in requests else []
    found = pd.to_numeric(values[0], errors="coerce") if len(values) == 1 else float("nan")
    return float(found) if 0 < found < float("inf") else float("nan")


def tags_read() -> dict[str, None]:
    """Return the tags that rates are computed from: ``gpus``, ``price``, ``power``."""
    return dict.fromkeys(name for entry in RATES.values() for name in entry.settings)


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
    columns: Iterable[str] = (),
    better: Better | None = None,
    counted: Iterable[str] | None = None,
    shown: bool | Literal["tagged", "known"] = True,
    base: str | None = None,
    settings: Iterable[str] = (),
) -> Callable[[ComputeRate], ComputeRate]:
    """Register a function of a run's requests, or of another of its numbers, as a rate, under the function's name.

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
    shown : bool, "tagged" or "known"
        Whether a summary shows it unasked; ``"tagged"``: where a run has the tags of any such rate; ``"known"``: where
        it is known of a run.
    base : str, optional
        Another rate, or a metric's percentile or mean, such as ``"tpot_p50"``: the function is then given its value in
        place of requests, and then those of ``settings``. It must only rise or only fall with it: its interval is made
        of the other's. So it is known of a summary, too, in which the other stands.
    settings : iterable of str
        Tags or settings of the run that the function is given as numbers. Where one is not a number above 0, the rate
        is NaN.

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
    >>> @rate("answers per node", unit="requests/s/node", base="request_throughput", settings=("nodes",))
    ... def answers_per_node(request_throughput, nodes):
    ...     return request_throughput / nodes
    >>> requests = pd.DataFrame({"start_time": [0.0, 1.0, 2.0], "completed_time": [1.0, 2.0, 3.0], "success": True})
    >>> RATES.pop("answers_per_node").of(requests.assign(nodes="4"))
    0.25
    """

    def register(compute: ComputeRate) -> ComputeRate:
        name = compute.__name__
        sums, used = None if counted is None else tuple(counted), tuple(settings)
        entry = Rate(name, label, unit, better, tuple(columns), compute, sums, shown, base, used)
        RATES.register(name, entry, compute.__module__)
        return compute

    return register
