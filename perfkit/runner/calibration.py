"""How exact this machine's own measurements are: runs against a server whose log is the truth.

``perfkit calibrate`` goes through a grid of streams and token rates and says, at each point, what perfkit adds to
TTFT, how late its stamps are and what a chunk costs; the highest point whose stamps hold is the honest load.
"""

import json
import platform
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from perfkit.analysis.notebook.live import SeveralJobs
from perfkit.analysis.stats.distribution import percentile
from perfkit.options.output import written
from perfkit.records import TOKEN_KINDS, Json
from perfkit.runfile import chunks
from perfkit.runner.job import Job
from perfkit.runner.start import start
from perfkit.simulator import Simulation, simulate
from perfkit.simulator.truth import RequestTruth, chunks_by_request, read_requests
from perfkit.validity.calibrated_rate import stored_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STREAMS = (1, 8, 32, 64, 128, 256, 512)
ITLS = (0.050, 0.020, 0.010)
LATE_LIMIT = 0.001
"""Seconds: a point is honest while the 99th percentile of its uncensored stamps is no later than this."""

CENSORED_LIMIT = 0.05
SERVER_LIMIT = 0.001
"""Seconds: where the simulator's own p99 lateness exceeds this, the point says nothing about the client."""

HEADS: tuple[str, ...] = (
    *("streams", "itl [ms]", "events/s", "TTFT added [ms]", "late mean [ms]", "late p99 [ms]"),
    *("censored [%]", "us/event", ""),
)

TTFT = 0.150
SECONDS = 1.5  # of tokens per request


@dataclass(frozen=True)
class Lateness:
    """Stored stamps of one run against the server's log. Seconds; lateness is stored stamp minus send stamp.

    ``censored`` is the share of tokens whose read also brought a later token: their stamp is an upper bound, and
    ``late_*`` leave them out, ``every_*`` do not. ``ttft_error`` is reported TTFT minus (first write - last byte of
    the request read); ``us_received`` and ``us_stored`` are microseconds of processor time per event, ``memory``
    the most bytes that the process of the streams has held.
    """

    requests: int
    late_mean: float
    late_p50: float
    late_p99: float
    every_p50: float
    every_p99: float
    first_p50: float
    first_p99: float
    written_p99: float
    ttft_error: float
    itl_p50: float
    tpot_error: float
    censored: float
    us_received: float
    us_stored: float
    memory: float
    server_late_p99: float
    verdict: str | None
    own: frozenset[int] = field(default=frozenset(), repr=False)
    """Request numbers of the log that are this run's."""


def lateness(db: str | Path, log: str | Path, chunk_log: str | Path) -> Lateness:
    """Compare the stamps of a run file's one run, of one worker or several, with the server's truth log.

    Parameters
    ----------
    db : path
        Run file with one run, made on the machine of the server.
    log, chunk_log : path
        Logs in the format of ``perfkit.simulator.truth``.

    Returns
    -------
    Lateness

    Raises
    ------
    ValueError
        No request of the run succeeded.
    """
    truth = {request.req: request for request in read_requests(log)}
    sent = chunks_by_request(chunk_log)
    with sqlite3.connect(f"file:{Path(db).resolve()}?mode=ro", uri=True) as connection:
        offset, verdict = connection.execute("SELECT clock_offset, verdict FROM run").fetchone()
        summed = "SELECT name, sum(value) FROM sample WHERE name LIKE '%cpu_seconds' GROUP BY name"
        costs = dict(connection.execute(summed))
        (memory,) = connection.execute("SELECT max(value) FROM sample WHERE name = 'peak_memory'").fetchone()
        rows = connection.execute(
            "SELECT server_request_id, start_time, written_time, first_chunk_latency, time_per_output_token, chunks "
            "FROM result WHERE success AND phase <> 'preflight'"
        ).fetchall()
    if not rows:
        raise ValueError(f"no request of {db} succeeded; there is nothing to compare")
    answers = [_answer(row, offset, truth, sent) for row in rows]
    late = np.concatenate([answer.late for answer in answers])
    hidden = np.concatenate([answer.censored for answer in answers])
    events = sum(answer.events for answer in answers)
    first = [answer.late[0] for answer in answers]
    return Lateness(
        requests=len(rows),
        late_mean=float(np.mean(late[~hidden])),
        late_p50=percentile(late[~hidden], 50),
        late_p99=percentile(late[~hidden], 99),
        every_p50=percentile(late, 50),
        every_p99=percentile(late, 99),
        first_p50=percentile(first, 50),
        first_p99=percentile(first, 99),
        written_p99=percentile([row[2] - row[1] for row in rows], 99),
        ttft_error=float(np.mean([answer.ttft_error for answer in answers])),
        itl_p50=percentile(np.concatenate([answer.gaps for answer in answers]), 50),
        tpot_error=float(np.mean([answer.tpot_error for answer in answers])),
        censored=float(hidden.mean()),
        us_received=costs.get("cpu_seconds", np.nan) / events * 1e6,
        us_stored=sum(costs.values()) / events * 1e6,
        memory=memory or np.nan,
        server_late_p99=percentile([c.sent - c.due for answer in answers for c in sent[answer.number]], 99) / 1e9,
        verdict=verdict,
        own=frozenset(answer.number for answer in answers),
    )


@dataclass(frozen=True)
class _Answer:
    number: int
    late: "np.ndarray[Any, np.dtype[np.float64]]"
    censored: "np.ndarray[Any, np.dtype[np.bool_]]"
    gaps: "np.ndarray[Any, np.dtype[np.float64]]"
    ttft_error: float
    tpot_error: float
    events: int


def _answer(row: tuple[Any, ...], offset: int, truth: dict[int, RequestTruth], sent: dict[int, Any]) -> _Answer:
    identity, start_time, _, ttft, tpot, blob = row
    number = int(identity.rpartition("-")[2])
    request = truth[number]
    stored = chunks.unpack(blob)
    tokens = np.isin(np.asarray(stored.kind), TOKEN_KINDS)
    arrival = np.asarray(stored.arrival)[tokens] + round(start_time * 1e9) - offset
    shared = np.zeros(len(arrival), bool)
    shared[:-1] = np.diff(np.asarray(stored.read)[tokens]) == 0
    true_tpot = (request.last_ns - request.first_ns) / 1e9 / max(1, request.tokens - 1)
    return _Answer(
        number,
        (arrival - np.array([chunk.sent for chunk in sent[number]])) / 1e9,
        shared,
        np.diff(arrival) / 1e9,
        ttft - (request.first_ns - request.recv_done_ns) / 1e9,
        abs((tpot or true_tpot) - true_tpot),
        len(set(zip(stored.message, stored.kind, strict=True))),
    )


@dataclass(frozen=True)
class Point:
    """One point of the grid, and what became of it: ``honest``, ``late``, or ``server`` (the simulator was late)."""

    streams: int
    itl: float
    rate: float
    """Events per second asked for."""
    lateness: Lateness

    @property
    def outcome(self) -> str:
        """Whose limit it shows, if any."""
        if self.lateness.server_late_p99 > SERVER_LIMIT:
            return "server"
        late = self.lateness.late_p99 > LATE_LIMIT or self.lateness.censored > CENSORED_LIMIT
        return "late" if late else "honest"


@dataclass(frozen=True)
class Calibration:
    """What ``calibrate`` found on this machine."""

    points: tuple[Point, ...]
    host: str = field(default_factory=platform.node)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def honest_rate(self) -> float | None:
        """Highest event rate (1/s) at which the stamps held; None if they held nowhere."""
        return max((point.rate for point in self.points if point.outcome == "honest"), default=None)

    def __str__(self) -> str:
        heads = HEADS
        rows = [_cells(point) for point in self.points]
        widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (heads, *rows)
        ]
        return "\n".join([*lines, "", self.sentence])

    @property
    def sentence(self) -> str:
        """The result in one sentence: what holds, what was not learnt, and what to do."""
        honest, within = self.honest_rate, f"within {LATE_LIMIT * 1e3:g} ms (p99)"
        blind = [point for point in self.points if point.outcome == "server"]
        again = "close what else runs here and calibrate again"
        if honest is None and len(blind) == len(self.points):
            least = min((point.lateness.server_late_p99 for point in blind), default=float("nan"))
            why = f"the simulator itself was {least * 1e3:.1f} ms late or more (p99) at every point"
            return f"{self.host}: nothing was learnt of the client, as {why}; {again}."
        if honest is None:
            known = " at which the simulator kept time" if blind else ""
            advice = again if blind else "give fewer --streams or a larger --itl, or take a faster machine"
            return f"{self.host}: stamps hold {within} at no point{known}; {advice}."
        points = f"{len(blind)} point{'s' * (len(blind) > 1)}"
        unknown = f"; at {points} the simulator itself was late: to learn of the client there, {again}" if blind else ""
        return f"{self.host}: stamps hold {within} up to {honest:,.0f} events/s{unknown}."

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw lateness against the event rate, a line per token interval, points of the server's limit hollow."""
        from perfkit.analysis.plots import notes
        from perfkit.analysis.plots.canvas import canvas
        from perfkit.analysis.plots.groups import legend

        with canvas(ax) as ax:
            for itl, marker in zip(sorted({point.itl for point in self.points}), "os^Dv*", strict=False):
                line = [point for point in self.points if point.itl == itl]
                (drawn,) = ax.plot(*_dots(line), marker=marker, label=f"time between tokens {itl * 1e3:g} ms")
                hollow = [point for point in line if point.outcome == "server"]
                ax.plot(*_dots(hollow), marker, color="white", markeredgecolor=drawn.get_color())
            ax.axhline(LATE_LIMIT * 1e3, color="0.5", linestyle=":")
            ax.set(xscale="log", yscale="log", xlabel="events [1/s]", ylabel="stamps late, p99 [ms]")
            legend(ax, None)
            notes.write(ax, ["hollow: the simulator was late"], [])
        return ax

    def save(self, path: str | Path | None = None) -> Path:
        """Store it, by default where later runs look for it; return the path."""
        place = Path(path) if path is not None else stored_path()
        return written(place, json.dumps(self.to_dict(), indent=1))

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON."""
        points = [
            {**asdict(point), "lateness": _plain(point.lateness), "outcome": point.outcome} for point in self.points
        ]
        return {"host": self.host, "date": self.date, "honest_rate": self.honest_rate, "points": points}


def _dots(points: list[Point]) -> tuple[list[float], list[float]]:
    """Return event rates and lateness (ms) for drawing on logarithmic axes."""
    return [point.rate for point in points], [max(point.lateness.late_p99 * 1e3, 1e-3) for point in points]


def _cells(point: Point) -> tuple[str, ...]:
    late = point.lateness
    remark = {"honest": "", "late": "not honest", "server": "simulator late"}[point.outcome]
    numbers = (late.ttft_error * 1e3, late.late_mean * 1e3, late.late_p99 * 1e3, late.censored * 100, late.us_stored)
    return (
        str(point.streams),
        f"{point.itl * 1e3:g}",
        f"{point.rate:,.0f}",
        *(f"{number:.3f}" for number in numbers[:3]),
        *(f"{number:.1f}" for number in numbers[3:]),
        remark,
    )


def _plain(late: Lateness) -> dict[str, Any]:
    return {name: value for name, value in asdict(late).items() if name != "own"}


def calibrate(
    streams: Iterable[int] = STREAMS,
    itls: Iterable[float] = ITLS,
    *,
    stamps: str = "auto",
    progress: Callable[[Point], None] | None = None,
) -> Calibration:
    """Measure how exact perfkit is on this machine, over a grid of streams and token intervals.

    Parameters
    ----------
    streams : iterable of int
        Streams at once.
    itls : iterable of float, seconds
        Time between two tokens of a stream.
    stamps : {"auto", "kernel", "user"}
        Whose stamps.
    progress : callable, optional
        Takes each point as it is done.

    Returns
    -------
    Calibration
        Print it, ``.plot()`` it, ``.save()`` it for later runs' verdicts.

    Examples
    --------
    >>> found = calibrate([2], [0.02])
    >>> [point.streams for point in found.points]
    [2]
    """
    points: list[Point] = []
    grid = [(count, itl) for itl in itls for count in streams]
    several = SeveralJobs(figures=False)  # nothing else is to use the processor meanwhile
    for at, (count, itl) in enumerate(grid, 1):
        what = f"point {at} of {len(grid)}, {count} {'stream' if count == 1 else 'streams'}, {itl * 1e3:g} ms a token"
        points.append(_point(count, itl, stamps, partial(several, before=what, after="")))
        several.draw(Calibration(tuple(points)))
        if progress is not None:
            progress(points[-1])
    return Calibration(tuple(points))


def _point(streams: int, itl: float, stamps: str, watch: Callable[[Job], AbstractContextManager[object]]) -> Point:
    tokens = max(4, round(SECONDS / itl))
    with tempfile.TemporaryDirectory() as name:
        db, log, chunk_log = (Path(name) / file for file in ("run.db", "log.csv", "chunks.bin"))
        simulation = Simulation(
            ttft=TTFT, itl=itl, jitter=0.5, output_tokens=tokens, log=str(log), chunk_log=str(chunk_log)
        )
        with simulate(simulation) as server:
            job = start(
                server.url,
                parallel=streams,
                number=streams,
                prompt="hello",
                max_tokens=tokens,
                stamps=stamps,
                db=str(db),
            )
            with watch(job):
                job.wait()
        return Point(streams, itl, streams / itl, lateness(db, log, chunk_log))
