"""The tabs that show a table which a method of runs returns: summary, failures, lens."""

from abc import abstractmethod
from typing import Any

import ipywidgets as widgets

from perfkit.analysis.definitions import DEFINITIONS
from perfkit.analysis.notebook.explorer.state import call
from perfkit.analysis.notebook.explorer.tab import Tab, narrow
from perfkit.analysis.text_table import Cell, as_html, label, number
from perfkit.errors import PerfkitError

LENSES = ("ttft", "ttfat", "itl", "tpot", "e2e")


class TableTab(Tab):
    """Shows a table, or says why there is none."""

    def build(self) -> Any:
        """Make the controls above the table."""
        self.table = widgets.HTML()
        self.table.add_class("perfkit-html")
        above = [widgets.HBox([*self.controls.values()])] if self.arrange() else []
        return widgets.VBox([*above, self.trouble, self.table], layout={"overflow": "auto"})

    def arrange(self) -> bool:
        """Make the controls, if there are any."""
        return False

    def sync(self) -> None:
        """Set the controls to the state."""

    @abstractmethod
    def html(self) -> str:
        """Return the table."""

    def show(self) -> None:
        """Show the table that the code gives."""
        try:
            self.sync()
            self.table.value = self.bench.kept((self.name, self.code), self.html)
            self.refuse("")
        except PerfkitError as error:
            self.table.value = ""
            self.refuse(str(error))


class SummaryTab(TableTab):
    """Counts, latencies, rates, verdicts."""

    name = "summary"

    def arrange(self) -> bool:
        """Offer other tools' definitions."""
        options = [("perfkit", ""), *((name, name) for name in DEFINITIONS if name != "perfkit")]
        self.control("definition", widgets.Dropdown(options=options, description="as defined by", layout=narrow()))
        return True

    def sync(self) -> None:
        """Show the definition that counts."""
        self.controls["definition"].value = self.bench.state.definition

    @property
    def code(self) -> str:
        """The line that sums up."""
        return f"{self.bench.spelled}.summary({call((), self._given)})"

    @property
    def _given(self) -> dict[str, Any]:
        return {"definition": self.bench.state.definition} if self.bench.state.definition else {}

    def html(self) -> str:
        """Sum up."""
        return self.bench.chosen.summary(**self._given)._repr_html_()


class FailuresTab(TableTab):
    """What went wrong, how often, with which words, and when."""

    name = "failures"

    @property
    def code(self) -> str:
        """The line that counts."""
        return f"{self.bench.spelled}.failures()"

    def html(self) -> str:
        """Count failures by kind, and say when each kind occurred."""
        found = self.bench.chosen.failures().reset_index()
        if found.empty:
            return "no request failed"
        times = self.bench.columns.column("run", "error_kind", "t", "success")
        when = (
            times[~times["success"].astype(bool)].groupby(["run", "error_kind"], observed=True)["t"].agg(["min", "max"])
        )
        spans = dict(zip(when.index, when.to_numpy(), strict=True))
        rows = []
        for row in found.drop(columns="index", errors="ignore").to_dict("records"):
            key = row.get("run"), row.get("error_kind", row.get("kind"))
            span = spans.get(key)
            cells = [Cell(number(value)) if isinstance(value, (int, float)) else label(value) for value in row.values()]
            rows.append([*cells, label(f"{span[0]:.1f} to {span[1]:.1f}" if span is not None else "")])
        return as_html([*map(str, found.drop(columns="index", errors="ignore").columns), "between [s]"], rows)


class LensTab(TableTab):
    """One metric as every tool defines it."""

    name = "lens"

    def arrange(self) -> bool:
        """Offer the metrics that definitions differ in."""
        self.control("metric", widgets.Dropdown(options=LENSES, description="metric", layout=narrow()))
        return True

    def sync(self) -> None:
        """Show the metric that counts."""
        self.controls["metric"].value = self._metric

    @property
    def _metric(self) -> str:
        return self.bench.state.metric if self.bench.state.metric in LENSES else LENSES[0]

    @property
    def code(self) -> str:
        """The line that shows the definitions."""
        return f"{self.bench.spelled}.lens({call((self._metric,), {})})"

    def html(self) -> str:
        """Measure under every definition."""
        return self.bench.chosen.lens(self._metric)._repr_html_()
