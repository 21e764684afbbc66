"""A simulated server in a process of its own."""

import contextlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from perfkit.errors import PerfkitError, UsageError, nearest
from perfkit.simulator.options import Simulation

_PATIENCE = 10.0  # seconds for a server to stop by itself


@dataclass(frozen=True, slots=True)
class Simulated:
    """A running simulated server; stops at the end of a ``with`` block, by ``stop()``, or with this process.

    Parameters
    ----------
    url : str
        Its base, such as ``http://127.0.0.1:40123``.
    simulation : Simulation
        What it was told.
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
            with contextlib.suppress(BrokenPipeError):  # it has gone already
                if pipe:
                    pipe.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        sys.stderr.write(_said(self._complaints))


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
    chosen = _chosen(simulation or Simulation(), options)
    complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in _said
    process = subprocess.Popen(
        # -P: a file called random.py beside the caller must not be what the server imports.
        [sys.executable, "-P", "-m", "perfkit.simulator", "--until-eof", *chosen.argv()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=_environment(),
        text=True,
        start_new_session=True,  # Ctrl-C is for the measurement, not for its server
    )
    url = _address(process)
    if url is None:
        raise PerfkitError(f"the simulated server did not start: {_said(complaints).strip() or 'it said nothing'}")
    return Simulated(url, chosen, process, complaints)


def _chosen(simulation: Simulation, options: dict[str, Any]) -> Simulation:
    known = {field.name for field in fields(Simulation)}
    for name in options:
        if name not in known:
            raise UsageError(f"the simulator has no option {name!r}{nearest(name, known)}")
    return replace(simulation, **options)


def _said(complaints: IO[str]) -> str:
    with complaints:
        complaints.seek(0)
        return complaints.read()


def _environment() -> dict[str, str]:
    """The server imports the perfkit that is imported here, installed or not."""
    package = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([package, inherited] if inherited else [package])}


def _address(process: "subprocess.Popen[str]") -> str | None:
    """Wait for the line that says where the server listens; None if the process ends without one."""
    line = process.stdout.readline() if process.stdout else ""
    if line.startswith("listening on "):
        return line.split()[-1]
    process.communicate()
    return None
