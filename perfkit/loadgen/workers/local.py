"""Worker processes on this machine."""

import contextlib
import subprocess
import sys
import threading
from io import BytesIO
from typing import Any, BinaryIO

from perfkit.loadgen.workers.protocol import Listen, ReadPrompts, WorkerProtocol
from perfkit.loadgen.workers.work import Work
from perfkit.secrets import environment


class ProcessWorker(WorkerProtocol):
    """Carries out work in a process of its own, started as a program: a script needs no ``__main__`` guard.

    Work and secrets go over its standard input, so they never stand in the process list.

    Parameters
    ----------
    work : Work
    listen : callable
        Takes its events, on a thread; the last one is ``ended``.
    prompts : callable, optional
        Reads the driver's prompts. Pumped over as the worker asks for them.
    detached : bool
        It outlives this process. What plugins print is dropped then, as there may be nobody to read it.
    """

    def __init__(
        self, work: Work, listen: Listen, prompts: ReadPrompts | None = None, *, detached: bool = False
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "perfkit.loadgen.workers.program"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if detached else subprocess.PIPE,
            start_new_session=True,
            env=environment(*work.path),
        )
        self._errors = threading.Thread(target=self._pass_on_errors, name="perfkit-worker-errors", daemon=True)
        self._errors.start()
        orders, events = _stream(self._process.stdin), _stream(self._process.stdout)
        super().__init__(orders, events, work, listen, prompts, self._wait, detached=detached)

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    def _wait(self) -> str:
        code = self._process.wait()
        self._errors.join(1.0)
        for stream in (self._orders, self._events):
            with contextlib.suppress(OSError):  # an order that it never read cannot be flushed
                stream.close()
        return f"exit status {code}"

    def _pass_on_errors(self) -> None:
        with self._process.stderr or BytesIO() as lines:
            for line in lines:
                sys.stderr.write(line.decode("utf-8", "replace"))


class LocalHosts:
    """The places of several shares on this machine: a process each."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def start(self, index: int, work: Work, listen: Listen, prompts: ReadPrompts | None) -> ProcessWorker:
        """Start one share."""
        return ProcessWorker(work, listen, prompts)

    def name(self, index: int) -> str:
        """Return what a share is called where it is missing."""
        return f"worker {index + 1} of {self._count}"

    def close(self) -> None:
        """Nothing is left: each process ends with its share."""


def _stream(stream: Any) -> BinaryIO:
    if stream is None:
        raise ValueError("the worker was started without pipes")
    pipe_end: BinaryIO = stream
    return pipe_end
