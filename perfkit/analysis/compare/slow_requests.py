"""Why are some requests slow? Ranks what was known of a request by how well it tells the slow from the others."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd

from perfkit.analysis.metrics import METRICS, metric_named
from perfkit.analysis.query import columns
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.distribution import holm, percentile
from perfkit.analysis.text_table import Cell, as_html, label, number, on_terminal, plain
from perfkit.errors import UsageError
from perfkit.records import Json

NUMBERS = {
    "prompt_tokens": "tokens of the prompt",
    "completion_tokens": "tokens of the answer",
    "cached_tokens": "cached tokens",
    "t": "second of the run",
    "in_flight": "requests in flight at its start",
    "lag": "send lag",
    "server_waiting": "requests in the server's queue at its start",
    "server_running": "requests that the server worked on at its start",
    "server_kv_cache": "KV cache taken at its start",
    "server_queue": "time in the server's queue",
    "server_prefill": "time of the server's prefill",
    "front_end": "time in network and front end",
    "connection_use": "earlier uses of its connection",
    "turn": "turn of the conversation",
}
KINDS = {
    "finish_reason": "finish reason",
    "worker": "worker",
    "run": "run",
    "model": "model",
    "stamp_source": "source of its stamps",
    "attempts": "attempts",
}
FEWEST = 10
"""Requests on each side without which nothing is ranked."""

_EXPRESSION = re.compile(r"\s*(\w+)\s*(>=|>|<=|<)\s*(?:[pP](\d+(?:\.\d+)?))\s*")


@dataclass(frozen=True)
class Cohorts:
    """Slow requests against the rest; ``table`` is ranked, ``sentences`` say what stands out."""

    question: str
    threshold: float
    slow: int
    rest: int
    table: pd.DataFrame

    @property
    def sentences(self) -> list[str]:
        """What tells the slow requests from the others, the strongest first; one sentence if nothing does."""
        told = self.table[self.table["p_holm"] < 0.05] if len(self.table) else self.table
        said = [
            f"{row['words']}: {row['slow']} against {row['rest']} (effect {row['effect']:.2f})"
            for _, row in told.iterrows()
        ]
        return said or ["nothing recorded distinguishes these requests from the others"]

    def __str__(self) -> str:
        return "\n".join([plain(self._head()), on_terminal(*self._shown()), *map(plain, self.sentences)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<b>{escape(self._head())}</b>{as_html(*self._shown())}"

    def _head(self) -> str:
        metric, sign, _ = _read(self.question)
        beyond = {">": "above", "<": "below"}[sign] + f" {_shown(metric, self.threshold)}"
        return f"{self.question}: {self.slow:,} requests {beyond}, against {self.rest:,} others"

    def _shown(self) -> tuple[list[str], list[list[Cell]]]:
        rows = [
            [
                label(row["words"]),
                Cell(number(row["effect"])),
                Cell(row["slow"]),
                Cell(row["rest"]),
                Cell(number(row["p_holm"]) if row["p_holm"] >= 0.001 else "< 0.001"),
            ]
            for _, row in self.table.iterrows()
        ]
        return ["", "effect", "slow", "rest", "p (Holm)"], rows


def why_slow(runs: Sequence[Run], question: str) -> Cohorts:
    """Rank what tells some requests from the others; see ``Runs.why_slow``."""
    metric, sign, q = _read(question)
    names = [
        *(name for name in NUMBERS if name != "in_flight"),
        *KINDS,
        metric,
        "run_id",
        "start_time",
        "completed_time",
    ]
    rows = columns.load(runs, [*names, "success"], "steady")
    rows["in_flight"] = in_flight(rows)
    rows = rows[rows["success"] & rows[metric].notna()]
    threshold = percentile(rows[metric], q)
    picked = rows[metric] > threshold if sign == ">" else rows[metric] < threshold
    if min(picked.sum(), (~picked).sum()) < FEWEST:
        raise UsageError(f"{question!r} leaves fewer than {FEWEST} requests on one side; take another percentile")
    slow, rest = rows[picked], rows[~picked]
    found = [_by_number(slow, rest, name) for name in NUMBERS if name != metric]
    found += [_by_kind(slow, rest, name) for name in KINDS]
    return Cohorts(question, threshold, len(slow), len(rest), _ranked([each for each in found if each]))


def _read(question: str) -> tuple[str, str, float]:
    match = _EXPRESSION.fullmatch(question)
    if match is None:
        raise UsageError(f"ask for a metric above one of its percentiles, such as 'ttft > p95'; got {question!r}")
    metric, sign, q = match.groups()
    if metric_named(metric).pooled:
        raise UsageError(
            f"{metric} has several values a request; ask for {metric}_p99 or another of {', '.join(METRICS)}"
        )
    return metric, sign[0], float(q)


def in_flight(rows: pd.DataFrame) -> pd.Series:
    """Return how many other requests of its run were in flight when each one started.

    Examples
    --------
    >>> rows = pd.DataFrame({"run_id": "a", "start_time": [0.0, 1.0, 5.0], "completed_time": [2.0, 3.0, 6.0]})
    >>> in_flight(rows).tolist()
    [0.0, 1.0, 0.0]
    """
    counts = pd.Series(np.nan, index=rows.index)
    for _, run in rows.groupby("run_id", sort=False):
        starts, ends = np.sort(run["start_time"].dropna()), np.sort(run["completed_time"].dropna())
        at = run["start_time"].to_numpy()
        counts[run.index] = np.searchsorted(starts, at, "left") - np.searchsorted(ends, at, "right")
    return counts


def _ranked(found: list[dict[str, Json]]) -> pd.DataFrame:
    table = pd.DataFrame(found, columns=["column", "words", "effect", "slow", "rest", "p"])
    table["p_holm"] = holm(table["p"].tolist())
    return table.sort_values("effect", key=abs, ascending=False, kind="stable", ignore_index=True)


def _by_number(slow: pd.DataFrame, rest: pd.DataFrame, name: str) -> dict[str, Json] | None:
    """Compare a number: the effect is the chance that a slow request's is larger, minus that it is smaller."""
    ours, theirs = slow[name].dropna(), rest[name].dropna()
    if min(len(ours), len(theirs)) < FEWEST or pd.concat([ours, theirs]).nunique() < 2:
        return None
    from scipy.stats import mannwhitneyu  # late: slow to load

    test = mannwhitneyu(ours, theirs)
    effect = 2 * float(test.statistic) / (len(ours) * len(theirs)) - 1
    medians = (_shown(name, float(side.median())) for side in (ours, theirs))
    return dict(
        zip(("slow", "rest"), medians, strict=True),
        column=name,
        words=NUMBERS[name],
        effect=effect,
        p=float(test.pvalue),
    )


def _shown(name: str, value: float) -> str:
    """Return a quantity with its unit, as a person reads it."""
    if name == "t":
        return f"{number(value)} s"
    if name not in METRICS:
        return number(value)
    return f"{number(value * METRICS[name].scale())} {METRICS[name].display_unit}"


def _by_kind(slow: pd.DataFrame, rest: pd.DataFrame, name: str) -> dict[str, Json] | None:
    """Compare a kind: the effect is Cramér's V, and what is shown is the kind that the slow have most too often."""
    counts = pd.DataFrame({"slow": slow[name].value_counts(), "rest": rest[name].value_counts()}).fillna(0)
    if len(counts) < 2 or len(counts) > len(slow) / 5:
        return None
    from scipy.stats import chi2_contingency  # late: slow to load

    test = chi2_contingency(counts.to_numpy())
    effect = float(np.sqrt(test.statistic / counts.to_numpy().sum()))
    shares = counts / counts.sum()
    most = int((shares["slow"] - shares["rest"]).to_numpy().argmax())
    shown = {side: f"{shares[side].iloc[most]:.0%} {shares.index[most]}" for side in ("slow", "rest")}
    return {**shown, "column": name, "words": KINDS[name], "effect": effect, "p": float(test.pvalue)}
