"""Pairings judged quantity by quantity, as a table, as sentences and as a chart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from perfkit import columns
from perfkit.comparing.conclusion import conclusions, doubts
from perfkit.comparing.judging import TESTS, Result, Test, at_load, judged
from perfkit.comparing.pairing import pairings
from perfkit.comparing.quantity import quantity
from perfkit.comparing.throughput import BLOCKS
from perfkit.comparing.work import COUNTED, unequal
from perfkit.errors import UsageError, nearest
from perfkit.estimates import ENOUGH
from perfkit.frame import Run
from perfkit.metrics import Rate
from perfkit.records import CUT_OFF, Json
from perfkit.stats import holm
from perfkit.tables import Cell, as_html, as_text, label, number, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def compared(
    runs: Sequence[Run],
    baseline: str,
    by: str,
    match: Sequence[str] | None,
    names: Iterable[str],
    test: Test = "interval",
) -> "Comparison":
    """Compare every group with the baseline; see ``Runs.compare``."""
    if test not in TESTS:
        raise UsageError(f"test is one of {', '.join(TESTS)}, got {test!r}{nearest(test, TESTS)}")
    quantities = [quantity(name) for name in names]
    needed_columns = {column for each in quantities for column in (*each.columns, "error_kind", "prompt_hash")} | {
        *COUNTED
    }
    paired, unmatched = pairings(runs, baseline, by, match)
    results: list[Result] = []
    seen: dict[str, list[pd.DataFrame]] = {}
    apart: list[str] = []
    for pairing in paired:
        ours, theirs = (
            [columns.load([run], needed_columns, "steady") for run in side]
            for side in (pairing.baseline_runs, pairing.other_runs)
        )
        seen.setdefault(baseline, []).extend(ours)
        seen.setdefault(pairing.other, []).extend(theirs)
        apart += [f"{words}{at_load(pairing.load)}" for words in unequal(pairing.other, theirs, baseline, ours)]
        rows = [judged(pairing, each, ours, theirs, test) for each in quantities]
        present = [result for result in rows if result.baseline.n and result.other.n]
        corrected = holm([result.p for result in present])
        results += [
            replace(result, p_holm=p, together=sum(each == each for each in corrected))
            for result, p in zip(present, corrected, strict=True)
        ]
    failed = {group: _failed(requests) for group, requests in seen.items()}
    return Comparison(baseline, tuple(results), tuple(unmatched), test=test, failed=failed, unequal=tuple(apart))


@dataclass(frozen=True)
class Comparison:
    """Groups against a baseline: ``table`` for programs, ``sentences`` for people, ``plot()`` for reports."""

    baseline: str
    results: tuple[Result, ...]
    unmatched: tuple[str, ...] = ()
    """Runs for which there is nothing of equal load and work on the other side, and what differs."""
    notes: tuple[str, ...] = ()
    test: Test = "interval"
    """What p rests on."""
    levels: Mapping[str, str | None] = field(default_factory=dict)
    """The verdict on each run, by its label; None: not judged."""
    failed: Mapping[str, float] = field(default_factory=dict)
    """The share of its requests that failed, by group."""
    unequal: tuple[str, ...] = ()
    """Where a request was clearly not as much work on both sides."""

    @property
    def conclusion(self) -> str:
        """The whole in a sentence a group, and one of what speaks against it."""
        doubted = doubts(self.results, self.levels, self.failed, self.unequal)
        return "\n".join([*conclusions(self.baseline, self.results, self.levels), *doubted])

    @property
    def sentences(self) -> list[str]:
        """One sentence a row of the table."""
        return [result.sentence(self.baseline) for result in self.results]

    @property
    def table(self) -> pd.DataFrame:
        """One row per pairing and quantity; durations in seconds.

        The load, ``quantity``, ``baseline`` and ``value`` (the other's), ``ratio`` with ``low`` and ``high``,
        ``difference`` likewise, ``p`` and ``p_holm`` (corrected over the quantities of a pairing), ``n`` and
        ``effective`` (of the smaller side), ``method`` (what was resampled), ``noise``, ``judgement``.
        """
        return pd.DataFrame([_record(result) for result in self.results])

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw every ratio with its interval, the baseline as a line at 1."""
        from perfkit.plots.ratios import ratios

        names = [f"{row.quantity.words}, {row.pairing.other}{at_load(row.pairing.load)}" for row in self.results]
        return ratios(self.table, self.baseline, names, ax=ax)

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON; what is unknown is None."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        named = [{str(name): value for name, value in row.items()} for row in rows]
        return {
            "baseline": self.baseline,
            "conclusion": self.conclusion,
            "table": named,
            "sentences": self.sentences,
            "unmatched": list(self.unmatched),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        above = [*map(plain, self.conclusion.splitlines()), ""]
        return "\n".join([*above, as_text(*self._shown()), "", *map(plain, self._words("*"))])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        above = "".join(f"<div><b>{escape(plain(line))}</b></div>" for line in self.conclusion.splitlines())
        beneath = "".join(f"<div>{escape(plain(line))}</div>" for line in self._words("grey"))
        return f"{above}{as_html(*self._shown())}{beneath}"

    def _words(self, mark: str) -> list[str]:
        alone = (
            [f"left out, as nothing of equal load and settings is on the other side: {', '.join(self.unmatched)}"]
            if self.unmatched
            else []
        )
        faint = any(result.rests_on_few for result in self.results)
        few = f"{mark}: fewer than {ENOUGH} independent samples a side, of a throughput {BLOCKS} stretches of time"
        return [*([few] if faint else []), *self.sentences, *alone, *self.notes]

    def _shown(self) -> tuple[list[str], list[list[Cell]]]:
        head = [
            "against " + self.baseline,
            "load",
            "quantity",
            self.baseline,
            "value",
            "ratio",
            "95 % interval",
            "n",
            "",
        ]
        return [plain(name) for name in head], [_cells(result) for result in self.results]


def _failed(runs: Iterable[pd.DataFrame]) -> float:
    """Return the share of requests that failed; those cut off by a stop are not asked."""
    rows = pd.concat(list(runs))
    ended = rows[rows["error_kind"] != CUT_OFF]
    return float(1 - ended["success"].mean()) if len(ended) else 0.0


def _record(result: Result) -> dict[str, Json]:
    return {
        "group": result.pairing.other,
        **result.pairing.load,
        "quantity": result.quantity.name,
        "baseline": result.baseline.value,
        "value": result.other.value,
        "ratio": result.ratio.value,
        "low": result.ratio.low,
        "high": result.ratio.high,
        "difference": result.difference.value,
        "difference_low": result.difference.low,
        "difference_high": result.difference.high,
        "p": result.p,
        "p_holm": result.p_holm,
        "n": result.ratio.n,
        "effective": result.ratio.effective,
        "method": result.method,
        "noise": result.noise,
        "judgement": result.judgement,
    }


def _cells(result: Result) -> list[Cell]:
    metric = result.quantity.metric
    unit, scale = (metric.unit, 1.0) if isinstance(metric, Rate) else (metric.display_unit, metric.scale())
    return [
        label(result.pairing.other),
        label(at_load(result.pairing.load).removeprefix(" at ")),
        label(f"{result.quantity.words} [{unit}]"),
        Cell(number(result.baseline.value * scale)),
        Cell(number(result.other.value * scale)),
        Cell(number(result.ratio.value)),
        Cell(f"{number(result.ratio.low)} to {number(result.ratio.high)}", faint=result.rests_on_few),
        Cell(number(result.ratio.n)),
        label(result.judgement),
    ]
