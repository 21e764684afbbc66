"""What a chart must say about itself: runs that are not VALID, numbers of different origin, tails of few requests."""

import pandas as pd
from matplotlib.axes import Axes
from pandas import DataFrame

from perfkit.plots.canvas import letter_of, letters_across
from perfkit.plots.groups import Group
from perfkit.plots.text import listed, plain, shortened, wrapped
from perfkit.stats import BEYOND

OUTSIDE = ("preflight", "warmup", "ramp", "cooldown")
"""Phases that charts leave out unless they show time."""

THIN = f"thin: fewer than {BEYOND} requests beyond"


def measured(requests: DataFrame) -> DataFrame:
    """Return the rows of the measured window: no preflight, warm-up, ramp or cool-down."""
    return requests[~requests["phase"].isin(OUTSIDE)] if "phase" in requests else requests


def loaded(requests: DataFrame) -> DataFrame:
    """Return the rows of the load, warm-up and cool-down too: all but the preflight request."""
    return requests[requests["phase"] != "preflight"] if "phase" in requests else requests


def remarks(requests: DataFrame, metric: str | None = None) -> list[str]:
    """Say what a reader must know before trusting a chart of these requests.

    Parameters
    ----------
    requests : DataFrame, one row per request
        Of its columns, ``verdict`` and ``basis`` (or ``basis_METRIC``) are looked at, where they are.
    metric : str, optional
        The metric drawn.

    Returns
    -------
    list of str

    Examples
    --------
    >>> remarks(pd.DataFrame({"run": ["a", "b"], "verdict": ["VALID", "CLIENT-BOUND"]}))
    ['CLIENT-BOUND: b']
    """
    return [*_verdicts(requests), *_bases(requests, metric)]


def _verdicts(requests: DataFrame) -> list[str]:
    if not {"run", "verdict"} <= set(requests):
        return []
    doubtful = requests[requests["verdict"].notna() & (requests["verdict"] != "VALID")]
    return [f"{verdict}: {_runs(rows)}" for verdict, rows in doubtful.groupby("verdict", sort=True, observed=True)]


def _bases(requests: DataFrame, metric: str | None) -> list[str]:
    column = f"basis_{metric}" if f"basis_{metric}" in requests else "basis"
    if not {"run", column} <= set(requests) or requests[column].nunique() < 2:
        return []
    parts = [f"{basis} ({_runs(rows)})" for basis, rows in requests.groupby(column, sort=True, observed=True)]
    return [f"not measured the same way: {', '.join(parts)}"]


def _runs(rows: DataFrame) -> str:
    return listed([plain(shortened(str(run))) for run in pd.unique(rows["run"])])


def write(ax: Axes, legend: list[str], sentences: list[str]) -> None:
    """Write beneath the axes, small: how to read the signs, in one line, then a sentence each."""
    if _has_crosses(ax):
        legend = [*legend, "crosses: failed requests"]
    if legend:
        sentences = ["; ".join(legend), *sentences]
    if not sentences:
        return
    size = 0.85 * letter_of(ax)
    letters = letters_across(ax, 0.85)
    ax.annotate(
        "\n".join(wrapped(sentence, letters) for sentence in sentences),
        xy=(0, 0),
        xycoords=("axes fraction", ax.xaxis.label),
        xytext=(0, -size * 0.6),
        textcoords="offset points",
        va="top",
        fontsize=size,
        color="#666666",
        gid="notes",
    )


def _has_crosses(ax: Axes) -> bool:
    return any(line.get_gid() == "failed" for line in ax.lines)


def empty(ax: Axes, label: str, drawn: list[Group]) -> None:
    """Say in the middle of empty axes why they are empty."""
    failures = sum(group.failures for group in drawn)
    article = "an" if label[:1] in "aeiou" else "a"
    why = f"no request has {article} {label}" + (f" ({failures:,} failed)" if failures else "")
    ax.text(0.5, 0.5, plain(why), transform=ax.transAxes, ha="center", va="center", color="#666666", gid="empty")
    ax.set_yticks([])
    if not _has_crosses(ax):
        ax.set_xticks([])
