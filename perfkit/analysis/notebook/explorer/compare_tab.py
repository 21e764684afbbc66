"""The tab that compares: a baseline and candidates, the sentence, a row a quantity with loads as columns, the chart."""

from typing import Any

import ipywidgets as widgets

from perfkit.analysis.notebook.explorer.state import call
from perfkit.analysis.notebook.explorer.tab import Tab, narrow, offer
from perfkit.analysis.plots import render
from perfkit.errors import PerfkitError, UsageError

ROWS = 4
"""Candidates that are seen without scrolling."""


class CompareTab(Tab):
    """One side against the others, or against some of them."""

    name = "compare"

    def build(self) -> Any:
        """Make the controls above the table and the chart."""
        self.control("sides", widgets.Dropdown(options=["run"], description="sides by", layout=narrow()),
                     lambda sides: {"sides": sides, "baseline": "", "candidates": ()})  # fmt: skip
        self.control("baseline", widgets.Dropdown(description="baseline", layout=narrow()))
        self.control("candidates", widgets.SelectMultiple(description="candidates", layout=narrow(),
                     tooltip="with Ctrl or Shift several; none: all"), self._chosen)  # fmt: skip
        self.table = widgets.HTML()
        self.table.add_class("perfkit-html")
        self.picture = widgets.Image(format="png", layout={"max_width": "860px", "display": "none"})
        above = widgets.HBox([*self.controls.values()])
        return widgets.VBox([above, self.trouble, self.table, self.picture], layout={"overflow": "auto"})

    def _chosen(self, candidates: tuple[str, ...]) -> dict[str, Any]:
        """Return the candidates as the state has them: none where that is all of them."""
        return {"candidates": () if set(candidates) >= set(self._others) else tuple(candidates)}

    def show(self) -> None:
        """Show the comparison that the code makes."""
        try:
            self._sync()
            self.table.value, self.picture.value = self.bench.kept((self.name, self.code), self._made)
            self.picture.layout.display = None
            self.refuse("")
        except PerfkitError as error:
            self.table.value = ""
            self.picture.layout.display = "none"
            self.refuse(str(error))

    def _sync(self) -> None:
        """Offer the sides that there are, and show which are compared."""
        runs, state = self.bench.chosen, self.bench.state
        tags = [name for run in runs.members for name in run.tags]
        offer(self.controls["sides"], ["run", *dict.fromkeys(["model", *tags])], state.sides)
        offer(self.controls["baseline"], self._sides, self._baseline)
        several = self.controls["candidates"]
        if several.options != tuple(self._others):
            several.options, several.rows = self._others, min(max(len(self._others), 2), ROWS)
        several.value = self._candidates

    @property
    def _sides(self) -> list[str]:
        """Names of runs, or where they share one their labels; or the values of a setting."""
        by, runs = self.bench.state.sides, self.bench.chosen.members
        names = dict.fromkeys(run.name if by == "run" else str(run.settings.get(by)) for run in runs)
        return [run.label for run in runs] if by == "run" and len(names) == 1 else list(names)

    @property
    def _baseline(self) -> str:
        sides = self._sides
        return self.bench.state.baseline if self.bench.state.baseline in sides else (sides or [""])[0]

    @property
    def _others(self) -> list[str]:
        """The sides beside the baseline."""
        return [side for side in self._sides if side != self._baseline]

    @property
    def _candidates(self) -> tuple[str, ...]:
        """Those of the others that are compared; none named: all."""
        return tuple(side for side in self._others if side in self.bench.state.candidates)

    @property
    def _picked(self) -> tuple[tuple[str, ...], dict[str, Any]]:
        """What ``pick`` is given to leave the baseline and the candidates; nothing where all others are compared."""
        if not self._candidates:
            return (), {}
        sides = (self._baseline, *self._candidates)
        by = self.bench.state.sides
        if by == "run" and {run.name for run in self.bench.chosen.members}.isdisjoint(self._candidates):
            return sides, {}  # labels
        return (), {"name" if by == "run" else by: list(sides)}

    @property
    def code(self) -> str:
        """The line that compares."""
        labels, named = self._picked
        picked = f".pick({call(labels, named)})" if labels or named else ""
        by = {} if self.bench.state.sides == "run" else {"by": self.bench.state.sides}
        return f"{self.bench.spelled}{picked}.compare({call((self._baseline,), by)})"

    def _made(self) -> tuple[str, bytes]:
        """Compare, and draw the ratios."""
        if len(self._sides) < 2:
            raise UsageError("there is only one side: mark runs of two names, or choose another grouping")
        labels, named = self._picked
        runs = self.bench.chosen.pick(*labels, **named) if labels or named else self.bench.chosen
        found = runs.compare(self._baseline, by=self.bench.state.sides)
        return found._repr_html_(), render(found.plot(), "png", dpi=120)
