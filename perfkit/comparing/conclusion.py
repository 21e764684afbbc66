"""Is it faster? A sentence for each group that says no more than its rows of the table, and what speaks against it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from perfkit.comparing.judging import REPEATS, Result, at_load
from perfkit.frame import Run

Levels = Mapping[str, str | None]
"""The verdict on each run, by its label; None: not judged."""

Kind = Literal["better", "worse", "both", "unclear", "client"]

_FIRST: Mapping[Kind, str] = {
    "better": "{other} is {better} than {baseline}",
    "worse": "{other} is {worse} than {baseline}",
    "both": "{other} is {better} than {baseline} in some numbers and {worse} in others",
    "unclear": "No difference between {other} and {baseline} can be told",
    "client": "The client was the limit (CLIENT-BOUND), so nothing can be said of {other} against {baseline}",
}
_FURTHER: Mapping[Kind, str] = {
    "better": "{better}",
    "worse": "{worse}",
    "both": "{better} in some numbers and {worse} in others",
    "unclear": "unclear",
    "client": "CLIENT-BOUND and not counted",
}
_CLEAR: tuple[Kind, ...] = ("better", "worse", "both")
_FAILED = 0.01
"""Share of failures from which answers alone may not stand for a side."""


def conclusions(baseline: str, results: Iterable[Result], levels: Levels) -> list[str]:
    """Say of each group at how many of its loads it is faster than the baseline.

    Parameters
    ----------
    baseline : str
        What the groups are held against.
    results : iterable of Result
        The rows of a comparison. A difference counts where it is clear there, and repeats of one setting do not differ
        by as much; each load is judged by itself.
    levels : mapping of str to str or None
        Loads at which a run is CLIENT-BOUND do not count.

    Returns
    -------
    list of str
        A sentence a group. A range in it spans the 95 % intervals of all the loads that it stands behind, those where
        this number by itself is unclear too: to leave them out would exaggerate.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result.baseline.n and result.other.n and result.quantity.metric.better:
            groups.setdefault(result.pairing.other, []).append(result)
    return [_conclusion(baseline, rows, levels) for rows in groups.values()]


def doubts(
    results: Sequence[Result], levels: Levels, failed: Mapping[str, float], unequal: Sequence[str] = ()
) -> list[str]:
    """Say what speaks against trusting the conclusions.

    Parameters
    ----------
    results, levels
        As above.
    failed : mapping of str to float
        The share of its requests that failed, by group.
    unequal : sequence of str
        Where a request was not as much work on both sides.

    Returns
    -------
    list of str
        One sentence, or none.
    """
    runs = {run.label for row in results for run in _runs(row)}
    found = [levels.get(run) or "not judged" for run in runs]
    said = [f"the work differs: {'; '.join(unequal)}"] if unequal else []
    said += [
        f"{times} of {len(found)} runs {'is' if times == 1 else 'are'} {level}"
        for level in ("CLIENT-BOUND", "SUSPECT", "not judged")
        if (times := found.count(level))
    ]
    lost = [f"{share:.0%} of {group}'s requests failed" for group, share in failed.items() if share >= _FAILED]
    if lost:
        said.append(f"{' and '.join(lost)}, and only answers are timed")
    clear = [row for row in results if row.is_better is not None and row.method != "runs"]
    if clear:
        said.append(f"with fewer than {REPEATS} runs a side, the intervals leave out what changes from run to run")
    if any(row.rests_on_few for row in clear):
        said.append("intervals on few independent samples are rough")
    return [f"Keep in mind: {'; '.join(said)}."] if said else []


def _conclusion(baseline: str, rows: Sequence[Result], levels: Levels) -> str:
    loads = [list(at_one) for _, at_one in groupby(rows, key=lambda row: row.pairing)]
    kinds = [_kind(at_one, levels) for at_one in loads]
    clear = [row for at_one, kind in zip(loads, kinds, strict=True) if kind in _CLEAR for row in at_one]
    clear = [row for row in clear if row.is_better is not None]
    timed = any(row.quantity.metric.unit == "s" for row in clear)
    better, worse = ("faster", "slower") if timed else ("better", "worse")
    words = {"baseline": baseline, "other": rows[0].pairing.other, "better": better, "worse": worse}
    said: list[str] = []
    for kind in _FIRST:
        here = [at_one for at_one, each in zip(loads, kinds, strict=True) if each == kind]
        if here and not said:
            said.append(f"{_FIRST[kind].format(**words)}{_place(here, len(loads))}{_found(kind, here)}")
        elif here:
            found = _found(kind, here) if kind in _CLEAR else ""
            said.append(f"{_FURTHER[kind].format(**words)} at {len(here)}{_named(here)}{found}")
    named = {row.quantity.words for row in clear}
    if unclear := [row.quantity.words for row in rows if clear and row.quantity.words not in named]:
        said.append(f"no clear difference in {', '.join(dict.fromkeys(unclear))}")
    apart = ", each load judged by itself" * (len(set(kinds) - {"client"}) > 1)
    sentence = "; ".join(said)
    return f"{sentence} (95 % intervals{apart})." if "%" in sentence else f"{sentence}."


def _kind(rows: Sequence[Result], levels: Levels) -> Kind:
    """Tell how a group stands to the baseline at one load."""
    if any(levels.get(run.label) == "CLIENT-BOUND" for run in _runs(rows[0])):
        return "client"
    ways = {row.is_better for row in rows} - {None}
    if len(ways) == 2:
        return "both"
    return "unclear" if not ways else "better" if ways == {True} else "worse"


def _runs(row: Result) -> tuple[Run, ...]:
    return (*row.pairing.baseline_runs, *row.pairing.other_runs)


def _place(here: Sequence[Sequence[Result]], count: int) -> str:
    if len(here) < count:
        return f" at {len(here)} of {count} loads{_named(here)}"
    return at_load(here[0][0].pairing.load) if count == 1 else f" at each of the {count} loads that both measured"


def _named(here: Sequence[Sequence[Result]]) -> str:
    names = [at_load(at_one[0].pairing.load).removeprefix(" at ") for at_one in here]
    return f" ({', '.join(names)})" if all(names) else ""


def _found(kind: Kind, here: Sequence[Sequence[Result]]) -> str:
    """Say by how much, as the tail of a phrase."""
    rows = [row for at_one in here for row in at_one]
    if kind == "client":
        return ""
    if kind == "unclear":
        ranges = ", ".join(_ranges(rows, rows))
        return f"; still possible: {ranges}" if ranges else ": too few requests"
    return f": {', '.join(_ranges(rows, [row for row in rows if row.is_better is not None]))}"


def _ranges(rows: Sequence[Result], shown: Iterable[Result]) -> Iterator[str]:
    for name in dict.fromkeys(row.quantity.words for row in shown):
        ratios = [row.ratio for row in rows if row.quantity.words == name and row.ratio.known]
        if ratios:
            low, high = min(ratio.low for ratio in ratios), max(ratio.high for ratio in ratios)
            yield f"{name} {_change(low)} to {_change(high)}"


def _change(ratio: float) -> str:
    """Return a ratio as a change in percent.

    Examples
    --------
    >>> _change(0.88), _change(1.012), _change(12.5)
    ('-12 %', '+1.2 %', '+1,150 %')
    """
    change = 100 * (ratio - 1)
    return f"{change:+,.{0 if abs(change) >= 9.95 else 1}f} %"
