"""A measurement under way, as the driver sees it."""

import contextlib
import logging
import os
import sqlite3
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from perfkit import errors
from perfkit.errors import NothingSucceeded, PerfkitError, StorageError, UsageError, explain
from perfkit.loadgen.datasets import name_models, open_dataset, reading
from perfkit.loadgen.recorder.run_record import new_run_id
from perfkit.loadgen.scraping import scraper_of
from perfkit.loadgen.workers.framing import carry_by_value
from perfkit.loadgen.workers.group import Backend, WorkerGroup
from perfkit.loadgen.workers.local import LocalHosts, ProcessWorker
from perfkit.loadgen.workers.protocol import ReadPrompts, Worker
from perfkit.loadgen.workers.work import Resumed, Work
from perfkit.options.arguments import Arguments, spelt
from perfkit.options.certificates import run_context
from perfkit.options.units import duration
from perfkit.records import Pumped
from perfkit.registry import APIS, DATASETS
from perfkit.runfile.record import count_requests
from perfkit.runfile.writer import order

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs

STOP_WAIT = 5.0
EXTENDED_WITHIN = 1e-5
"""Seconds that an order, as a text, may differ from what was asked for."""
LONGEST = 1e9
"""Seconds by which a load can be extended at most."""
LOOK_EVERY = 0.1
"""Seconds between two looks at whether a job has ended."""


@dataclass(frozen=True)
class Progress:
    """How far a job is. Counts are of the point under way, the preflight request left out.

    ``done`` counts requests that ended by themselves and whose row is committed: at the end, what ``sent`` has more was
    cut off by the order to stop. ``elapsed`` is seconds of load; ``expected`` is None when the number is not known
    beforehand.
    """

    point: int = 0
    points: int = 1
    sent: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    elapsed: float = 0.0
    expected: int | None = None
    duration: float | None = None
    path: str | None = None
    run_ids: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    """How the dataset is read, where that had to be decided: a sentence each."""

    @property
    def rate(self) -> float:
        """Requests finished per second of load so far; NaN before the first second's worth."""
        return self.done / self.elapsed if self.elapsed else float("nan")


class BaseJob(ABC):
    """What a job of this process and one that was attached to have in common."""

    @property
    @abstractmethod
    def progress(self) -> Progress:
        """How far it is."""

    @property
    @abstractmethod
    def interrupted(self) -> bool:
        """True when it was stopped, or failed, before its end."""

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """Why it was ended before its end, where that was nobody's wish: one sentence."""

    @property
    @abstractmethod
    def runs(self) -> "Runs":
        """What has been stored so far; works while it runs, too."""

    @property
    def path(self) -> Path | None:
        """The run file; None until it is known."""
        path = self.progress.path
        return None if path is None else Path(path)

    @abstractmethod
    def done(self) -> bool:
        """Tell whether it has ended."""

    @abstractmethod
    def stop(self) -> "Runs":
        """Stop sending, keep what has arrived, and return it."""

    def extend(self, seconds: float | str) -> None:
        """Let the load under way go on for longer, of a sweep the point under way; returns once it has heard of it.

        Parameters
        ----------
        seconds : float or str
            By how much its duration grows: ``60``, ``"5min"``.

        Raises
        ------
        UsageError
            The load ends after a number of requests and has no duration, or it has ended meanwhile.
        """
        more = duration("seconds", seconds)
        if not 0 < more < LONGEST:
            raise UsageError(f"a load is extended by some seconds, above 0 and below {LONGEST:g}; got {seconds!r}")
        before = self.progress
        if before.duration is None:
            raise UsageError("only a load that was given a duration can be extended; this one has none")
        if before.path is None or not before.run_ids:
            raise UsageError("the load has not begun, and so cannot be extended; wait until job.path names its file")
        if not self.done():
            order(Path(before.path), before.run_ids[-1], f"extend {more:.6f}")
        wanted = before.duration + more - EXTENDED_WITHIN
        while (now := self.progress).run_ids == before.run_ids and (now.duration or 0) < wanted and not self.done():
            sleep(LOOK_EVERY)
        if now.run_ids != before.run_ids or (now.duration or 0) < wanted:
            raise UsageError("the load was already at its end and could not be extended; start another run")

    @abstractmethod
    def wait(self, timeout: float | None = None) -> "Runs":
        """Wait for the end and return the runs."""

    @abstractmethod
    def raise_failure(self) -> None:
        """Raise the error that ended the job, if one did."""

    def __repr__(self) -> str:
        progress = self.progress
        state = "done" if self.done() else "running"
        counts = f"{progress.done} of {progress.expected or '?'} requests, {progress.failed} failed"
        return f"<{type(self).__name__} {state}: {counts}, in {self.path}>"

    def _ipython_display_(self) -> None:
        """Show how far it is where a job ends a cell."""
        from perfkit.analysis.notebook.live import show

        show(self)

    def __await__(self) -> Generator[Any, None, "Runs"]:
        """Wait as ``wait`` does, without holding up the event loop. Cancelling the wait leaves the job running."""
        return self._awaited().__await__()

    async def _awaited(self) -> "Runs":
        import asyncio  # whoever awaits has it; the command line does without

        try:
            # In small steps: the handler of a kernel's interrupt cancels this task, which does not wake a loop that
            # waits for something else.
            while not self.done():
                await asyncio.sleep(LOOK_EVERY)
        except asyncio.CancelledError as error:
            explain(error, self._goes_on())
            raise
        self.raise_failure()
        return self.runs

    def _goes_on(self) -> str:
        """Say what becomes of a job that nobody waits for any longer."""
        return f"the wait was interrupted; the job goes on in {self.path}, until its end or job.stop()"


class Job(BaseJob):
    """A measurement under way.

    ``job.progress`` says how far it is, ``job.runs`` opens what it has stored, ``job.stop()`` ends it early, and
    ``await job`` or ``job.wait()`` returns its runs at the end. Made by ``start``.
    """

    def __init__(self, arguments: Arguments, resumed: Resumed | None = None, *, detach: bool = False) -> None:
        self.arguments, self.resumed = arguments, resumed
        first = resumed.points[0] if resumed else 0
        self._progress = Progress(point=first, points=len(arguments.points()), duration=arguments.duration)
        self._ended: dict[str, Any] | None = None
        self._succeeded: dict[str, int] = {}
        self._done = threading.Event()
        self._listeners: list[Callable[[Progress], None]] = []
        self._hearing = threading.Lock()
        if any(urlsplit(url).scheme in ("https", "wss") for url in arguments.urls):
            run_context(arguments)  # refuses certificates and keys that cannot be used, before anything is started
        # What is detached outlives this process, and does it itself.
        self._scraper = None if detach else scraper_of(arguments, self._remark)
        self._worker: Worker = self._start(arguments, resumed, detach)
        if self._scraper is not None:
            self._scraper.start()

    @property
    def progress(self) -> Progress:
        """How far it is, as of the last fifth of a second."""
        return self._progress

    def done(self) -> bool:
        """Tell whether it has ended."""
        return self._done.is_set()

    def listen(self, listener: Callable[[Progress], None]) -> None:
        """Have ``listener(progress)`` called at each change, on another thread."""
        self._listeners.append(listener)

    def stop(self) -> "Runs":
        """Stop sending at once, keep what has arrived, and return it."""
        self._worker.stop()
        self._done.wait(STOP_WAIT)
        return self.runs

    def wait(self, timeout: float | None = None) -> "Runs":
        """Wait for the end and return the runs.

        An interruption (Ctrl-C, "interrupt kernel") stops the job, keeps what has arrived, and goes on as
        KeyboardInterrupt.

        Raises
        ------
        PerfkitError
            It failed: NothingSucceeded, StorageError, WorkerLost, or a UsageError for what it was given.
        TimeoutError
            ``timeout`` seconds have passed.
        """
        try:
            if not self._wait_done(timeout):
                raise TimeoutError(f"the job is still running after {timeout:g} s")
        except BaseException as error:
            if not self.done() and timeout is None:
                self._worker.stop()
                self._done.wait(STOP_WAIT)
                if isinstance(error, KeyboardInterrupt):
                    explain(error, self._kept())
            raise
        self.raise_failure()
        return self.runs

    def raise_failure(self) -> None:
        """Raise the error that ended the job, if one did."""
        ended = self._ended or {}
        if "error" in ended:
            kind = getattr(errors, ended["error"], PerfkitError)
            raise kind(ended["text"])
        if self.problem is not None and not self.succeeded:
            raise NothingSucceeded(self.problem)

    @property
    def succeeded(self) -> int:
        """Requests answered well so far, over all points."""
        return sum(self._succeeded.values())

    @property
    def interrupted(self) -> bool:
        """True when it was stopped, or failed, before its end."""
        return self._ended is not None and self._ended.get("status") != "finished"

    @property
    def problem(self) -> str | None:
        """Why it was ended before its end, where that was nobody's wish: one sentence."""
        ended = self._ended or {}
        return ended.get("problem") or ended.get("text")

    @property
    def runs(self) -> "Runs":
        """What has been stored so far, none before the first run has begun; works while it runs, too.

        Raises
        ------
        PerfkitError
            It failed before anything was stored, or what it had stored is gone.
        """
        from perfkit.analysis.results.open import open as open_runs
        from perfkit.analysis.results.runs import Runs

        path = self.progress.path
        if path is not None and Path(path).exists():
            runs = open_runs(path)
            own, removed = (
                tuple(run for run in some if run.run_id in self._run_ids) for some in (runs.members, runs.left_out)
            )
            if own or removed:
                return replace(runs, members=own, left_out=removed)
        self.raise_failure()
        if self.progress.done:
            raise StorageError(f"{path} was removed or replaced while it was written; what was measured is lost")
        return Runs()

    def _start(self, arguments: Arguments, resumed: Resumed | None, detach: bool) -> Worker:
        pumped = _pumped(arguments.dataset)
        if detach:
            _require_alone(arguments, pumped is not None)
        prompts: ReadPrompts | None = None
        bodies_name_models = pumped == "again" and arguments.model is None and name_models(arguments)
        if pumped is not None:
            prompts = partial(reading, arguments)
            arguments = _counted(arguments, pumped)
        self._run_ids = tuple(sorted(new_run_id() for _ in arguments.points()))
        given = [each for each in (arguments.parser, arguments.api) if isinstance(each, type)]
        own = [*APIS.own.values(), *DATASETS.own.values(), *given]
        carry_by_value(own)
        work = Work(
            arguments.replace(
                dataset=_named(arguments.dataset),
                workers=_spelt(arguments.workers),
                api=spelt(arguments.api),
                parser=spelt(arguments.parser),
            ),
            dict(APIS.own),
            dict(DATASETS.own),
            os.getcwd(),
            list(sys.path),
            pumped,
            resumed,
            self._run_ids,
            bodies_name_models=bodies_name_models,
            api=given[0] if given else None,
        )
        if arguments.workers not in (0, 1) and not detach:
            if pumped == "once":
                raise UsageError("several workers each read all prompts; give a list, or workers=1")
            return WorkerGroup(work, _hosts(arguments.workers), self._on_event, prompts)
        if arguments.workers == 0:
            from perfkit.loadgen.workers.thread import ThreadWorker  # with the engine, which takes 0.2 s to load

            return ThreadWorker(work, self._on_event, prompts)
        return ProcessWorker(work, self._on_event, prompts, detached=detach)

    def _kept(self) -> str:
        """Say where the rows of a stopped job are."""
        progress = self.progress
        if progress.path is None or not progress.sent:
            return "the run was stopped before its first request"
        return f"the run was stopped; its {progress.done:,} requests are kept: pk.open({progress.path!r})"

    def _wait_done(self, timeout: float | None) -> bool:
        """Wait in small steps: a wait without end could not be interrupted on every platform."""
        until = None if timeout is None else monotonic() + timeout
        while not self._done.wait(LOOK_EVERY):
            if until is not None and monotonic() > until:
                return False
        return True

    def _on_event(self, event: dict[str, Any]) -> None:
        if self._scraper is not None:
            self._scraper.hear(event)
        with self._hearing:
            self._take(event)
        for listener in self._listeners:
            try:
                listener(self._progress)
            except Exception:
                # Their code, on the thread that hears of the end: it must go on.
                logging.getLogger("perfkit").exception("a listener of the job raised")

    def _remark(self, sentence: str) -> None:
        """Say something of this process's own."""
        self._on_event({"event": "remark", "text": sentence})

    def _take(self, event: dict[str, Any]) -> None:
        if event["event"] == "ended":
            if "error" in event:
                self._count_anew()
            self._ended = event
            self._done.set()
        elif event["event"] in ("file", "moved"):
            self._change(path=event["path"])
        elif event["event"] == "remark":
            self._change(remarks=tuple(dict.fromkeys([*self._progress.remarks, event["text"]])))
        else:
            runs = tuple(dict.fromkeys([*self._progress.run_ids, event["run_id"]]))
            counts = {name: event[name] for name in ("sent", "done", "failed", "in_flight", "elapsed")}
            limits = {name: event[name] for name in ("expected", "duration")}
            self._change(run_ids=runs, point=self._run_ids.index(event["run_id"]), **counts, **limits)
            self._succeeded[event["run_id"]] = event["done"] - event["failed"]

    def _count_anew(self) -> None:
        """Count what is in the file: whoever failed did not come to say it."""
        path = self.progress.path or ""
        for run_id in self._run_ids if path else ():
            with contextlib.suppress(sqlite3.Error):
                stored = count_requests(path, run_id)
                self._succeeded[run_id] = stored.done - stored.failed
                if (run_id,) == self.progress.run_ids[-1:]:
                    self._change(sent=stored.sent, done=stored.done, failed=stored.failed, in_flight=0)

    def _change(self, **fields: Any) -> None:
        self._progress = Progress(**{**self._progress.__dict__, **fields})


def _require_alone(arguments: Arguments, pumped: bool) -> None:
    """Refuse to detach what needs this process: its thread, its prompts, its connection to a cluster."""
    if not isinstance(arguments.workers, int) or arguments.workers < 1:
        raise UsageError(f"detach needs worker processes of this machine, workers=1 or more; got {arguments.workers!r}")
    if pumped:
        raise UsageError("detach cannot take prompts from this process; give dataset a name or a file")


def _hosts(workers: Any) -> Backend:
    if isinstance(workers, int):
        return LocalHosts(workers)
    from perfkit.loadgen.workers.dask_cluster import DaskHosts

    return DaskHosts(workers)


def _spelt(workers: Any) -> int | str:
    """Return workers as the run's record holds them, and a worker is told: a cluster goes by its address."""
    return workers if isinstance(workers, (int, str)) else str(workers.scheduler.address)


def _pumped(dataset: Any) -> Pumped | None:
    """Say whether prompts come from this process, and whether they can be read again for each point."""
    if dataset is None or isinstance(dataset, str):
        return None
    return "once" if isinstance(dataset, Iterator) else "again"


def _named(dataset: Any) -> str | None:
    """Return the dataset as the run's record holds it: what comes from this process by its type, ``<list>``."""
    return dataset if _pumped(dataset) is None else f"<{type(dataset).__name__}>"


def _counted(arguments: Arguments, pumped: Pumped) -> Arguments:
    """Return the arguments with the number of requests that a list of prompts makes, where none was given."""
    dataset = open_dataset(arguments)
    if arguments.number is not None or arguments.duration is not None:
        return arguments
    if pumped == "once" and len(arguments.points()) > 1:
        raise UsageError("a sweep over prompts that can be read only once needs number; or give a list")
    if dataset.known_length is None:
        return arguments
    return arguments.replace(number=max(1, dataset.known_length - arguments.dataset_offset))
