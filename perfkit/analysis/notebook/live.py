"""The live line of a job: how far it is, in a notebook with a bar and a stop button, in a terminal as text."""

import math
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from perfkit.printable import plain

EVERY = 0.2
"""Seconds between two looks at the job."""


class Progress(Protocol):
    """How far a job is."""

    @property
    def point(self) -> int:
        """Index of the point of the sweep under way."""

    @property
    def points(self) -> int:
        """Points of the sweep."""

    @property
    def sent(self) -> int:
        """Requests sent, those that were cut off when it was stopped included."""

    @property
    def done(self) -> int:
        """Requests finished."""

    @property
    def failed(self) -> int:
        """Of these."""

    @property
    def in_flight(self) -> int:
        """Requests sent and not finished."""

    @property
    def elapsed(self) -> float:
        """Seconds of load."""

    @property
    def rate(self) -> float:
        """Requests finished per second; NaN before the first."""

    @property
    def expected(self) -> int | None:
        """Requests planned; None where that is not known."""

    @property
    def duration(self) -> float | None:
        """Seconds planned; None where there is no limit of time."""


class Job(Protocol):
    """What a line asks of a job."""

    @property
    def progress(self) -> Progress:
        """How far it is."""

    @property
    def interrupted(self) -> bool:
        """True when it was stopped before its end."""

    @property
    def problem(self) -> str | None:
        """Why it was ended before its end, where that was nobody's wish."""

    @property
    def path(self) -> Path | None:
        """The run file."""

    def done(self) -> bool:
        """Tell whether it has ended."""

    def stop(self) -> object:
        """End it early."""


class Painter(Protocol):
    """Where a line is drawn."""

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Draw the line; ``share`` is NaN where the end is not known."""

    def blocked(self) -> None:
        """Take back what a person cannot press while the cell runs."""


def show(job: Job) -> "Line":
    """Show how far a job is until it ends.

    Parameters
    ----------
    job : Job
        As ``pk.start`` returns it.

    Returns
    -------
    Line
        Paints itself from a thread of its own. As a context manager it ends with the block.

    Examples
    --------
    >>> job = pk.start("http://localhost:8000", rate=8, number=500)  # doctest: +SKIP
    >>> show(job)  # doctest: +SKIP
    """
    return Line(job, _painter(job), alone=True)


class Remarked:
    """Prints what is to be said about the dataset, on standard error and before the first request."""

    def __init__(self) -> None:
        self._printed = 0

    def __call__(self, progress: "Remarks") -> None:
        """Print what is new."""
        for sentence in progress.remarks[self._printed :]:
            sys.stderr.write(f"{plain(sentence)}\n")
        self._printed = len(progress.remarks)


class Remarks(Protocol):
    """What of a job's progress is about its dataset."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """A sentence each."""


class Several:
    """Shows jobs that come one after the other, in one place: what watches each of them.

    Parameters
    ----------
    painter : Painter, optional
        Where; default: a bar in a notebook, a line elsewhere.
    """

    def __init__(self, painter: Painter | None = None) -> None:
        self._painter = painter

    def __call__(self, job: Job, before: str, after: str) -> "Line":
        """Show one of them, and what it is among the others; as a context manager the line ends with the block."""
        self._painter = self._painter or _painter(job)
        return Line(job, Framed(self._painter, before, after))


@dataclass(frozen=True)
class Framed:
    """Paints a line with more before and after it.

    Parameters
    ----------
    painter : Painter
        Where it is drawn.
    before, after : str
        Empty where there is nothing to add.
    """

    painter: Painter
    before: str
    after: str

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Add what belongs to the line, and pass it on."""
        self.painter.paint(" · ".join(filter(None, (self.before, text, self.after))), share, over=over)

    def blocked(self) -> None:
        """Pass it on."""
        self.painter.blocked()


class Line:
    """The live line of one job.

    Parameters
    ----------
    job : Job
        What it tells of.
    painter : Painter
        Where it is drawn.
    alone : bool
        Nothing else tells of the job: the line names its file, and says why it failed.
    """

    def __init__(self, job: Job, painter: Painter, *, alone: bool = False) -> None:
        self._job = job
        self._alone = alone
        self._painter = painter
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="perfkit-live-line", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        # The cell blocks, so a click on stop would only be heard after the end: "interrupt kernel" is.
        self._painter.blocked()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Paint the line a last time and let it rest."""
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._job.done():
            self._paint("", over=False)
            if self._closing.wait(EVERY):
                break
        self._paint("stopped: " if self._job.interrupted else "done: ", over=True)

    def _paint(self, before: str, *, over: bool) -> None:
        progress = self._job.progress
        parts = [sentence(progress, over=over)]
        if self._alone and over and self._job.problem:
            parts.insert(0, self._job.problem)
        if self._alone and self._job.path:
            parts.append(str(self._job.path))
        self._painter.paint(before + " · ".join(parts), share(progress), over=over)


def sentence(progress: Progress, *, over: bool = False) -> str:
    """Say how far a job is.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> print(sentence(SimpleNamespace(point=1, points=3, done=120, failed=2, in_flight=8, elapsed=4.0, rate=30.0,
    ...                                expected=500, duration=None)))
    point 2 of 3 · 120 of 500 requests · 2 failed · 8 in flight · 30.0 requests/s · 4 s, about 13 s left
    """
    part = [f"point {progress.point + 1} of {progress.points}"] if progress.points > 1 else []
    of = f" of {progress.expected:,}" if progress.expected is not None else ""
    part.append(f"{progress.done:,}{of} requests")
    if progress.failed:
        part.append(f"{progress.failed:,} failed")
    if over and progress.sent > progress.done:
        part.append(f"{progress.sent - progress.done:,} cut off")
    if not over:
        part.append(f"{progress.in_flight:,} in flight")
    if math.isfinite(progress.rate):
        part.append(f"{progress.rate:,.1f} requests/s")
    left = _left(progress)
    ahead = f", about {left:,.0f} s left" if not over and math.isfinite(left) and left >= 0.5 else ""
    return " · ".join([*part, f"{progress.elapsed:,.0f} s{ahead}"])


def share(progress: Progress) -> float:
    """Return how much of the point under way is done, 0 to 1; NaN where its end is not known."""
    limits = ((progress.done, progress.expected), (progress.elapsed, progress.duration))
    return max((min(1.0, done / whole) for done, whole in limits if whole), default=math.nan)


def _left(progress: Progress) -> float:
    done = share(progress)
    return progress.elapsed * (1 - done) / done if done > 0 else math.nan


def _painter(job: Job) -> Painter:
    if _in_notebook():
        from perfkit.analysis.notebook.bar import Bar

        return Bar(job.stop)
    return Terminal()


def _in_notebook() -> bool:
    """Tell whether a kernel runs us: only there can a widget be seen."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


class Terminal:
    """One line on standard error, rewritten in place; nothing where nobody looks."""

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Rewrite the line."""
        if not sys.stderr.isatty():
            return
        done = "" if math.isnan(share) else f"{share:4.0%} "
        # A line that wraps could not be rewritten.
        line = plain(f"{done}{text}")[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r{line}\x1b[K" + ("\n" if over else ""))
        sys.stderr.flush()

    def blocked(self) -> None:
        """Ctrl-C needs no button."""
