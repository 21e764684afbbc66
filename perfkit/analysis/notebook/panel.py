"""What is shown of a job under way, as a widget."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.display import display

from perfkit.analysis.notebook.figures import html
from perfkit.errors import PerfkitError
from perfkit.printable import plain

if TYPE_CHECKING:
    from perfkit.analysis.notebook.live import Chart
    from perfkit.analysis.results.so_far import Figures

MORE = 60.0
"""Seconds that a press on the button extends a load by."""


class Panel:
    """A bar, buttons, a sentence, figures and a chart, shown at once.

    Parameters
    ----------
    stop : callable
        What the stop button calls, on a thread of its own.
    extend : callable
        What the button for more time calls with the seconds, on a thread of its own.
    """

    def __init__(self, stop: Callable[[], Any], extend: Callable[[float], Any]) -> None:
        self.bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="160px"))
        self.text = widgets.Label()
        self.said = widgets.Label()
        self.figures = widgets.HTML()
        self.chart = widgets.Image(format="png", layout=widgets.Layout(display="none", max_width="640px"))
        self.button = widgets.Button(description="stop", layout=widgets.Layout(width="60px"))
        self.more = widgets.Button(
            description=f"+ {MORE:g} s",
            tooltip="let the load go on for longer, if it was given a duration",
            layout=widgets.Layout(width="80px"),
        )
        self.button.on_click(lambda _: self._press(self.button, stop))
        self.more.on_click(lambda _: self._press(self.more, lambda: extend(MORE)))
        head = widgets.HBox([self.bar, self.button, self.more, self.text])
        display(widgets.VBox([head, self.said, self.figures, self.chart]))  # type: ignore[no-untyped-call]
        self._say("")

    def _press(self, button: widgets.Button, order: Callable[[], Any]) -> None:
        button.disabled = True
        # The worker hears of it within a second, and stopping waits for its last rows; the kernel should not.
        threading.Thread(target=self._carry_out, args=(button, order), name="perfkit-order", daemon=True).start()

    def _carry_out(self, button: widgets.Button, order: Callable[[], Any]) -> None:
        self._say("")
        try:
            order()
        except (PerfkitError, TimeoutError) as error:
            self._say(str(error))
        button.disabled = button is self.button

    def _say(self, sentence: str) -> None:
        self.said.value = plain(sentence)
        self.said.layout.display = None if sentence else "none"

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Move the bar and change the sentence."""
        self.bar.value = 0.0 if math.isnan(share) else share
        self.text.value = text
        self.bar.bar_style = "" if not over else "info" if "stopped" in text else "success"
        if over:
            self.blocked()

    def look(self, figures: "Figures", verdict: Sequence[str]) -> None:
        """Change the figures."""
        self.figures.value = html(figures, verdict)

    def draw(self, chart: "Chart") -> None:
        """Change the chart."""
        from perfkit.analysis.plots.canvas import render

        self.chart.value = render(chart.plot(), "png", dpi=100)
        self.chart.layout.display = None

    def blocked(self) -> None:
        """Take the buttons away."""
        self.button.layout.display = self.more.layout.display = "none"
