"""Workers on a Dask cluster: a share of the load beside each of its workers.

Dask starts the shares, and its scheduler sees no more of them than a task each that waits: neither the work, which
holds keys, nor rows pass through it. A share calls its driver back and is then a worker like any other, in a process
of its own. It stops when the Dask worker beside it dies.
"""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from secrets import token_hex
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from perfkit.errors import UsageError, WorkerLost
from perfkit.loadgen.workers import framing
from perfkit.loadgen.workers.protocol import Event, Listen, ReadPrompts, WorkerProtocol
from perfkit.loadgen.workers.remote import PARTS, Call, Link, gather, take_over
from perfkit.loadgen.workers.work import Work
from perfkit.runfile.remote import RemoteStoreServer
from perfkit.secrets import Secret, environment

STARTS_WITHIN = 60.0
"""Seconds for every share to call back: a Dask worker that is busy starts none."""


class DaskHosts:
    """The workers of a Dask cluster, as the places of several shares: one beside each that is there now.

    Parameters
    ----------
    cluster : distributed.Client or str
        The cluster, or its scheduler's address.

    Raises
    ------
    UsageError
        No scheduler answers, or it has no worker.
    WorkerLost
        A share did not start.
    """

    def __init__(self, cluster: Any) -> None:
        self._close_client: Callable[[], None] = lambda: None
        self._stop_listening: Callable[[], None] = lambda: None
        self._rows: dict[int, threading.Thread] = {}
        self._folder = "."
        client = self._connected(cluster) if isinstance(cluster, str) else cluster
        try:
            if client.asynchronous:
                raise UsageError(
                    "workers needs a Client that is not asynchronous; give the scheduler's address instead"
                )
            self._addresses = sorted(client.nthreads())
            if not self._addresses:
                raise UsageError("the Dask cluster has no worker; start some and wait: client.wait_for_workers(2)")
            self._start_shares(client)
        except BaseException:
            self._stop_listening()
            self._close_client()
            raise

    def __len__(self) -> int:
        return len(self._addresses)

    def start(self, index: int, work: Work, listen: Listen, prompts: ReadPrompts | None) -> WorkerProtocol:
        """Hand a share its work."""
        links = self._links[index]
        self._folder = work.folder
        self._serve_rows(links["rows"])

        def wait_for_exit() -> str:
            self._rows[index].join()
            return f"the connection to {self.name(index)} ended"

        def told(event: Event) -> None:
            # What is wrong may be wrong on that host alone: a file that is not there.
            named = event.get("error", "WorkerLost") != "WorkerLost"
            listen({**event, "text": f"{self.name(index)} says: {event['text']}"} if named else event)

        orders, events = (links[part].stream for part in PARTS[:2])
        return WorkerProtocol(orders, events, work, told, prompts, wait_for_exit)

    def _serve_rows(self, link: Link) -> None:
        """Write what a share's recorder has to store, once all is written that one before it had."""
        before = self._rows.get(link.index)

        def serve() -> None:
            if before is not None:
                before.join()
            link.serve(RemoteStoreServer(self._folder))

        self._rows[link.index] = threading.Thread(target=serve, name="perfkit-rows", daemon=True)
        self._rows[link.index].start()

    def name(self, index: int) -> str:
        """Return what a share is called where it is missing."""
        return f"worker {index + 1} of {len(self)}, beside {self._addresses[index]},"

    def close(self) -> None:
        """Hang up, which ends a share that was never given work, and have Dask forget the tasks."""
        self._stop_listening()
        for parts in self._links:
            for link in parts.values():
                link.close()
        for task in self._tasks:
            task.release()
        self._close_client()

    def _connected(self, address: str) -> Any:
        from distributed import Client

        try:
            client = Client(address, timeout=5, set_as_default=False, name="perfkit")
        except (OSError, ValueError) as error:
            raise UsageError(f"no Dask scheduler answers at {address}: {error}") from None
        self._close_client = lambda: client.close(timeout=2)
        return client

    def _start_shares(self, client: Any) -> None:
        from distributed.comm import get_address_host

        scheduler = str(client.scheduler_info()["address"])
        secure = scheduler.startswith("tls://")
        context = client.security.get_listen_args("client")["ssl_context"] if secure else None
        own = _own_address(get_address_host(scheduler))
        keys = [Secret(token_hex()) for _ in self._addresses]
        host, listener = _listener(own, backlog=len(PARTS) * len(keys))

        def stop_listening() -> None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # whoever waits for the next connection hears of it
            listener.close()

        self._stop_listening = stop_listening
        call = Call(host, listener.getsockname()[1], 0, Secret(""), {} if secure else None)
        self._tasks = [
            client.submit(
                hold,
                replace(call, index=index, key=key),
                key=f"perfkit-share-{index}-{token_hex(4)}",
                workers=[address],
                allow_other_workers=False,
                pure=False,
            )
            for index, (key, address) in enumerate(zip(keys, self._addresses, strict=True))
        ]
        until = monotonic() + STARTS_WITHIN
        self._links = gather(listener, keys, context, lambda called: self._look(called, until, f"{host}:{call.port}"))
        threading.Thread(
            target=take_over, args=(listener, keys, context, self._serve_rows), name="perfkit-listener", daemon=True
        ).start()

    def _look(self, called: frozenset[int], until: float, where: str) -> None:
        """Raise what keeps a share from calling, once that is known."""
        for index, task in enumerate(self._tasks):
            if index in called:
                continue
            if task.status in ("error", "lost", "cancelled", "finished"):
                how = repr(task.exception()) if task.status == "error" else f"its task is {task.status}"
                advice = f"perfkit must be installed there, and {where} be reachable from there"
                raise WorkerLost(f"{self.name(index)} did not start ({how}); {advice}; see what it printed")
            if monotonic() > until:
                raise WorkerLost(
                    f"{self.name(index)} has not started within {STARTS_WITHIN:g} s: "
                    f"it must be idle, and able to reach {where}"
                )


def hold(call: Call) -> int:
    """Run a share's program beside this Dask worker until it ends: the task of a share. Return its exit status."""
    from distributed import get_worker

    if call.security is not None:
        call = replace(call, security=get_worker().security.get_tls_config_for_role("worker"))
    command = [sys.executable, "-P", "-m", "perfkit.loadgen.workers.program"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, env=environment(*sys.path))
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            framing.send(process.stdin, call)  # type: ignore[arg-type]
    return process.wait()


def _listener(own: str, backlog: int) -> tuple[str, socket.socket]:
    """Listen for the shares; return the host that they are to call, too.

    Dask's setting ``perfkit.driver``, HOST:PORT, HOST or :PORT, says what a firewall lets through, or a port forward
    leads here: a host of its own may be no address of this machine, so then every one of them listens.
    """
    import dask

    told = str(dask.config.get("perfkit.driver", "") or "")
    told = f":{told}" if told.isdigit() else told
    try:
        parts = urlsplit(f"//{told}")
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        host, port = "", -1
    if port < 0 or parts.netloc != told:
        raise UsageError(f"dask's setting perfkit.driver is HOST:PORT, HOST or :PORT, such as :9000; got {told!r}")
    every = bool(host) and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if every or (not host and ":" in own) else socket.AF_INET
    try:
        address = ("" if host else own, port)
        listener = socket.create_server(address, family=family, backlog=backlog, dualstack_ipv6=every)
    except OSError as error:
        raise UsageError(f"cannot listen on port {port} (perfkit.driver is {told!r}): {error.strerror}") from None
    return host or own, listener


def _own_address(towards: str) -> str:
    """Return this machine's address on the way to another."""
    family, *_, address = socket.getaddrinfo(towards, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(address)  # sends nothing
        return str(probe.getsockname()[0])
