"""The chart: what is drawn and how, and the filters that all tabs share."""

import ast
import inspect
import math
from itertools import islice
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.notebook.explorer.click_targets import targets
from perfkit.analysis.notebook.explorer.picture import Picture, legend_names
from perfkit.analysis.notebook.explorer.tab import Tab, narrow, offer
from perfkit.analysis.plots import CHARTS, Chart, Plots
from perfkit.analysis.plots.groups import DISTINCT
from perfkit.analysis.plots.quantity import COLUMNS, quantity
from perfkit.analysis.query.columns import SETTINGS
from perfkit.analysis.results.runs import Runs
from perfkit.analysis.text_table import number
from perfkit.errors import PerfkitError, UsageError
from perfkit.runfile.schema import NARROW as NARROW_COLUMNS

STOPS = 60
"""Places where a slider can stand."""
RANGED = ("e2e", "ttft", "tpot", "prompt_tokens", "completion_tokens")
_SINGLE = ("run_id", "seq", "success", "request_id")
_OFFERED = ("requests", "chunks", "metric", "by", "ax")


class ChartTab(Tab):
    """The chart of a metric."""

    name = "chart"
    _drawn = ""
    """The code of the picture that is shown; empty where none is."""

    def build(self) -> Any:
        """Make the controls on the left and the picture on the right."""
        metrics = [(f"{name}: {each.label}", name) for name, each in METRICS.items()]
        metrics += [(f"{name}: {each.label}", name) for name, each in RATES.items()]
        self.control("metric", widgets.Dropdown(options=metrics, description="metric", layout=narrow()), self._metric)
        self.control(
            "chart",
            widgets.Dropdown(description="chart", layout=narrow()),
            _chart,
        )
        self.control("by", widgets.Dropdown(description="by", layout=narrow()))
        self.control("options", widgets.Text(description="options", continuous_update=False, layout=narrow()), _options)
        self.control(
            "where",
            widgets.Text(
                description="where", placeholder="prompt_tokens > 400", continuous_update=False, layout=narrow()
            ),
        )
        self.control(
            "ranged",
            widgets.Dropdown(options=RANGED, description="range of", layout=narrow()),
            lambda name: {"within": None},
        )
        self.control(
            "within",
            widgets.SelectionRangeSlider(
                options=[("least", 0.0), ("most", math.inf)], description=" ", continuous_update=False, layout=narrow()
            ),
            self._within,
        )
        self.control(
            "warmup",
            widgets.Text(
                description="warm-up", placeholder="10%, 10s, 100 or auto", continuous_update=False, layout=narrow()
            ),
        )
        self.hidden = widgets.HBox(layout=widgets.Layout(flex_flow="row wrap", max_width="720px"))
        self.picture = Picture(self._describe, self._picked, self._hide)
        left = widgets.VBox([*self.controls.values()], layout=widgets.Layout(flex="0 0 auto"))
        right = widgets.VBox(
            [self.trouble, self.picture, self.hidden], layout=widgets.Layout(flex="1 1 0", min_width="0")
        )
        return widgets.HBox([left, right])

    @property
    def code(self) -> str:
        """The line that draws the same."""
        return self.bench.spelled + self.bench.state.plotted

    def show(self) -> None:
        """Draw, or say why not."""
        if self._drawn == self.code:  # what is picked has changed, or another tab was open
            self.mark()
            return
        self._drawn, self.picture.busy = "", True
        try:
            self._sync()
            self._draw()
            self._drawn = self.code
            self.refuse("")
        except PerfkitError as error:
            # The picture of an earlier choice beside the words of this one would be taken for it.
            self.picture.clear()
            self.refuse(str(error).partition(" (known: ")[0])
        finally:
            self.picture.busy = False

    def forget(self) -> None:
        """Draw again when shown next, whatever the code."""
        self._drawn = ""

    def _draw(self) -> None:
        state, columns = self.bench.state, self.bench.columns
        metric, options = state.drawn
        ax = Plots(columns)(state.chart, metric, **options)
        x = options.get("x", "prompt_tokens")
        rows = self._rows(metric, x)
        found = targets(state.chart, rows, metric, state.by, x)
        names = {new: old for old, new in state.renamed}
        entries = {begin: names.get(label, label) for begin, label in legend_names(rows, state.by).items()}
        self.picture.draw(ax, found, entries, f"{state.chart} of {state.metric}")
        self.mark()

    def _rows(self, metric: str | None, x: str) -> pd.DataFrame:
        """Return what tells where requests stand on the chart: their runs in the order of their colours, and values."""
        state, columns = self.bench.state, self.bench.columns
        is_single = metric is not None and metric not in RATES and not (metric in METRICS and METRICS[metric].pooled)
        names = ["run", "phase", "success", "error_kind", *([metric] if metric and is_single else [])]
        names += [x] if state.chart == "scatter" else ["t"]
        names += [state.by] if CHARTS[state.chart].needs == "requests" else []
        rows = columns.column(*dict.fromkeys(names))
        return rows.assign(run=rows["run"].astype(pd.CategoricalDtype(list(columns.palette))))

    def mark(self) -> None:
        """Ring what is picked."""
        index = self.bench.picked
        one = self.bench.request
        if one is not None:
            self.picture.mark(np.array([one]), self._describe(one))
        elif len(index):
            self.picture.mark(index, f"{len(index):,} requests picked: {self.bench.state.picked}")
        else:
            self.picture.mark(index, "nothing is picked" if self.bench.state.picked else "")

    def _sync(self) -> None:
        """Set the controls to the state."""
        state, bench = self.bench.state, self.bench
        self.controls["metric"].value = state.metric
        self.controls["metric"].disabled = CHARTS[state.chart].metric is None
        offer(self.controls["chart"], possible(bench.runs, state.metric), state.chart)
        offer(self.controls["by"], _groupings(CHARTS[state.chart], bench.groupings), state.by)
        more = _more(CHARTS[state.chart])
        self.controls["options"].layout.display = None if more else "none"
        self.controls["options"].placeholder = ", ".join(f"{name}={default!r}" for name, default in more.items())
        self.controls["options"].value = ", ".join(f"{name}={_spelt(value)}" for name, value in state.options)
        self.controls["where"].value, self.controls["warmup"].value = state.where, state.warmup
        ranged = state.within[0] if state.within else self.controls["ranged"].value
        self.controls["ranged"].value = ranged
        self._stops(ranged)

    def _stops(self, name: str) -> None:
        slider, state = self.controls["within"], self.bench.state
        stops = self.bench.stops(name)
        if tuple(slider.options) != tuple(stops):
            slider.options = stops
        low, high = state.within[1:] if state.within else (0.0, math.inf)
        slider.value = (low, high) if {low, high} <= {value for _, value in stops} else (0.0, math.inf)

    def _metric(self, metric: str) -> dict[str, Any]:
        charts = possible(self.bench.runs, metric)
        kept = self.bench.state.chart in charts
        return {"metric": metric, **({} if kept else _chart(charts[0]))}

    def _within(self, value: tuple[float, float]) -> dict[str, Any]:
        return {"within": None if value == (0.0, math.inf) else (self.controls["ranged"].value, *value)}

    def _describe(self, request: int) -> str:
        return self.bench.described(request)

    def _picked(self, what: str | int | None) -> None:
        if isinstance(what, int):
            self.bench.pick_request(what)
        else:
            self.bench.change(picked=what or "", request=None)

    def _hide(self, label: str) -> None:
        state = self.bench.state
        if len([each for each in (state.runs or self.bench.runs.labels) if each not in state.hidden]) > 1:
            self.bench.change(hidden=(*state.hidden, label))

    def show_hidden(self) -> None:
        """Offer a button for each run that the legend hides."""
        labels = self.bench.state.hidden
        if [button.tooltip for button in self.hidden.children] != [f"show {label}" for label in labels]:
            self.hidden.children = [self._button(label) for label in labels]

    def _button(self, label: str) -> Any:
        button = widgets.Button(
            description=f"show {label}", tooltip=f"show {label}", icon="eye", layout={"width": "auto"}
        )
        button.on_click(
            lambda _: self.bench.change(hidden=tuple(each for each in self.bench.state.hidden if each != label))
        )
        self.bench.watch(button)
        return button


def possible(runs: Runs, metric: str) -> list[str]:
    """Return the charts that can show a metric of these runs."""
    has_load = any(run.settings.get(name) is not None for run in runs.members for name in ("parallel", "rate"))
    return [name for name, chart in CHARTS.items() if (has_load or not chart.is_over_load) and chart.draws(metric)]


def _chart(name: str) -> dict[str, Any]:
    """Take a chart, with options of its own, and no grouping that it cannot make."""
    return {"chart": name, "options": (), **({"by": "run"} if CHARTS[name].needs == "chunks" else {})}


def _groupings(chart: Chart, names: list[str]) -> list[str]:
    """Return what a chart can group by: chunks know their run alone."""
    return names if chart.needs == "requests" else ["run"]


def _more(chart: Chart) -> dict[str, Any]:
    """Return what a chart can be told beside metric, grouping and axes."""
    parameters = inspect.signature(chart.draw).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in _OFFERED}


def _options(text: str) -> dict[str, Any]:
    """Read ``x="t", percentiles=[50, 99]`` as a call would be."""
    try:
        call = ast.parse(f"f({text})", mode="eval").body
        named = {each.arg or "": ast.literal_eval(each.value) for each in getattr(call, "keywords", ())}
    except (SyntaxError, ValueError):
        raise UsageError(f"options are written as in code, such as percentiles=[50, 99]; got {text!r}") from None
    return {
        "options": tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in named.items())
    }


def _spelt(value: Any) -> str:
    return repr(list(value)) if isinstance(value, tuple) else repr(value)


def stops(name: str, values: np.ndarray) -> list[tuple[str, float]]:
    """Return places for a slider from the smallest value to the largest, equally far apart as ratios."""
    shown = quantity(name)
    positive = values[np.isfinite(values) & (values > 0)]
    between = np.geomspace(positive.min(), positive.max(), STOPS) if positive.size else positive
    rounded = dict.fromkeys(float(f"{stop:.3g}") for stop in between)
    named = ((f"{number(stop * shown.factor)} {shown.unit}", stop) for stop in rounded)
    return [("least", 0.0), *named, ("most", math.inf)]


def groupings(runs: Runs) -> list[str]:
    """Return what requests can be grouped by: names of a few values, and counts, which charts cut into quarters."""
    tags = [name for run in runs.members for name in run.tags]
    of_runs = [
        name
        for name in dict.fromkeys([*SETTINGS, *tags])
        if len({str(run.settings.get(name)) for run in runs.members}) > 1
    ]
    counts = [name for name, column in COLUMNS.items() if column.type == "INTEGER" and name not in _SINGLE]
    texts = [name for name in NARROW_COLUMNS if name not in (*_SINGLE, *COLUMNS)]
    names = [name for name in (*texts, *counts) if name not in of_runs]
    # Of each run the first 20,000 rows: what has one value there is not worth a choice.
    parts = [part for run in runs for part in islice(run.batches(*names), 1)]
    distinct = pd.concat(parts).nunique(dropna=False) if parts else pd.Series(dtype=int)
    of_requests = [str(name) for name, n in distinct.items() if n > 1 and (n <= DISTINCT or name in counts)]
    return ["run", *of_runs, *of_requests]
