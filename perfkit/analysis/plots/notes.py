"""What a chart must say about itself: runs that are not VALID, numbers of different origin, tails of few requests."""

from math import ceil

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator
from pandas import DataFrame

from perfkit.analysis.plots.canvas import grow, letter_of, letters_across
from perfkit.analysis.plots.groups import Group
from perfkit.analysis.plots.text import letters, plain, shortened, wrapped
from perfkit.analysis.stats.distribution import BEYOND
from perfkit.analysis.text_table import listed

SMALL = 0.85
"""The letters of notes, as a share of others."""
OUTSIDE = ("preflight", "warmup", "ramp", "cooldown")
"""Phases that charts leave out unless they show time."""


def thin_note(counted: str) -> str:
    """Explain the thin part of a line."""
    return f"thin: fewer than {BEYOND} {counted} beyond"


def measured(requests: DataFrame) -> DataFrame:
    """Return the rows of the measured window: no preflight, warm-up, ramp or cool-down."""
    return requests[~requests["phase"].isin(OUTSIDE)] if "phase" in requests else requests


def loaded(requests: DataFrame) -> DataFrame:
    """Return the rows of the load, warm-up and cool-down too: all but the preflight request."""
    return requests[requests["phase"] != "preflight"] if "phase" in requests else requests


def remarks(requests: DataFrame, metric: str | None = None) -> list[str]:
    """Say what a reader must know before trusting a chart of these requests, the weightiest first.

    Examples
    --------
    >>> remarks(pd.DataFrame({"run": ["a", "b"], "verdict": ["VALID", "CLIENT-BOUND"]}))
    ['CLIENT-BOUND: b']
    """
    about = [name for name in ("absent", "pooled") if name in requests]
    said = [str(text) for name in about for text in pd.unique(requests[name].dropna())]
    return [*_verdicts(requests), *_bases(requests, metric), *said]


def _verdicts(requests: DataFrame) -> list[str]:
    if not {"run", "verdict"} <= set(requests):
        return []
    doubtful = requests[requests["verdict"].notna() & (requests["verdict"] != "VALID")]
    by_verdict = doubtful.groupby("verdict", sort=True, observed=True)
    return [f"{verdict}: {_runs(rows, requests)}" for verdict, rows in by_verdict]


def _bases(requests: DataFrame, metric: str | None) -> list[str]:
    column = f"basis_{metric}" if f"basis_{metric}" in requests else "basis"
    if not {"run", column} <= set(requests) or requests[column].nunique() < 2:
        return []
    by_basis = requests.groupby(column, sort=True, observed=True)
    parts = [f"{basis} ({_runs(rows, requests)})" for basis, rows in by_basis]
    return [f"not measured the same way: {', '.join(parts)}"]


def _runs(rows: DataFrame, of: DataFrame) -> str:
    """Name the runs of some rows, or count them where they are many."""
    named, all_ = pd.unique(rows["run"]), pd.unique(of["run"])
    if len(named) > 3 or (len(named) == len(all_) > 1):
        return f"{len(named)} of {len(all_)} runs"
    return listed([plain(shortened(str(run))) for run in named])


def _one_line(sentences: list[str], room: float) -> str:
    """Join the sentences that fit into a line; what is left out is in the summary.

    Examples
    --------
    >>> _one_line(["SUSPECT: a", "not measured the same way: b"], 33)
    'SUSPECT: a; … (see the summary)'
    """
    line = "; ".join(sentences)
    if letters(line) <= room:
        return line
    rest = "; … (see the summary)"
    kept = [sentences[:n] for n in range(len(sentences), 0, -1)]
    fitting = ("; ".join(some) for some in kept if letters("; ".join(some) + rest) <= room)
    return next(fitting, _beginning(sentences[0], room - letters(rest))) + rest


def _beginning(sentence: str, room: float) -> str:
    """Return what fits of the parts that a sentence lists, or what they are, or else both its ends.

    Examples
    --------
    >>> [_beginning("not measured alike: recomputed (a), stored (b)", room) for room in (36, 20, 12)]
    ['not measured alike: recomputed (a)', 'not measured alike', 'not m…ed (b)']
    """
    parts = sentence.split(", ")
    shorter = [*(", ".join(parts[:n]) for n in range(len(parts), 0, -1)), sentence.partition(":")[0]]
    return next((text for text in shorter if letters(text) <= room), None) or shortened(sentence, room)


def write(ax: Axes, legend: list[str], trust: list[str]) -> None:
    """Write beneath the axes, small: how to read the signs, and a line on what to trust."""
    if _has_crosses(ax):
        legend = [*legend, "crosses: failed requests"]
    size, room = SMALL * letter_of(ax), letters_across(ax, SMALL)
    if isinstance(ax.yaxis.get_major_locator(), FixedLocator):  # names at rows take room from the axes
        names = [letters(name.get_text()) * float(name.get_fontsize()) for name in ax.get_yticklabels()]
        room -= ceil(max(names, default=0) / size)
    lines = wrapped("; ".join(legend), room).splitlines() + ([_one_line(trust, room)] if trust else [])
    if not lines:
        return
    grow(ax, 1.2 * size * (len(lines) - 1))
    _write_beneath(ax, "\n".join(lines), size)


def _write_beneath(ax: Axes, words: str, size: float) -> None:
    ax.annotate(
        words,
        xy=(0, 0),
        xycoords=("axes fraction", ax.xaxis.label),
        xytext=(0, -size * 0.6),
        textcoords="offset points",
        va="top",
        fontsize=size,
        color="#666666",
        gid="notes",
    )


def move(ax: Axes, below: Axes) -> None:
    """Let what stands beneath some axes stand beneath others, which are lower."""
    for text in [text for text in ax.texts if text.get_gid() == "notes"]:
        text.remove()
        _write_beneath(below, text.get_text(), float(text.get_fontsize()))


def _has_crosses(ax: Axes) -> bool:
    return any(line.get_gid() == "failed" for line in ax.lines)


def lacking(label: str, drawn: list[Group]) -> str:
    """Say that no request has what is drawn."""
    failures = sum(group.failures for group in drawn)
    article = "an" if label[:1] in "aeiou" else "a"
    return f"no request has {article} {label}" + (f" ({failures:,} failed)" if failures else "")


def empty_note(ax: Axes, why: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    ax.text(0.5, 0.5, plain(why), transform=ax.transAxes, ha="center", va="center", color="#666666", gid="empty")
    ax.set_yticks([])
    if not _has_crosses(ax):
        ax.set_xticks([])
