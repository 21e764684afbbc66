"""What is shown of a job under way: in a notebook a panel with a stop button, in a terminal a few lines."""

import math
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, thread_time
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar

from perfkit.errors import PerfkitError
from perfkit.printable import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from perfkit.analysis.results.runs import Runs
    from perfkit.analysis.results.so_far import Figures, SoFar

T = TypeVar("T")

EVERY = 0.2
"""Seconds between two looks at how far the job is."""

LOOK_EVERY = 1.0
"""Seconds between two looks into its file, at least."""

SHARE = 0.01
"""Of a core: what the figures cost at most, and as much again the verdict. A look that costs more comes later."""


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

    @property
    def run_ids(self) -> tuple[str, ...]:
        """Its points that have begun."""


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

    @property
    def runs(self) -> "Runs":
        """What has been stored so far."""

    def done(self) -> bool:
        """Tell whether it has ended."""

    def stop(self) -> object:
        """End it early."""

    def extend(self, seconds: float) -> None:
        """Let the load under way go on for longer."""


class Chart(Protocol):
    """What was found by several jobs."""

    def plot(self) -> "Axes":
        """Draw it."""


class Painter(Protocol):
    """Where a line is drawn."""

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Draw the line, a last time if it is ``over``; ``share`` is NaN where the end is not known."""

    def look(self, figures: "Figures", verdict: Sequence[str]) -> None:
        """Take what the file holds so far, and what can be said of it: drawn with the line from now on."""

    def draw(self, chart: Chart) -> None:
        """Draw what the jobs before this one have found, where there is room for a picture."""

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


class SeveralJobs:
    """Shows jobs that come one after the other, in one place: what watches each of them.

    Parameters
    ----------
    painter : Painter, optional
        Where; default: a panel in a notebook, lines in a terminal.
    figures : bool
        Look into their files as well.
    """

    def __init__(self, painter: Painter | None = None, *, figures: bool = True) -> None:
        self._painter = painter
        self._figures = figures

    def __call__(self, job: Job, before: str, after: str) -> "Line":
        """Show one of them, and what it is among the others; as a context manager the line ends with the block."""
        self._painter = self._painter or _painter(job)
        return Line(job, Framed(self._painter, before, after), figures=self._figures)

    def draw(self, chart: Chart) -> None:
        """Draw what they have found so far, below the line, while nothing is measured."""
        if self._painter is not None:
            self._painter.draw(chart)


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

    def look(self, figures: "Figures", verdict: Sequence[str]) -> None:
        """Pass it on."""
        self.painter.look(figures, verdict)

    def draw(self, chart: Chart) -> None:
        """Pass it on."""
        self.painter.draw(chart)

    def blocked(self) -> None:
        """Pass it on."""
        self.painter.blocked()


class Seldom(Generic[T]):
    """Calls a function as often as its cost allows, and keeps its last answer.

    Parameters
    ----------
    function : callable
    nothing : T
        The answer before its first call.
    """

    def __init__(self, function: Callable[[], T], nothing: T) -> None:
        self._function = function
        self._answer = nothing
        self._due = 0.0

    def __call__(self, *, now: bool = False) -> T:
        """Return a new answer if one is due, or wanted now; else the last one."""
        if now or monotonic() >= self._due:
            began = thread_time()
            self._answer = self._function()
            self._due = monotonic() + max(LOOK_EVERY, (thread_time() - began) / SHARE)
        return self._answer


class Line:
    """What is shown of one job: how far it is, and what its file holds so far.

    Parameters
    ----------
    job : Job
        What it tells of.
    painter : Painter
        Where it is drawn.
    alone : bool
        Nothing else tells of the job: the line names its file, and says why it failed.
    figures : bool
        Look into its file as well.
    """

    def __init__(self, job: Job, painter: Painter, *, alone: bool = False, figures: bool = True) -> None:
        self._so_far: SoFar | None = None
        self._figures: Seldom[Figures | None] = Seldom(self._look if figures else lambda: None, None)
        self._verdict: Seldom[list[str]] = Seldom(self._judge, [])
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
            self._paint("")
            if self._closing.wait(EVERY):
                break
        over = self._job.done()  # one who leaves an attached job, which goes on, sees how far it is
        self._paint("" if not over else "stopped: " if self._job.interrupted else "done: ", over=over, last=True)

    def _look(self) -> "Figures | None":
        """Read what is new in the file; None where there is none, or nothing else to be had just now."""
        path, run_ids = self._job.path, self._job.progress.run_ids
        if path is None or not run_ids:
            return None
        from perfkit.analysis.results.so_far import SoFar  # with NumPy, which the command line does without till here

        self._so_far = self._so_far or SoFar(path)
        try:
            return self._so_far.look(run_ids)
        except sqlite3.Error:  # the file is moved or gone: whoever writes it says so
            return None

    def _judge(self) -> list[str]:
        """Say what the file shows so far of whether its figures are the server's."""
        try:
            verdicts = [verdict for verdict in self._job.runs.verdicts.values() if verdict is not None]
        except (PerfkitError, sqlite3.Error):
            return []
        return [f"so far {verdicts[-1].level}", *verdicts[-1].reasons] if verdicts else []

    def _paint(self, before: str, *, over: bool = False, last: bool = False) -> None:
        progress = self._job.progress
        if (figures := self._figures(now=over)) is not None:
            self._painter.look(figures, [] if over else self._verdict())
        parts = [sentence(progress, over=over)]
        if self._alone and over and self._job.problem:
            parts.insert(0, self._job.problem)
        if self._alone and self._job.path:
            parts.append(str(self._job.path))
        self._painter.paint(before + " · ".join(parts), share(progress), over=last)


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
        from perfkit.analysis.notebook.panel import Panel

        return Panel(job.stop, job.extend)
    return Terminal()


def _in_notebook() -> bool:
    """Tell whether a kernel runs us: only there can a widget be seen."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


class Terminal:
    """A few lines on standard error, rewritten in place; nothing where nobody looks."""

    def __init__(self) -> None:
        self._below: list[str] = []
        self._painted = 0

    def look(self, figures: "Figures", verdict: Sequence[str]) -> None:
        """Keep what is to be written below the line."""
        self._below = [*figures.sentences(), *verdict]

    def draw(self, chart: Chart) -> None:
        """Leave it out: there is no room for a picture."""

    def paint(self, text: str, share: float, *, over: bool) -> None:
        """Rewrite the lines."""
        if not sys.stderr.isatty():
            return
        done = "" if math.isnan(share) else f"{share:4.0%} "
        # A line that wraps could not be rewritten.
        width = shutil.get_terminal_size().columns - 1
        lines = [plain(line)[:width] for line in (f"{done}{text}", *self._below)]
        lines += [""] * (self._painted - len(lines))
        up = f"\x1b[{self._painted - 1}A" if self._painted > 1 else ""
        sys.stderr.write(f"\r{up}" + "\x1b[K\n".join(lines) + "\x1b[K" + ("\n" if over else ""))
        sys.stderr.flush()
        self._painted = 0 if over else len(lines)
        if over:
            self._below = []

    def blocked(self) -> None:
        """Ctrl-C needs no button."""
