"""The table that a person sees first: how many, how long, how fast, and whether to believe it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

from perfkit.metrics import METRICS, RATES
from perfkit.records import Json
from perfkit.stats import thin
from perfkit.tables import Cell, as_html, as_text, ditto, group_name, label, number, plain
from perfkit.verdict import Verdict

METRICS_SHOWN = ("ttft", "itl", "tpot", "e2e", "decode_rate", "lag")
RATES_SHOWN = ("request_throughput", "output_throughput", "concurrency")
THIN = "fewer than 10 samples lie beyond this percentile: it is the luck of a few requests"


@dataclass(frozen=True)
class Summary:
    """What was measured, as tables; prints itself in a terminal and in a notebook.

    ``frame`` has a row per group and metric: n, mean and percentiles of the steady, successful requests, in the unit
    of its column ``unit``. ``rates`` has a row per group: requests, failed, throughputs, concurrency, and the goodput
    where objectives were given.
    """

    head: str
    frame: pd.DataFrame
    rates: pd.DataFrame
    verdicts: Mapping[str, Verdict | None] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    shown: tuple[str, ...] = METRICS_SHOWN

    def __str__(self) -> str:
        tables = [as_text(*table) for table in self._tables()]
        return "\n".join([plain(self.head), *(["", "\n\n".join(tables)] if tables else []), *self._footnotes("*")])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = "".join(as_html(*table) for table in self._tables())
        notes = "".join(f"<div>{escape(plain(note))}</div>" for note in self._footnotes("grey"))
        return f"<div><b>{escape(plain(self.head))}</b></div>{tables}<small>{notes}</small>"

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON; what cannot be computed is None."""
        return {
            "head": self.head,
            "rates": _records(self.rates),
            "metrics": _records(self.frame),
            "verdicts": {run: _verdict_record(verdict) for run, verdict in self.verdicts.items()},
            "notes": list(self.notes),
        }

    def _footnotes(self, mark: str) -> list[str]:
        about = [f"{run}: {reason}" for run, verdict in self.verdicts.items() if verdict for reason in verdict.reasons]
        starred = any(cell.faint for _, rows in self._tables() for row in rows for cell in row)
        return [*([f"{mark}: {THIN}"] if starred else []), *about, *self.notes]

    def _tables(self) -> list[tuple[list[str], list[list[Cell]]]]:
        return [table for table in (self._rate_table(), self._latency_table()) if table[1]]

    def _rate_table(self) -> tuple[list[str], list[list[Cell]]]:
        rates_shown = [RATES[name] for name in (*RATES_SHOWN, *self._registered(RATES))]
        goodput = ["goodput"] if "goodput" in self.rates else []
        counts = ["requests", "failed", *(["cut_off"] if self.rates["cut_off"].any() else [])]
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
                *(Cell(number(int(row[name]))) for name in counts),
                *(Cell(number(row[name])) for name in [*(rate.name for rate in rates_shown), *goodput]),
                *([label(_level(self.verdicts.get(str(key))))] if judged else []),
            ]
            for key, row in self.rates.iterrows()
        ]
        return [*head, *(["verdict"] if judged else [])], rows

    def _latency_table(self) -> tuple[list[str], list[list[Cell]]]:
        measured = self.frame[self.frame["n"] > 0]
        numbers = [name for name in measured.columns if name not in ("unit", "n")]
        rows = [
            [*_groups(measured.index.names, key[:-1]), *_latency_row(str(key[-1]), row, numbers)]
            for key, row in measured.iterrows()
            if isinstance(key, tuple)
        ]
        return [*map(str, measured.index.names), "n", *numbers], ditto(rows, len(measured.index.names) - 1)

    @staticmethod
    def _registered(table: Mapping[str, object]) -> list[str]:
        return [name for name, entry in table.items() if not _is_ours(entry)]


def _is_ours(entry: object) -> bool:
    return getattr(entry, "compute", entry).__module__.startswith("perfkit.metrics.")


def metrics_shown() -> tuple[str, ...]:
    """Return the metrics that a summary shows: ours, then the users' own."""
    return (*METRICS_SHOWN, *(name for name, metric in METRICS.items() if not _is_ours(metric)))


def _groups(by: Sequence[object], values: Sequence[object]) -> list[Cell]:
    return [label(group_name(*pair)) for pair in zip(by, values, strict=False)]


def _latency_row(name: str, row: pd.Series, numbers: Sequence[str]) -> list[Cell]:
    metric = METRICS[name]
    shown = metric.display_unit if row["unit"] == metric.unit else row["unit"]
    scale = metric.scale(shown) / metric.scale(row["unit"])
    cells = [Cell(number(row[column] * scale), faint=_is_thin(column, row["n"])) for column in numbers]
    return [label(f"{metric.label} [{shown}]"), Cell(number(int(row["n"]))), *cells]


def _is_thin(column: str, n: int) -> bool:
    return column.startswith("p") and thin(n, float(column[1:]))


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
