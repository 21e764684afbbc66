"""A simulated server in a process of its own."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from perfkit.errors import PerfkitError, UsageError, nearest
from perfkit.secrets import environment
from perfkit.simulator.options import Simulation

_STOP_TIMEOUT = 10.0  # s


@dataclass(frozen=True, slots=True)
class Simulated:
    """A running simulated server; stops at the end of a ``with`` block, by ``stop()``, or with this process.

    Parameters
    ----------
    url : str
        Its base, such as ``http://127.0.0.1:40123``.
    simulation : Simulation
        Its options.
    """

    url: str
    simulation: Simulation
    _process: "subprocess.Popen[str]"
    _complaints: IO[str]

    def __repr__(self) -> str:
        return f"<simulated {self.simulation.model!r} at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def stop(self) -> None:
        """Stop it and wait until its logs are written; a second call does nothing."""
        if self._complaints.closed:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):  # it has exited already
                if pipe:
                    pipe.close()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        sys.stderr.write(_read(self._complaints))


def simulate(simulation: Simulation | None = None, **options: Any) -> Simulated:
    """Start a simulated LLM endpoint.

    It is a process of its own on a free loopback port, and ends with this one, however this one ends.

    Parameters
    ----------
    simulation : Simulation, optional
        What to simulate.
    **options
        Fields of ``Simulation``, on top of it.

    Returns
    -------
    Simulated
        With ``url``, ``port``, ``pid`` and ``stop()``; also a context manager.

    Raises
    ------
    UsageError
        An option is out of range, or there is none of that name.
    PerfkitError
        The server did not start; the message says why.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> with simulate(ttft=0.05, model="tiny") as server:
    ...     b'"id":"tiny"' in urlopen(server.url + "/v1/models").read()
    True
    """
    known = {field.name for field in fields(Simulation)}
    for name in options:
        if name not in known:
            raise UsageError(f"the simulator has no option {name!r}{nearest(name, known)}")
    chosen = replace(simulation or Simulation(), **options)
    # The server imports the perfkit that is imported here, installed or not.
    paths = (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", ""))
    stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in _read
    process = subprocess.Popen(
        # -P: a file called random.py beside the caller must not shadow what the server imports.
        [sys.executable, "-P", "-m", "perfkit.simulator", json.dumps(asdict(chosen))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(*paths),
        text=True,
        start_new_session=True,  # Ctrl-C is for the measurement, not for its server
    )
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("listening on "):
        process.communicate()
        raise PerfkitError(f"the simulated server did not start: {_read(stderr).strip() or 'no message'}")
    return Simulated(line.split()[-1], chosen, process, stderr)


def _read(stderr: IO[str]) -> str:
    with stderr:
        stderr.seek(0)
        return stderr.read()
