"""A table of any number of rows in the browser: the kernel searches, sorts and pages, and sends one page."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from perfkit.analysis.notebook.explorer.busy import LOCK
from perfkit.analysis.text_table import number, plain

_HERE = Path(__file__).parent
PAGE = 12


@dataclass(frozen=True)
class Column:
    """One column of a grid: its head, what its values are multiplied by, and what is said of it."""

    head: str
    factor: float = 1.0
    note: str = ""


class Grid(anywidget.AnyWidget):
    """Rows of a frame; ``selected`` holds labels of its index.

    Parameters
    ----------
    picked : callable
        Takes the labels that a person selects.
    toggles : bool
        A click adds a row to the selection or takes it out, rather than selecting it alone.
    """

    _esm = (_HERE / "grid.js").read_text(encoding="utf-8")
    _css = (_HERE / "grid.css").read_text(encoding="utf-8")
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, picked: Callable[[list[Any]], None], *, toggles: bool = False, rows: int = PAGE) -> None:
        self.selected: list[Any] = []
        self._picked, self._toggles, self._rows = picked, toggles, rows
        self._frame, self._columns = pd.DataFrame(), dict[str, Column]()
        self._sort: tuple[int, bool] = (-1, True)
        self._search, self._page = "", 0
        self._text: Any = None
        self._order: np.ndarray = np.empty(0, dtype=int)
        super().__init__(view=self._view())
        self.on_msg(self._heard)

    def fill(self, frame: pd.DataFrame, columns: dict[str, Column], selected: list[Any]) -> None:
        """Show other rows; search and sorting stay."""
        with LOCK:
            if list(columns) != list(self._columns):
                self._sort = (-1, True)
            same = frame is self._frame
            self._frame, self._columns = frame, columns
            self._text = self._text if same else None
            self._arrange()
            self.select(selected)

    def select(self, selected: list[Any]) -> None:
        """Mark rows, and turn to the page of the last one."""
        with LOCK:
            self.selected = list(selected)
            places: Any = np.flatnonzero(self._frame.index[self._order].isin(selected[-1:])) if selected else []
            self._page = int(places[0]) // self._rows if len(places) else self._page
            self.view = self._view()

    @property
    def found(self) -> list[Any]:
        """The labels of all rows that the search leaves, in the order shown."""
        return self._frame.index[self._order].tolist()

    def _arrange(self) -> None:
        at, ascending = self._sort
        order = np.arange(len(self._frame))
        if at >= 0:
            values = self._frame[list(self._columns)[at]].reset_index(drop=True)
            order = values.sort_values(ascending=ascending, kind="stable").index.to_numpy()
        if self._search:
            order = order[self._matches()[order]]
        self._order = order
        self._page = 0

    def _matches(self) -> np.ndarray:
        if self._text is None:  # made at the first search: 100,000 rows take 0.3 s
            parts: list[Any] = [
                self._frame[name].astype(str).fillna("").reset_index(drop=True) for name in self._columns
            ]
            self._text = parts[0].str.cat(parts[1:], sep=" ").str.lower() if parts else pd.Series(dtype=str)
        found: Any = np.ones(len(self._text), dtype=bool)
        for word in self._search.lower().split():
            found &= self._text.str.contains(word, regex=False).to_numpy(dtype=bool)
        return np.asarray(found)

    def _view(self) -> dict[str, Any]:
        pages = max(1, -(-len(self._order) // self._rows))
        self._page = min(max(self._page, 0), pages - 1)
        rows = self._frame.iloc[self._order[self._page * self._rows :][: self._rows]]
        chosen, total = set(self.selected), len(self._order)
        of_pages = f", page {self._page + 1:,} of {pages:,}" if pages > 1 else ""
        marked = f", {len(chosen):,} selected" if chosen else ""
        return {
            "columns": [
                {"name": each.head, "note": each.note, "number": pd.api.types.is_numeric_dtype(self._frame[name])}
                for name, each in self._columns.items()
            ],
            "rows": [
                {"key": str(at), "on": label in chosen, "cells": self._cells(row)}
                for at, label, row in zip(
                    self._frame.index.get_indexer_for(rows.index), rows.index, rows.to_dict("records"), strict=True
                )
            ],
            "sort": list(self._sort),
            "search": self._search,
            "page": self._page,
            "pages": pages,
            "said": f"{total:,} row{'s' * (total != 1)}{of_pages}{marked}",
        }

    def _cells(self, row: dict[Any, Any]) -> list[str]:
        return [_shown(row[name], each.factor) for name, each in self._columns.items()]

    def _heard(self, _: object, message: dict[str, Any], __: object) -> None:
        with LOCK:
            kind = message["kind"]
            if kind == "pick":
                self._pick(self._frame.index[int(message["key"])], add=bool(message["add"]))
                return
            if kind == "page":
                self._page += int(message["step"])
            elif kind == "sort":
                at = int(message["at"])
                self._sort = (at, not self._sort[1] if self._sort[0] == at else True)
                self._arrange()
            elif kind == "search":
                self._search = str(message["text"])
                self._arrange()
            self.view = self._view()

    def _pick(self, label: Any, *, add: bool) -> None:
        others = [each for each in self.selected if each != label]
        if not (add or self._toggles):
            self._picked([label])
        else:
            self._picked(others if len(others) < len(self.selected) else [*self.selected, label])


def _shown(value: Any, factor: float) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return ""
    if isinstance(value, (int, float, np.number)):
        scaled = float(value) * factor
        return number(int(scaled) if scaled.is_integer() and factor == 1 else scaled)
    return plain(value)
