"""Choosing among runs, and what they are called: by label, number, setting; renamed, joined, told apart."""

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from perfkit.analysis.query import columns
from perfkit.analysis.query.annotations import said_of_removed
from perfkit.analysis.query.run import Run
from perfkit.errors import UsageError, nearest
from perfkit.records import Json

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs


def with_requests(runs: "Runs", what: str) -> tuple[Run, ...]:
    """Return the runs whose requests are there.

    Raises
    ------
    UsageError
        There are none.
    """
    if not runs.members:
        raise UsageError("; ".join(["there are no runs to look at", *said_of_removed(runs.removed)]))
    found = tuple(run for run in runs.members if not run.is_summary)
    if not found:
        raise UsageError(columns.needs_requests(what, runs.summarized))
    return found


def numbered(runs: Sequence[Run], number: int) -> Run:
    """Return a run by its place, from 0, or from the end below 0.

    Raises
    ------
    IndexError
        There is none.
    """
    try:
        return runs[number]
    except IndexError:
        there = "there is none"
        if runs:
            there = f"there are {len(runs)}, 0 to {len(runs) - 1}: {', '.join(run.label for run in runs)}"
        raise IndexError(f"no run has the number {number}; {there}") from None


def labelled(runs: Sequence[Run], label: str) -> list[Run]:
    """Return the runs that a label, or else a pattern of labels, names."""
    return [run for run in runs if run.label == label] or [run for run in runs if fnmatchcase(run.label, label)]


def matching(runs: Sequence[Run], labels: Sequence[str], settings: Mapping[str, Any]) -> list[Run]:
    """Return the runs with one of these labels, in their order, and with all of these settings.

    Raises
    ------
    UsageError
        A label is not a text, or no run has such a setting.
    """
    for label in labels:
        if not isinstance(label, str):
            raise UsageError(f"pick takes labels, or patterns such as 'tp*', got {label!r}; by number: runs[{label!r}]")
    named = [run for label in labels for run in runs if run.label == label or fnmatchcase(run.label, label)]
    found = list(dict.fromkeys(named)) if labels else list(runs)
    for name, wanted in settings.items():
        columns.check_setting(runs, name)
        found = [run for run in found if _matches(run.settings.get(name), wanted)]
    return found


def _matches(value: Json, wanted: Any) -> bool:
    if isinstance(wanted, (list, tuple, set, frozenset, range)):
        return any(_matches(value, each) for each in wanted)
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted or fnmatchcase(value, wanted)
    return bool(value == wanted)


def rename(runs: Sequence[Run], names: Sequence[str], renamed: Mapping[str, str]) -> list[Run]:
    """Return runs under other names: all of them in order, or by their old names.

    Raises
    ------
    UsageError
        The number of names is not that of the runs, a name is unknown, or two labels would be the same.
    """
    if names and len(names) != len(runs):
        raise UsageError(f"rename got {len(names)} names for {len(runs)} runs")
    known = [*(run.label for run in runs), *(run.name for run in runs)]
    for old in renamed:
        if old not in known:
            raise UsageError(f"no run is called {old!r}{nearest(old, known)}")
    named = [_renamed(run, renamed) for run in runs]
    if names:
        named = [replace(run, label=label, renamed=label) for run, label in zip(runs, names, strict=True)]
    labels = [run.label for run in named]
    if len(set(labels)) < len(labels):
        raise UsageError(f"labels must differ, got {', '.join(labels)}")
    return named


def _renamed(run: Run, renamed: Mapping[str, str]) -> Run:
    """Return a run under the new name of its label, or else of the name that it shares with others."""
    if run.label in renamed:
        return replace(run, label=renamed[run.label], renamed=renamed[run.label])
    if run.name not in renamed:
        return run
    new = renamed[run.name]
    return replace(run, label=run.label.replace(run.name, new, 1), renamed=new)


def renumbered(runs: Sequence[Run], taken: Sequence[Run]) -> list[Run]:
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


def identity(run: Run) -> Hashable:
    """Return what is equal where the same rows of the same run are looked at, however often its file was opened."""
    path = run.source.path
    place = os.path.realpath(path) if os.path.exists(path) else id(run.source.connection)
    return place, run.run_id, run.conditions, run.window
