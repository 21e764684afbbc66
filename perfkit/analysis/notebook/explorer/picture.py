"""The chart in the browser: a picture that matplotlib drew, which answers to the mouse and the keyboard."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import anywidget
import numpy as np
import traitlets
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.analysis.notebook.explorer.busy import LOCK
from perfkit.analysis.notebook.explorer.click_targets import NOTHING, Targets
from perfkit.analysis.plots import render
from perfkit.analysis.plots.canvas import figure_of
from perfkit.analysis.plots.groups import groups

_HERE = Path(__file__).parent
DPI = 200
"""Of a chart that a cell shows: the pasted code gives the same picture."""
RINGED = 500
"""Requests that are ringed at most."""


class Picture(anywidget.AnyWidget):
    """A chart whose requests can be pointed at, clicked and dragged over.

    Parameters
    ----------
    describe : callable
        Returns what is said of a request, given its number.
    picked : callable
        Takes the filter that a drag stands for, or the number of the request that was clicked.
    hidden : callable
        Takes the name of the legend's entry that was clicked.
    """

    _esm = (_HERE / "picture.js").read_text(encoding="utf-8")
    _css = (_HERE / "picture.css").read_text(encoding="utf-8")
    png, targets = traitlets.Bytes().tag(sync=True), traitlets.Bytes().tag(sync=True)
    legend: Any = traitlets.List().tag(sync=True)
    marks: Any = traitlets.List().tag(sync=True)
    size = traitlets.List([1440, 840]).tag(sync=True)
    said, description = traitlets.Unicode().tag(sync=True), traitlets.Unicode().tag(sync=True)
    busy, version = traitlets.Bool(False).tag(sync=True), traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        describe: Callable[[int], str],
        picked: Callable[[str | int | None], None],
        hidden: Callable[[str], None],
    ) -> None:
        self._describe, self._picked, self._hidden = describe, picked, hidden
        self._places, self._requests = np.empty((0, 2)), np.empty(0, dtype=np.int64)
        self._thinned, self._order = np.empty(0, dtype=int), np.empty(0, dtype=int)
        self._found, self._to_data = NOTHING, cast("Callable[[float, float], Any] | None", None)
        self._edges = (0.0, 0.0)
        """Top and bottom of the chart, pixels from the top of the picture."""
        self._chosen: int | None = None
        super().__init__()
        self.on_msg(self._heard)

    def draw(self, ax: Axes, found: Targets, entries: dict[str, str], description: str) -> None:
        """Show a chart, with its requests and the entries of its legend that can be hidden, by what they begin with."""
        figure_of(ax).dpi = DPI  # so that what is asked of it afterwards is in pixels of the picture
        png = render(ax, "png", dpi=DPI, pil_kwargs={"compress_level": 3})
        width, height = (round(inches * DPI) for inches in figure_of(ax).get_size_inches())
        self._to_data = lambda x, y: ax.transData.inverted().transform((x, height - y))
        self._edges = (height - ax.bbox.y1, height - ax.bbox.y0)
        with LOCK, self.hold_sync():
            self._locate(ax, found, height)
            self.png, self.size, self.description = png, [width, height], description
            self.targets = self._places[self._thinned].astype("<u2").tobytes()
            self.legend = list(_entries(ax, entries, height))
            self.version += 1  # last: by this the browser knows that all of it is there

    def clear(self) -> None:
        """Show no picture."""
        with LOCK, self.hold_sync():
            self._places, self._requests, self._found = np.empty((0, 2)), np.empty(0, dtype=np.int64), NOTHING
            self._thinned = self._order = np.empty(0, dtype=int)
            self.png, self.targets, self.legend, self.marks, self.said = b"", b"", [], [], ""
            self.version += 1

    def mark(self, requests: "np.ndarray[Any, Any]", said: str) -> None:
        """Ring requests, and say something beneath."""
        with LOCK, self.hold_sync():
            at = np.flatnonzero(np.isin(self._requests, requests)) if len(requests) else np.empty(0, dtype=int)
            self._chosen = int(requests[-1]) if len(requests) else None
            self.marks = self._places[at][:RINGED].round(1).tolist()
            self.said = said

    def _locate(self, ax: Axes, found: Targets, height: int) -> None:
        self._found = found
        places = ax.transData.transform(np.column_stack([found.x, found.y])) if len(found.x) else np.empty((0, 2))
        box = np.asarray(ax.bbox.extents)
        with np.errstate(invalid="ignore"):
            inside = ((places >= box[:2] - 2) & (places <= box[2:] + 2)).all(axis=1)
        places[:, 1] = height - places[:, 1]
        self._places, self._requests = places[inside], found.requests[inside]
        self._order = np.argsort(self._places[:, 0], kind="stable")
        cells = self._places.astype(int) // 4  # one target in 2 x 2 pixels of the screen: nobody points at more
        self._thinned = np.unique(cells[:, 1] * 65_536 + cells[:, 0], return_index=True)[1]

    def _heard(self, _: object, message: dict[str, Any], __: object) -> None:
        with LOCK:
            kind = message["kind"]
            if kind in ("hover", "click"):
                self._pointed(kind, int(message["at"]))
            elif kind == "hide":
                self._hidden(str(message["name"]))
            elif kind == "clear":
                self._picked(None)
            elif kind == "drag":
                self._drag(*message["box"])
            elif kind == "step" and len(self._order):
                self._picked(self._next(int(message["step"])))

    def _pointed(self, kind: str, at: int) -> None:
        """Answer for the target that is pointed at; a click beside all of them lets go of what is picked."""
        known = 0 <= at < len(self._thinned)
        request = int(self._requests[self._thinned[at]]) if known else None
        if kind == "click":
            self._picked(request)
        elif request is not None:
            self.send({"kind": "hover", "at": at, "text": self._describe(request)})

    def _next(self, step: int) -> int:
        walk = self._requests[self._order]
        at = np.flatnonzero(walk == self._chosen)
        return int(walk[(at[0] + step) % len(walk)] if len(at) else walk[0])

    def _drag(self, left: float, top: float, right: float, bottom: float) -> None:
        if self._to_data is None or (self._found.across is None and self._found.up is None):
            return
        if bottom < self._edges[0] or top > self._edges[1]:  # a panel beneath the chart shows something else
            return
        low, high = self._to_data(left, bottom), self._to_data(right, top)
        self._picked(self._found.condition(tuple(low), tuple(high)))

    def still(self) -> str:
        """Return the picture as text, for a page that has no widgets."""
        return base64.b64encode(self.png).decode()


def _entries(ax: Axes, entries: dict[str, str], height: int) -> list[dict[str, Any]]:
    """Return the boxes of a legend's entries, in pixels from the top left, with what a click on each hides."""
    legend = ax.get_legend()
    if legend is None or len(entries) < 2:
        return []
    found = []
    for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=False):
        said = text.get_text()
        names = [
            name for begin, name in entries.items() if said == begin or said.startswith((f"{begin} (", f"{begin} p"))
        ]
        if not names or handle is None:
            continue
        boxes = [text.get_window_extent(), handle.get_window_extent()]
        x0, y0 = (min(float(getattr(box, side)) for box in boxes) for side in ("x0", "y0"))
        x1, y1 = (max(float(getattr(box, side)) for box in boxes) for side in ("x1", "y1"))
        found.append({"name": names[0], "box": [x0 - 4, height - y1 - 4, x1 + 4, height - y0 + 4]})
    return found


def legend_names(rows: DataFrame, by: str | None) -> dict[str, str]:
    """Return what the entries of a legend begin with, and the run that each is."""
    if by != "run" or "run" not in rows:
        return {}
    return {group.name: group.key for group in groups(rows, by)}
