"""A quantity over nights or commits, in words: how it went on, and where it changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from perfkit.analysis.metrics import Rate
from perfkit.analysis.metrics.quantity import Quantity
from perfkit.analysis.stats.changes import FEWEST
from perfkit.analysis.text_table import Cell, as_html, change, ditto, label, number, on_terminal, plain
from perfkit.records import Json

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Trend:
    """Series of a quantity: ``table`` for programs, ``sentences`` for people, ``plot()``; prints itself."""

    quantity: Quantity
    over: str
    table: pd.DataFrame
    """One row per series and point; see ``Runs.trend``."""
    draw: "Callable[[], Axes]"

    @property
    def changes(self) -> pd.DataFrame:
        """The rows of the table at which a new level begins."""
        return self.table[self.table["change"].notna()].reset_index(drop=True)

    @property
    def sentences(self) -> list[str]:
        """Say of each series where it changed, or that no change is shown, and why."""
        return [sentence for name, rows in self._series() for sentence in self._said(name, rows)]

    def plot(self) -> "Axes":
        """Draw it."""
        return self.draw()

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON; what is unknown is None."""
        rows = self.table.drop(columns="place").astype(object)
        told = rows.where(rows.notna(), None).to_dict("records")
        named = [{str(name): value for name, value in row.items()} for row in told]
        return {"quantity": self.quantity.name, "over": self.over, "table": named, "sentences": self.sentences}

    def _series(self) -> Iterator[tuple[str, pd.DataFrame]]:
        for name, rows in self.table.groupby("group", sort=False):
            yield str(name), rows[rows["value"].notna()]

    def _said(self, name: str, rows: pd.DataFrame) -> Iterator[str]:
        words, word = self.quantity.words, "nights" if self.over == "night" else "points"
        if len(rows) < FEWEST:
            yield (
                f"{name}: no change of {words} shown: {len(rows)} {word[: None if len(rows) != 1 else -1]}, and fewer "
                f"than {FEWEST} cannot show one"
            )
            return
        levels = rows["level"].ffill()
        scatter = float(np.log(rows["value"] / levels).std(ddof=levels.nunique()))
        apart = f"points differ by {scatter:.1%} around {'their level' if levels.nunique() == 1 else 'their levels'}"
        if not rows["change"].notna().any():
            yield f"{name}: no change of {words} shown in {len(rows)} {word}: {apart}"
            return
        for _, row in rows[rows["change"].notna()].iterrows():
            better = self.quantity.metric.better
            judged = f", {'better' if (row['change'] > 1) == (better == 'higher') else 'worse'}" if better else ""
            ends = (row["change_low"], row["change_high"])
            interval = f" ({change(ends[0])} to {change(ends[1])})" if ends[0] > 0 else ""
            yield (
                f"{name}: {words} {change(row['change'])}{interval} from {row['point']} on{judged} "
                f"(p = {row['p']:.2g}; {apart})"
            )

    def _shown(self) -> tuple[list[str], list[list[Cell]]]:
        metric = self.quantity.metric
        unit, scale = (metric.unit, 1.0) if isinstance(metric, Rate) else (metric.display_unit, metric.scale())
        title = f"{self.quantity.words} [{unit}]"
        head = ["series", self.over, "runs", "requests", title, "95 % interval", "level", "change"]
        rows = []
        for _, row in self.table.iterrows():
            low, high = row["low"] * scale, row["high"] * scale
            rows.append(
                [
                    label(row["group"]),
                    label(row["point"]),
                    Cell(number(int(row["runs"]))),
                    Cell(number(int(row["requests"]))),
                    Cell(number(row["value"] * scale), faint=row["mark"] != ""),
                    Cell("–" if low != low else f"{number(low)} to {number(high)}"),
                    Cell(number(row["level"] * scale)),
                    label("" if row["change"] != row["change"] else change(row["change"])),
                ]
            )
        return [plain(name) for name in head], ditto(rows, 1)

    def __str__(self) -> str:
        return "\n".join([*map(plain, self.sentences), "", on_terminal(*self._shown(), groups=1)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        above = "".join(f"<div><b>{escape(plain(sentence))}</b></div>" for sentence in self.sentences)
        return f"{above}{as_html(*self._shown())}"
