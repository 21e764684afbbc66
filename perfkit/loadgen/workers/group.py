"""Several workers that carry one load, seen as one: processes of this machine, or of others.

The first one completes the arguments (model, name, file) and sends the preflight request; then the others start.
Every load begins at an agreed time once all are ready. A worker that dies takes only its unfinished requests with
it: the others go on, and the run says which share is missing. Whether too many requests fail is judged here, of all.
"""

import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic, time
from typing import Protocol

from perfkit import errors
from perfkit.errors import StorageError
from perfkit.loadgen.arrivals import Share
from perfkit.loadgen.early_end import Failing
from perfkit.loadgen.workers.protocol import Event, Listen, ReadPrompts, WorkerProtocol
from perfkit.loadgen.workers.work import Work, failure_event
from perfkit.records import ListedModel
from perfkit.runfile.writer import Writer

GO_AHEAD = 0.2
"""Seconds between the order to start and the start: enough for the order to reach every worker."""

_SUMS = ("sent", "done", "failed", "in_flight")


class Backend(Protocol):
    """Where the shares of a load are carried out: a place each."""

    def __len__(self) -> int:
        """How many shares there are."""

    def start(self, index: int, work: Work, listen: Listen, prompts: ReadPrompts | None) -> WorkerProtocol:
        """Start one share."""

    def name(self, index: int) -> str:
        """Return what a share is called where it is missing."""

    def close(self) -> None:
        """Let go of every place, started in or not; all shares have ended."""


class WorkerGroup:
    """Carries out work in several places.

    Parameters
    ----------
    work : Work
        Of all of them; each gets its share.
    hosts : Hosts
        Where the shares are carried out.
    listen : callable
        Takes events, on a thread; counts are those of all workers together.
    prompts : callable, optional
        Reads the driver's prompts from their beginning: each worker reads all and takes its share.
    """

    def __init__(self, work: Work, hosts: Backend, listen: Listen, prompts: ReadPrompts | None = None) -> None:
        self._work, self._hosts, self._listen, self._prompts = work, hosts, listen, prompts
        self._lock = threading.RLock()
        self._members: dict[int, WorkerProtocol] = {}
        self._ready: dict[str, set[int]] = {}
        self._begun: set[str] = set()
        self._failing: dict[str, Failing] = {}
        self._problem: str | None = None
        """Why a run, and so the sweep, was ended: too many requests failed."""
        self._heard: dict[str, dict[int, Event]] = {}
        self._ended: dict[int, Event] = {}
        self._last_run: dict[int, str] = {}
        self._path: str | None = None
        self._stopped = False
        with self._lock:
            self._start(0, work)

    def stop(self) -> None:
        """Order every worker to stop sending; what has come is kept."""
        with self._lock:
            self._stopped = True
            for member in self._members.values():
                member.stop()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until all have ended; tell whether they have."""
        return all(member.join(timeout) for member in list(self._members.values()))

    def _start(self, index: int, work: Work) -> None:
        mine = replace(work, share=Share(index, len(self._hosts)))
        self._members[index] = self._hosts.start(index, mine, lambda event: self._on_event(index, event), self._prompts)

    def _on_event(self, index: int, event: Event) -> None:
        with self._lock:
            if "run_id" in event:
                self._last_run[index] = event["run_id"]
            match event["event"]:
                case "file":
                    self._on_file(index, event)
                case "moved":
                    if index == 0:
                        self._path = event["path"]
                        self._listen(event)
                case "ready":
                    self._ready.setdefault(event["run_id"], set()).add(index)
                    self._go_if_ready(event["run_id"])
                case "remark":
                    self._listen(event)  # only the first worker makes any
                case "ended":
                    self._on_ended(index, event)
                case _:
                    self._heard.setdefault(event["run_id"], {})[index] = event
                    together = _together(self._heard[event["run_id"]].values(), event)
                    self._judge(together)
                    self._listen(together)

    def _on_file(self, index: int, event: Event) -> None:
        if index > 0:
            return
        self._path = event["path"]
        completed = self._work.arguments.replace(
            db=event["path"], name=event["name"], model=self._model(event["model"])
        )
        for other in range(1, len(self._hosts)):
            self._start(other, replace(self._work, arguments=completed))
        if self._stopped:
            self.stop()
        self._listen(event)

    def _model(self, told: str | None) -> str | Sequence[str] | None:
        """Return the model as the first worker completed it, known as listed where nobody gave one."""
        given = self._work.arguments.model
        return ListedModel(told) if given is None and told is not None else given

    def _judge(self, together: Event) -> None:
        """Have all of them end a run in which too many requests fail: each by itself sees too few to tell."""
        run_id, done, failed = (together[name] for name in ("run_id", "done", "failed"))
        failing = self._failing.setdefault(run_id, Failing(self._work.arguments.max_error_rate))
        problem = failing.problem(done, failed, together["last_error"], monotonic())
        if problem is not None and self._problem is None and not together["all_taken"]:
            self._problem = problem
            for member in self._members.values():
                member.end(run_id, problem)

    def _go_if_ready(self, run_id: str) -> None:
        alive = self._members.keys() - self._ended.keys()
        if not alive or run_id in self._begun or not alive <= self._ready.get(run_id, set()):
            return
        if self._problem is not None:  # who was done with the run that was ended waits for the next one
            self.stop()
            return
        self._begun.add(run_id)
        begin = time() + GO_AHEAD
        for index in alive:
            self._members[index].go(run_id, begin)

    def _on_ended(self, index: int, event: Event) -> None:
        self._ended[index] = event
        if event.get("problem") not in (None, self._problem) or event.get("error", "WorkerLost") != "WorkerLost":
            self.stop()  # what ends one for good (nobody answers, the disk is full) ends them all
        if len(self._ended) < len(self._members):
            for run_id in list(self._ready):
                self._go_if_ready(run_id)
            return
        failed = [event for event in self._ended.values() if event.get("error", "WorkerLost") != "WorkerLost"]
        fine = [event for event in self._ended.values() if "error" not in event]
        fine.sort(key=lambda event: not event.get("problem"))
        last = (failed or fine or [event])[0]
        try:
            self._conclude(last)
        except StorageError as error:
            last = {"event": "ended", **failure_event(error), **last}
        self._hosts.close()
        self._listen(last)

    def _conclude(self, last: Event) -> None:
        """Leave what one worker leaves: one file, no run without an end, none that a mistake kept from beginning."""
        if self._path is None or not Path(self._path).exists():
            return
        writer = Writer(self._path)
        for index, event in self._ended.items():
            if event.get("error") == "WorkerLost":
                self._mark_lost(writer, index)
        mistaken = issubclass(getattr(errors, last.get("error", ""), Exception), errors.MISTAKES)
        for run_id in self._work.run_ids:
            if not ((mistaken or self._problem) and writer.discard_run(run_id)):
                writer.settle_run(run_id)
        writer.close()

    def _mark_lost(self, writer: Writer, index: int) -> None:
        """Say in the record of the run, and of those after it, that a share of the load is missing."""
        first = self._last_run.get(index)
        if first is None:
            return
        sentence = (
            f"{self._hosts.name(index)} died: its share of the load is missing; see what it printed, and measure again"
        )
        for run_id in sorted(self._heard.keys() | {first}):
            if run_id >= first:
                writer.merge_run(run_id, {"verdict": "SUSPECT", "reasons": json.dumps([sentence])})


def _together(events: Iterable[Event], latest: Event) -> Event:
    """Return one event of several workers': counts summed, the longest time."""
    events = list(events)
    sums = {name: sum(event[name] for event in events) for name in _SUMS}
    return {
        **latest,
        **sums,
        "elapsed": max(event["elapsed"] for event in events),
        "all_taken": all(event["all_taken"] for event in events),
        "last_error": latest["last_error"] or next((each["last_error"] for each in events if each["last_error"]), None),
    }
