"""The largest load that meets service-level objectives, found by measuring where it is least certain."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from math import inf, isfinite, isnan
from typing import TYPE_CHECKING, Any

import pandas as pd

from perfkit.aggregates import bound
from perfkit.arguments import Arguments
from perfkit.bracketing import Objective, plan_next
from perfkit.curve import LOADS, Axis, Capacity, Point, Seen
from perfkit.engine.record import default_name, new_run_id
from perfkit.errors import UsageError
from perfkit.estimates import percentile_estimate
from perfkit.job import Job
from perfkit.notebook.live import Several
from perfkit.workers.work import Resumed

if TYPE_CHECKING:
    from perfkit.runs import Runs

Slo = Mapping[str, tuple[str, float | str]]
Watch = Callable[[Job, str, str], AbstractContextManager[object]]
"""Shows a job until a block ends; what it is among the others stands before and after its line."""

NUMBER = 500
"""Requests of a point unless a number or a duration is given: enough for a 95th percentile."""


def capacity(
    url: str | Arguments | None = None,
    /,
    *,
    slo: Slo,
    axis: Axis = "rate",
    low: float = 1,
    high: float = inf,
    confidence: float = 0.95,
    points: int = 10,
    progress: Callable[[Point], None] | None = None,
    watch: Watch | None = None,
    **given: Any,
) -> Capacity:
    """Find the largest load that meets all objectives.

    Parameters
    ----------
    url : str or Arguments
        The endpoint, or everything.
    slo : mapping of metric to percentile and bound
        ``{"ttft": ("p95", 0.5), "tpot": ("p95", "50ms")}``; bounds in the metric's unit (seconds) or with a unit.
    axis : {"rate", "parallel"}
        What grows: requests per second, or users.
    low, high : float
        The least load, measured first, and the largest to try.
    confidence : float
        Chance that the bracket holds the largest load which meets the objectives, at least.
    points : int
        Runs at most.
    progress : callable, optional
        Takes each point as it is done.
    watch : callable, optional
        Shows the job of a point until a block ends: ``watch(job, "point 2 of 10, 8 requests/s", "met at 4")``.
        Default: a line in the terminal, a bar in a notebook.
    **given
        Fields of ``Arguments``, for each point. ``number`` (500 by default) or ``duration`` is that of one point.

    Returns
    -------
    Capacity
        ``bracket``, ``table`` (the whole curve), ``sentence``, ``plot()``, ``runs``.

    Raises
    ------
    UsageError
        What was given cannot be used.
    NothingSucceeded
        The endpoint does not answer.

    Notes
    -----
    Loads double from ``low`` until one is too much. Then the largest load known to be good moves up and the least one
    known to be too much down, the one with the wider gap first, until both gaps are within 5 %. The last runs repeat
    the ends of the bracket. Each run is a point of one sweep, with arrivals of its own seed.

    In each run the share of requests beyond a bound is held against the share allowed; a request that failed is
    beyond every bound. That posterior (see ``Objective.chance``) says "yes" or "no" only when wrong with a chance of
    at most (1 - confidence) / points, or else "unsure"; so by the union bound all runs are judged rightly with the
    confidence stated, as far as a run's effective number of requests is estimated rightly. Near saturation it is
    not: a queue there may be lucky for a whole run, so each end of the bracket rests on the evidence of two runs so
    judged (see ``Bracket``). What is assumed beyond that is only that more load is never better.

    What holds is said of runs as long as these: an open model just above what a server can take gets worse slowly.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from perfkit.simulator import simulate
    >>> with simulate(ttft=0.01, itl=0.001) as server, TemporaryDirectory() as folder:
    ...     found = capacity(server.url, slo={"ttft": ("p50", 0.005)}, low=200, points=1, number=60, max_tokens=2,
    ...                      db=f"{folder}/a.db", workers=0)
    >>> [point.load for point in found.points]
    [200]
    """
    _require(axis, low, high, confidence, points, given)
    objectives = tuple(_objective(metric, wanted) for metric, wanted in slo.items())
    if not objectives:
        raise UsageError("an slo names at least one objective, such as {'ttft': ('p95', 0.5)}")
    error, whole = (1 - confidence) / points, axis == "parallel"
    if whole:
        low, high = int(low), int(high) if isfinite(high) else high
    search = _Search(_arguments(url, {**given, axis: low}), axis, objectives)
    found: list[Point] = []
    watch = watch or Several()
    while (
        load := plan_next([each.tried for each in found], error, points - len(found), low, high, whole=whole)
    ) is not None:
        job = search.start(load, len(found))
        name = f"point {len(found) + 1} of {points}, {load:.4g} {LOADS[axis]}"
        with watch(job, name, _known(found, error)):
            found.append(search.point(job, load))
        if progress is not None:
            progress(found[-1])
    return Capacity(axis, objectives, confidence, error, tuple(found), search.runs)


def _known(found: list[Point], error: float) -> str:
    """Say what the points so far showed, each by itself."""
    told = [(point.load, point.tried.holds(error)) for point in found if point.tried.counts]
    met = max((load for load, holds in told if holds == "yes"), default=None)
    not_met = min((load for load, holds in told if holds == "no"), default=None)
    said = [f"met at {met:.4g}" if met is not None else "", f"not met at {not_met:.4g}" if not_met is not None else ""]
    return ", ".join(filter(None, said))


def _require(axis: str, low: float, high: float, confidence: float, points: int, given: Mapping[str, Any]) -> None:
    if axis not in LOADS:
        raise UsageError(f"axis is 'rate' or 'parallel', got {axis!r}")
    if any(name in given for name in LOADS):
        raise UsageError(f"the search chooses {axis}; give low and high instead of rate or parallel")
    if not 0 < low < high or (axis == "parallel" and low != int(low)):
        raise UsageError(f"low is above 0 and below high, and whole for users; got {low:g} and {high:g}")
    if not 0.5 <= confidence < 1 or points < 1:
        raise UsageError(f"confidence is from 0.5 to below 1 and points at least 1, got {confidence:g} and {points}")


def _objective(metric: str, wanted: tuple[str, float | str]) -> Objective:
    try:
        percentile, limit = wanted
        q = float(percentile.removeprefix("p"))
    except (AttributeError, TypeError, ValueError):
        raise UsageError(f"an objective is a percentile and a bound, ('p95', 0.5); got {wanted!r}") from None
    return Objective(metric, q, bound(metric, limit))


def _arguments(url: str | Arguments | None, given: Mapping[str, Any]) -> Arguments:
    """Return what all points share, with one name and file."""
    if isinstance(url, Arguments):
        base = url.replace(**{"rate": None, "parallel": None, **given})
    else:
        base = Arguments.from_mapping({**({"url": url} if url is not None else {}), **given})
    if base.number is None and base.duration is None:
        base = base.replace(number=NUMBER)
    return base.replace(name=base.name or f"{default_name(base.model)}-capacity")


class _Search:
    """Measures one load after the other into one sweep of one run file."""

    def __init__(self, arguments: Arguments, axis: Axis, objectives: tuple[Objective, ...]) -> None:
        self._arguments, self._axis, self._objectives = arguments, axis, objectives
        self._sweep = new_run_id()
        self._paths: list[str] = []
        self._run_ids: list[str] = []

    def start(self, load: float, index: int) -> Job:
        """Start to measure one load."""
        seed = self._arguments.arrival_seed + index
        return Job(self._arguments.replace(**{self._axis: load}, arrival_seed=seed), Resumed(self._sweep, (0,)))

    def point(self, job: Job, load: float) -> Point:
        """Wait for its end, and say what it showed."""
        runs = job.wait()
        self._run_ids += job.progress.run_ids
        self._paths.append(str(job.progress.path))
        (verdict,) = runs.verdicts.values()
        return _point(load, runs, self._objectives, verdict.level if verdict else "not judged")

    @property
    def runs(self) -> "Runs":
        """All that was measured."""
        from perfkit.runs import open as open_runs

        return open_runs(self._paths[-1]).pick(run_id=self._run_ids)


def _point(load: float, runs: "Runs", objectives: tuple[Objective, ...], verdict: str) -> Point:
    rows = runs.steady.sort_values("start_time")
    return Point(load, tuple(_seen(rows, objective, load) for objective in objectives), verdict)


def _seen(rows: pd.DataFrame, objective: Objective, load: float) -> Seen:
    failed = rows["success"] != 1
    values = rows[objective.metric].astype(float)
    chance = objective.chance(values.where(~failed, inf))
    if isnan(chance):
        raise UsageError(f"at a load of {load:.4g} no request of the steady state has {objective.metric}")
    return Seen(objective, percentile_estimate(values[~failed], objective.q), len(rows), int(failed.sum()), chance)
