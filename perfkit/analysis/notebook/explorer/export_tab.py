"""The chart and its numbers as files."""

import base64
import mimetypes
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from perfkit.analysis.notebook.explorer.state import call, untupled
from perfkit.analysis.notebook.explorer.tab import Tab, narrow
from perfkit.analysis.plots import CHARTS
from perfkit.analysis.report.export import FORMATS
from perfkit.errors import PerfkitError

WIDTHS = [
    ("as the size has it", ""),
    ("89 mm: one column", "89mm"),
    ("183 mm: two columns", "183mm"),
    ("slide: 254 mm", "254mm"),
]
DOWNLOADED = 8 << 20
"""Bytes of a file that is offered as a download."""


class ExportTab(Tab):
    """Format, width, greys and folder; writes, and offers what was written."""

    name = "export"

    def build(self) -> Any:
        """Make the controls, the button and the list of files."""
        self.control(
            "folder", widgets.Text(description="folder", continuous_update=False, layout=narrow()), self._with("folder")
        )
        self.control(
            "size",
            widgets.Dropdown(options=["notebook", "paper"], description="size", layout=narrow()),
            self._with("size"),
        )
        self.control(
            "width", widgets.Dropdown(options=WIDTHS, description="width", layout=narrow()), self._with("width")
        )
        self.control("grey", widgets.Checkbox(description="in greys", layout=narrow()), self._with("grey"))
        formats = widgets.SelectMultiple(
            options=FORMATS, value=("png", "csv"), rows=len(FORMATS), description="formats", layout=narrow()
        )
        self.control("formats", formats, self._with("formats"))
        button = widgets.Button(description="write", icon="save", button_style="primary")
        button.on_click(lambda _: self.write())
        self.written = widgets.HTML()
        return widgets.VBox([*self.controls.values(), button, self.trouble, self.written])

    def _with(self, name: str) -> Any:
        return lambda value: {"export": tuple({**self.given, name: value}.items())}

    @property
    def given(self) -> dict[str, Any]:
        """What is asked for, with what is usual."""
        return {
            "folder": "charts/",
            "size": "notebook",
            "width": "",
            "grey": False,
            "formats": ("png", "csv"),
            **dict(self.bench.state.export),
        }

    @property
    def _call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        state = self.bench.state
        chart = state.chart if CHARTS[state.chart].metric is None else f"{state.chart}:{state.metric}"
        usual = {"size": "notebook", "width": "", "grey": False}
        named = {
            name: untupled(value) for name, value in self.given.items() if name != "folder" and value != usual.get(name)
        }
        by = {} if state.by == "run" else {"by": state.by}
        return (self.given["folder"], [chart]), {**named, **by}

    @property
    def code(self) -> str:
        """The line that writes the same files."""
        given, named = self._call
        return f"{self.bench.spelled}.export({call(given, named)})"

    def show(self) -> None:
        """Set the controls."""
        for name, control in self.controls.items():
            value = self.given[name]
            control.value = value if name != "width" or value in [width for _, width in WIDTHS] else ""

    def write(self) -> None:
        """Write the files, and name them."""
        given, named = self._call
        try:
            files = self.bench.chosen.export(*given, **named)
        except (PerfkitError, OSError) as error:
            self.refuse(str(error))
            return
        self.refuse("")
        self.written.value = "written:<ul>" + "".join(f"<li>{_link(path)}</li>" for path in files) + "</ul>"


def _link(path: Path) -> str:
    """Return a file's name, as a download where it is small."""
    shown = escape(str(path))
    content = path.read_bytes()
    if len(content) > DOWNLOADED:
        return shown
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    address = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return f'<a download="{escape(path.name)}" href="{address}">{shown}</a> ({len(content) / 1024:,.0f} KiB)'
