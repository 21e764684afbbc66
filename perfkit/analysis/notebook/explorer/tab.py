"""What every tab of the explorer is, and the bench that they share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from perfkit.errors import PerfkitError

if TYPE_CHECKING:
    from perfkit.analysis.notebook.explorer.workbench import Bench


def narrow() -> Any:
    """Return the layout of a control beside the picture."""
    return widgets.Layout(width="290px")


class Tab(ABC):
    """One tab: its controls, what they show, and the code that shows the same.

    Parameters
    ----------
    bench : Bench
        What is looked at, by all tabs.
    """

    name = ""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.trouble = widgets.HTML()
        self.controls: dict[str, Any] = {}
        self.widget = self.build()

    @abstractmethod
    def build(self) -> Any:
        """Make the widgets."""

    @abstractmethod
    def show(self) -> None:
        """Show what the bench looks at."""

    @property
    @abstractmethod
    def code(self) -> str:
        """The code of what is shown."""

    def refuse(self, reason: str) -> None:
        """Say why nothing is shown."""
        self.trouble.value = sentence(reason, "#b2182b") if reason else ""

    def control(self, name: str, made: Any, change: Callable[[Any], dict[str, Any]] | None = None) -> Any:
        """Have a control change the state: the field of its name, or what ``change`` makes of its value."""

        def changed(event: dict[str, Any]) -> None:
            if self.bench.is_showing:
                return
            try:
                self.bench.change(**(change(event["new"]) if change else {name: event["new"]}))
            except PerfkitError as error:
                self.refuse(str(error))

        made.observe(changed, "value")
        self.controls[name] = made
        return made


def sentence(text: str, colour: str = "inherit") -> str:
    """Return a text as HTML, everything in it escaped."""
    return f'<span style="color:{colour};line-height:1.4;white-space:normal">{escape(text)}</span>'


def offer(dropdown: Any, options: Sequence[Any], value: Any) -> None:
    """Set what a dropdown offers, and what it shows of it."""
    if tuple(dropdown.options) != tuple(options):
        dropdown.options = options
    values = [each[1] if isinstance(each, tuple) else each for each in options]
    dropdown.value = value if value in values else (values[0] if values else None)


@contextmanager
def showing(bench: Any) -> Iterator[None]:
    """Set controls without taking that for a person's doing."""
    before, bench.showing = bench.showing, threading.get_ident()
    try:
        yield
    finally:
        bench.showing = before
