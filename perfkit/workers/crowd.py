"""Several workers that carry one load, seen as one: processes of this machine, or of others.

The first one completes the arguments (model, name, file) and sends the preflight request; then the others start.
Every load begins at an agreed time once all are ready. A worker that dies takes only its unfinished requests with
it: the others go on, and the run says which share is missing.
"""

import json
import threading
from collections.abc import Iterable
from dataclasses import replace
from time import time
from typing import Protocol

from perfkit.load import Share
from perfkit.store.writer import Writer
from perfkit.workers.conversation import Conversation, Event, Listen, ReadPrompts
from perfkit.workers.work import Work

GO_AHEAD = 0.2
"""Seconds between the order to start and the start: enough for the order to reach every worker."""

_SUMS = ("sent", "done", "failed", "in_flight")


class Hosts(Protocol):
    """Where the shares of a load are carried out: a place each."""

    def __len__(self) -> int:
        """How many shares there are."""

    def start(self, index: int, work: Work, listen: Listen, prompts: ReadPrompts | None) -> Conversation:
        """Start one share."""

    def name(self, index: int) -> str:
        """Return what a share is called where it is missing."""

    def close(self) -> None:
        """Let go of every place, started in or not; all shares have ended."""


class Crowd:
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

    def __init__(self, work: Work, hosts: Hosts, listen: Listen, prompts: ReadPrompts | None = None) -> None:
        self._work, self._hosts, self._listen, self._prompts = work, hosts, listen, prompts
        self._lock = threading.RLock()
        self._members: dict[int, Conversation] = {}
        self._ready: dict[str, set[int]] = {}
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
                case "ready":
                    self._ready.setdefault(event["run_id"], set()).add(index)
                    self._go_if_ready(event["run_id"])
                case "ended":
                    self._on_ended(index, event)
                case _:
                    self._heard.setdefault(event["run_id"], {})[index] = event
                    self._listen(_together(self._heard[event["run_id"]].values(), event))

    def _on_file(self, index: int, event: Event) -> None:
        if index > 0:
            return
        self._path = event["path"]
        completed = self._work.arguments.replace(db=event["path"], name=event["name"], model=event["model"])
        for other in range(1, len(self._hosts)):
            self._start(other, replace(self._work, arguments=completed))
        if self._stopped:
            self.stop()
        self._listen(event)

    def _go_if_ready(self, run_id: str) -> None:
        alive = self._members.keys() - self._ended.keys()
        if alive and alive <= self._ready.get(run_id, set()):
            begin = time() + GO_AHEAD
            for index in alive:
                self._members[index].go(run_id, begin)

    def _on_ended(self, index: int, event: Event) -> None:
        self._ended[index] = event
        if event.get("problem") or event.get("error", "WorkerLost") != "WorkerLost":
            self.stop()  # what ends one for good (nobody answers, the disk is full) ends them all
        if len(self._ended) < len(self._members):
            for run_id in list(self._ready):
                self._go_if_ready(run_id)
            return
        lost = [index for index, event in self._ended.items() if event.get("error") == "WorkerLost"]
        errors = [event for event in self._ended.values() if "error" in event and event["error"] != "WorkerLost"]
        fine = [event for event in self._ended.values() if "error" not in event]
        fine.sort(key=lambda event: not event.get("problem"))
        for each in lost:
            self._mark_lost(each)
        self._hosts.close()
        self._listen((errors or fine or [event])[0])

    def _mark_lost(self, index: int) -> None:
        """Say in the record of the run, and of those after it, that a share of the load is missing."""
        first = self._last_run.get(index)
        if self._path is None or first is None:
            return
        sentence = (
            f"{self._hosts.name(index)} died: its share of the load is missing; see what it printed, and measure again"
        )
        writer = Writer(self._path)
        for run_id in sorted(self._heard.keys() | {first}):
            if run_id >= first:
                writer.merge_run(run_id, {"verdict": "SUSPECT", "reasons": json.dumps([sentence])})
                writer.settle_run(run_id)
        writer.close()


def _together(events: Iterable[Event], latest: Event) -> Event:
    """Return one event of several workers': counts summed, the longest time."""
    events = list(events)
    sums = {name: sum(event[name] for event in events) for name in _SUMS}
    return {**latest, **sums, "elapsed": max(event["elapsed"] for event in events)}
