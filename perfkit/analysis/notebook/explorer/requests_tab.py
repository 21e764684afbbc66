"""The requests: a table of what is picked, and the text, the chunks and the neighbours of one of them."""

import json
from html import escape
from typing import Any

import ipywidgets as widgets
import pandas as pd

from perfkit.analysis.metrics import METRICS
from perfkit.analysis.notebook.explorer.grid import Column, Grid
from perfkit.analysis.notebook.explorer.state import as_code, one_request
from perfkit.analysis.notebook.explorer.tab import Tab
from perfkit.analysis.plots import render
from perfkit.analysis.text_table import Cell, as_html, label, number, plain
from perfkit.errors import PerfkitError
from perfkit.runfile.record import as_object

SHOWN = ("run", "seq", "phase", "t", "ttft", "tpot", "e2e", "prompt_tokens", "completion_tokens", "finish_reason",
         "status_code", "error_kind")  # fmt: skip
LONGEST = 20_000
"""Characters of a text that are shown."""
NEIGHBOURS = 12
_TOKENS = {"prompt_tokens": "in", "completion_tokens": "out"}


class RequestsTab(Tab):
    """Picked requests, or all; one is shown whole."""

    name = "requests"

    def build(self) -> Any:
        """Make the table, the question why, and the place of one request."""
        self.grid = Grid(lambda labels: self.bench.pick_request(labels[0]))
        self.control(
            "question", widgets.Text(description="why slow", placeholder="ttft > p95", continuous_update=False)
        )
        clear = widgets.Button(description="all requests", icon="times", layout={"width": "auto"},
                               tooltip="drop what is picked")  # fmt: skip
        clear.on_click(lambda _: self.bench.change(picked="", request=None, question=""))
        self.head, self.answer, self.detail = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.answer.add_class("perfkit-html")
        self.detail.add_class("perfkit-html")
        self.raster = widgets.Image(format="png", layout={"max_width": "720px", "display": "none"})
        return widgets.VBox([
            widgets.HBox([clear, self.controls["question"]]), self.trouble, self.head, self.answer, self.grid,
            self.detail, self.raster,
        ])  # fmt: skip

    @property
    def code(self) -> str:
        """The line that gives the request, the answer to the question, or the requests of the table."""
        state, spelled = self.bench.state, self.bench.spelled
        if state.request:
            return f"{spelled}.where({as_code(one_request(*state.request))}).decoded()"
        picked = f".where({as_code(state.picked)})" if state.picked else ""
        if state.question:
            return f"{spelled}{picked}.why_slow({as_code(state.question)})"
        return f"{spelled}{picked}.column({', '.join(map(as_code, SHOWN))})"

    def show(self) -> None:
        """Fill the table and show the chosen request."""
        state = self.bench.state
        self.controls["question"].value = state.question
        index = self.bench.picked
        frame = self.bench.kept(
            ("requests", state.picked, self.bench.spelled),
            lambda: (
                self.bench.columns.column(*SHOWN) if not state.picked else self.bench.columns.column(*SHOWN).loc[index]
            ),
        )
        self.head.value = f"<b>{len(frame):,}</b> requests" + (
            f" with <code>{escape(state.picked)}</code>" if state.picked else ""
        )
        one = self.bench.request
        self.grid.fill(frame, _columns(), [one] if one is not None else [])
        self.refuse("" if one is not None or not state.request else "the request that was shown is not looked at now")
        self._question()
        self._one(one)

    def _question(self) -> None:
        state = self.bench.state
        self.answer.value = ""
        if state.question:
            runs = self.bench.chosen.where(state.picked) if state.picked else self.bench.chosen
            self.answer.value = runs.why_slow(state.question)._repr_html_()

    def _one(self, request: int | None) -> None:
        self.raster.layout.display = "none"
        self.detail.value = ""
        if request is None:
            return
        only = self.bench.chosen.where(pd.Series(True, index=[request]))
        row = only.decoded().iloc[0] if len(only.column("seq")) else None
        if row is None:
            return
        self.detail.value = _page(row, only, self._beside(request))
        if not only.chunks.empty:
            try:
                self.raster.value = render(only.plot.raster(), "png", dpi=100)
                self.raster.layout.display = None
            except PerfkitError:
                self.raster.layout.display = "none"

    def _beside(self, request: int) -> str:
        """Return the requests of the same run that were in flight when this one was sent."""
        times = self.bench.columns.column("run", "seq", "start_time", "completed_time", "ttft", "e2e", "prompt_tokens")
        own = times.loc[request]
        there = times[
            (times["run"] == own["run"])
            & (times["start_time"] <= own["completed_time"])
            & ((times["completed_time"] >= own["start_time"]) | times["completed_time"].isna())
            & (times.index != request)
        ]
        then = int((there["start_time"] <= own["start_time"]).sum())
        near = there.loc[(there["start_time"] - own["start_time"]).abs().sort_values(kind="stable").index[:NEIGHBOURS]]
        rows = [
            [
                Cell(number(int(each["seq"])) if pd.notna(each["seq"]) else ""),
                Cell(f"{(each['start_time'] - own['start_time']) * 1e3:+,.0f}"),
                *(Cell(number(float(each[name]) * 1e3)) for name in ("ttft", "e2e")),
                Cell(_count(each["prompt_tokens"])),
            ]
            for _, each in near.sort_values("start_time").iterrows()
        ]
        said = f"<b>in flight when it was sent: {then:,}</b>; met before its end: {len(there):,}"
        head = ["seq", "sent [ms after it]", "ttft [ms]", "e2e [ms]", "prompt tokens"]
        return f"<p>{said}</p>{as_html(head, rows) if rows else ''}"


def _count(value: Any) -> str:
    return number(int(value)) if pd.notna(value) else ""


def _columns() -> dict[str, Column]:
    """Return the columns of the table, durations in milliseconds."""
    scaled = {
        name: Column(f"{name} [{METRICS[name].display_unit}]", METRICS[name].scale())
        for name in ("ttft", "tpot", "e2e")
    }
    heads = {
        "t": "t [s]",
        "prompt_tokens": "prompt",
        "completion_tokens": "output",
        "finish_reason": "finish",
        "status_code": "status",
        "error_kind": "error",
    }
    return {name: scaled.get(name, Column(heads.get(name, name))) for name in SHOWN}


def _page(row: pd.Series, only: Any, beside: str) -> str:
    """Return one request as HTML, everything in it escaped."""
    more = only.column("response_headers", "error").iloc[0]
    numbers = [
        f"{name} {number(float(row[name]) * METRICS[name].scale())} {METRICS[name].display_unit}"
        for name in ("ttft", "tpot", "e2e")
        if name in row and pd.notna(row[name])
    ]
    numbers += [f"{_count(row[name])} tokens {way}" for name, way in _TOKENS.items() if pd.notna(row.get(name))]
    head = f"{escape(plain(row['run']))} #{escape(str(row['seq']))}: {', '.join(numbers)}"
    parts = [f"<h4 style='margin:.6em 0 .2em'>{head}</h4>"]
    parts += _block("refused", row["refused"]) + _block("error", more["error"])
    parts += _block("prompt", row["prompt"]) + _block("answer", row["output_text"])
    headers = as_object(more["response_headers"]) if isinstance(more["response_headers"], str) else {}
    if headers:
        parts.append(as_html(["header", "value"], [[label(name), label(value)] for name, value in headers.items()]))
    body = json.dumps(row["request"], ensure_ascii=False, indent=1, default=str) if row["request"] is not None else None
    parts += [beside, *_block("request body", body, folded=True)]
    return "".join(parts)


def _block(title: str, text: object, *, folded: bool = False) -> list[str]:
    if not isinstance(text, str) or not text:
        return []
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"
    safe = escape("\n".join(plain(line) for line in cut.splitlines()))
    inner = f'<div class="perfkit-text">{safe}</div>'
    return [f"<details{'' if folded else ' open'}><summary><b>{title}</b></summary>{inner}</details>"]
