"""The largest load that meets service-level objectives, found by measuring where it is least certain."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import pandas as pd

from perfkit.analysis.capacity.curve import LOADS, Axis, Capacity, Point, Seen
from perfkit.analysis.capacity.objective import FAILURES, Objective
from perfkit.analysis.capacity.search import Belief, plan_next
from perfkit.analysis.metrics.bounds import bound
from perfkit.analysis.metrics.rates import not_cancelled
from perfkit.analysis.notebook.live import SeveralJobs
from perfkit.errors import UsageError
from perfkit.loadgen.recorder.run_record import default_name, new_run_id
from perfkit.loadgen.workers.work import Resumed
from perfkit.options.arguments import Arguments
from perfkit.options.objectives import Objective as Wanted
from perfkit.options.objectives import read_objectives
from perfkit.options.signatures import takes_options
from perfkit.options.units import share
from perfkit.runner.job import Job

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs

Slo = str | Iterable[str] | Mapping[str, Any]
"""Objectives as ``read_objectives`` takes them."""
Watch = Callable[[Job, str, str], AbstractContextManager[object]]
"""Shows a job until a block ends; what it is among the others stands before and after its line."""

NUMBER = 500
"""Requests of a point unless a number or a duration is given: enough for a 95th percentile."""


@takes_options
def capacity(
    url: str | Arguments | None = None,
    /,
    *,
    slo: Slo,
    axis: Axis = "rate",
    low: float = 1,
    high: float = inf,
    confidence: float = 0.95,
    points: int = 12,
    progress: Callable[[Point], None] | None = None,
    watch: Watch | None = None,
    **given: Any,
) -> Capacity:
    """Find the largest load that meets all objectives.

    Parameters
    ----------
    url : str or Arguments
        The endpoint, or everything.
    slo : str, several, or mapping
        ``"p95 ttft < 500ms"``, ``["mean e2e < 2s", "failures < 1%"]`` or ``{"ttft": ("p95", 0.5)}``; bounds in the
        metric's unit (seconds) or with a unit.
    axis : {"rate", "parallel"}
        What grows: requests per second, or users.
    low, high : float
        The least load, measured first, and the largest to try.
    confidence : float
        Chance that the bracket holds the largest load which meets the objectives.
    points : int
        Runs at most.
    progress : callable, optional
        Takes each point as it is done.
    watch : callable, optional
        Shows the job of a point until a block ends: ``watch(job, "point 2 of 10, 8 requests/s", "met at 4")``.
        Default: lines in a terminal; in a notebook a panel, with the curve so far below it.
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
    Loads grow from ``low``, fourfold while they are met with ease, until one is too much. Further points are set where
    the largest load that meets the objectives may be, and then near the ends of what is still possible, until these
    differ by 10 %. Each run is a point of one sweep, with arrivals of its own seed.

    All points are judged together: the share of requests beyond a bound (a request that failed is beyond every one; of
    a mean, the mean) is a curve over the load of which nothing is assumed but that it does not fall. How steep and even
    it is, and how much runs of one load differ beyond what their requests show, is learned from the points; see
    ``perfkit.analysis.capacity.posterior``. The bracket is what leaves half of 1 - ``confidence`` on either side. In
    simulated searches at servers of five kinds it held the truth as often as stated (``benchmarks/capacity.py``).

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
    objectives = tuple(map(_objective, read_objectives(slo)))
    if not objectives:
        raise UsageError("an slo names at least one objective, such as 'p95 ttft < 500ms'")
    error, whole = 1 - confidence, axis == "parallel"
    if whole:
        low, high = int(low), int(high) if isfinite(high) else high
    search = _Search(_arguments(url, {**given, axis: low}), axis, objectives)
    found: list[Point] = []
    several = SeveralJobs()
    watch = watch or several
    while (
        load := plan_next([each.tried for each in found], error, points - len(found), low, high, whole=whole)
    ) is not None:
        job = search.start(load, len(found))
        name = f"point {len(found) + 1} of {points}, {load:.4g} {LOADS[axis]}"
        with watch(job, name, _known(found, error, whole=whole)):
            found.append(search.point(job, load))
        if watch is several:
            several.draw(Capacity(axis, objectives, confidence, tuple(found), search.runs))
        if progress is not None:
            progress(found[-1])
    return Capacity(axis, objectives, confidence, tuple(found), search.runs)


def _known(found: list[Point], error: float, *, whole: bool) -> str:
    """Say what the points so far showed together."""
    belief = Belief.of([each.tried for each in found])
    if belief is None:
        return ""
    bracket = belief.bracket(error, whole=whole)
    said = [f"met at {bracket.lower:.4g}" if bracket.lower is not None else ""]
    said += [f"not met at {bracket.upper:.4g}" if bracket.upper is not None else ""]
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


def _objective(wanted: Wanted) -> Objective:
    statistic, metric = wanted.statistic, wanted.metric
    if metric == FAILURES:
        if statistic is not None:
            raise UsageError(f"an objective on failures bounds their share, 'failures < 1%'; got their {statistic}")
        return Objective(metric, None, share("bound of failures", wanted.bound))
    if statistic == "mean":
        return Objective(metric, None, bound(metric, wanted.bound))
    try:
        q = float(statistic.removeprefix("p")) if statistic else float("nan")
    except (AttributeError, ValueError):
        q = float("nan")
    if q != q:
        got = wanted.bound if statistic is None else (statistic, wanted.bound)
        text = f"'p95 {metric} < 500ms' or 'mean {metric} < 500ms'"
        raise UsageError(f"an objective is a percentile and a bound, ('p95', 0.5); got {got!r}; as a text: {text}")
    return Objective(metric, q, bound(metric, wanted.bound))


def _arguments(url: str | Arguments | None, given: Mapping[str, Any]) -> Arguments:
    """Return what all points share, with one name and file."""
    if isinstance(url, Arguments):
        base = url.replace(**{"rate": None, "parallel": None, **given})
    else:
        base = Arguments.from_mapping({**({"url": url} if url is not None else {}), **given})
    if base.number is None and base.duration is None:
        base = base.replace(number=NUMBER)
    return base.replace(name=base.name or f"{default_name(base.model_name)}-capacity")


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
        from perfkit.analysis.results.open import open as open_runs

        return open_runs(self._paths[-1]).pick(run_id=self._run_ids)


def _point(load: float, runs: "Runs", objectives: tuple[Objective, ...], verdict: str) -> Point:
    rows = not_cancelled(runs.steady).sort_values("start_time")
    return Point(load, tuple(_seen(rows, objective, load) for objective in objectives), verdict)


def _seen(rows: pd.DataFrame, objective: Objective, load: float) -> Seen:
    values = objective.values(rows)
    evidence = objective.evidence(values)
    if evidence is None:
        what = "request" if objective.metric == FAILURES else f"request with {objective.metric}"
        raise UsageError(f"at a load of {load:.4g} no {what} was measured in the steady state; give more requests")
    failed = int((rows["success"] != 1).sum())
    return Seen(objective, objective.measured(values), len(rows), failed, evidence)
