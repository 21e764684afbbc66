"""A report for whoever decides: one file with everything in it, without scripts, that asks nothing of the network."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from matplotlib.axes import Axes

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.plots.accessor import Drawable
from perfkit.analysis.plots.canvas import Style, render, styled
from perfkit.analysis.plots.catalogue import Chart
from perfkit.analysis.report.export import chosen_charts
from perfkit.analysis.text_table import Cell, as_markdown, in_markdown, label, listed, number, plain
from perfkit.errors import UsageError
from perfkit.options.output import written
from perfkit.records import Json
from perfkit.runfile.record import as_object
from perfkit.validity.verdict import LEVELS, Verdict

Table = tuple[list[str], list[list[Cell]]]
FORMATS = {"html": (".html", ".htm"), "md": (".md", ".markdown")}
MARKS = {"html": "italic:", "md": "in brackets:"}
"""How numbers that rest on too little are shown."""
SIDES = 4
"""Sides that are compared without being asked for; of more, no reader keeps the sentences."""
RATIOS = 48
"""Ratios of a comparison that fit on a page."""
COLUMNS = 4
"""Settings that differ, in one table: more would be wider than a page."""
STYLE = Style(as_text=True)
_TIMES = ("start_time", "end_time")
_HIDDEN = ("run", "name", "path", "reasons", "verdict", "basis", "plan", "heartbeat", "pid", "pid_time", "clock_offset")
_JSON = ("arguments", "versions", "host", "git")


class Summed(Protocol):
    """What a report asks of a summary."""

    head: str
    frame: pd.DataFrame

    @property
    def failed(self) -> list[str]:
        """Why requests failed."""

    @property
    def noted(self) -> list[str]:
        """What else is to be said."""

    def marked(self, mark: str) -> list[str]:
        """Say what marked numbers rest on."""

    @property
    def tables(self) -> list[Table]:
        """A head and rows of cells each."""


class Compared(Protocol):
    """What a report asks of a comparison."""

    @property
    def conclusion(self) -> str:
        """What was found, a sentence a line."""

    def plot(self) -> Axes:
        """Draw it."""


class Reportable(Drawable, Protocol):
    """What a report asks of runs."""

    @property
    def labels(self) -> list[str]:
        """What the runs are called."""

    @property
    def plot(self) -> Any:
        """The charts."""

    def summary(self) -> Any:
        """Return what was measured, as tables."""

    def compare(self, baseline: str, *, by: str = "run") -> Any:
        """Compare groups of runs with a baseline, at equal load."""

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
    baseline: str | None = None,
    format: Literal["html", "md"] | None = None,
) -> Path:
    """Write a report.

    Parameters
    ----------
    runs : Runs
        What it is about.
    path : str or Path
        The file; replaced if it is there. Its name ends in .html or .htm, or in .md for Markdown.
    title : str, optional
        Default: the names of one run or two, or how many there are.
    charts : iterable of str, optional
        As for ``export``.
    by : str, optional
        What charts and comparison tell apart: a column, setting or tag; default: each chart's own, and names.
    baseline : str, optional
        The side that the others are compared with; default: the first of ``by``, or of the names that share loads.
    format : {"html", "md"}, optional
        Default: by the ending of the name. Markdown is for a pull request: it has no charts.

    Returns
    -------
    Path
        The file written: findings, warnings, charts, tables, failures, definitions, and where each run comes from. It
        opens without a network, and prints.

    Raises
    ------
    UsageError
        A chart, metric, column or baseline is not known, or the name ends otherwise.

    Examples
    --------
    >>> runs.report("report.html", title="Two or four GPUs?", by="gpu")  # doctest: +SKIP
    """
    kind = _kind(path, format)
    chosen = [] if kind == "md" else chosen_charts(runs, charts)
    summary, comparison = runs.summary(), _comparison(runs, by, baseline)
    same, different = _provenance(runs)
    pictures = []
    if comparison is not None and kind == "html" and len(comparison.table) <= RATIOS:
        pictures = [_ratios(comparison)]
    page = _template(kind).render(
        title=plain(title or _title(runs.labels)),
        findings=list(_findings(runs, summary, comparison)),
        notices=list(_notices(runs.verdicts)),
        tables=summary.tables,
        notes=[plain(note) for note in (*summary.marked(MARKS[kind]), *summary.failed, *summary.noted)],
        pictures=[*pictures, *(_picture(runs, chart, metric, by) for chart, metric in chosen)],
        failures=_failures(runs.failures()),
        definitions=list(_definitions()),
        same=same,
        different=different,
        runs=len(runs.labels),
    )
    return written(path, page)


def _kind(path: str | Path, format: str | None) -> str:
    ending = Path(path).suffix.lower()
    found = next((kind for kind, endings in FORMATS.items() if ending in endings), None)
    if found is None or format not in (None, found):
        raise UsageError(
            f"a report is HTML, and its name ends in .html or .htm, or Markdown, in .md: got {str(path)!r}"
            + (f" for format {format!r}" if format else "")
        )
    return found


def _template(kind: str) -> Template:
    environment = Environment(
        loader=PackageLoader("perfkit.analysis.report"),
        autoescape=kind == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": in_markdown, "table": lambda table: as_markdown(*table)}
    return environment.get_template(f"report.{kind}")


def _title(labels: Sequence[str]) -> str:
    return f"Benchmark of {' and '.join(labels) if len(labels) < 3 else f'{len(labels)} runs'}"


def _comparison(runs: Reportable, by: str | None, baseline: str | None) -> Any | None:
    """Compare the sides, if there are some: the values of ``by``, or names that share loads."""
    if baseline is not None:
        return runs.compare(baseline, by=by or "run")
    values = runs.column("run", by)[by] if by and by != "run" else runs.table["name"]
    sides = [str(side) for side in pd.unique(values.dropna().astype(object))]
    if not 2 <= len(sides) <= SIDES:
        return None
    try:
        found = runs.compare(sides[0], by=by or "run")
    except UsageError:  # nothing to compare at equal load
        return None
    return found if len(found.table) else None


def _findings(runs: Reportable, summary: Summed, comparison: Compared | None) -> Iterator[str]:
    """Yield what a reader should know first: what the comparison found, or what was measured, and what to believe."""
    if comparison is not None:
        yield from map(plain, comparison.conclusion.splitlines())
    else:
        yield from _measured(summary)
    yield plain(summary.head)
    levels = [verdict.level if verdict else None for verdict in runs.verdicts.values()]
    counts = {level: levels.count(level) for level in (*LEVELS, None) if level in levels}
    if set(counts) == {"VALID"}:
        yield "The client kept up in every run: the numbers are the server's."
    elif comparison is None:  # a comparison says it itself
        said = [f"{n} of {len(levels)} {'not judged' if level is None else level}" for level, n in counts.items()]
        yield f"Whether to believe it: {', '.join(said)}."


def _measured(summary: Summed) -> Iterator[str]:
    """Yield the least and the largest of what people ask for first."""
    frame = summary.frame
    for name, column in (("ttft", "p95"), ("e2e", "p95")):
        if (
            "metric" not in frame.index.names
            or column not in frame
            or name not in frame.index.get_level_values("metric")
        ):
            continue
        found, metric = frame.xs(name, level="metric"), METRICS[name]
        shown_in = found[column] * [metric.scale() / metric.scale(str(unit)) for unit in found["unit"]]
        values = {plain(run): value for run, value in shown_in.dropna().items()}
        if values:
            ends = dict.fromkeys((min(values, key=values.__getitem__), max(values, key=values.__getitem__)))
            which = {run: f" ({run})" if len(values) > 1 else "" for run in ends}
            shown = [f"{number(values[run])} {metric.display_unit}{which[run]}" for run in ends]
            yield f"{column} {metric.label}: {' to '.join(shown)}."


def _notices(verdicts: Mapping[str, Verdict | None]) -> Iterator[tuple[str, str, str]]:
    """Yield each kind of warning once: its level, for which runs, and what it is, in the words of the first of them."""
    kinds: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for run, verdict in verdicts.items():
        for check in verdict.checks if verdict else ():
            kinds.setdefault((check.level, check.remedy), []).append((plain(run), check.sentence))
    for (level, remedy), found in sorted(kinds.items(), key=lambda kind: -LEVELS.index(kind[0][0])):
        names = [run for run, _ in found]
        who = listed(names) if len(names) <= 3 else f"{len(names)} of {len(verdicts)} runs"
        example = f"{names[0]}: " if len({sentence for _, sentence in found}) > 1 and len(names) > 3 else ""
        yield level, who, f"{example}{found[0][1]}; {remedy}."


def _ratios(comparison: Compared) -> Picture:
    with styled(STYLE):
        return Picture(_svg(comparison.plot()), "What the comparison found.", "runs.compare(...).plot()")


def _picture(runs: Reportable, chart: Chart, metric: str | None, by: str | None) -> Picture:
    parted = chart.parted(by)
    with styled(STYLE):
        svg = _svg(runs.plot(chart.name, metric, **parted))
    given = [
        *([json.dumps(metric)] if metric else []),
        *(f"{name}={json.dumps(value)}" for name, value in parted.items()),
    ]
    return Picture(svg, chart.sentence, f"runs.plot.{chart.name}({', '.join(given)})")


def _svg(ax: Axes) -> Markup:
    # Matplotlib escapes the names in it; the XML head has no place inside HTML.
    svg = render(ax, "svg").decode()
    return Markup(svg[svg.index("<svg") :])


def _failures(frame: pd.DataFrame) -> Table:
    rows = [[label(_shown(cell)) for cell in row.values()] for row in _records(frame)]
    return [str(name).replace("_", " ") for name in frame.columns], rows


def _definitions() -> Iterator[tuple[str, str]]:
    for entry in METRICS.values():
        yield entry.label, _first_line(entry.definition)
    for rate in RATES.values():
        yield rate.label, _first_line(rate.definition)


def _first_line(docstring: str) -> str:
    return docstring.splitlines()[0].replace("``", "")


def _provenance(runs: Reportable) -> tuple[list[tuple[str, str]], list[Table]]:
    """Return what all runs share, said once, and what differs: a run a row, a few settings a table."""
    records = [
        {name: value for name, value in record.items() if name not in _HIDDEN} for record in _records(runs.table)
    ]
    facts = [dict(fact for name, value in record.items() for fact in _facts(str(name), value)) for record in records]
    names = dict.fromkeys(name for run in facts for name in run)
    values = {name: [run.get(name, "") for run in facts] for name in names}
    same = [(name, found[0]) for name, found in values.items() if len(set(found)) == 1]
    apart = [name for name in values if len(set(values[name])) > 1]
    tables = []
    for first in range(0, len(apart), COLUMNS):
        some = apart[first : first + COLUMNS]
        rows = [
            [label(text) for text in (run, *(values[name][at] for name in some))] for at, run in enumerate(runs.labels)
        ]
        tables.append((["run", *some], rows))
    return same, tables


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
