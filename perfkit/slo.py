"""The largest load that meets service-level objectives, found by measuring where it is least certain."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, isnan
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from perfkit.aggregates import bound
from perfkit.arguments import Arguments
from perfkit.bracketing import Bracket, Objective, Tried, plan_next
from perfkit.engine.record import default_name, new_run_id
from perfkit.errors import UsageError
from perfkit.estimates import Estimate, percentile_estimate
from perfkit.job import Job
from perfkit.tables import Cell, as_html, as_text, label, number
from perfkit.workers.work import Resumed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from perfkit.runs import Runs

Axis = Literal["rate", "parallel"]
Slo = Mapping[str, tuple[str, float | str]]

NUMBER = 500
"""Requests of a point unless a number or a duration is given: enough for a 95th percentile."""

_NAMES = {"rate": "requests/s", "parallel": "users"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one load showed of one objective: the percentile of what succeeded, with its 95 % interval."""

    objective: Objective
    percentile: Estimate
    n: int
    failed: int
    chance: float


@dataclass(frozen=True)
class Point:
    """One load: what was seen of each objective there, and the run's verdict."""

    load: float
    seen: tuple[Seen, ...]
    verdict: str = "VALID"

    @property
    def tried(self) -> Tried:
        """What the search needs of it."""
        return Tried(self.load, tuple(seen.chance for seen in self.seen), self.verdict != "CLIENT-BOUND")


@dataclass(frozen=True)
class Capacity:
    """What ``capacity`` found: the whole curve, and between which loads the objectives stop to hold."""

    axis: Axis
    objectives: tuple[Objective, ...]
    confidence: float
    error: float
    """The chance that one point is judged wrongly, at most."""
    points: tuple[Point, ...]
    runs: "Runs" = field(repr=False)

    @property
    def bracket(self) -> Bracket:
        """The largest load that meets all objectives and the least that does not; None where neither is known."""
        return Bracket.of([point.tried for point in self.points], self.error)

    @property
    def path(self) -> str:
        """The run file that holds every point."""
        return self.runs.members[0].source.path

    @property
    def table(self) -> pd.DataFrame:
        """One row per load and objective, in order of load.

        ``load``, ``objective``, ``percentile`` with ``low`` and ``high`` (its interval, of requests that succeeded,
        in the metric's unit), ``n``, ``failed``, ``chance`` that the objective holds, ``holds`` (of this objective:
        yes, no, unsure, or not counted), ``all_hold`` (of all objectives at this load), ``verdict``.
        """
        rows = [
            {
                "load": point.load,
                "objective": str(seen.objective),
                "percentile": seen.percentile.value,
                "low": seen.percentile.low,
                "high": seen.percentile.high,
                "n": seen.n,
                "failed": seen.failed,
                "chance": seen.chance,
                "holds": holds,
                "all_hold": together,
                "verdict": point.verdict,
            }
            for point, seen, holds, together in self._lines()
        ]
        return pd.DataFrame(rows)

    def _lines(self) -> Iterator[tuple[Point, Seen, str, str]]:
        """Yield each objective at each load, in order of load: whether it holds, and whether all do."""
        for point in sorted(self.points, key=lambda point: point.load):
            for seen, holds in zip(point.seen, point.tried.each(self.error), strict=True):
                judged = (holds, point.tried.holds(self.error)) if point.tried.counts else ("not counted",) * 2
                yield point, seen, *judged

    @property
    def sentence(self) -> str:
        """The result in one sentence, and others on points that do not count and on a search that began too high."""
        wanted = " and ".join(map(str, self.objectives))
        bound = [f"{point.load:.4g}" for point in self.points if not point.tried.counts]
        aside = f" CLIENT-BOUND, so not counted: {', '.join(bound)} {_NAMES[self.axis]}." if bound else ""
        lower, upper = self.bracket.lower, self.bracket.upper
        if lower is None and upper is not None and (self.axis, upper) != ("parallel", 1):
            aside = f" Give a smaller --low (low= in Python).{aside}"
        return f"{wanted}: {self._found()} ({self.confidence:.0%} confidence).{aside}"

    def _found(self) -> str:
        lower, upper, unit = self.bracket.lower, self.bracket.upper, _NAMES[self.axis]
        if lower is not None and upper is not None:
            return f"met up to between {lower:.4g} and {upper:.4g} {unit}"
        if lower is not None:
            return f"met at {lower:.4g} {unit}, and no load was shown to be too much"
        if upper is not None:
            return f"not met at {upper:.4g} {unit}, and no load was shown to be little enough"
        return "cannot be told at any load measured; give more requests per point"

    def __str__(self) -> str:
        return f"{as_text(*self._cells())}\n\n{self.sentence}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{as_html(*self._cells())}<small>{self.sentence.replace('<', '&lt;')}</small>"

    def _cells(self) -> tuple[list[str], list[list[Cell]]]:
        several = len(self.objectives) > 1
        head = [_NAMES[self.axis], *(["all hold"] if several else []), "verdict"]
        head += ["objective", "measured", "95 % interval", "n", "failed", "holds"]
        rows = []
        for at, (point, seen, holds, together) in enumerate(self._lines()):
            of_load = [Cell(f"{point.load:.4g}"), *([label(together)] if several else []), label(point.verdict)]
            if at % len(self.objectives):  # another objective of the same run: said once
                of_load = [label("")] * len(of_load)
            found, scale = seen.percentile, seen.objective.scale
            value, low, high = (number(each * scale) for each in (found.value, found.low, found.high))
            numbers = map(Cell, (value, f"{low} to {high}", number(seen.n), number(seen.failed)))
            rows.append([*of_load, label(seen.objective), *numbers, label(holds)])
        return head, rows

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw each objective's percentile, over its bound, against the load; the bracket is shaded."""
        from perfkit.plots.canvas import canvas

        with canvas(ax) as ax:
            for objective in self.objectives:
                lines = [
                    (point.load, seen)
                    for point, seen, *_ in self._lines()
                    if point.tried.counts and seen.objective == objective
                ]
                loads = [load for load, _ in lines]
                value, low, high = (
                    [getattr(seen.percentile, name) / objective.bound for _, seen in lines]
                    for name in ("value", "low", "high")
                )
                (drawn,) = ax.plot(loads, value, marker="o", label=str(objective))
                ax.vlines(loads, low, high, color=drawn.get_color(), alpha=0.6)
            ax.axhline(1, color="0.5", linestyle=":")
            lower, upper = self.bracket.lower, self.bracket.upper
            if lower is not None and upper is not None:
                ax.axvspan(lower, upper, color="0.5", alpha=0.15)
            ax.set(xscale="log", yscale="log", xlabel=f"load [{_NAMES[self.axis]}]", ylabel="percentile / its bound")
            ax.legend(title=f"shaded: where they stop to hold ({self.confidence:.0%})")
        return ax


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
    while (
        load := plan_next([each.tried for each in found], error, points - len(found), low, high, whole=whole)
    ) is not None:
        found.append(search.measure(load, len(found)))
        if progress is not None:
            progress(found[-1])
    return Capacity(axis, objectives, confidence, error, tuple(found), search.runs)


def _require(axis: str, low: float, high: float, confidence: float, points: int, given: Mapping[str, Any]) -> None:
    if axis not in _NAMES:
        raise UsageError(f"axis is 'rate' or 'parallel', got {axis!r}")
    if any(name in given for name in _NAMES):
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

    def measure(self, load: float, index: int) -> Point:
        """Measure one load."""
        seed = self._arguments.arrival_seed + index
        job = Job(self._arguments.replace(**{self._axis: load}, arrival_seed=seed), Resumed(self._sweep, (0,)))
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
