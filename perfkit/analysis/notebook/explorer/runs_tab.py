"""The runs: which there are, which are looked at, and what is written about them."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import ipywidgets as widgets
import pandas as pd

from perfkit.analysis.metrics import METRICS
from perfkit.analysis.notebook.explorer.grid import Column, Grid
from perfkit.analysis.notebook.explorer.state import call
from perfkit.analysis.notebook.explorer.tab import Tab, offer, sentence
from perfkit.analysis.plots.sweep import load_label
from perfkit.analysis.query.run import Run
from perfkit.errors import PerfkitError, UsageError
from perfkit.runfile.annotations import read_tags

_DATED = 1e9
"""Older start times count from the boot of a machine and are no date."""
FIELDS = {"name": "A100", "tags": "gpu=A100 driver=550; gpu= takes one away", "note": "after the driver update"}
"""What can be written about runs, with an example."""
_WIDE, _CLOSE = {"width": "auto", "flex": "1 1 0", "min_width": "0"}, {"description_width": "initial"}


class RunsTab(Tab):
    """A table of all runs; those that are marked are looked at, all if none is. What is written about them is kept."""

    name = "runs"

    def build(self) -> Any:
        """Make the table and the buttons above it."""
        self.grid = Grid(self._picked, toggles=True, rows=20)
        self.fields = {
            name: widgets.Text(
                description=name, placeholder=example, continuous_update=False, layout=_WIDE, style=_CLOSE
            )
            for name, example in FIELDS.items()
        }
        self.removed = widgets.Dropdown(description="removed")
        self.restore = self._button("restore", "undo", "bring back the run beside", self._restore)
        self.gone = widgets.HBox([self.removed, self.restore])
        self.remove = self._button("remove", "trash", "leave the marked runs out; no row is deleted", self._remove)
        self.keep = self._button(
            "keep", "save", "write this about the marked runs, in or beside their files", self._keep
        )
        marks = [
            self._button("all found", "check", "mark every run that the search leaves", self._all),
            self._button("none", "times", "mark no run: all are looked at", lambda: self.bench.change(runs=())),
            self._button("reload", "refresh", "open the files again", self.bench.reload),
            self.remove,
        ]
        rows = [*marks, self.gone], [*self.fields.values(), self.keep]
        return widgets.VBox([*map(widgets.HBox, rows), self.trouble, self.grid])

    def _button(self, text: str, icon: str, told: str, act: Any) -> Any:
        button = widgets.Button(description=text, icon=icon, tooltip=told, layout={"width": "auto", "flex": "0 0 auto"})
        button.on_click(lambda _: act())
        return button

    @property
    def code(self) -> str:
        """The line that gives the runs marked."""
        return f"{self.bench.spelled}.table"

    def show(self) -> None:
        """Fill the table, and the fields with what is written about the run that is marked."""
        metric = self.bench.state.metric if self.bench.state.metric in METRICS else "ttft"
        frame, columns = self.bench.kept(
            ("runs", metric), lambda: table(self.bench.runs, self.bench.verdicts(), metric)
        )
        new = dict(self.bench.state.renamed)
        shown = frame.assign(run=[new.get(label, label) for label in frame.index])
        self.grid.fill(shown, columns, list(self.bench.state.runs))
        for name, text in self._written.items():
            self.fields[name].value = text
        offer(self.removed, self.bench.runs.removed, self.removed.value)
        self.gone.layout.display = None if self.bench.runs.removed else "none"
        self.refuse("")

    def _picked(self, labels: list[Any]) -> None:
        order = [label for label in self.bench.runs.labels if label in labels]
        self.bench.change(runs=tuple(order), hidden=(), request=None)

    def _all(self) -> None:
        self._picked(self.grid.found)

    @property
    def _written(self) -> dict[str, str]:
        """What is written about the one run that is marked; nothing where it is not one."""
        marked = [run for run in self.bench.runs.members if run.label in self.bench.state.runs]
        if len(marked) != 1:
            return dict.fromkeys(FIELDS, "")
        (run,) = marked
        return {"name": run.name, "tags": _spelt(run), "note": str(run.record.get("note") or "")}

    def _keep(self) -> None:
        """Write what was changed in the fields."""
        before = self._written
        given: dict[str, Any] = {
            name: field.value.strip() for name, field in self.fields.items() if field.value.strip() != before[name]
        }
        try:
            if "tags" in given:
                wanted = read_tags(_words(given["tags"]))
                given["tags"] = {**dict.fromkeys(read_tags(_words(before["tags"]))), **wanted}
            if not given:
                raise UsageError("nothing is changed: write a name, tags or a note about the runs that are marked")
        except PerfkitError as error:
            self.refuse(str(error))
        else:
            self._annotate(self.bench.state.runs, given)

    def _remove(self) -> None:
        self._annotate(self.bench.state.runs, {"removed": True})

    def _restore(self) -> None:
        self._annotate([self.removed.value], {"removed": False})

    def _annotate(self, labels: Sequence[str], given: dict[str, Any]) -> None:
        try:
            if not labels:
                raise UsageError("mark the runs that this is about")
            self.bench.annotate(labels, given)
        except PerfkitError as error:
            self.refuse(str(error))
        else:
            same = f"{self.bench.source}.annotate({call(tuple(labels), given)})"
            assigned = "" if self.bench.is_reopened else f"{self.bench.source} = "  # or it has the old names
            self.trouble.value = sentence(f"kept; in code: {assigned}{same}")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"tags are written gpu=A100 'host=rack 4', got {text!r}: {error}") from None


def _spelt(run: Run) -> str:
    return shlex.join(f"{name}={value}" for name, value in run.tags.items())


def table(runs: Any, verdicts: Any, metric: str) -> tuple[pd.DataFrame, dict[str, Column]]:
    """Return one row a run, and what its columns are called."""
    found = runs.percentiles(metric, [50, 95]).droplevel("metric") if len(runs) else pd.DataFrame()
    rows = [_row(run, verdicts.get(run.label)) for run in runs.members]
    frame = pd.DataFrame(rows, index=pd.Index(runs.labels, dtype=object), columns=[*_COLUMNS])
    for name in ("p50", "p95"):
        frame[name] = found[name].reindex(frame.index).astype(float) if name in found else float("nan")
    frame["requests"] = frame["requests"].fillna(found["n"].reindex(frame.index)) if "n" in found else frame["requests"]
    each = METRICS[metric]
    scaled = {
        name: Column(f"{name} {metric} [{each.display_unit}]", each.scale(), each.label) for name in ("p50", "p95")
    }
    return frame, {name: Column(name) for name in _COLUMNS} | scaled


_COLUMNS = ("run", "model", "target", "load", "tags", "note", "date", "requests", "failed", "verdict")


def _row(run: Run, verdict: Any) -> dict[str, Any]:
    record, settings = run.record, run.settings
    at = record.get("start_time")
    date = f"{datetime.fromtimestamp(at):%Y-%m-%d %H:%M}" if isinstance(at, int | float) and at > _DATED else ""
    users, rate = settings.get("parallel"), settings.get("rate")
    load = f"{users:g} user{'s' * (users != 1)}" if isinstance(users, int | float) else ""
    load = load or (f"{load_label(rate)}{'/s' * (rate > 0)}" if isinstance(rate, int | float) else "")
    succeeded, failed, cancelled = (record.get(name) for name in ("succeeded", "failed", "cancelled"))
    done = record.get("sent")
    if isinstance(succeeded, int) and isinstance(failed, int):
        done = succeeded + failed + (cancelled if isinstance(cancelled, int) else 0)
    return {
        "run": run.label,
        "model": settings.get("model"),
        "target": url if isinstance(url := settings.get("url"), str) else record.get("target"),
        "load": load,
        "tags": _spelt(run),
        "note": record.get("note"),
        "date": date,
        "requests": done,
        "failed": failed,
        "verdict": verdict.level if verdict else "",
    }
