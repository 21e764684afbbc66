"""The live line of a job as a widget."""

import math
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.display import display


class Bar:
    """A bar, a sentence and a stop button, shown at once.

    Parameters
    ----------
    stop : callable
        What the button calls, on a thread of its own.
    """

    def __init__(self, stop: Callable[[], Any]) -> None:
        self.bar = widgets.FloatProgress(min=0, max=1, layout=widgets.Layout(width="160px"))
        self.text = widgets.Label()
        self.button = widgets.Button(description="stop", layout=widgets.Layout(width="60px"))
        self.button.on_click(lambda _: self._press(stop))
        display(widgets.HBox([self.bar, self.button, self.text]))  # type: ignore[no-untyped-call]

    def _press(self, stop: Callable[[], Any]) -> None:
        self.button.disabled = True
        # Stopping waits for the worker's last rows; the kernel should not.
        threading.Thread(target=stop, name="perfkit-stop", daemon=True).start()

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Move the bar and change the sentence."""
        self.bar.value = 0.0 if math.isnan(share) else share
        self.text.value = text
        self.bar.bar_style = "" if not over else "info" if "stopped" in text else "success"
        if over:
            self.blocked()

    def blocked(self) -> None:
        """Take the button away."""
        self.button.layout.display = "none"
