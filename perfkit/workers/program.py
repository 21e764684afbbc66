"""The worker's program: ``python -P -m perfkit.workers.program``, its work on standard input.

It lives in a session of its own, ignores Ctrl-C and takes its orders from the pipe. When the pipe ends, the driver
is gone: it stops sending, commits, marks the run interrupted and exits; a detached one goes on alone.

Given the whole of a load that several workers are to carry, it is their driver: one that outlives the person's.

Far from its driver it finds a ``Call`` on standard input instead, and connects: then orders, events and rows take
these connections, and the end of standard input says that what started it here is gone.
"""

import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from perfkit.engine.desk import OpenStore
from perfkit.errors import PerfkitError, WorkerLost
from perfkit.load import WHOLE
from perfkit.store.far import FarStore
from perfkit.store.writer import Writer
from perfkit.workers import pipe
from perfkit.workers.crowd import Crowd, Hosts
from perfkit.workers.execution import api_of, carry_out, start_desk
from perfkit.workers.inbox import Inbox, Report
from perfkit.workers.link import PARTS, Call, Link, dial
from perfkit.workers.local import LocalHosts
from perfkit.workers.work import Work, failure_event

HARD_LIMIT = 1.8
"""Seconds after the end of the driver until the worker exits whatever it is doing."""


def read_orders(stream: BinaryIO, inbox: Inbox, detached: bool) -> None:
    """Put the driver's orders into the inbox until its pipe ends; then, unless detached, stop, and be gone soon."""
    words: dict[str, Callable[..., None]] = {
        "stop": inbox.stop,
        "end": inbox.end,
        "prompts": inbox.prompts,
        "go": inbox.go,
    }
    while (order := pipe.receive(stream)) is not None:
        word, *content = order
        words[word](*content)
    if detached:
        return
    inbox.stop()
    # The driver is gone. A store that hangs (a dead network share) must not keep this process alive.
    timer = threading.Timer(HARD_LIMIT, os._exit, (1,))
    timer.daemon = True
    timer.start()


@dataclass(frozen=True)
class Surroundings:
    """What a worker's program is connected to.

    Parameters
    ----------
    orders, events : BinaryIO
        From and to the driver.
    open_store : callable
        Opens the run file.
    ends : tuple of int
        File descriptors that the desk must not hold open when this process is gone.
    starter : BinaryIO, optional
        Ends when what started it is gone, where that is not the driver.
    links : tuple of Link
        The desk's alone.
    """

    orders: BinaryIO
    events: BinaryIO
    open_store: OpenStore
    ends: tuple[int, ...]
    starter: BinaryIO | None = None
    links: tuple[Link, ...] = ()


def main() -> None:
    """Read the work, carry it out, exit."""
    atexit.register(gc.freeze)  # the driver waits for the exit, which need not look for cycles
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a plugin prints must not stand between our events
    orders = os.fdopen(os.dup(0), "rb")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setting = pipe.receive(orders)
    around = Surroundings(orders, events, Writer, (orders.fileno(), events.fileno()))
    if isinstance(setting, Call):
        try:
            around = _called(setting, orders)
        except OSError as error:
            sys.exit(f"perfkit: cannot reach the driver at {setting.host}:{setting.port}: {error}")
        setting = pipe.receive(around.orders)
    if setting is None:
        return
    sys.path[:] = [*dict.fromkeys([*sys.path, *setting["path"]])]
    if Path(setting["folder"]).is_dir():  # another machine may not have it
        os.chdir(setting["folder"])
    logging.basicConfig(level=setting["log_level"], format="%(message)s")
    work = pipe.receive(around.orders)
    if work is not None:
        _work(work, around, setting["detached"])


def _called(call: Call, starter: BinaryIO) -> Surroundings:
    links = dial(call)
    orders, events, rows = (links[part] for part in PARTS)
    ends = (orders.end.fileno(), events.end.fileno(), starter.fileno())
    return Surroundings(orders.stream, events.stream, partial(FarStore, rows.ask), ends, starter, (rows,))


def _work(work: Work, around: Surroundings, detached: bool) -> None:
    lock, inbox, orphaned = threading.Lock(), Inbox(), threading.Event()

    def report(event: dict[str, Any]) -> None:
        if event["event"] == "ended" and "error" not in event and orphaned.is_set():
            event |= failure_event(WorkerLost("what had started it is gone"))
        # A broken pipe: the driver is gone, and the orders thread is stopping us.
        with lock, contextlib.suppress(OSError):
            pipe.tell(around.events, event)

    workers = work.arguments.workers
    if isinstance(workers, int) and workers > 1 and work.share == WHOLE:
        _lead(work, LocalHosts(workers), around, report, inbox)
        return
    try:
        api = api_of(work)
    except PerfkitError as error:
        report({"event": "ended", **failure_event(error)})
        return
    # The desk is forked while there are no threads; it must not hold the pipes open when this process is gone.
    desk = start_desk(work, api, forked=True, close=around.ends, open_store=around.open_store)
    for link in around.links:
        os.close(link.end.detach())
    signal.signal(signal.SIGTERM, lambda *_: inbox.stop())
    _listen(read_orders, around.orders, inbox, detached)
    if around.starter is not None:
        _listen(_watch, around.starter, inbox, orphaned)
    carry_out(work, api, desk, report, inbox, alone=True)


def _lead(work: Work, hosts: Hosts, around: Surroundings, report: Report, inbox: Inbox) -> None:
    """Drive several workers from here, whether or not this process's own driver stays."""
    ended = threading.Event()

    def listen(event: dict[str, Any]) -> None:
        report(event)
        if event["event"] == "ended":
            ended.set()

    inbox.on_stop(Crowd(work, hosts, listen).stop)
    signal.signal(signal.SIGTERM, lambda *_: inbox.stop())
    _listen(read_orders, around.orders, inbox, True)
    ended.wait()


def _watch(starter: BinaryIO, inbox: Inbox, orphaned: threading.Event) -> None:
    """Stop when what started this program is gone; the driver is there, and takes what has come."""
    starter.read()
    orphaned.set()
    inbox.stop()


def _listen(target: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, name="perfkit-orders", daemon=True).start()


if __name__ == "__main__":
    main()
