"""Single requests as a person reads them: what was asked, what came, how long it took."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from perfkit.analysis.metrics import METRICS, metric_named
from perfkit.analysis.query import columns, decoding
from perfkit.analysis.query.run import Run
from perfkit.analysis.text_table import number, plain
from perfkit.errors import UsageError, nearest
from perfkit.records import CANCELLED, CUT_OFF, NOT_FAILED, Json

CHOICES = ("slowest", "fastest", "failed", "first", "random")
_LONGEST = 400
_SHOWN = ("ttft", "tpot", "e2e", "prompt_tokens", "output_tokens")


@dataclass(frozen=True)
class ShownRequest:
    """One request: a head line, the prompt, and the answer or the error."""

    head: str
    prompt: str
    answer: str


@dataclass(frozen=True)
class Shown:
    """A few requests, printed in a terminal and in a notebook; ``frame`` has them decoded."""

    requests: tuple[ShownRequest, ...]
    frame: pd.DataFrame
    by: tuple[str, ...] = ()
    """The metric by which they were chosen."""

    def __str__(self) -> str:
        return "\n\n".join(f"{each.head}\n  > {each.prompt}\n  < {each.answer}" for each in self.requests) or "none"

    __repr__ = __str__

    def to_dict(self) -> list[dict[str, Json]]:
        """Return each request as plain data for JSON, texts at full length; what is not known is None."""
        names = [*dict.fromkeys(("run", "seq", "success", "status_code", "error_kind", "error", *_SHOWN, *self.by))]
        names += ["prompt", "output_text"]
        known = self.frame[names].astype(object).where(self.frame[names].notna(), None)
        return [{str(name): value for name, value in row.items()} for row in known.to_dict("records")]

    def _repr_html_(self) -> str:
        return "".join(
            f"<p><b>{escape(each.head)}</b><br>&gt; {escape(each.prompt)}<br>&lt; {escape(each.answer)}</p>"
            for each in self.requests
        )


def show(runs: Sequence[Run], which: str, count: int, metric: str) -> Shown:
    """Choose a few requests and decode only these; see ``Runs.show``."""
    kept = columns.chosen(runs, _chosen(runs, which, count, metric))
    names = ["run", "seq", "success", "status_code", "error_kind", "error", *_SHOWN, metric]
    frame = columns.load(kept, names).join(decoding.decoded(kept))
    if which in ("slowest", "fastest"):
        frame = frame.sort_values(metric, ascending=which == "fastest", kind="stable")
    return Shown(tuple(_request(row, metric) for _, row in frame.iterrows()), frame, (metric,))


def _chosen(runs: Sequence[Run], which: str, count: int, metric: str) -> pd.Index:
    if which not in CHOICES:
        raise UsageError(f"show takes one of {', '.join(CHOICES)}; got {which!r}{nearest(which, CHOICES)}")
    values = columns.load(runs, ["success", "error_kind", metric_named(metric).name])
    if which == "failed":
        return values[~values["success"] & ~values["error_kind"].isin(NOT_FAILED)].index[:count]
    if which == "random":
        return values.sample(frac=1, random_state=0).index[:count]
    if which == "first":
        return values.index[:count]
    ranked: pd.Series[float] = values[metric].dropna().sort_values(ascending=which == "fastest", kind="stable")
    return ranked.index[:count]


def _request(row: pd.Series, metric: str) -> ShownRequest:
    names = dict.fromkeys((*_SHOWN, metric))
    numbers = [f"{name} {_quantity(name, row[name])}" for name in names if pd.notna(row[name])]
    seq = f" #{int(row['seq'])}" if pd.notna(row["seq"]) else ""
    without = {CUT_OFF: "cut off", CANCELLED: "cancelled"}
    failed = [] if row["success"] else [without.get(row["error_kind"], f"failed: {row['error_kind']}")]
    answer = row["output_text"] if row["success"] else row["error"]
    head = plain(f"{row['run']}{seq}: {', '.join([*failed, *numbers])}")
    return ShownRequest(head, _short(row["prompt"]), _short(row["refused"] or answer))


def _quantity(name: str, value: float) -> str:
    metric = METRICS[name]
    return number(int(value)) if metric.unit == "tokens" else f"{number(value * metric.scale())} {metric.display_unit}"


def _short(text: object) -> str:
    line = plain(" ".join(text.split())) if isinstance(text, str) else "(nothing)"
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}… ({len(line):,} characters)"
