"""Charts made in a notebook's cell that nobody has seen yet: shown when the cell ends, as pyplot shows its figures."""

import sys
import threading
from typing import Any

_unshown: list[Any] = []
_watched: list[Any] = []
"""The shells whose cells are watched: one, unless a program makes another."""


def show_at_end(chart: Any) -> None:
    """Have a chart shown when the cell that made it ends, unless its picture is taken before; elsewhere do nothing."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    # On other threads run the callbacks of widgets, which show their pictures themselves.
    if not hasattr(shell, "kernel") or threading.current_thread() is not threading.main_thread():
        return
    if shell not in _watched:
        _watched.append(shell)
        shell.events.register("pre_run_cell", lambda *_: _unshown.clear())
        shell.events.register("post_execute", _show_all)
    _unshown.append(chart)


def show_earlier(chart: Any) -> None:
    """Show the charts that were made before one that is about to be shown: pictures keep the order of the code."""
    if chart in _unshown:
        while _unshown[0] is not chart:
            _show_first()


def forget(chart: Any) -> None:
    """Take a chart as seen."""
    if chart in _unshown:
        _unshown.remove(chart)


def _show_all() -> None:
    while _unshown:
        _show_first()


def _show_first() -> None:
    from IPython.display import display

    display(_unshown.pop(0))  # type: ignore[no-untyped-call]
