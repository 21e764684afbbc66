"""What runs are called in tables and legends: their name, or what tells them apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import PurePath

from perfkit.records import Json

_TELLING = ("parallel", "rate", "model", "dataset", "number", "max_tokens", "api", "target")
"""Settings that make runs of one name differ, the likeliest first."""

SINCE_2001 = 1e9
"""Older start times count from the boot of a machine and are no date."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a label can be made of."""

    name: str | None
    path: str
    settings: Mapping[str, Json]


def labels(candidates: Sequence[Candidate]) -> list[str]:
    """Return one label per run, all different.

    Parameters
    ----------
    candidates : sequence of Candidate
        The runs that are looked at together.

    Returns
    -------
    list of str
        A run's name; without one, the shortest part of its path that tells it apart. Runs that would be called the
        same gain the settings in which they differ, where these are equal their date, then a number.

    Examples
    --------
    >>> labels([Candidate("tp2", "a.db", {"parallel": 1}), Candidate("tp2", "a.db", {"parallel": 8}),
    ...         Candidate(None, "old/m7b/bench.db", {}), Candidate(None, "old/m13b/bench.db", {})])
    ['tp2 parallel=1', 'tp2 parallel=8', 'm7b', 'm13b']
    """
    paths = path_labels([candidate.path for candidate in candidates if not candidate.name])
    names = [candidate.name or paths[candidate.path] for candidate in candidates]
    return distinct(names, [candidate.settings for candidate in candidates])


def path_labels(paths: Sequence[str]) -> dict[str, str]:
    """Return for each path the part that no other has: of the same level for all if one serves, else of any.

    Parts with letters come before dates, those near the file before those far from it, one part before two.

    Examples
    --------
    >>> path_labels(["out/a/bench.db", "out/b/bench.db"])
    {'out/a/bench.db': 'a', 'out/b/bench.db': 'b'}
    >>> path_labels(["out/run1.db", "out/run2.db"])
    {'out/run1.db': 'run1', 'out/run2.db': 'run2'}
    """
    unique = list(dict.fromkeys(paths))
    parts = [(PurePath(path).stem, *reversed(PurePath(path).parts[:-1])) for path in unique]
    holders = Counter(name for part in parts for name in set(part))
    for level in range(min(map(len, parts), default=0)):
        level_names = [part[level] for part in parts]
        # Of files at different depths, a level may hold one's own name and the folder that all others lie in.
        if all(holders[name] == 1 for name in level_names):
            return dict(zip(unique, level_names, strict=True))
    return _telling(dict(zip(unique, parts, strict=True)))


def _telling(parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return for each path one or two of its parts that together no other path has; the whole path at worst."""
    known = {path: [*_ordered(own), *combinations(own, 2)] for path, own in parts.items()}
    times = Counter(choice for choices in known.values() for choice in set(choices))
    chosen = {path: next((c for c in choices if times[c] == 1), (path,)) for path, choices in known.items()}
    return {path: "/".join(reversed(choice)) for path, choice in chosen.items()}


def _ordered(parts: Sequence[str]) -> list[tuple[str, ...]]:
    return sorted(((part,) for part in parts), key=lambda choice: not any(map(str.isalpha, choice[0])))


def distinct(names: Sequence[str], settings: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return names that are all different, by adding what their runs differ in."""
    chosen = list(names)
    for name, count in Counter(names).items():
        if count > 1:
            members = [at for at, other in enumerate(names) if other == name]
            for at, suffix in zip(members, _suffixes([settings[at] for at in members]), strict=True):
                chosen[at] = f"{name} {suffix}".rstrip()
    return chosen if len(set(chosen)) == len(chosen) else _numbered(chosen)


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    taken = set(names)
    numbered = []
    for name in names:
        seen[name] += 1
        label = name if seen[name] == 1 else f"{name} ({seen[name]})"
        while seen[name] > 1 and label in taken:
            seen[name] += 1
            label = f"{name} ({seen[name]})"
        taken.add(label)
        numbered.append(label)
    return numbered


def _suffixes(settings: Sequence[Mapping[str, Json]]) -> list[str]:
    """Return what tells runs of one name apart: one setting, else several, else these and the dates of equal ones."""
    varying = [key for key in _TELLING if len({str(each.get(key)) for each in settings}) > 1]
    for keys in [*([key] for key in varying), varying]:
        suffixes = [" ".join(f"{key}={each[key]}" for key in keys if each.get(key) is not None) for each in settings]
        if keys and all(suffixes) and len(set(suffixes)) == len(suffixes):
            return suffixes
    if not varying or not all(suffixes):
        return [_date(each) for each in settings]
    times = Counter(suffixes)
    return [
        suffix if times[suffix] == 1 else f"{suffix} {_date(each)}"
        for suffix, each in zip(suffixes, settings, strict=True)
    ]


def _date(settings: Mapping[str, Json]) -> str:
    start = settings.get("start_time")
    if not isinstance(start, (int, float)) or start < SINCE_2001:
        return str(settings.get("run_id", ""))[-6:]
    return datetime.fromtimestamp(start).strftime("%Y-%m-%d %H:%M:%S")
