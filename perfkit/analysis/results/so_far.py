"""Figures of a job that goes on, read from its file as rows are added to it: no row is read twice."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from perfkit.analysis.stats.distribution import Floats, percentile
from perfkit.records import CANCELLED, CUT_OFF

BINS = 60
"""Points of a curve over the time of a load."""

_NUMBERS = ("completed_time", "first_chunk_latency", "time_per_output_token", "completion_tokens")
"""What is kept of each successful request."""

_RECORD = ("parallel", "rate", "start_time", "end_time", "heartbeat")

_TEXT = 300
"""Characters of an error's text that are kept."""

_LOADS = {"parallel": "users", "rate": "requests/s"}


class Failures(NamedTuple):
    """Failed requests of one kind, and the server's words of the last."""

    kind: str
    number: int
    text: str


@dataclass(frozen=True)
class PointSoFar:
    """One point of a job: rates over its load so far, and percentiles of its successful requests. NaN where unknown."""

    load: str
    """``8 users``, ``12.5 requests/s``."""
    done: int
    failed: int
    seconds: float
    request_rate: float
    """Successful requests per second of load."""
    token_rate: float
    """Output tokens of these answers per second of load."""
    ttft: tuple[float, float]
    """Median and 95th percentile, s."""
    tpot: tuple[float, float]
    verdict: str | None = None
    """Of a point that has ended."""


@dataclass(frozen=True)
class Curves:
    """The point under way over its time: seconds since its start, and a value each. NaN where nothing ended."""

    time: Floats
    request_rate: Floats
    ttft_p50: Floats
    ttft_p95: Floats


@dataclass(frozen=True)
class Figures:
    """What the file of a job holds so far: its points, the failures of all, and curves of the point under way."""

    points: tuple[PointSoFar, ...] = ()
    failures: tuple[Failures, ...] = ()
    curves: Curves | None = None

    def sentences(self) -> list[str]:
        """Return the point under way, and each kind of failure, as lines of a terminal."""
        lines = []
        if self.points:
            point = self.points[-1]
            rate = [f"{point.token_rate:,.1f} output tokens/s"] if np.isfinite(point.token_rate) else []
            lines.append(" · ".join([*rate, *_spread("TTFT", point.ttft), *_spread("TPOT", point.tpot)]))
        lines += [f"{each.number:,} failed, {each.kind}: {each.text}" for each in self.failures]
        return [line for line in lines if line]


def _numbers(names: Sequence[str]) -> str:
    """Return columns as SQL; what is no number is NULL, as a file may hold anything."""
    return ", ".join(f"CASE WHEN typeof({name}) IN ('real', 'integer') THEN {name} END" for name in names)


def _spread(name: str, spread: tuple[float, float]) -> list[str]:
    p50, p95 = spread
    return [f"{name} p50 {p50 * 1e3:,.1f}, p95 {p95 * 1e3:,.1f} ms"] if np.isfinite(p50) else []


@dataclass
class _Seen:
    """What was read of one point."""

    done: int = 0
    failed: int = 0
    kept: list[Floats] = field(default_factory=list)

    def numbers(self) -> Floats:
        """Return one row per successful request: end, TTFT, TPOT, tokens."""
        if len(self.kept) > 1:
            self.kept = [np.concatenate(self.kept)]
        return self.kept[0] if self.kept else np.empty((0, len(_NUMBERS)))


class SoFar:
    """Reads the figures of a job's points from its file, each time only the rows that are new.

    Parameters
    ----------
    path : Path
        The run file. It is opened for each look and closed after it, as a reader that lingers would keep the writer
        from folding its journal.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> import perfkit as pk
    >>> with pk.simulate(ttft=0.02, itl=0.001) as server, TemporaryDirectory() as folder:
    ...     job = pk.start(server.url, number=3, max_tokens=4, db=f"{folder}/a.db", workers=0)
    ...     _ = job.wait()
    ...     (point,) = SoFar(job.path).look(job.progress.run_ids).points
    >>> point.load, point.done, point.failed, point.verdict
    ('1 user', 3, 0, 'VALID')
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = 0
        self._points: dict[str, _Seen] = {}
        self._failures: dict[str, Failures] = {}

    def look(self, run_ids: Sequence[str]) -> Figures:
        """Return the figures of some runs, in their order.

        Raises
        ------
        sqlite3.Error
            The file is gone, or cannot be read just now.
        """
        records = self._read(run_ids)
        known = [(records[run_id], self._points.setdefault(run_id, _Seen())) for run_id in run_ids if run_id in records]
        points = tuple(_point(record, seen) for record, seen in known)
        return Figures(points, tuple(self._failures.values()), _curves(*known[-1]) if known else None)

    def _read(self, run_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        marks = ", ".join("?" * len(run_ids))
        new = f"""SELECT rowid, run_id, success, error_kind, substr(error, 1, {_TEXT}), {_numbers(_NUMBERS)}
                  FROM result WHERE rowid > ? AND run_id IN ({marks})"""
        records = f"SELECT run_id, verdict, {_numbers(_RECORD)} FROM run WHERE run_id IN ({marks})"
        address = f"{self._path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1.0)) as file:
            self._add(file.execute(new, [self._last, *run_ids]).fetchall())
            found = file.execute(records, list(run_ids)).fetchall()
        return {row[0]: dict(zip(("run_id", "verdict", *_RECORD), row, strict=True)) for row in found}

    def _add(self, rows: list[tuple[Any, ...]]) -> None:
        good: dict[str, list[tuple[Any, ...]]] = {}
        for rowid, run_id, success, kind, text, *numbers in rows:
            self._last = max(self._last, rowid)
            if kind == CUT_OFF:
                continue
            seen = self._points.setdefault(run_id, _Seen())
            seen.done += 1
            if success:
                good.setdefault(run_id, []).append(tuple(numbers))
            elif kind != CANCELLED:
                seen.failed += 1
                before = self._failures.get(kind)
                self._failures[kind] = Failures(str(kind), 1 + (before.number if before else 0), str(text or ""))
        for run_id, numbers in good.items():
            self._points[run_id].kept.append(np.array(numbers, dtype=float))


def _point(record: Mapping[str, Any], seen: _Seen) -> PointSoFar:
    _, ttft, tpot, tokens = seen.numbers().T
    seconds = _seconds(record, seen)
    counted = tokens[np.isfinite(tokens)]
    return PointSoFar(
        load=_load(record),
        done=seen.done,
        failed=seen.failed,
        seconds=seconds,
        request_rate=len(ttft) / seconds if seconds else float("nan"),
        token_rate=float(counted.sum()) / seconds if seconds and counted.size else float("nan"),
        ttft=(percentile(ttft, 50), percentile(ttft, 95)),
        tpot=(percentile(tpot, 50), percentile(tpot, 95)),
        verdict=record["verdict"],
    )


def _load(record: Mapping[str, Any]) -> str:
    for name, unit in _LOADS.items():
        if (value := record[name]) is not None:
            if value == -1:
                return "all at once"
            return f"{value:g} {unit.removesuffix('s') if (name, value) == ('parallel', 1) else unit}"
    return ""


def _seconds(record: Mapping[str, Any], seen: _Seen) -> float:
    """Return the length of a load so far: until its end, or until the last sign of life of its writer."""
    start, ended = record["start_time"], seen.numbers()[:, 0]
    signs = [record["heartbeat"], *([ended.max()] if ended.size else [])]
    ends = [record["end_time"]] if record["end_time"] is not None else [sign for sign in signs if sign is not None]
    return max(0.0, float(max(ends)) - start) if start is not None and ends else 0.0


def _curves(record: Mapping[str, Any], seen: _Seen) -> Curves | None:
    """Return what ended in each of some spans of equal length."""
    ended, ttft, _, _ = seen.numbers().T
    seconds = _seconds(record, seen)
    if not ended.size or not seconds:
        return None
    span = max(1.0, seconds / BINS)
    places = np.floor((ended - record["start_time"]) / span).astype(int)
    count = int(seconds // span)
    if count < 2:
        return None
    spans = [ttft[places == place] for place in range(count)]
    return Curves(
        time=(np.arange(count, dtype=np.float64) + 0.5) * span,
        request_rate=np.array([len(each) / span for each in spans]),
        ttft_p50=_each(spans, 50),
        ttft_p95=_each(spans, 95),
    )


def _each(spans: Iterable[Floats], q: float) -> Floats:
    return np.array([percentile(span, q) for span in spans])
