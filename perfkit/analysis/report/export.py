"""Charts, the numbers behind them, and a table of percentiles, as files for a report."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from perfkit.analysis.metrics import METRICS
from perfkit.analysis.plots.accessor import Drawable, rows_for
from perfkit.analysis.plots.canvas import Style, render, styled
from perfkit.analysis.plots.catalogue import Chart, split, usual_charts
from perfkit.analysis.plots.notes import measured
from perfkit.analysis.plots.quantity import LOADS, quantity
from perfkit.analysis.report import monitoring
from perfkit.analysis.stats.marks import MARKS, marks_of
from perfkit.analysis.text_table import number
from perfkit.errors import UsageError, nearest
from perfkit.options.output import written as written_file
from perfkit.options.units import inches
from perfkit.printable import slug

PICTURES = ("png", "svg", "pdf")
OF_CHARTS = (*PICTURES, "csv", "tex")
FORMATS = (*OF_CHARTS, *monitoring.FORMATS)
USUAL: dict[str, tuple[str, ...]] = {"notebook": ("png", "svg", "csv"), "paper": OF_CHARTS}
QUANTILES = (50, 90, 95, 99)


class Exportable(Drawable, monitoring.Monitored, Protocol):
    """What an export asks of runs."""

    def percentiles(self, *, quantiles: Iterable[float], by: str | Sequence[str], unit: str | None) -> pd.DataFrame:
        """Return n, mean and percentiles of the usual metrics."""


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LATEX = {**{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
_LATEX["^"] = r"\textasciicircum{}"


def export(
    runs: Exportable,
    folder: str | Path,
    charts: Iterable[str] | None = None,
    *,
    size: Literal["notebook", "paper"] = "notebook",
    formats: Sequence[str] | None = None,
    width: str | float | None = None,
    grey: bool = False,
    by: str | None = None,
) -> list[Path]:
    """Write charts as pictures, with the csv behind each, and the table of percentiles.

    Parameters
    ----------
    runs : Runs
        What is drawn.
    folder : str or Path
        Where to; made if it is not there. Files of the same names are replaced.
    charts : iterable of str, optional
        ``"ecdf"``, ``"ecdf:tpot"``, ...; default: the usual ones that these runs have values for.
    size : "notebook" or "paper"
        For a screen, or for one column of a journal.
    formats : sequence of str, optional
        Of ``png, svg, pdf, csv, tex``; default: png, svg and csv, for paper all. ``prometheus`` and ``otel`` write the
        summary for monitoring: ``perfkit.prom``, a textfile, and ``perfkit.otlp.json``, a line of OTLP.
    width : str or float, optional
        Such as ``"89mm"``.
    grey : bool
        Draw in greys.
    by : str, optional
        The column to group by; default: each chart's own.

    Returns
    -------
    list of Path
        The files written, in order. The same runs give the same bytes.

    Raises
    ------
    UsageError
        A chart, metric, size, format, column or width is not known.

    Examples
    --------
    >>> runs.export("charts/", size="paper", formats=["pdf", "tex"])  # doctest: +SKIP
    """
    style = Style(size, None if width is None else inches(width), grey)
    formats = tuple(formats or USUAL[size])
    for unknown in [name for name in formats if name not in FORMATS]:
        raise UsageError(f"no format is called {unknown!r}{nearest(unknown, FORMATS)}")
    target = Path(folder)
    monitored = [monitoring.FORMATS[name] for name in formats if name in monitoring.FORMATS]
    files = [written_file(target / name, page(runs)) for name, page in monitored]
    formats = [name for name in formats if name in OF_CHARTS]
    if not formats:
        return files
    chosen = chosen_charts(runs, charts)
    written = [path for chart, metric in chosen for path in _chart(runs, chart, metric, target, formats, style, by)]
    return [*files, *written, *_percentiles(runs, target, formats, by or "run")]


def chosen_charts(runs: Drawable, charts: Iterable[str] | None) -> list[tuple[Chart, str | None]]:
    """Return the charts asked for, each with its metric; by default the usual ones that the runs have values for."""
    if charts is not None:
        return [split(name) for name in charts]
    return [(chart, metric) for chart, metric in usual_charts() if has_values(runs, chart, metric)]


def has_values(runs: Drawable, chart: Chart, metric: str | None) -> bool:
    """Tell whether runs have what a chart draws: values of its metric, and several loads for a sweep."""
    rows = measured(rows_for(runs, chart, metric))
    if chart.is_over_load and max(rows[name].nunique() for name in LOADS) < 2:
        return False
    if metric and metric in METRICS:
        return bool(quantity(metric).of(rows).notna().any())
    return not (rows if metric or chart.table is None else chart.table(rows, metric)).empty


def _chart(
    runs: Drawable, chart: Chart, metric: str | None, target: Path, formats: Sequence[str], style: Style, by: str | None
) -> list[Path]:
    rows = rows_for(runs, chart, metric, by=by or "run")
    groups = chart.parted(by)
    name = file_name([chart.name, metric] if metric else [chart.name])
    written = []
    with styled(style):
        ax = chart.draw(rows, metric, **groups)
        for kind in [kind for kind in PICTURES if kind in formats]:
            written.append(written_file(target / f"{name}.{kind}", render(ax, kind)))
    if "csv" in formats:
        written.append(written_file(target / f"{name}.csv", csv(numbers_of(chart, rows, metric, by))))
    return written


def numbers_of(chart: Chart, rows: pd.DataFrame, metric: str | None, by: str | None, **options: Any) -> pd.DataFrame:
    """Return the numbers behind a chart; ``pooled`` names the loads that stand together in a group, where there are."""
    table = rows if chart.table is None else chart.table(rows, metric, **chart.parted(by), **options)
    pooled = rows["pooled"].dropna()
    return table.assign(pooled=pooled.iloc[0]) if len(pooled) else table.drop(columns="pooled", errors="ignore")


def _percentiles(runs: Exportable, target: Path, formats: Sequence[str], by: str) -> list[Path]:
    if not {"csv", "tex"} & set(formats):
        return []
    # Groups of several loads are parted by them, as a percentile over 1 and 64 users is of neither.
    parted = [name for name in ("parallel", "rate") if by != "run" and name != by and runs.table[name].nunique() > 1]
    table = runs.percentiles(quantiles=QUANTILES, by=[by, *parted], unit="ms").reset_index()
    written = []
    if "csv" in formats:
        written.append(written_file(target / "percentiles.csv", csv(table)))
    if "tex" in formats:
        written.append(written_file(target / "percentiles.tex", latex(table)))
    return written


def csv(table: pd.DataFrame) -> bytes:
    r"""Return a table as csv that a spreadsheet reads as text and numbers, never as formulas.

    Examples
    --------
    >>> csv(pd.DataFrame({"run": ["=cmd()"], "n": [-1]})).decode()
    "run,n\n'=cmd(),-1\n"
    """
    safe = table.rename(columns=_neutral)
    for name in safe.columns:
        safe[name] = safe[name].map(_neutral)
    return safe.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode("utf-8", "replace")


def _neutral(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    # A carriage return outside quotes would end the row, and pandas does not quote it.
    return ("'" if cell.startswith(_FORMULA) else "") + cell.replace("\r", "\n")


def latex(table: pd.DataFrame) -> str:
    r"""Return a table of percentiles for LaTeX (package booktabs); doubtful numbers are grey, and why is beneath.

    Examples
    --------
    >>> print(latex(pd.DataFrame({"run": ["a_1"], "n": [1000], "p50": [12.345]})))
    \begin{tabular}{lrr}
    \toprule
    run & n & p50 \\
    \midrule
    a\_1 & 1,000 & 12.3 \\
    \bottomrule
    \end{tabular}
    <BLANKLINE>
    """
    why = dict.fromkeys(reason for text in table.get("marks", ()) for reason in marks_of(text).values())
    beneath = [f"Grey, {reason}: {words}." for reason, words in MARKS.items() if reason in why]
    beneath += [f"Pooled: {loads}." for loads in dict.fromkeys(table.get("pooled", ())) if loads]
    shown = table.drop(columns=["effective", "marks", "pooled"], errors="ignore")
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in shown]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in numeric)}}}",
        r"\toprule",
        " & ".join(_latex_text(str(name)) for name in shown) + r" \\",
        r"\midrule",
        *(" & ".join(_latex_cell(row, name) for name in map(str, shown)) + r" \\" for _, row in table.iterrows()),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par{{\footnotesize {_latex_text(sentence)}}}" for sentence in beneath),
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(row: "pd.Series[Any]", name: str) -> str:
    value = row[name]
    if isinstance(value, str):
        return _latex_text(value)
    text = number(value).replace("–", "--")
    return rf"\textcolor{{gray}}{{{text}}}" if name in marks_of(row.get("marks", "")) else text


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def file_name(parts: Iterable[str]) -> str:
    """Make a file name, without its ending, of the names of a chart and a metric."""
    return slug("-".join(parts)) or "chart"
