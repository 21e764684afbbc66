"""A worker as the driver sees it, and the usual one: a process of its own."""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, BinaryIO, Protocol

from perfkit.errors import PerfkitError, PluginFailure
from perfkit.records import Prompt
from perfkit.workers import pipe
from perfkit.workers.work import Work, failure_event

Event = dict[str, Any]
Listen = Callable[[Event], None]


class Worker(Protocol):
    """Carries out work and tells how it goes."""

    def stop(self) -> None:
        """Stop sending; what has come is kept."""

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""


class Source:
    """A person's prompts, drawn from in batches; where they raise, the plan ends, and ``failure`` says why."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._prompts = iter(prompts)
        self.failure: Event = {}

    def draw(self, count: int) -> tuple[list[Prompt], bool]:
        """Return up to ``count`` prompts, and whether they are the last."""
        batch: list[Prompt] = []
        try:
            batch.extend(islice(self._prompts, count))
        except PerfkitError as error:
            self.failure = failure_event(error)
        except Exception as error:  # noqa: BLE001 - their code, not ours: told as what ended the job
            told = PluginFailure(f"the dataset raised {type(error).__name__}: {error}")
            self.failure = failure_event(told)
        return batch, len(batch) < count


class ProcessWorker:
    """Carries out work in a process of its own, started as a program: a script needs no ``__main__`` guard.

    Work and secrets go over its standard input, so they never stand in the process list.

    Parameters
    ----------
    work : Work
    listen : callable
        Takes its events, on a thread; the last one is ``ended``.
    prompts : iterable of Prompt, optional
        Pumped over as the worker asks for them.
    detached : bool
        It outlives this process. What plugins print is dropped then, as there may be nobody to read it.
    """

    def __init__(
        self, work: Work, listen: Listen, prompts: Iterable[Prompt] | None = None, *, detached: bool = False
    ) -> None:
        self._listen = listen
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "perfkit.workers.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if detached else subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in work.path if path)},
        )
        self._source = Source(prompts or ())
        level = logging.getLogger("perfkit").getEffectiveLevel()
        self._order({"path": work.path, "folder": work.folder, "log_level": level, "detached": detached})
        self._order(work)
        self._errors = threading.Thread(target=self._pass_on_errors, name="perfkit-worker-errors", daemon=True)
        self._errors.start()
        self._reader = threading.Thread(target=self._read, name="perfkit-worker", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def stop(self) -> None:
        """Order it to stop sending; what has come is kept."""
        self._order(("stop",))

    def go(self, run_id: str, begin: float) -> None:
        """Order it to start the load of a run at a time (Unix seconds)."""
        self._order(("go", run_id, begin))

    def join(self, timeout: float | None = None) -> bool:
        """Wait until it has ended; tell whether it has."""
        self._reader.join(timeout)
        return not self._reader.is_alive()

    def _order(self, order: object) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):  # it has ended: _read says how
            pipe.send(self._stream(self._process.stdin), order)

    def _read(self) -> None:
        ended: Event | None = None
        for line in self._stream(self._process.stdout):
            event: Event = json.loads(line)
            if event["event"] == "want":
                threading.Thread(target=self._pump, args=(event["count"],), daemon=True).start()
            elif event["event"] == "ended":
                ended = event
            else:
                self._listen(event)
        code = self._process.wait()
        self._errors.join(1.0)
        self._listen({**self._source.failure, **(ended or lost(f"exit status {code}"))})

    def _pump(self, count: int) -> None:
        self._order(("prompts", *self._source.draw(count)))

    def _pass_on_errors(self) -> None:
        for line in self._process.stderr or ():
            sys.stderr.write(line.decode("utf-8", "replace"))

    @staticmethod
    def _stream(stream: Any) -> BinaryIO:
        if stream is None:
            raise ValueError("the worker was started without pipes")
        pipe_end: BinaryIO = stream
        return pipe_end


def lost(how: str) -> Event:
    """Return how a worker ended that said nothing."""
    return {"event": "ended", "error": "WorkerLost", "text": f"the worker ended without a word ({how})"}
