"""Charts, the numbers behind them, and a table of percentiles, as files for a report."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from perfkit.errors import UsageError, nearest
from perfkit.metrics import METRICS
from perfkit.plots.accessor import Drawable, rows_for
from perfkit.plots.canvas import Style, inches, render, styled
from perfkit.plots.catalogue import Chart, split
from perfkit.plots.notes import measured
from perfkit.plots.quantity import quantity
from perfkit.plots.sweep import LOADS
from perfkit.stats import thin
from perfkit.tables import number

PICTURES = ("png", "svg", "pdf")
FORMATS = (*PICTURES, "csv", "tex")
USUAL: dict[str, tuple[str, ...]] = {"notebook": ("png", "svg", "csv"), "paper": FORMATS}
CHARTS = (
    "ecdf:ttft",
    "hist:tpot",
    "percentiles:e2e",
    "over_time:output_throughput",
    "over_time:concurrency",
    "scatter:ttft",
    "sweep:ttft",
    "sweep:output_throughput",
    "tradeoff:ttft",
    "timeline",
)
"""What is exported unless told otherwise, where the runs have it."""
QUANTILES = (50, 90, 95, 99)


class Exportable(Drawable, Protocol):
    """What an export asks of runs."""

    def percentiles(self, *, quantiles: Iterable[float], by: str, unit: str | None) -> pd.DataFrame:
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
        Of ``png, svg, pdf, csv, tex``; default: png, svg and csv, for paper all.
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
    asked = list(CHARTS if charts is None else charts)
    chosen = [split(name) for name in asked]
    if charts is None:
        chosen = [(chart, metric) for chart, metric in chosen if has_values(runs, chart, metric)]
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = [path for chart, metric in chosen for path in _chart(runs, chart, metric, target, formats, style, by)]
    return [*written, *_percentiles(runs, target, formats, by or "run")]


def has_values(runs: Drawable, chart: Chart, metric: str | None) -> bool:
    """Tell whether runs have what a chart draws: values of its metric, and several loads for a sweep."""
    rows = measured(rows_for(runs, chart, metric))
    if chart.name in ("sweep", "tradeoff") and max(rows[name].nunique() for name in LOADS) < 2:
        return False
    return bool(quantity(metric).of(rows).notna().any()) if metric in METRICS else not rows.empty


def _chart(
    runs: Drawable, chart: Chart, metric: str | None, target: Path, formats: Sequence[str], style: Style, by: str | None
) -> list[Path]:
    rows = rows_for(runs, chart, metric, by)
    groups = {} if by is None else {"by": by}
    name = slug("-".join([chart.name, metric] if metric else [chart.name]))
    written = []
    with styled(style):
        ax = chart.draw(rows, metric, **groups)
        for kind in [kind for kind in PICTURES if kind in formats]:
            written.append(_write(target / f"{name}.{kind}", render(ax, kind)))
    if "csv" in formats:
        table = chart.table(rows, metric, **groups) if chart.table else rows
        written.append(_write(target / f"{name}.csv", csv(table)))
    return written


def _percentiles(runs: Exportable, target: Path, formats: Sequence[str], by: str) -> list[Path]:
    if not {"csv", "tex"} & set(formats):
        return []
    table = runs.percentiles(quantiles=QUANTILES, by=by, unit="ms").reset_index()
    written = []
    if "csv" in formats:
        written.append(_write(target / "percentiles.csv", csv(table)))
    if "tex" in formats:
        written.append(_write(target / "percentiles.tex", latex(table).encode()))
    return written


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def slug(name: str) -> str:
    """Make a file name of any name.

    Examples
    --------
    >>> slug("../ecdf: time to first token"), slug("..")
    ('ecdf-time-to-first-token', 'chart')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "chart"


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
    return safe.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()


def _neutral(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    # A carriage return outside quotes would end the row, and pandas does not quote it.
    return ("'" if cell.startswith(_FORMULA) else "") + cell.replace("\r", "\n")


def latex(table: pd.DataFrame) -> str:
    r"""Return a table of percentiles for LaTeX (package booktabs); numbers that rest on too little are grey.

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
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    lines = [
        rf"\begin{{tabular}}{{{''.join('r' if each else 'l' for each in numeric)}}}",
        r"\toprule",
        " & ".join(_latex_text(str(name)) for name in table) + r" \\",
        r"\midrule",
        *(" & ".join(_latex_cell(row, name) for name in map(str, table)) + r" \\" for _, row in table.iterrows()),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex_cell(row: "pd.Series[Any]", name: str) -> str:
    value = row[name]
    if isinstance(value, str):
        return _latex_text(value)
    text = number(value).replace("–", "--")
    rank = re.fullmatch(r"p([\d.]+)", name)
    faint = rank and "n" in row and thin(int(row["n"]), float(rank[1]))
    return rf"\textcolor{{gray}}{{{text}}}" if faint else text


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
