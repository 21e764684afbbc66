"""A Dask cluster of real processes on this machine: a scheduler, and workers that can be killed."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client
from distributed.security import Security


@dataclass
class Cluster:
    """Its scheduler's address, and the processes; what they print is in ``folder``."""

    folder: Path
    address: str
    client: Any
    workers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    """By address."""

    @property
    def logs(self) -> str:
        """What scheduler and workers have printed so far."""
        return "".join(log.read_text() for log in self.folder.glob("*.log"))


@dataclass(frozen=True)
class Place:
    """A host: what stands before a command for it to run there, and the address at which the others reach it."""

    before: tuple[str, ...] = ()
    address: str = "127.0.0.1"


HERE = Place()


@contextlib.contextmanager
def dask_cluster(
    folder: Path, workers: int = 2, tls: Sequence[Path] = (), places: Sequence[Place] = ()
) -> Iterator[Cluster]:
    """Start a scheduler and workers of one thread each; end all of them.

    Parameters
    ----------
    folder : Path
        For what they print.
    workers : int
    tls : sequence of Path
        Certificate, which all trust, and key; none: no TLS.
    places : sequence of Place
        Of the scheduler, and of each worker; none: all on this machine.
    """
    first, *others = places or [HERE] * (workers + 1)
    found = folder / "scheduler.json"
    options = ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
    options += ["--protocol", "tls" if tls else "tcp"]
    options += ["--tls-ca-file", str(tls[0]), "--tls-cert", str(tls[0]), "--tls-key", str(tls[1])] if tls else []
    processes: list[subprocess.Popen[bytes]] = []

    def run(place: Place, program: str, *words: str) -> "subprocess.Popen[bytes]":
        with (folder / f"{program}-{len(processes)}.log").open("wb") as log:
            begin = [*place.before, sys.executable, "-m", f"distributed.cli.{program}", "--host", place.address]
            command = [*begin, *options, *words]
            processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
        return processes[-1]

    try:
        run(first, "dask_scheduler", "--port", "0", "--scheduler-file", str(found))
        names = {f"w{number}": place for number, place in enumerate(others)}
        beside = ["--no-nanny", "--nthreads", "1", "--scheduler-file", str(found)]
        by_name = {
            name: run(place, "dask_worker", *beside, "--name", name, "--local-directory", str(folder))
            for name, place in names.items()
        }
        with _client(found, tls) as client:
            if names:
                client.wait_for_workers(len(names), timeout=60)
            told = client.scheduler_info()
            address = {worker["name"]: address for address, worker in told["workers"].items()}
            yield Cluster(folder, told["address"], client, {address[name]: by_name[name] for name in names})
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _client(found: Path, tls: Sequence[Path]) -> Any:
    fields = {"tls_ca_file": tls[0], "tls_client_cert": tls[0], "tls_client_key": tls[1]} if tls else {}
    security = Security(require_encryption=True, **{name: str(path) for name, path in fields.items()}) if tls else None
    return Client(scheduler_file=str(found), security=security, timeout=60, set_as_default=False)
