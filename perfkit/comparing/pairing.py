"""Which runs are held against which: those of a group and of the baseline that had the same load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from perfkit.errors import UsageError, nearest
from perfkit.frame import Run
from perfkit.records import Json

MATCH = ("model", "dataset", "parallel", "rate")
"""Settings that must be equal for two runs to be comparable."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Some runs of the baseline and some of another group, at one load."""

    other: str
    load: Mapping[str, Json]
    baseline_runs: tuple[Run, ...]
    other_runs: tuple[Run, ...]


def pairings(runs: Sequence[Run], baseline: str, by: str, match: Sequence[str]) -> tuple[list[Pairing], list[str]]:
    """Pair every group with the baseline, and name the runs that have no partner.

    Parameters
    ----------
    runs : sequence of Run
        All of them.
    baseline : str
        A value of ``by``.
    by : str
        The setting or tag that tells groups apart; ``run``: the name, which repeats and points of a sweep share.
    match : sequence of str
        Settings that must be equal; the one that groups are told apart by is not among them.

    Raises
    ------
    UsageError
        No run belongs to the baseline, or no group had a load in common with it.
    """
    groups = {run: _group(run, by, baseline) for run in runs}
    if baseline not in groups.values():
        missing = f"is called {baseline!r}" if by == "run" else f"has {by} {baseline!r}"
        other = "; for the value of a setting or tag, name it with by" if by == "run" else ""
        raise UsageError(f"no run {missing}{nearest(baseline, set(groups.values()))}{other}")
    keys = [name for name in match if name != by]
    cells: dict[tuple[str, tuple[Json, ...]], list[Run]] = {}
    for run, group in groups.items():
        cells.setdefault((group, tuple(run.settings.get(name) for name in keys)), []).append(run)
    paired = [
        Pairing(group, dict(zip(keys, load, strict=True)), tuple(cells[baseline, load]), tuple(members))
        for (group, load), members in cells.items()
        if group != baseline and (baseline, load) in cells
    ]
    if not paired:
        raise UsageError(f"no run has the {', '.join(keys)} of one of {baseline!r}; say with match= what must be equal")
    used = {run for pair in paired for run in (*pair.baseline_runs, *pair.other_runs)}
    return paired, [run.label for run in runs if run not in used]


def _group(run: Run, by: str, baseline: str) -> str:
    if by != "run":
        return str(run.settings.get(by))
    return run.label if run.label == baseline else str(run.record.get("name") or run.label)
