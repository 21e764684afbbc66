"""A simulated server in a process of its own, for as long as a ``with`` block lasts."""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from perfkit.errors import PerfkitError
from perfkit.simulator.options import Simulation

_PATIENCE = 10.0  # seconds for a server to stop by itself


@dataclass(frozen=True, slots=True)
class Simulated:
    """A running simulated server.

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
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # it has gone already
                self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def simulate(simulation: Simulation | None = None, **options: Any) -> Iterator[Simulated]:
    """Run a simulated LLM endpoint while the ``with`` block lasts.

    It is a process of its own on a free loopback port, and ends with this one, however this one ends.

    Parameters
    ----------
    simulation : Simulation, optional
        What to simulate.
    **options
        Fields of ``Simulation``, on top of it.

    Yields
    ------
    Simulated
        With ``url``, ``port``, ``pid`` and ``stop()``.

    Raises
    ------
    UsageError
        An option is out of range.
    PerfkitError
        The server did not start; the message says why.

    Examples
    --------
    >>> from urllib.request import urlopen
    >>> with simulate(ttft=0.05, model="tiny") as server:
    ...     b'"id":"tiny"' in urlopen(server.url + "/v1/models").read()
    True
    """
    chosen = replace(simulation or Simulation(), **options)
    # -P: a file called random.py beside the caller must not be what the server imports.
    command = [sys.executable, "-P", "-m", "perfkit.simulator", "--until-eof", *chosen.argv()]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=_environment(),
            text=True,
            start_new_session=True,  # Ctrl-C is for the measurement, not for its server
        )
        url = _address(process)
        if url is None:
            complaints.seek(0)
            raise PerfkitError(f"the simulated server did not start: {complaints.read().strip() or 'it said nothing'}")
        simulated = Simulated(url, chosen, process)
        try:
            yield simulated
        finally:
            simulated.stop()
            complaints.seek(0)
            sys.stderr.write(complaints.read())


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
    process.wait()
    return None
