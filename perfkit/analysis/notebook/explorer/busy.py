"""Widgets that answer while a cell runs, and never two at a time."""

import threading
from collections.abc import Iterator
from typing import Any

LOCK = threading.RLock()
"""One for all views: linked views with a lock each would wait for each other."""


def answer_while_busy(widget: Any) -> None:
    """Handle what a browser sends to a widget, and to all inside it, where the browser sent it to.

    ipykernel 7 has a thread for such messages, but hands them to the loop that last wrote to the widget: of a widget
    that a cell made, that is the loop of the cells, which is busy while one runs.
    """
    for each in _every(widget):
        if hasattr(each.comm, "_reply_subshell_for"):
            each.comm._reply_subshell_for = lambda data, default: default


def _every(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _every(child)
