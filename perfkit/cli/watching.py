"""What a terminal shows of a job under way: its line, a log of every n requests, the requests themselves."""

import argparse
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from perfkit.analysis.notebook.live import Chart, Framed, Line, Painter, Terminal, sentence
from perfkit.printable import plain, plain_lines
from perfkit.runfile.safe_pickle import decode_cell

if TYPE_CHECKING:
    from perfkit.analysis.results.so_far import Figures
    from perfkit.runner.attach import AttachedJob
    from perfkit.runner.start import Job, Progress

QUIET_SECONDS = 10.0
"""Seconds between two lines where nobody rewrites them: in a log file of a cluster's job, say."""


class Listener(Protocol):
    """What hears of a job's progress."""

    def __call__(self, progress: "Progress") -> None:
        """Take the progress, on another thread."""


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``."""
    meaning = "show no progress, and say nothing of the dataset beforehand; errors are told"
    parser.add_argument("-q", "--quiet", action="store_true", help=meaning)


class Watching(Protocol):
    """What shows a job until a block ends."""

    def __call__(self, job: "Job | AttachedJob", before: str = "", after: str = "") -> AbstractContextManager[object]:
        """Show it, with what it is among others."""


def watcher(options: argparse.Namespace) -> Watching:
    """Return what shows a job until a block ends: nothing, if the command is to be quiet."""
    return unwatched if options.quiet else watched


def unwatched(job: "Job | AttachedJob", before: str = "", after: str = "") -> AbstractContextManager[object]:
    """Show nothing of a job."""
    return nullcontext()


def watched(job: "Job | AttachedJob", before: str = "", after: str = "") -> Line:
    """Show the line of a job on standard error until the block ends, with what it is among others."""
    painter = Terminal() if sys.stderr.isatty() else Plain(job)
    return Line(job, Begun(job, Framed(painter, before, after)))


class Begun:
    """Paints nothing until a request was sent: a run that could not begin has its sentence, and no count of nothing.

    Parameters
    ----------
    job : Job or AttachedJob
    painter : Painter
        Paints from then on.
    """

    def __init__(self, job: "Job | AttachedJob", painter: Painter) -> None:
        self._job, self._painter = job, painter

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Pass it on."""
        if self._job.progress.sent or len(self._job.progress.run_ids) > 1:
            self._painter.paint(text, share, over=over)

    def look(self, figures: "Figures", verdict: Sequence[str]) -> None:
        """Pass it on."""
        self._painter.look(figures, verdict)

    def draw(self, chart: Chart) -> None:
        """Pass it on."""
        self._painter.draw(chart)

    def blocked(self) -> None:
        """Pass it on."""
        self._painter.blocked()


class Plain:
    """Whole lines, rarely: for a log file.

    Parameters
    ----------
    job : Job or AttachedJob
        Whose load decides when a line is due: every ten seconds, and at the end of each point.
    """

    def __init__(self, job: "Job | AttachedJob") -> None:
        self._job = job
        self._due = (1, 1.0)
        self._latest = self._printed = ""

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Print the line if one is due."""
        progress = self._job.progress
        now = (len(progress.run_ids), progress.elapsed // QUIET_SECONDS)
        if over or now >= self._due:
            # A point that has ended is told by the last that was heard of it.
            line = self._latest if now[0] > self._due[0] else text
            if line != self._printed:
                print(plain(line), file=sys.stderr)
            self._printed = line
            self._due = (now[0], now[1] + 1)
        self._latest = text

    def look(self, figures: "Figures", verdict: Sequence[str]) -> None:
        """Leave them out: a line is short, and the run's summary follows it."""

    def draw(self, chart: Chart) -> None:
        """Leave it out."""

    def blocked(self) -> None:
        """Have nothing to take back."""


class Log:
    """Prints a line each time another n requests are done.

    Parameters
    ----------
    every : int
        n.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._printed = (0, 0)

    def __call__(self, progress: "Progress") -> None:
        """Print the line if it is due."""
        reached = (progress.point, progress.done // self._every)
        if progress.done and reached[1] and reached > self._printed:
            self._printed = reached
            print(sentence(progress), file=sys.stderr)


class Requests:
    """Prints each request and its answer as they are stored, which is without secrets and off the measuring loop."""

    def __init__(self) -> None:
        self._shown: dict[str, int] = {}

    def __call__(self, progress: "Progress") -> None:
        """Print what has been stored since the last time."""
        if progress.path is None or not Path(progress.path).exists():
            return
        for run_id in progress.run_ids:
            for rowid, text in _stored(progress.path, run_id, self._shown.get(run_id, -1)):
                self._shown[run_id] = rowid
                print(plain_lines(text), file=sys.stderr)


_SHOWN = "seq, phase, status_code, error, request, response_messages"


def _stored(path: str, run_id: str, after: int) -> Iterator[tuple[int, str]]:
    sql = f"""
        SELECT 0 AS place, {_SHOWN} FROM preflight WHERE run_id = :run_id AND :after < 0
        UNION ALL SELECT rowid AS place, {_SHOWN} FROM result WHERE run_id = :run_id AND rowid > :after
        ORDER BY place"""
    # Read in place and all at once: a reader that lingers would keep the writer from folding its journal.
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as file:
        rows = file.execute(sql, {"run_id": run_id, "after": after}).fetchall()
    for rowid, seq, phase, status, error, request, answer in rows:
        name = phase if seq is None else f"request {seq}"
        without = "not sent" if status is None else "not kept"
        lines = [f"{name} > {json.dumps(decode_cell(request, 'request'), ensure_ascii=False) if request else without}"]
        lines += [f"{name} < {message}" for message in (decode_cell(answer, "response_messages") if answer else [])]
        lines += [f"{name} < {error or f'status {status}'}"]
        yield rowid, "\n".join(lines)
