"""Is B faster than A? Groups paired at equal load: each quantity as a ratio with an interval, a sentence a group."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from itertools import groupby
from math import log, sqrt
from typing import TYPE_CHECKING

import pandas as pd

from perfkit.analysis.compare.grid import grid, load_of, several_loads
from perfkit.analysis.compare.pairing import Pairing, pair_runs
from perfkit.analysis.compare.result import (
    ONE_RUN,
    TESTS,
    Noise,
    Result,
    Test,
    at_load,
    compare_quantity,
    noise_of_repeats,
)
from perfkit.analysis.compare.work import COUNTED, unequal
from perfkit.analysis.metrics import Rate
from perfkit.analysis.metrics.quantity import quantity
from perfkit.analysis.metrics.registry import summaries_in, without_summaries
from perfkit.analysis.query import columns
from perfkit.analysis.query.frame import with_summaries
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.distribution import holm
from perfkit.analysis.stats.estimates import Estimate, log_ratio
from perfkit.analysis.stats.marks import MARKS
from perfkit.analysis.stats.power import runs_needed
from perfkit.analysis.text_table import Cell, as_html, change, label, number, on_terminal, plain
from perfkit.errors import UsageError, nearest
from perfkit.records import NOT_FAILED, Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FAILED = 0.01
"""Share of failures from which answers alone may not stand for a side."""


@dataclass(frozen=True)
class SideCounts:
    """What the two sides of a pairing rest on."""

    requests: tuple[int, int]
    """Steady requests that ended by themselves, of the baseline and of the other."""
    failed: tuple[int, int]


def compare(
    runs: Sequence[Run],
    baseline: str,
    by: str,
    match: Sequence[str] | None,
    names: Iterable[str],
    test: Test = "interval",
    noise: float | None = None,
) -> "Comparison":
    """Compare every group with the baseline; see ``Runs.compare``."""
    if test not in TESTS:
        raise UsageError(f"test is one of {', '.join(TESTS)}, got {test!r}{nearest(test, TESTS)}")
    quantities = [quantity(name) for name in names]
    needed = dict.fromkeys(
        ["phase", "error_kind", "success", *COUNTED, *(c for each in quantities for c in each.columns)]
    )
    pairings, unmatched = pair_runs(runs, baseline, by, match)
    loaded = {run: with_summaries(columns.load([run], needed), [run]) for pairing in pairings for run in pairing.runs}
    estimates = {each: {run: each.estimate(rows) for run, rows in loaded.items()} for each in quantities}
    results: list[Result] = []
    apart: list[str] = []
    counts: dict[Pairing, SideCounts] = {}
    for pairing in pairings:
        ours, theirs = ([_steady(loaded[run]) for run in side] for side in (pairing.baseline_runs, pairing.other_runs))
        apart += [f"{words}{at_load(pairing.load)}" for words in unequal(pairing.other, theirs, baseline, ours)]
        counts[pairing] = _counts(ours, theirs)
    for each in quantities:
        known = estimates[each]
        sides = {
            tuple(side): [known[run] for run in side] for p in pairings for side in (p.baseline_runs, p.other_runs)
        }
        taken = Noise(noise) if noise is not None else noise_of_repeats(list(sides.values()))
        results += [
            compare_quantity(p, each, sides[p.baseline_runs], sides[p.other_runs], taken, test) for p in pairings
        ]
    # In the order of the pairings, and corrected for everything that is said of one group.
    results.sort(key=lambda result: pairings.index(result.pairing))
    results = [
        result
        for result in results
        if all(side.n or side.mark == "summary" for side in (result.baseline, result.other))
    ]
    corrected: list[Result] = []
    for group in dict.fromkeys(result.pairing.other for result in results):
        own = [result for result in results if result.pairing.other == group]
        p_values = holm([result.p for result in own])
        together = sum(p == p for p in p_values)
        corrected += [replace(result, p_holm=p, together=together) for result, p in zip(own, p_values, strict=True)]
    return Comparison(baseline, tuple(corrected), tuple(unmatched), test=test, counts=counts, unequal=tuple(apart))


def _steady(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["phase"] == "steady"]


def _counts(*sides: Sequence[pd.DataFrame]) -> SideCounts:
    """Count requests and failures, those that summaries tell of, too; those cancelled or cut off are not asked."""
    ended = [[without_summaries(rows[~rows["error_kind"].isin(NOT_FAILED)]) for rows in side] for side in sides]
    told = [[figures for rows in side for figures in summaries_in(rows)] for side in sides]
    counts = [
        (
            sum(map(len, rows)) + int(sum(figures.get("requests", 0) for figures in figures_)),
            sum(int((~each["success"]).sum()) for each in rows)
            + int(sum(figures.get("failed", 0) for figures in figures_)),
        )
        for rows, figures_ in zip(ended, told, strict=True)
    ]
    (ours, lost), (theirs, lost_too) = counts
    return SideCounts((ours, theirs), (lost, lost_too))


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
    counts: Mapping[Pairing, SideCounts] = field(default_factory=dict)
    """Requests and failures of each pairing."""
    unequal: tuple[str, ...] = ()
    """Where a request was clearly not as much work on both sides."""

    @property
    def conclusion(self) -> str:
        """The whole in a sentence a group, and one of what speaks against it."""
        return "\n".join([*self.answers, *self._advice(), *self._doubts()])

    @property
    def answers(self) -> list[str]:
        """Whether each group is faster or slower, in a sentence."""
        groups = groupby(self.results, key=lambda result: result.pairing.other)
        return [_conclude(self.baseline, list(rows), self.levels) for _, rows in groups]

    @property
    def sentences(self) -> list[str]:
        """One sentence a row of the table."""
        return [result.sentence(self.baseline) for result in self.results]

    @property
    def table(self) -> pd.DataFrame:
        """One row per pairing and quantity; durations in seconds.

        The load, ``quantity``, ``baseline`` and ``value`` (the other's), ``ratio`` with ``low`` and ``high``,
        ``difference`` likewise, ``p`` and ``p_holm`` (corrected over all quantities and loads of a group), ``n``
        (requests of the smaller side), ``runs`` (of the smaller side), ``scatter`` (between the runs of a side),
        ``method`` (what the interval rests on: ``rounds``, ``runs``, ``noise``, or ``requests``, which claims nothing),
        ``judgement``, ``mark`` (why the interval is not to be relied on, where it rests on requests).
        """
        return pd.DataFrame([_record(result) for result in self.results])

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """Draw every ratio with its interval, the baseline as a line at 1; those of a load together."""
        from perfkit.analysis.plots.ratios import ratios

        loads = several_loads(self.results)
        if not loads:
            names = [f"{row.quantity.words}, {row.pairing.other}{at_load(row.pairing.load)}" for row in self.results]
            return ratios(self.table, self.baseline, names, ax=ax)
        quantities = list(dict.fromkeys(row.quantity for row in self.results))
        rows = sorted(self.results, key=lambda row: (loads.index(load_of(row)), quantities.index(row.quantity)))
        several = len({row.pairing.other for row in rows}) > 1
        names = [f"{row.quantity.words}{f', {row.pairing.other}' if several else ''}" for row in rows]
        table = pd.DataFrame([_record(row) for row in rows])
        other = "" if several else rows[0].pairing.other
        return ratios(table, self.baseline, names, list(map(load_of, rows)), other=other, ax=ax)

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
        return "\n".join(
            [*above, on_terminal(*self._shown(), groups=2), "", *map(plain, self._footnotes("*", self.sentences))]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        above = "".join(f"<div><b>{escape(plain(line))}</b></div>" for line in self.conclusion.splitlines())
        every = as_html(*self._shown())
        if not several_loads(self.results):
            return f"{above}{every}{_lines(self._footnotes('grey', self.sentences))}"
        head, rows = grid(self.results, self.baseline)
        folded = f"<details><summary>every number</summary>{every}{_lines(self.sentences)}</details>"
        return f"{above}{as_html([plain(name) for name in head], rows)}{_lines(self._footnotes('grey', []))}{folded}"

    def _advice(self) -> list[str]:
        """Say what would decide: repeats, and how many of them."""
        if any(result.judgement == ONE_RUN for result in self.results):
            return [
                "Repeat each run (perfkit run --repeat 5, or perfkit ab URL_A URL_B), or say by how much runs of one "
                "server differ (--noise 4%)."
            ]
        scatters = [result.scatter for result in self.results if result.scatter == result.scatter]
        if not scatters or not any(result.judgement == "no clear difference" for result in self.results):
            return []
        worst = max(scatters)
        family = max(result.together for result in self.results)
        needed = [(effect, runs_needed(worst, effect, family=family)) for effect in (0.1, 0.05)]
        said = " and ".join(f"{100 * effect:.0f} % {count:,} runs a side" for effect, count in needed if count)
        if not said:
            return []
        return [f"Runs of one setting differ by up to {worst:.1%}: to see a difference of {said} are needed."]

    def _doubts(self) -> list[str]:
        """Say what speaks against trusting the conclusions."""
        runs = {run.label for pairing in self.counts for run in pairing.runs}
        found = [self.levels.get(run) or "not judged" for run in runs]
        said = [f"the work differs: {'; '.join(self.unequal)}"] if self.unequal else []
        said += [
            f"{times} of {len(found)} runs {'is' if times == 1 else 'are'} {level}"
            for level in ("CLIENT-BOUND", "SUSPECT", "not judged")
            if (times := found.count(level))
        ]
        failed: dict[str, tuple[int, int]] = {}
        for pairing, counts in self.counts.items():
            for group, failures, requests in zip(
                (self.baseline, pairing.other), counts.failed, counts.requests, strict=True
            ):
                before = failed.get(group, (0, 0))
                failed[group] = before[0] + failures, before[1] + requests
        shares = {group: failures / requests for group, (failures, requests) in failed.items() if requests}
        lost = [f"{share:.0%} of {group}'s requests failed" for group, share in shares.items() if share >= _FAILED]
        if lost:
            said.append(f"{' and '.join(lost)}, and only answers are timed")
        return [f"Keep in mind: {'; '.join(said)}."] if said else []

    def _footnotes(self, mark: str, sentences: Sequence[str]) -> list[str]:
        alone = (
            [f"left out, as nothing of equal load and settings is on the other side: {', '.join(self.unmatched)}"]
            if self.unmatched
            else []
        )
        faint = any(result.method == "requests" and result.ratio.known for result in self.results)
        few = f"{mark}: what the requests of these two runs leave open; what changes from run to run is not in it"
        marked = {result.mark for result in self.results}
        reasons = [f"{mark} {reason}: {words}" for reason, words in MARKS.items() if reason in marked]
        return [*([few] if faint else []), *reasons, *sentences, *alone, *self.notes]

    def _shown(self) -> tuple[list[str], list[list[Cell]]]:
        head = [f"against {self.baseline}", "load", "quantity", self.baseline, "value", "ratio", "95 % interval"]
        return [plain(name) for name in [*head, "runs", "n", ""]], [_cells(result) for result in self.results]


def _lines(texts: Iterable[str]) -> str:
    return "".join(f"<div>{escape(plain(text))}</div>" for text in texts)


def _conclude(baseline: str, rows: Sequence[Result], levels: Mapping[str, str | None]) -> str:
    """Say of one group whether it is faster, and by how much on average over the loads."""
    other = rows[0].pairing.other
    bound = [row for row in rows if _is_client_bound(row.pairing, levels)]
    counted = [row for row in rows if row not in bound and row.quantity.metric.better]
    loads = list(dict.fromkeys(row.pairing for row in counted))
    aside = ""
    if bound:
        places = ", ".join(dict.fromkeys(at_load(row.pairing.load).removeprefix(" at ") for row in bound))
        aside = f"; CLIENT-BOUND and not counted{f' at {places}' if places else ''}"
    if not loads:
        return f"The client was the limit (CLIENT-BOUND), so nothing can be said of {other} against {baseline}."
    where = at_load(loads[0].load) if len(loads) == 1 else f" at {len(loads)} loads"
    named = [
        [row for row in counted if row.quantity == each] for each in dict.fromkeys(row.quantity for row in counted)
    ]
    if all(row.method == "requests" for row in counted):
        changes = ", ".join(f"{own[0].quantity.words} {_changes(own)}" for own in named if _changes(own))
        return (
            f"A difference between {other} and {baseline}{where} cannot be claimed from one run each, as runs of one "
            f"server differ, too{f': measured were {changes}' if changes else ': too few requests'}{aside}."
        )
    clear = [row for row in counted if row.is_better is not None]
    conditions = [row.noise.words for row in counted if row.noise]
    given = f" {conditions[0]}" if conditions else ""
    averages = " on average over these loads" if len(loads) > 1 else ""
    if not clear:
        ranges = ", ".join(text for own in named if (text := _average(own)))
        return f"No difference between {other} and {baseline} was shown{where}{given}: {ranges}{averages}{aside}."
    ways = {row.is_better for row in clear}
    timed = any(row.quantity.metric.unit == "s" for row in clear)
    better, worse = ("faster", "slower") if timed else ("better", "worse")
    if len(ways) == 2:
        how = f"{better} than {baseline} in some numbers and {worse} in others"
    else:
        how = f"{better if ways == {True} else worse} than {baseline}"
    at = [pairing for pairing in loads if any(row.pairing == pairing for row in clear)]
    if len(at) < len(loads):
        places = ", ".join(at_load(pairing.load).removeprefix(" at ") for pairing in at)
        where = f" at {len(at)} of {len(loads)} loads{f' ({places})' if places else ''}"
    elif len(loads) > 1:
        where = f" at each of the {len(loads)} loads"
    seen = {row.quantity for row in clear}
    ranges = ", ".join(text for own in named if own[0].quantity in seen and (text := _average(own)))
    unclear = [own[0].quantity.words for own in named if own[0].quantity not in seen]
    rest = f"; no clear difference in {', '.join(unclear)}" if unclear else ""
    return f"{other} is {how}{where}{given}: {ranges}{averages} (95 % intervals){rest}{aside}."


def _is_client_bound(pairing: Pairing, levels: Mapping[str, str | None]) -> bool:
    return any(levels.get(run.label) == "CLIENT-BOUND" for run in pairing.runs)


def _changes(rows: Sequence[Result]) -> str:
    values = [row.ratio.value for row in rows if row.ratio.value > 0]
    ends = dict.fromkeys(change(value) for value in (min(values), max(values))) if values else ()
    return " to ".join(ends)


def _average(rows: Sequence[Result]) -> str:
    """Return one honest range for a quantity: its ratio, averaged over the loads, with the interval of that."""
    known = [row for row in rows if row.ratio.known and row.error == row.error]
    if not known:
        return ""
    average = average_ratio(known)
    return f"{rows[0].quantity.words} {change(average.value)} ({change(average.low)} to {change(average.high)})"


def average_ratio(rows: Sequence[Result]) -> Estimate:
    """Return the geometric mean of ratios at several loads, with Satterthwaite's degrees of freedom."""
    squares = [row.error**2 for row in rows]
    value = sum(log(row.ratio.value) for row in rows) / len(rows)
    spread = sum(square**2 / row.freedom for square, row in zip(squares, rows, strict=True))
    freedom = sum(squares) ** 2 / spread if spread else float("inf")
    return log_ratio(value, sqrt(sum(squares)) / len(rows), freedom)[0]


def _record(result: Result) -> dict[str, Json]:
    pairing = result.pairing
    return {
        "group": pairing.other,
        **pairing.load,
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
        "runs": min(len(pairing.baseline_runs), len(pairing.other_runs)),
        "scatter": result.scatter,
        "method": result.method,
        "judgement": result.judgement,
        "mark": result.mark,
    }


def _cells(result: Result) -> list[Cell]:
    metric, pairing = result.quantity.metric, result.pairing
    unit, scale = (metric.unit, 1.0) if isinstance(metric, Rate) else (metric.display_unit, metric.scale())
    return [
        label(pairing.other),
        label(at_load(pairing.load).removeprefix(" at ")),
        label(f"{result.quantity.words} [{unit}]"),
        Cell(number(result.baseline.value * scale)),
        Cell(number(result.other.value * scale)),
        Cell(number(result.ratio.value)),
        Cell(
            f"{number(result.ratio.low)} to {number(result.ratio.high)}",
            faint=result.method == "requests" or bool(result.mark),
        ),
        Cell(f"{len(pairing.baseline_runs)} + {len(pairing.other_runs)}"),
        Cell(number(result.ratio.n)),
        label(result.judgement),
    ]
