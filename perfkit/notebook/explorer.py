"""The explorer: runs, metric, chart and filters by hand, and the line of code that does the same."""

import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
from matplotlib.axes import Axes

from perfkit.columns import SETTINGS
from perfkit.errors import PerfkitError, UsageError
from perfkit.metrics import METRICS, RATES
from perfkit.opening import Places, flattened
from perfkit.plots import CHARTS, render
from perfkit.plots.groups import DISTINCT
from perfkit.plots.quantity import COLUMNS
from perfkit.plots.text import shortened
from perfkit.runs import Runs
from perfkit.runs import open as open_runs
from perfkit.store.schema import NARROW

ANY = (0.0, math.inf)
_SINGLE = ("run_id", "seq", "success", "request_id")
STOPS = 60
"""Places where the latency slider can stand."""
_WIDE = widgets.Layout(width="300px")


@dataclass(frozen=True)
class Selection:
    """What is looked at.

    Parameters
    ----------
    runs : tuple of str
        Labels; empty: all.
    where : str
        A filter; empty: none.
    within : tuple of two floats, seconds
        Lowest and highest end-to-end latency; 0 and infinity: failed requests are looked at too.
    metric, chart, by : str
        What is drawn, how, and one line per what.
    """

    runs: tuple[str, ...] = ()
    where: str = ""
    within: tuple[float, float] = ANY
    metric: str = "ttft"
    chart: str = "ecdf"
    by: str = "run"

    @property
    def condition(self) -> str:
        """Both filters as one."""
        own = self.where.strip()
        if self.within == ANY:
            return own
        low, high = self.within
        least = f"{low * 1e3:.6g}ms <= " if low > 0 else ""
        most = f" <= {high * 1e3:.6g}ms" if high < math.inf else ""
        return f"({own}) and {least}e2e{most}" if own else f"{least}e2e{most}"

    def spelling(self, source: str = "runs") -> str:
        """Return the line of code that draws the same.

        Examples
        --------
        >>> Selection(runs=("tp2",), where="turn = 1", within=(0.1, 2.5), by="gpu").spelling()
        'runs.pick("tp2").where("(turn = 1) and 100ms <= e2e <= 2500ms").plot.ecdf("ttft", by="gpu")'
        """
        pick = f".pick({', '.join(map(_quoted, self.runs))})" if self.runs else ""
        where = f".where({_quoted(self.condition)})" if self.condition else ""
        metric = [] if CHARTS[self.chart].metric is None else [_quoted(self.metric)]
        by = [] if self.by == "run" else [f"by={_quoted(self.by)}"]
        return f"{source}{pick}{where}.plot.{self.chart}({', '.join([*metric, *by])})"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def draw(selection: Selection, runs: Runs) -> Axes:
    """Draw what is selected, as its spelling would.

    Raises
    ------
    UsageError
        The filter cannot be read, leaves nothing, or the chart cannot show the metric.
    """
    chosen = runs.pick(*selection.runs) if selection.runs else runs
    chosen = chosen.where(selection.condition) if selection.condition else chosen
    if chosen.column("run").empty:
        raise UsageError("no request is left: widen the filter")
    metric = None if CHARTS[selection.chart].metric is None else selection.metric
    by = {} if selection.by == "run" else {"by": selection.by}
    return chosen.plot(selection.chart, metric, **by)


class Explorer(widgets.VBox):  # type: ignore[misc]
    """The panel. ``selection`` is what it shows; ``runs`` what it was opened on.

    Parameters
    ----------
    runs : Runs
        What can be looked at.
    source : str
        What the runs are called in the line of code.
    """

    def __init__(self, runs: Runs, source: str = "runs") -> None:
        self.runs, self.source = runs, source
        self.selection = Selection(metric=_first_metric(runs))
        self._drawing = threading.Lock()
        self.controls = _controls(runs, self.selection)
        self.picture = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="720px"))
        self.line, self.trouble = widgets.HTML(), widgets.HTML()
        for name, control in self.controls.items():
            control.observe(self._observer(name), "value")
        # Without these a long sentence on the right squeezes the controls on the left.
        left = widgets.VBox(list(self.controls.values()), layout=widgets.Layout(flex="0 0 auto"))
        right = widgets.VBox([self.picture, self.trouble], layout=widgets.Layout(flex="1 1 0", min_width="0"))
        unread = "".join(f"<div>not opened: {escape(problem.reason)}</div>" for problem in runs.problems)
        self.unread = widgets.HTML(f"<small>{unread}</small>")
        super().__init__([widgets.HBox([left, right]), self.line, *([self.unread] if unread else [])])
        self._redraw()

    def _observer(self, name: str) -> Callable[[dict[str, Any]], None]:
        def replaced(change: dict[str, Any]) -> None:
            self.selection = replace(self.selection, **{name: self._selected(name, change["new"])})
            self._redraw()

        return replaced

    def _selected(self, name: str, value: Any) -> Any:
        if name == "runs":
            return () if len(value) in (0, len(self.runs)) else tuple(value)
        return value

    def _redraw(self) -> None:
        # Callbacks run on other threads than cells do, several at a time.
        with self._drawing:
            selection = self.selection
            self.line.value = f"<code>{escape(selection.spelling(self.source))}</code>"
            try:
                self.picture.value = render(draw(selection, self.runs), "png", dpi=200)
                self.picture.layout.display, self.trouble.value = None, ""
            except PerfkitError as error:
                # The picture of an earlier choice beside the words of this one would be taken for it.
                self.picture.layout.display = "none"
                self.trouble.value = f'<span style="color:#b2182b">{escape(_short(str(error)))}</span>'


def _short(sentence: str) -> str:
    """Leave out the list of all names that an error ends with."""
    return sentence.partition(" (known: ")[0]


def explore(source: Runs | Places) -> Explorer:
    """Look at runs by hand.

    Parameters
    ----------
    source : Runs, or path, folder, pattern, or several of these
        What ``pk.open`` takes, or what it returned.

    Returns
    -------
    Explorer
        A panel, shown when it ends a cell. Beneath it stand the line of code that draws the same, and which files could
        not be opened.

    Raises
    ------
    UsageError
        No file was found.

    Examples
    --------
    >>> explore("outputs/")  # doctest: +SKIP
    """
    if isinstance(source, Runs):
        return Explorer(source)
    places = list(flattened(source))
    return Explorer(open_runs(places), f"pk.open({', '.join(map(_quoted, places))})")


def _first_metric(runs: Runs) -> str:
    """Choose TTFT, or E2E where nothing was streamed."""
    return "ttft" if runs.column("ttft")["ttft"].notna().any() else "e2e"


def _controls(runs: Runs, selection: Selection) -> dict[str, Any]:
    """Make a control for each field of a selection, under the field's name."""
    labels = [(shortened(label), label) for label in runs.labels]
    metrics = [(f"{name}: {entry.label}", name) for name, entry in METRICS.items()]
    metrics += [(f"{name}: {entry.label}", name) for name, entry in RATES.items()]
    stops = _stops(runs.column("e2e")["e2e"].dropna().to_numpy())
    look = {"layout": _WIDE}
    return {
        "runs": widgets.SelectMultiple(
            options=labels, value=runs.labels, rows=min(10, max(2, len(runs))), description="runs", **look
        ),
        "metric": widgets.Dropdown(options=metrics, value=selection.metric, description="metric", **look),
        "chart": widgets.Dropdown(options=list(CHARTS), value=selection.chart, description="chart", **look),
        "by": widgets.Dropdown(options=_groupings(runs), value="run", description="by", **look),
        "where": widgets.Text(placeholder="prompt_tokens > 400", continuous_update=False, description="where", **look),
        "within": widgets.SelectionRangeSlider(
            options=stops, value=selection.within, continuous_update=False, description="e2e", **look
        ),
    }


def _stops(latencies: np.ndarray) -> list[tuple[str, float]]:
    """Return places for the slider from the smallest latency to the largest, equally far apart as ratios."""
    positive = latencies[latencies > 0]
    between = np.geomspace(positive.min(), positive.max(), STOPS) if positive.size else positive
    rounded = dict.fromkeys(float(f"{stop:.3g}") for stop in between)
    return [("least", 0.0), *((f"{1e3 * stop:,.4g} ms", stop) for stop in rounded), ("most", math.inf)]


def _groupings(runs: Runs) -> list[str]:
    """Return what requests can be grouped by: names of a few values, and counts, which charts cut into quarters."""
    counts = [name for name, column in COLUMNS.items() if column.type == "INTEGER" and name not in _SINGLE]
    texts = [name for name in NARROW if name not in (*_SINGLE, *COLUMNS)]
    tags = [name for run in runs.members for name in run.tags]
    distinct = runs.column(*dict.fromkeys([*SETTINGS, *tags, *texts, *counts])).nunique(dropna=False)
    return ["run", *(str(name) for name, n in distinct.items() if n > 1 and (n <= DISTINCT or name in counts))]
