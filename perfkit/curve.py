"""What a search for the largest load has found: each load that was tried, the bracket, the table and the chart."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pandas as pd

from perfkit.bracketing import Bracket, Objective, Tried
from perfkit.estimates import Estimate
from perfkit.tables import Cell, as_html, as_text, label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from perfkit.runs import Runs

Axis = Literal["rate", "parallel"]
LOADS = {"rate": "requests/s", "parallel": "users"}
"""What a load of each axis is counted in."""


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
        aside = f" CLIENT-BOUND, so not counted: {', '.join(bound)} {LOADS[self.axis]}." if bound else ""
        lower, upper = self.bracket.lower, self.bracket.upper
        if lower is None and upper is not None and (self.axis, upper) != ("parallel", 1):
            aside = f" Give a smaller --low (low= in Python).{aside}"
        return f"{wanted}: {self._found()} ({self.confidence:.0%} confidence).{aside}"

    def _found(self) -> str:
        lower, upper, unit = self.bracket.lower, self.bracket.upper, LOADS[self.axis]
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
        head = [LOADS[self.axis], *(["all hold"] if several else []), "verdict"]
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
            ax.set(xscale="log", yscale="log", xlabel=f"load [{LOADS[self.axis]}]", ylabel="percentile / its bound")
            ax.legend(title=f"shaded: where they stop to hold ({self.confidence:.0%})")
        return ax
