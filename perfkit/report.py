"""A report: one HTML file with everything in it, which asks nothing of the network and runs no script."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from perfkit.errors import UsageError
from perfkit.export import CHARTS, has_values
from perfkit.metrics import METRICS, RATES
from perfkit.plots.accessor import Drawable, as_object, rows_for
from perfkit.plots.canvas import Style, render, styled
from perfkit.plots.catalogue import Chart, split
from perfkit.records import Json
from perfkit.tables import plain

_TIMES = ("start_time", "end_time")
_HIDDEN = ("run", "name", "path", "reasons", "verdict", "basis", "plan", "heartbeat", "pid", "pid_time", "clock_offset")
_JSON = ("arguments", "versions", "host", "git")


class Shown(Protocol):
    """A table that shows itself in a notebook, with everything in it escaped."""

    def _repr_html_(self) -> str: ...


class Reportable(Drawable, Protocol):
    """What a report asks of runs."""

    @property
    def labels(self) -> list[str]:
        """What the runs are called."""

    def summary(self) -> Shown:
        """Return what was measured, as tables."""

    def failures(self) -> pd.DataFrame:
        """Return what went wrong, counted."""


@dataclass(frozen=True)
class Picture:
    """One chart of a report, with the line of code that draws it."""

    svg: Markup
    caption: str
    spelling: str


def report(
    runs: Reportable,
    path: str | Path = "report.html",
    *,
    title: str | None = None,
    charts: Iterable[str] | None = None,
    by: str | None = None,
) -> Path:
    """Write a report.

    Parameters
    ----------
    runs : Runs
        What it is about.
    path : str or Path
        The file, whose name ends in .html or .htm; replaced if it is there.
    title : str, optional
        Default: the names of the runs.
    charts : iterable of str, optional
        As for ``export``.
    by : str, optional
        What the charts tell apart: a column, setting or tag; default: each chart's own.

    Returns
    -------
    Path
        The file written: summary, verdicts, charts, failures, definitions, and where each run comes from. It opens
        without a network, and prints.

    Raises
    ------
    UsageError
        A chart, metric or column is not known, or the name ends otherwise.

    Examples
    --------
    >>> runs.report("report.html", title="Two or four GPUs?")  # doctest: +SKIP
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report is HTML, and its name ends in .html or .htm: got {str(path)!r}")
    asked = [split(name) for name in (CHARTS if charts is None else charts)]
    chosen = [(chart, metric) for chart, metric in asked if charts is not None or has_values(runs, chart, metric)]
    page = _template().render(
        title=plain(title or f"Benchmark of {', '.join(runs.labels)}"),
        doubts=list(_doubts(runs)),
        summary=Markup(runs.summary()._repr_html_()),  # it escapes what it holds
        pictures=[_picture(runs, chart, metric, by) for chart, metric in chosen],
        failures=[{str(name): _shown(cell) for name, cell in row.items()} for row in _records(runs.failures())],
        definitions=list(_definitions()),
        runs=[plain(label) for label in runs.labels],
        provenance=list(_provenance(runs.table)),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("perfkit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")


def _doubts(runs: Drawable) -> Iterator[tuple[str, str, list[str]]]:
    for label, verdict in runs.verdicts.items():
        if verdict and verdict.level != "VALID":
            yield plain(label), verdict.level, verdict.reasons


def _picture(runs: Drawable, chart: Chart, metric: str | None, by: str | None) -> Picture:
    with styled(Style()):
        svg = render(
            chart.draw(rows_for(runs, chart, metric, by), metric, **({"by": by} if by else {})), "svg"
        ).decode()
    given = ", ".join([*([json.dumps(metric)] if metric else []), *([f"by={json.dumps(by)}"] if by else [])])
    # Matplotlib escapes the names in it; the XML head has no place inside HTML.
    return Picture(Markup(svg[svg.index("<svg") :]), chart.sentence, f"runs.plot.{chart.name}({given})")


def _definitions() -> Iterator[tuple[str, str]]:
    for entry in METRICS.values():
        yield entry.label, _first_line(entry.definition)
    for rate in RATES.values():
        yield rate.label, _first_line(rate.definition)


def _first_line(docstring: str) -> str:
    return docstring.splitlines()[0].replace("``", "")


def _provenance(table: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Yield what is known of the runs, a fact at a time: settings, software, machine and dates, one value a run."""
    records = [{name: value for name, value in record.items() if name not in _HIDDEN} for record in _records(table)]
    runs = [dict(fact for name, value in record.items() for fact in _facts(str(name), value)) for record in records]
    for name in dict.fromkeys(name for run in runs for name in run):
        yield name, [run.get(name, "") for run in runs]


def _facts(name: str, value: Json) -> Iterator[tuple[str, str]]:
    if name in _JSON:
        for key, inner in as_object(value).items():
            # By this, attach finds a process again; nobody reads it, and it is as wide as the page.
            if key != "processes" and inner not in (None, "", [], {}):
                yield f"{name}: {key}", _shown(inner)
    elif value is not None and value == value:
        yield name, f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S} UTC" if name in _TIMES else _shown(value)


def _records(frame: pd.DataFrame) -> list[dict[str, Json]]:
    return frame.reset_index(drop="run" in frame).to_dict("records")  # type: ignore[return-value]


def _shown(value: Json) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return plain(value if isinstance(value, str) else json.dumps(value, default=str))
