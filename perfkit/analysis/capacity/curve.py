"""What a search for the largest load has found: each load that was tried, the bracket, the table and the chart."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from typing import TYPE_CHECKING, Literal

import pandas as pd

from perfkit.analysis.capacity.objective import Objective
from perfkit.analysis.capacity.posterior import Evidence, find_crossing
from perfkit.analysis.capacity.search import Belief, Bracket, TriedLoad
from perfkit.analysis.stats.estimates import Estimate
from perfkit.analysis.text_table import Cell, as_html, label, number, on_terminal
from perfkit.records import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from perfkit.analysis.results.runs import Runs

Axis = Literal["rate", "parallel"]
LOADS = {"rate": "requests/s", "parallel": "users"}
"""What a load of each axis is counted in."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one load showed of one objective: its percentile, mean or share, with its 95 % interval."""

    objective: Objective
    measured: Estimate
    n: int
    failed: int
    evidence: Evidence


@dataclass(frozen=True)
class Point:
    """One load: what was seen of each objective there, and the run's verdict."""

    load: float
    seen: tuple[Seen, ...]
    verdict: str = "VALID"

    @property
    def tried(self) -> TriedLoad:
        """What the search needs of it."""
        return TriedLoad(self.load, tuple(seen.evidence for seen in self.seen), self.verdict != "CLIENT-BOUND")


@dataclass(frozen=True)
class Capacity:
    """What ``capacity`` found: the whole curve, and between which loads the objectives stop to hold."""

    axis: Axis
    objectives: tuple[Objective, ...]
    confidence: float
    points: tuple[Point, ...]
    runs: "Runs" = field(repr=False)

    @cached_property
    def _belief(self) -> Belief | None:
        return Belief.of([point.tried for point in self.points])

    @property
    def _error(self) -> float:
        return 1 - self.confidence

    @property
    def bracket(self) -> Bracket:
        """Between which loads all objectives stop to hold; an end is None where it is not known."""
        if self._belief is None:
            return Bracket(None, None)
        return self._belief.bracket(self._error, whole=self.axis == "parallel")

    @property
    def path(self) -> str:
        """The run file that holds every point."""
        return self.runs.members[0].source.path

    @property
    def table(self) -> pd.DataFrame:
        """One row per load and objective, in order of load.

        ``load``, ``objective``, ``measured`` with ``low`` and ``high`` (the percentile or mean of the requests that
        succeeded, in the metric's unit, or the share of failures), ``n``, ``failed``, ``chance`` that the objective
        holds at this load, by all points together, ``holds`` (of this objective: yes, no, unsure, or not counted),
        ``all_hold`` (of all objectives at this load), ``verdict``.
        """
        rows = [
            {
                "load": point.load,
                "objective": str(seen.objective),
                "measured": seen.measured.value,
                "low": seen.measured.low,
                "high": seen.measured.high,
                "n": seen.n,
                "failed": seen.failed,
                "chance": chance,
                "holds": holds,
                "all_hold": together,
                "verdict": point.verdict,
            }
            for point, seen, chance, holds, together in self._lines()
        ]
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON; what is not known is None."""
        table = self.table.astype(object).where(self.table.notna(), None)
        return {
            "axis": self.axis,
            "objectives": [str(objective) for objective in self.objectives],
            "confidence": self.confidence,
            "lower": self.bracket.lower,
            "upper": self.bracket.upper,
            "points": [{str(name): value for name, value in row.items()} for row in table.to_dict("records")],
        }

    def _lines(self) -> Iterator[tuple[Point, Seen, float, str, str]]:
        """Yield each objective at each load, in order of load: its chance, whether it holds, and whether all do."""
        belief = self._belief
        for point in sorted(self.points, key=lambda point: point.load):
            if belief is None or not point.tried.counts:
                yield from ((point, seen, nan, "not counted", "not counted") for seen in point.seen)
                continue
            together = belief.holds(point.load, self._error)
            of_each = zip(point.seen, belief.chances(point.load), belief.each(point.load, self._error), strict=True)
            yield from ((point, seen, chance, holds, together) for seen, chance, holds in of_each)

    def curve(self, objective: Objective | None = None) -> pd.DataFrame:
        """Return the curve that the points tell, with its band.

        Parameters
        ----------
        objective : Objective, optional
            One of ``objectives``; default: the first.

        Returns
        -------
        DataFrame
            ``level``, how many times what is allowed (of a percentile or of failures the share of requests beyond the
            bound, of a mean the mean), and the load at which that is reached: ``load`` (median), ``low`` and ``high``,
            with the confidence. At a level of 1 they are those of the bracket, if there is one objective. Levels
            that are reached at no load between those measured are left out.
        """
        which = self.objectives.index(objective or self.objectives[0])
        counted = [point.tried for point in self.points if point.tried.counts]
        loads, seen = [each.load for each in counted], [each.evidence[which] for each in counted]
        rows = []
        for level in self.objectives[which].levels if counted else ():
            crossing = find_crossing(loads, [each.at(level) for each in seen])
            low, middle, high = (crossing.quantile(at) for at in (self._error / 2, 0.5, 1 - self._error / 2))
            if min(loads) <= middle <= max(loads):
                rows.append({"level": level, "load": middle, "low": low, "high": high})
        found = pd.DataFrame(rows, columns=["level", "load", "low", "high"], dtype=float)
        # Each level is computed by itself; that larger ones are reached later is known.
        return found.cummax()

    @property
    def sentence(self) -> str:
        """The result in one sentence, and others on points that do not count and on a search that began too high."""
        wanted = " and ".join(map(str, self.objectives))
        bound = [f"{load:.4g}" for load in sorted({point.load for point in self.points if not point.tried.counts})]
        aside = f" CLIENT-BOUND, so not counted: {', '.join(bound)} {LOADS[self.axis]}." if bound else ""
        lower, upper = self.bracket.lower, self.bracket.upper
        if lower is None and upper is not None and (self.axis, upper) != ("parallel", 1):
            aside = f" Give a smaller --low (low= in Python).{aside}"
        narrow = ""
        if lower is not None and upper is not None and not (self.axis == "parallel" and upper - lower == 1):
            narrow = f"±{(upper - lower) / (upper + lower):.0%}, "
        return f"{wanted}: {self._found()} ({narrow}{self.confidence:.0%} confidence).{aside}"

    def _found(self) -> str:
        lower, upper, unit = self.bracket.lower, self.bracket.upper, LOADS[self.axis]
        if lower is not None and upper is not None:
            return f"met up to between {lower:,.4g} and {upper:,.4g} {unit}"
        if lower is not None:
            return f"met at {lower:,.4g} {unit}, and no load was shown to be too much"
        if upper is not None:
            return f"not met at {upper:,.4g} {unit}, and no load was shown to be little enough"
        return "undecided at every load measured; give more requests per point"

    def __str__(self) -> str:
        return f"{on_terminal(*self._cells())}\n\n{self.sentence}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{as_html(*self._cells())}<small>{self.sentence.replace('<', '&lt;')}</small>"

    def _cells(self) -> tuple[list[str], list[list[Cell]]]:
        several = len(self.objectives) > 1
        head = [LOADS[self.axis], *(["all hold"] if several else []), "verdict"]
        head += ["objective", "measured", "95 % interval", "n", "failed", "holds"]
        rows = []
        for at, (point, seen, _, holds, together) in enumerate(self._lines()):
            of_load = [Cell(f"{point.load:.4g}"), *([label(together)] if several else []), label(point.verdict)]
            if at % len(self.objectives):  # another objective of the same run: said once
                of_load = [label("")] * len(of_load)
            found, scale = seen.measured, seen.objective.scale
            value, low, high = (number(each * scale) for each in (found.value, found.low, found.high))
            numbers = map(Cell, (value, f"{low} to {high}", number(seen.n), number(seen.failed)))
            rows.append([*of_load, label(seen.objective), *numbers, label(holds)])
        return head, rows

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw what each load showed, over what is allowed, with the curve and its band; the bracket is shaded.

        A load of which no request was beyond the bound is a triangle at the lower edge.
        """
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        from perfkit.analysis.plots import notes
        from perfkit.analysis.plots.canvas import canvas
        from perfkit.analysis.plots.groups import legend

        with canvas(ax) as ax:
            for objective in self.objectives:
                points = [
                    (point.load, seen.evidence.level)
                    for point, seen, *_ in self._lines()
                    if point.tried.counts and seen.objective == objective
                ]
                curve = self.curve(objective)
                (drawn,) = ax.plot(curve["load"], curve["level"], label=str(objective))
                color = drawn.get_color()
                ax.fill_betweenx(curve["level"], curve["low"], curve["high"], color=color, alpha=0.15)
                some = [(load, level) for load, level in points if level > 0]
                ax.plot([load for load, _ in some], [level for _, level in some], "o", color=color)
                none = [load for load, level in points if not level]
                edge = ax.get_xaxis_transform()
                ax.plot(none, [0.02] * len(none), "v", color=color, transform=edge, clip_on=False)
            ax.axhline(1, color="0.5", linestyle=":")
            lower, upper = self.bracket.lower, self.bracket.upper
            if lower is not None and upper is not None:
                ax.axvspan(lower, upper, color="0.5", alpha=0.15)
            loads = [point.load for point in self.points]
            ax.set(xscale="log", yscale="log", xlabel=f"load [{LOADS[self.axis]}]", ylabel="measured / allowed")
            ax.set_xlim(min(loads) / 1.2, max(loads) * 1.2)
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_major_formatter(StrMethodFormatter("{x:g}"))
                axis.set_minor_formatter(NullFormatter())
            legend(ax, None)
            notes.write(ax, [f"bands: {self.confidence:.0%}", "shaded: where the objectives stop to hold"], [])
        return ax
