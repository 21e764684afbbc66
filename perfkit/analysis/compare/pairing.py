"""Which runs are compared: those of a group and of the baseline that had the same load and work."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from perfkit.analysis.compare.work import is_alike, work_of
from perfkit.analysis.query import columns
from perfkit.analysis.query.run import Run
from perfkit.analysis.text_table import group_name
from perfkit.errors import NotComparable, UsageError, nearest
from perfkit.options.arguments import Arguments
from perfkit.records import Json

LOAD = ("model", "dataset", "parallel", "rate")
"""Settings that must be equal for two runs to be comparable, beside those that change the work of a request."""

ROUND = "round"
"""The tag of runs that were measured in rounds, both sides in each."""

_ARGUMENTS = frozenset(each.name for each in fields(Arguments))


@dataclass(frozen=True, eq=False)
class Pairing:
    """Some runs of the baseline and some of another group, at one load."""

    other: str
    load: Mapping[str, Json]
    baseline_runs: tuple[Run, ...]
    other_runs: tuple[Run, ...]
    rounds: bool = False
    """Whether the runs of both sides were measured in rounds, and stand in the order of these."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs of both sides."""
        return (*self.baseline_runs, *self.other_runs)


def _in_rounds(pairing: Pairing) -> Pairing:
    """Return a pairing in the order of its rounds, where each side has every one of them once."""
    ours, theirs = (
        {str(run.tags.get(ROUND)): run for run in side} for side in (pairing.baseline_runs, pairing.other_runs)
    )
    counts = len(pairing.baseline_runs), len(pairing.other_runs)
    if "None" in ours or ours.keys() != theirs.keys() or counts != (len(ours), len(theirs)):
        return pairing
    return replace(
        pairing, baseline_runs=tuple(ours.values()), other_runs=tuple(theirs[name] for name in ours), rounds=True
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    """Runs of one group with the same load and work."""

    group: str
    load: dict[str, Json]
    work: dict[str, str]
    runs: list[Run]

    def fits(self, group: str, load: Mapping[str, Json], work: Mapping[str, str]) -> bool:
        return self.group == group and self.load == load and is_alike(self.work, work)


def pair_runs(
    runs: Sequence[Run], baseline: str, by: str, match: Sequence[str] | None
) -> tuple[list[Pairing], list[str]]:
    """Pair every group with the baseline, and name the runs that have no partner.

    Parameters
    ----------
    runs : sequence of Run
        All of them.
    baseline : str
        A value of ``by``.
    by : str
        The setting or tag to group by; ``run``: the name, which repeats and points of a sweep share.
    match : sequence of str or None
        Settings that must be equal, and no others; None: the load and every setting that changes the work. The one
        that groups are told apart by is not among them.

    Raises
    ------
    UsageError
        A setting is unknown, no run belongs to the baseline, or no group had a load in common with it.
    """
    for name in (*(match or ()), by):
        if name not in _ARGUMENTS:
            columns.check_setting(runs, name)
    groups = {run: _group(run, by, baseline) for run in runs}
    if baseline not in groups.values():
        missing = f"is called {baseline!r}" if by == "run" else f"has {by} {baseline!r}"
        other = "; for the value of a setting or tag, name it with by" if by == "run" else ""
        raise UsageError(f"no run {missing}{nearest(baseline, set(groups.values()))}{other}")
    cells: list[_Cell] = []
    for run, group in groups.items():
        load = {name: run.settings.get(name) for name in (LOAD if match is None else match) if name != by}
        work = {name: value for name, value in work_of(run).items() if match is None and name != by}
        known = [cell for cell in cells if cell.fits(group, load, work) and cell.work.keys() == work.keys()]
        if known:
            known[0].runs.append(run)
        else:
            cells.append(_Cell(group, load, work, [run]))
    paired, used = [], set[Run]()
    for cell in cells:
        partners = [run for each in cells if each.fits(baseline, cell.load, cell.work) for run in each.runs]
        if cell.group != baseline and partners:
            paired.append(_in_rounds(Pairing(cell.group, cell.load, tuple(partners), tuple(cell.runs))))
            used.update(partners, cell.runs)
    left = [f"{run.label}{_reason(cell, cells, baseline)}" for cell in cells for run in cell.runs if run not in used]
    if not paired:
        others = [words for words in left if words.endswith(")")] or left
        raise NotComparable(
            f"no run is comparable with {baseline!r}: {'; '.join(others[:3]) or 'there is no other'}; "
            "name with match= the settings that must be equal, and no others will be asked for"
        )
    return paired, left


def _reason(cell: _Cell, cells: Collection[_Cell], baseline: str) -> str:
    """Say what a cell has that the baseline's most similar has not: `` (max_tokens 16, not 32)``."""
    if cell.group == baseline:
        return ""
    differences = [
        [
            f"{name} {value}, not {theirs[name]}"
            for name, value in {**cell.load, **cell.work}.items()
            if theirs.get(name, value) != value
        ]
        for each in cells
        if each.group == baseline and (theirs := {**each.load, **each.work})
    ]
    said = [word.replace("null", "none").replace("None", "none") for word in min(differences, key=len, default=[])]
    return f" ({'; '.join(said[:3])})" if said else ""


def _group(run: Run, by: str, baseline: str) -> str:
    if by != "run":
        return group_name(by, run.settings.get(by))
    return run.label if run.label == baseline else run.name
