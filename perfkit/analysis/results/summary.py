"""The table that a person sees first: how many, how long, how fast, and whether to believe it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

from perfkit.analysis.metrics import METRICS, RATES, Metric, Rate
from perfkit.analysis.query.run import Run
from perfkit.analysis.results.notices import once
from perfkit.analysis.results.warmup import settles
from perfkit.analysis.stats.distribution import percentile
from perfkit.analysis.stats.marks import MARKS, marks_of
from perfkit.analysis.text_table import Cell, as_html, ditto, group_name, label, number, on_terminal, plain
from perfkit.records import Json
from perfkit.registry import Registry
from perfkit.validity.verdict import Verdict

METRICS_FIRST = ("ttft", "itl", "tpot", "e2e", "decode_rate", "lag")
_MOST_PLACES = 3
RATES_FIRST = ("request_throughput", "output_throughput", "concurrency", "whole_run_request_throughput")


@dataclass(frozen=True)
class Summary:
    """What was measured, as tables; prints itself in a terminal and in a notebook.

    ``frame`` has a row per group and metric: n, mean and percentiles of the steady, successful requests, in the unit
    of its column ``unit``, how many of them are ``effective``, and the ``marks`` of numbers that are not to be relied
    on. ``rates`` has a row per group: requests, failed, throughputs, concurrency, and the goodput
    where objectives were given.
    """

    head: str
    frame: pd.DataFrame
    rates: pd.DataFrame
    verdicts: Mapping[str, Verdict | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Why requests failed: one row per run, kind and status, with a count and the commonest words."""
    why_failed: tuple[str, ...] = ()
    """The same as sentences."""
    shown: tuple[str, ...] = METRICS_FIRST
    summarized: tuple[str, ...] = ()
    """Runs that are known by a summary alone."""
    runs: tuple[Mapping[str, Json], ...] = ()
    """What each run was asked to do, and its tags: with it, ``to_dict`` says all that a summary needs to be opened."""

    def __str__(self) -> str:
        groups = self.frame.index.nlevels - 1
        laid_out = ((self._rate_table(), 0), (self._latency_table(), groups))
        tables = [on_terminal(*table, labels) for table, labels in laid_out if table[1]]
        return "\n".join(
            [plain(self.head), *(["", "\n\n".join(tables)] if tables else []), *map(plain, self._footnotes("*"))]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = "".join(as_html(*table) for table in self.tables)
        notes = "".join(f"<div>{escape(plain(note))}</div>" for note in self._footnotes("grey"))
        return f"<div><b>{escape(plain(self.head))}</b></div>{tables}<small>{notes}</small>"

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON; what cannot be computed is None."""
        return {
            "head": self.head,
            "runs": [dict(run) for run in self.runs],
            "rates": _records(self.rates),
            "metrics": [{**row, "marks": marks_of(str(row["marks"]))} for row in _records(self.frame)],
            "verdicts": {run: _verdict_record(verdict) for run, verdict in self.verdicts.items()},
            "failures": _records(self.failures.reset_index(drop=True)) if len(self.failures) else [],
            "notes": list(self.notes),
        }

    def _footnotes(self, mark: str) -> list[str]:
        about = [f"{run}: {reason}" for run, verdict in self.verdicts.items() if verdict for reason in verdict.reasons]
        return [*self.marked(mark), *self.failed, *once(about, list(self.verdicts)), *self.noted]

    @property
    def failed(self) -> list[str]:
        """Why requests failed; what is said of several runs alike, once."""
        return once(self.why_failed, list(self.verdicts), alike=False)

    @property
    def noted(self) -> list[str]:
        """The notes; what is said of several runs alike, once."""
        return once(self.notes, list(self.verdicts))

    def marked(self, mark: str) -> list[str]:
        """Say what marked numbers rest on."""
        return mark_notes(self.frame, mark)

    @property
    def tables(self) -> list[tuple[list[str], list[list[Cell]]]]:
        """Rates and latencies as they are shown: a head and rows of cells each."""
        return [table for table in (self._rate_table(), self._latency_table()) if table[1]]

    def _rate_table(self) -> tuple[list[str], list[list[Cell]]]:
        rates_shown = [RATES[name] for name in shown(RATES, RATES_FIRST) if self._has(RATES[name])]
        goodput = ["goodput"] if "goodput" in self.rates else []
        seldom = ("cancelled", "cut_off", "resent")
        counts = ["requests", "failed", *(name for name in seldom if self.rates[name].any())]
        judged = bool(self.verdicts) and self.rates.index.names == ["run"]
        head = [
            *map(str, self.rates.index.names),
            *(name.replace("_", " ") for name in counts),
            *(f"{rate.label} [{rate.unit}]" for rate in rates_shown),
            *(f"{name} [requests/s]" for name in goodput),
        ]
        rows = [
            [
                *_groups(self.rates.index.names, key if isinstance(key, tuple) else (key,)),
                *(_count(row[name]) for name in counts),
                *(Cell(number(row[name])) for name in [*(rate.name for rate in rates_shown), *goodput]),
                *([label(self._verdict(str(key)))] if judged else []),
            ]
            for key, row in self.rates.iterrows()
        ]
        return [*head, *(["verdict"] if judged else [])], rows

    def _verdict(self, run: str) -> str:
        return "summary" if run in self.summarized else _level(self.verdicts.get(run))

    def _has(self, rate: Rate) -> bool:
        """Tell whether a rate has a column: one of the tagged has where a run has tags for any of them.

        One that is shown where it is known has where it is.
        """
        if rate.shown == "known":
            return bool(self.rates[rate.name].notna().any())
        tagged = [name for name, each in RATES.items() if each.shown == "tagged" and each.settings]
        is_known = any(self.rates[name].notna().any() for name in ([rate.name] if rate.settings else tagged))
        return rate.shown != "tagged" or is_known

    def _latency_table(self) -> tuple[list[str], list[list[Cell]]]:
        # A summary need not say how many requests it is of.
        measured = self.frame[(self.frame["n"] > 0) | (self.frame["marks"] != "")]
        numbers = [name for name in measured.columns if name not in ("unit", "n", "effective", "marks", "pooled")]
        rows = [
            [*_groups(measured.index.names, key[:-1]), *_latency_row(str(key[-1]), row, numbers)]
            for key, row in measured.iterrows()
            if isinstance(key, tuple)
        ]
        return [*map(str, measured.index.names), "n", *numbers], ditto(rows, len(measured.index.names) - 1)


def window_notes(runs: Sequence[Run], rows: pd.DataFrame) -> list[str]:
    """Say over which time rates are taken, and which runs had no steady state."""
    said, drains = [], []
    by_run = dict(iter(rows.groupby("run_id", sort=False)))
    for run in runs:
        if (own := by_run.get(run.run_id)) is None or not own["window_end"].notna().any():
            continue
        ends = float(own["completed_time"].max())
        if own["window_end"].iloc[0] > own["start_time"].max():
            said.append(
                f"{run.label}: rates are taken over the whole run, as no request ended while others were still sent"
            )
        elif ends > own["window_end"].iloc[0]:
            drains.append(ends - float(own["window_end"].iloc[0]))
        said += [*_unsettled(run, own), *_capped(run, own), *_without_chunks(run, own)]
    if drains:
        least, most = (f"{edge:.3g}" for edge in (min(drains), max(drains)))
        lasted = f"{most} s" if least == most else f"{least} to {most} s"
        said.insert(0, f"rates are taken up to the last request sent; the drain after it, {lasted}, is left out")
    return said


def _unsettled(run: Run, rows: pd.DataFrame) -> list[str]:
    steady = rows[(rows["phase"] == "steady") & rows["success"]].sort_values("start_time")
    first = steady["first_chunk_latency"]
    values = first if first.notna().any() else steady["completed_time"] - steady["start_time"]
    is_settled = run.window.is_settled if run.window else True
    if is_settled and settles(values):
        return []
    return [f"{run.label} never settled: its latencies still change at its end, so its numbers depend on its length"]


def _capped(run: Run, rows: pd.DataFrame) -> list[str]:
    most = run.settings.get("max_concurrency")
    if not most or run.settings.get("load") == "closed":
        return []
    late = percentile(rows["start_time"] - rows["scheduled_time"], 95) if "scheduled_time" in rows else float("nan")
    held = f", which delayed requests by up to {number(late)} s (p95)" if late == late else ""
    return [
        f"{run.label}: ttft and e2e are counted from sending, at most {most} in flight{held}; ttft_scheduled and "
        "e2e_scheduled count from the schedule, which is what users waited"
    ]


def _without_chunks(run: Run, rows: pd.DataFrame) -> list[str]:
    edges = rows[["window_start", "window_end"]]
    crossing = [(rows["start_time"] < at) & (rows["completed_time"] > at) for _, at in edges.items()]
    unknown = (
        rows["success"] & (crossing[0] | crossing[1]) & rows["crossing_gaps"].isna() & rows["crossing_chunks"].isna()
    )
    if not (unknown & rows["first_chunk_latency"].notna() & rows["completion_tokens"].notna()).any():
        return []
    return [
        f"{run.label}: its file holds no times of chunks, so the tokens of answers under way at the edges of the "
        "window are spread evenly between first token and end"
    ]


def shown(registry: Registry[Metric] | Registry[Rate], first: Sequence[str]) -> tuple[str, ...]:
    """Return the names that a summary shows: some in an order, then every other that is to be shown."""
    others = (name for name, entry in registry.items() if entry.shown and name not in first)
    return (*first, *others)


def metrics_shown() -> tuple[str, ...]:
    """Return the metrics that a summary shows."""
    return shown(METRICS, METRICS_FIRST)


def _groups(by: Sequence[object], values: Sequence[object]) -> list[Cell]:
    return [label(group_name(*pair)) for pair in zip(by, values, strict=False)]


def _latency_row(name: str, row: pd.Series, numbers: Sequence[str]) -> list[Cell]:
    metric = METRICS[name]
    shown = metric.display_unit if row["unit"] == metric.unit else row["unit"]
    scale = metric.scale(shown) / metric.scale(row["unit"])
    marked = marks_of(row["marks"])
    cells = [Cell(number(row[column] * scale), faint=column in marked) for column in numbers]
    return [label(f"{metric.label} [{shown}]"), _count(row["n"] or float("nan")), *cells]


def _count(n: float) -> Cell:
    return Cell("–" if n != n else number(int(n)))


def mark_notes(frame: pd.DataFrame, mark: str) -> list[str]:
    """Say what each mark in a table of percentiles means, and where neighbours depend on one another.

    Examples
    --------
    >>> mark_notes(pd.DataFrame({"n": [9], "effective": [9.0], "marks": ["too few: p50"]}), "*")[0][:25]
    '* too few: fewer than 10 '
    """
    found: dict[str, list[str]] = {}
    for key, row in frame.iterrows():
        for reason in dict.fromkeys(marks_of(row["marks"]).values()):
            place = " ".join(map(str, key if isinstance(key, tuple) else (key,)))
            found.setdefault(reason, []).append(f"{place}: {row['effective']:,.0f} of {row['n']:,}")
    said = []
    for reason, words in MARKS.items():
        places = found.get(reason, []) if reason == "dependent" else []
        more = f", and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
        where = f" ({', '.join(places[:_MOST_PLACES])}{more})" if places else ""
        said += [f"{mark} {reason}: {words}{where}"] if reason in found else []
    return said


def _level(verdict: Verdict | None) -> str:
    return verdict.level if verdict else "not judged"


def _records(frame: pd.DataFrame) -> list[dict[str, Json]]:
    flat = frame.reset_index()
    return [
        {str(name): None if pd.isna(value) else _plain_number(value) for name, value in row.items()}
        for row in flat.astype(object).to_dict("records")
    ]


def _plain_number(value: Json) -> Json:
    return value.item() if isinstance(value, np.generic) else value


def _verdict_record(verdict: Verdict | None) -> Json:
    return {"level": _level(verdict), "reasons": verdict.reasons if verdict else []}
