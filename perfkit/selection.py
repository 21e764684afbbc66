"""Choosing runs and rows: every choice returns another selection, and the files stay as they are."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Self

import pandas as pd

from perfkit import columns
from perfkit.errors import UsageError, nearest
from perfkit.frame import Run
from perfkit.labels import distinct
from perfkit.opening import Problem
from perfkit.records import Json
from perfkit.steady import Amount, trimmed


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """Some runs, and of each the rows that are looked at."""

    members: tuple[Run, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Files that were found but could not be opened, each with the reason."""
    by_outcome: bool = False
    """True after a filter on outcomes: what is left has no rate."""
    palette: tuple[str, ...] = ()
    """Labels in the order of their colours, those of runs no longer looked at included."""

    @property
    def labels(self) -> list[str]:
        """What the runs are called."""
        return [run.label for run in self.members]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Self]:
        return (self._with([run]) for run in self.members)

    def __getitem__(self, key: int | slice | str) -> Self:
        if isinstance(key, str):
            if key not in self.labels:
                raise KeyError(f"no run is called {key!r}{nearest(key, self.labels)}")
            key = self.labels.index(key)
        found = self.members[key]
        return self._with(found if isinstance(found, tuple) else [found])

    def __add__(self, other: Self) -> Self:
        """Return both; labels that collide are told apart, and rows of the other are numbered past these."""
        if not isinstance(other, Selection):
            return NotImplemented
        both = (*self.members, *_renumbered(other.members, self.members))
        names = distinct([run.label for run in both], [run.settings for run in both])
        named = tuple(replace(run, label=name) for run, name in zip(both, names, strict=True))
        return replace(
            self,
            members=named,
            problems=(*self.problems, *other.problems),
            by_outcome=self.by_outcome or other.by_outcome,
            palette=tuple(dict.fromkeys([*self.palette, *other.palette, *names])),
        )

    def _with(self, runs: Iterable[Run]) -> Self:
        return replace(self, members=tuple(runs))

    def pick(self, *labels: str, **settings: Any) -> Self:
        """Return the runs that match.

        Parameters
        ----------
        *labels : str
            Labels, or patterns such as ``"tp*"``; a run that matches any of them is kept, in the order given.
        **settings : value, pattern or list of these
            What a setting or tag must be: ``model="qwen"``, ``parallel=[8, 32]``.

        Returns
        -------
        Runs
            At least one.

        Raises
        ------
        UsageError
            Nothing matches, or no run has such a setting.
        """
        named = [run for label in labels for run in self.members if run.label == label or fnmatchcase(run.label, label)]
        candidates = list(dict.fromkeys(named)) if labels else list(self.members)
        for name, wanted in settings.items():
            columns.check_setting(self.members, name)
            candidates = [run for run in candidates if _matches(run.settings.get(name), wanted)]
        if not candidates:
            asked = ", ".join([*map(repr, labels), *(f"{name}={wanted!r}" for name, wanted in settings.items())])
            raise UsageError(f"no run matches {asked}; there are {', '.join(self.labels) or 'none'}")
        return self._with(candidates)

    def where(self, condition: "str | pd.Series[bool]") -> Self:
        """Return the runs with only the requests for which a condition holds.

        Parameters
        ----------
        condition : str or Series of bool
            ``"ttft > 231ms and finish_reason = 'stop'"`` (see ``perfkit.where``), or a mask on the index of
            ``requests``; rows that a mask does not name are dropped.

        Returns
        -------
        Runs
            Rows keep their index. After a filter on outcomes, rates are NaN.

        Raises
        ------
        UsageError
            The expression cannot be read, names what nothing has, or the mask is not of bools.
        """
        if isinstance(condition, str):
            kept, outcome = columns.filtered(self.members, condition)
        else:
            if not isinstance(condition, pd.Series) or not pd.api.types.is_bool_dtype(condition):
                raise UsageError("a mask is a Series of bool on the index of requests; a text is an expression")
            kept, outcome = columns.chosen(self.members, condition.index[condition.to_numpy(dtype=bool)]), True
        return replace(self, members=kept, by_outcome=self.by_outcome or outcome)

    def trim(self, warmup: Amount = None, cooldown: Amount = None) -> Self:
        """Choose anew which requests are steady; the phases that were stored with them no longer count.

        Parameters
        ----------
        warmup : int, float, str or None
            What to leave out at the start: a count of requests, a share of them (``0.1``, ``"10%"``), a time such as
            ``"10s"``, or ``"auto"`` (see ``perfkit.steady.warmup_length``).
        cooldown : int, float, str or None
            What to leave out at the end: likewise, a time counting back from the last answer's end.

        Returns
        -------
        Runs
            ``trim()`` takes the whole load as steady.

        Raises
        ------
        UsageError
            An amount cannot be read, or leaves nothing.
        """
        return self._with(trimmed(self.members, warmup, cooldown))

    def rename(self, *names: str, **renamed: str) -> Self:
        """Return the runs under other labels: all of them in order, or ``old="new"`` (``**{"old name": "new"}``).

        Raises
        ------
        UsageError
            The number of names is not that of the runs, a label is unknown, or two would be the same.
        """
        if names and len(names) != len(self):
            raise UsageError(f"rename got {len(names)} names for {len(self)} runs")
        for old in renamed:
            if old not in self.labels:
                raise UsageError(f"no run is called {old!r}{nearest(old, self.labels)}")
        labels = [renamed.get(label, label) for label in (names or self.labels)]
        if len(set(labels)) < len(labels):
            raise UsageError(f"labels must differ, got {', '.join(labels)}")
        named = tuple(replace(run, label=label) for run, label in zip(self.members, labels, strict=True))
        new = dict(zip(self.labels, labels, strict=True))
        palette = dict.fromkeys(new.get(label, label) for label in self.palette)
        return replace(self, members=named, palette=tuple(palette))

    def tag(self, **tags: str) -> Self:
        """Return the runs with tags added: ``runs.tag(gpu="H100")``. The files stay as they are."""
        return self._with(replace(run, tags={**run.tags, **tags}) for run in self.members)


def _matches(value: Json, wanted: Any) -> bool:
    if isinstance(wanted, (list, tuple, set, frozenset, range)):
        return any(_matches(value, each) for each in wanted)
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted or fnmatchcase(value, wanted)
    return bool(value == wanted)


def _renumbered(runs: Sequence[Run], taken: Sequence[Run]) -> list[Run]:
    """Return runs whose rows share no index with those taken: files, or runs looked at twice, move past them."""
    there = {run.source for run in taken}
    twice = {(run.source, run.run_id) for run in taken} & {(run.source, run.run_id) for run in runs}
    base = max((source.base + source.height + 1 for source in there), default=0)
    moved = {}
    for source in dict.fromkeys(run.source for run in runs):
        if source not in there or any(source is other for other, _ in twice):
            moved[source] = replace(source, base=base)
            base += source.height + 1
    return [replace(run, source=moved.get(run.source, run.source)) for run in runs]
