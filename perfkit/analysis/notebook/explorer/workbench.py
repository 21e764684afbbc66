"""The bench of the explorer: what is looked at, and the tabs that show it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import Any, TypeVar

import ipywidgets as widgets
import numpy as np
import pandas as pd

from perfkit.analysis.metrics import METRICS
from perfkit.analysis.notebook.explorer import state as states
from perfkit.analysis.notebook.explorer.busy import LOCK, answer_while_busy
from perfkit.analysis.notebook.explorer.chart_tab import ChartTab, groupings, stops
from perfkit.analysis.notebook.explorer.columns import Columns
from perfkit.analysis.notebook.explorer.compare_tab import CompareTab
from perfkit.analysis.notebook.explorer.export_tab import ExportTab
from perfkit.analysis.notebook.explorer.requests_tab import RequestsTab
from perfkit.analysis.notebook.explorer.runs_tab import RunsTab
from perfkit.analysis.notebook.explorer.state import TABS, State
from perfkit.analysis.notebook.explorer.tab import Tab, sentence, showing
from perfkit.analysis.notebook.explorer.table_tabs import FailuresTab, LensTab, SummaryTab
from perfkit.analysis.results.runs import Runs
from perfkit.analysis.text_table import number, plain
from perfkit.errors import PerfkitError

KINDS: tuple[type[Tab], ...] = (
    RunsTab, ChartTab, RequestsTab, CompareTab, SummaryTab, FailuresTab, LensTab, ExportTab,
)  # fmt: skip
KEPT = 40
"""Tables and loaded columns that are kept for when a person comes back to them."""
T = TypeVar("T")


class Bench:
    """What all tabs look at: runs, requests and those picked among them, each worked out once.

    Parameters
    ----------
    runs : Runs
        All of them.
    source : str
        What they are called in code.
    reopen : callable, optional
        Opens the files again.
    """

    def __init__(self, runs: Runs, source: str, reopen: Callable[[], Runs] | None = None) -> None:
        self.runs, self.source, self._reopen = runs, source, reopen
        self.state = State(metric=first_metric(runs))
        self.showing: int | None = None
        """The thread that sets controls to the state."""
        self.shown: Callable[[], None] = lambda: None
        self.forget: Callable[[], None] = lambda: None
        self.watch: Callable[[Any], None] = answer_while_busy
        self._verdicts: dict[Any, Any] = {}
        self._kept: dict[Any, Any] = {}
        self._waiting: list[dict[str, Any]] = []
        self._changing = threading.Lock()

    @property
    def is_showing(self) -> bool:
        """Whether this thread sets controls to the state: what they report then is nobody's doing."""
        return self.showing == threading.get_ident()

    def change(self, **fields: Any) -> None:
        """Look at something else; changes that come while something is drawn are shown together."""
        with self._changing:
            self._waiting.append(fields)
        with LOCK:
            with self._changing:
                waiting, self._waiting = self._waiting, []
            if waiting:
                self.state = replace(self.state, **{name: value for each in waiting for name, value in each.items()})
                self.shown()

    @property
    def is_reopened(self) -> bool:
        """Whether the code opens the files, and does not name runs that were opened before."""
        return self._reopen is not None

    def reload(self) -> None:
        """Open the files again: a run may have grown, and others may be there."""
        self._replace(self._reopen() if self._reopen else self.runs)

    def annotate(self, labels: Sequence[str], given: Mapping[str, Any]) -> None:
        """Write about runs, as ``Runs.annotate`` does, and look at them as they are called now."""
        changed = self.runs.annotate(*labels, **given)
        self._replace(self._reopen() if self._reopen else changed, hidden=(), request=None)

    def _replace(self, runs: Runs, **fields: Any) -> None:
        """Look at runs anew; those that are marked stay marked, whatever they are called now."""
        marked = {(run.source.path, run.run_id) for run in self.runs.members if run.label in self.state.runs}
        self.runs = runs
        self._kept.clear()
        self._verdicts.clear()
        self.forget()
        self.change(runs=tuple(run.label for run in runs.members if (run.source.path, run.run_id) in marked), **fields)

    def kept(self, key: Any, make: Callable[[], T]) -> T:
        """Return what was made under a key before, or make it."""
        if key not in self._kept:
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = make()
        return self._kept[key]  # type: ignore[no-any-return]

    @property
    def spelled(self) -> str:
        """The code of the runs and requests that are looked at."""
        return self.state.spelled(self.runs, self.source)

    @property
    def chosen(self) -> Runs:
        """The runs and requests that are looked at."""
        return self.kept(("chosen", self.spelled), lambda: self.state.chosen(self.runs))

    @property
    def columns(self) -> Columns:
        """Their columns."""
        return self.kept(("columns", self.spelled), lambda: Columns(self.chosen, self._verdicts))

    @property
    def whole(self) -> Columns:
        """The columns of all runs."""
        return self.kept("whole", lambda: Columns(self.runs, self._verdicts))

    def verdicts(self) -> Any:
        """Return the verdict on every run."""
        return self.whole.verdicts

    @property
    def groupings(self) -> list[str]:
        """What requests can be grouped by."""
        runs = self.runs.pick(*self.state.runs) if self.state.runs else self.runs
        return self.kept(("groupings", self.state.runs), lambda: groupings(runs))

    def stops(self, name: str) -> list[tuple[str, float]]:
        """Return where the slider of a quantity can stand."""
        return self.kept(("stops", name), lambda: stops(name, self.whole.column(name)[name].to_numpy(dtype=float)))

    @property
    def picked(self) -> np.ndarray:
        """The numbers of the requests that are picked."""
        picked = self.state.picked
        if not picked:
            return np.empty(0, dtype=np.int64)
        return self.kept(
            ("picked", self.spelled, picked), lambda: self.chosen.where(picked).column("seq").index.to_numpy()
        )

    @property
    def request(self) -> int | None:
        """The number of the request that is shown; None if it is not looked at."""
        if self.state.request is None:
            return None
        run, seq = self.state.request
        names = self.columns.column("run", "seq")
        found = names.index[(names["run"] == run) & (names["seq"] == seq)]
        return int(found[0]) if len(found) else None

    def pick_request(self, request: int) -> None:
        """Show one request."""
        row: Any = self.columns.column("run", "seq").loc[request]
        if pd.notna(row["seq"]):
            self.change(request=(str(row["run"]), int(row["seq"])))

    def described(self, request: int) -> str:
        """Say in a few lines what a request was."""
        names = ("run", "seq", "ttft", "tpot", "e2e", "prompt_tokens", "completion_tokens")
        row: Any = self.columns.column(*names).loc[request]
        numbers = [
            f"{name} {number(float(row[name]) * METRICS[name].scale())} {METRICS[name].display_unit}"
            for name in ("ttft", "tpot", "e2e")
            if pd.notna(row[name])
        ]
        tokens = [
            f"{number(int(row[name]))} {said}"
            for name, said in (("prompt_tokens", "tokens in"), ("completion_tokens", "out"))
            if pd.notna(row[name])
        ]
        seq = f" #{int(row['seq'])}" if pd.notna(row["seq"]) else ""
        return "\n".join([f"{plain(row['run'])}{seq}", ", ".join(numbers), ", ".join(tokens)])


def first_metric(runs: Runs) -> str:
    """Choose TTFT, or E2E where nothing was streamed."""
    return "ttft" if any(batch["ttft"].notna().any() for batch in runs.batches("ttft")) else "e2e"


class Explorer(widgets.VBox):  # type: ignore[misc]
    """The panel: tabs over a line of code. ``state`` is what it shows, ``code`` the line that gives the same.

    Parameters
    ----------
    bench : Bench
        What is looked at.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.tabs = {kind.name: kind(bench) for kind in KINDS}
        self.chart = next(tab for tab in self.tabs.values() if isinstance(tab, ChartTab))
        self.line = widgets.Text(continuous_update=False, layout=widgets.Layout(width="auto", flex="1 1 auto"))
        self.line.add_class("perfkit-code")
        self.line.observe(self._typed, "value")
        self.trouble = widgets.HTML()
        self.pages = widgets.Tab(
            [tab.widget for tab in self.tabs.values()], titles=[name.capitalize() for name in TABS]
        )
        self.pages.selected_index = TABS.index(bench.state.tab)
        self.pages.observe(self._turned, "selected_index")
        unread = "".join(f"<div>not opened: {escape(plain(each.reason))}</div>" for each in bench.runs.problems)
        self.unread = widgets.HTML(f"<small>{unread}</small>")
        style = widgets.HTML(STYLE)
        code = widgets.HBox([widgets.HTML("<b>code</b>&nbsp;"), self.line])
        super().__init__([style, self.pages, code, self.trouble, *([self.unread] if unread else [])])
        answer_while_busy(self)
        bench.shown, bench.forget = self._show, self.chart.forget
        self._show()

    @property
    def state(self) -> State:
        """What is shown."""
        return self.bench.state

    @property
    def code(self) -> str:
        """The line that gives what the open tab shows."""
        return self.tabs[self.state.tab].code

    def restore(self, code: str) -> None:
        """Show what a line of code stands for.

        Parameters
        ----------
        code : str
            As ``code`` was, of this explorer or of another.

        Raises
        ------
        UsageError
            It holds something that the explorer does not do.
        """
        read = states.read_state(code, self.state.metric)
        self.bench.change(**vars(read))

    def _typed(self, change: dict[str, Any]) -> None:
        if self.bench.is_showing:
            return
        try:
            self.restore(change["new"])
        except PerfkitError as error:
            self.trouble.value = sentence(str(error), "#b2182b")

    def _turned(self, change: dict[str, Any]) -> None:
        if not self.bench.is_showing:
            self.bench.change(tab=TABS[change["new"]])

    def _show(self) -> None:
        tab = self.tabs[self.state.tab]
        self.trouble.value = ""
        with showing(self.bench):
            self.pages.selected_index = TABS.index(self.state.tab)
            try:
                tab.show()
                self.line.value = tab.code
            except PerfkitError as error:
                tab.refuse(str(error))
        self.chart.show_hidden()

    def _repr_mimebundle_(self, **given: Any) -> dict[str, Any]:
        """Add the picture, for a page that shows no widgets."""
        bundle = dict(super()._repr_mimebundle_(**given))
        bundle["text/plain"] = self.code
        if self.chart.picture.png:
            bundle["image/png"] = self.chart.picture.still()
        return bundle


STYLE = """<style>
.perfkit-code input { font-family: var(--jp-code-font-family, monospace); font-size: 12px }
.perfkit-html .widget-html-content { line-height: 1.5 }
.perfkit-text { white-space: pre-wrap; font: 12px/1.45 var(--jp-code-font-family, monospace); max-width: 860px;
  max-height: 16em; overflow: auto; margin: .2em 0 .6em; padding: .4em .6em; border: 1px solid #8884 }
</style>"""
