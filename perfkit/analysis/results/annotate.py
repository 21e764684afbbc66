"""Writes about runs, and reads them again as they are then."""

from collections.abc import Sequence
from dataclasses import replace

from perfkit.analysis.query.annotations import annotated, keep
from perfkit.analysis.query.labels import distinct
from perfkit.analysis.query.run import Run
from perfkit.analysis.results.selection import labelled
from perfkit.errors import UsageError, nearest
from perfkit.runfile.annotations import Annotation


def annotate(
    members: Sequence[Run], removed: Sequence[Run], labels: Sequence[str], words: Annotation
) -> tuple[tuple[Run, ...], tuple[Run, ...], dict[str, str]]:
    """Write about the runs that labels name.

    Returns
    -------
    members, removed : tuple of Run
        As they are when the files are opened again.
    called : dict of str to str
        The new labels by the old ones.

    Raises
    ------
    UsageError
        No run has such a label or a file, or nothing is written.
    StorageError
        A file is read-only or busy; nothing was written to it.
    """
    if words == Annotation():
        raise UsageError("annotate takes name, tags, note or removed; none of them was given")
    chosen = _back(removed, labels) if words.removed is False else _named(members, labels or ["*"], "run")
    keep(chosen, words)
    written = {(run.source, run.run_id) for run in chosen}
    both = [
        (run, annotated(run, words) if (run.source, run.run_id) in written else run) for run in (*members, *removed)
    ]
    kept = [(old, run) for old, run in both if not run.is_removed]
    names = distinct([run.label for _, run in kept], [run.settings for _, run in kept])
    called = {old.label: label for (old, _), label in reversed([*zip(kept, names, strict=True)])}
    renamed = tuple(replace(run, label=label) for (_, run), label in zip(kept, names, strict=True))
    return renamed, tuple(run for _, run in both if run.is_removed), called


def _back(removed: Sequence[Run], labels: Sequence[str]) -> list[Run]:
    """Return those of the removed runs that come back."""
    if not labels:
        there = ", ".join(run.label for run in removed) or "none"
        raise UsageError(f"name the runs to bring back, or '*'; removed are {there}")
    return _named(removed, labels, "removed run")


def _named(runs: Sequence[Run], labels: Sequence[str], what: str) -> list[Run]:
    found = [labelled(runs, label) for label in labels]
    for label, some in zip(labels, found, strict=True):
        if not some:
            raise UsageError(f"no {what} is called {label!r}{nearest(label, [run.label for run in runs])}")
    return list(dict.fromkeys(run for some in found for run in some))
