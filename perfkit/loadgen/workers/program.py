"""The worker's program: ``python -P -m perfkit.loadgen.workers.program``, its work on standard input.

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
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import Any, BinaryIO

from perfkit.apis.error_places import is_own
from perfkit.errors import BrokenOff, PerfkitError, UsageError, WorkerLost
from perfkit.loadgen.arrivals import WHOLE
from perfkit.loadgen.plugin_watch import Patience, PluginWatch, place_at
from perfkit.loadgen.scraping import scraper_of
from perfkit.loadgen.serialization import unpacked
from perfkit.loadgen.workers import framing
from perfkit.loadgen.workers.group import Backend, WorkerGroup
from perfkit.loadgen.workers.local import LocalHosts
from perfkit.loadgen.workers.mailbox import Mailbox, Report
from perfkit.loadgen.workers.points import api_of, carry_out, start_recorder
from perfkit.loadgen.workers.recorder_program import another
from perfkit.loadgen.workers.remote import PARTS, Call, Link, dial
from perfkit.loadgen.workers.work import Work, failure_event
from perfkit.plugins import bind_api
from perfkit.runfile.remote import RemoteStore
from perfkit.runfile.writer import Writer

LOOK_EVERY = 0.2
"""Seconds between two looks at what a plugin does that is being loaded."""
LOADING = 60.0
"""Seconds that loading a plugin may take at least, however short ``read_timeout`` is: libraries are slow to import."""
PARTING = 0.5
"""Seconds that a plugin's own threads may take to end once everything is stored."""
HARD_LIMIT = 1.8
"""Seconds after the end of the driver until the worker exits whatever it is doing."""


def read_orders(stream: BinaryIO, mailbox: Mailbox, detached: bool) -> None:
    """Put the driver's orders into the mailbox until its pipe ends; then, unless detached, stop, and be gone soon."""
    words: dict[str, Callable[..., None]] = {
        "stop": mailbox.stop,
        "end": mailbox.end,
        "prompts": mailbox.prompts,
        "go": mailbox.go,
    }
    while (order := framing.receive(stream)) is not None:
        word, *content = order
        words[word](*content)
    if detached:
        return
    mailbox.stop()
    # The driver is gone. A store that hangs (a dead network share) must not keep this process alive.
    timer = threading.Timer(HARD_LIMIT, os._exit, (1,))
    timer.daemon = True
    timer.start()


@dataclass(frozen=True)
class WorkerContext:
    """What a worker's program is connected to.

    Parameters
    ----------
    orders, events : BinaryIO
        From and to the driver.
    open_store : callable
        Opens the run file.
    ends : tuple of int
        File descriptors that the recorder must not hold open when this process is gone.
    starter : BinaryIO, optional
        Ends when what started it is gone, where that is not the driver.
    links : tuple of Link
        The recorder's alone.
    call : Call, optional
        How the driver is reached, where it is not on this machine.
    """

    orders: BinaryIO
    events: BinaryIO
    open_store: Callable[..., Writer | RemoteStore]
    ends: tuple[int, ...]
    starter: BinaryIO | None = None
    links: tuple[Link, ...] = ()
    call: Call | None = None


def main() -> None:
    """Read the work, carry it out, exit."""
    atexit.register(gc.freeze)  # the driver waits for the exit, which need not look for cycles
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a plugin prints must not stand between our events
    orders = os.fdopen(os.dup(0), "rb")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    setting = framing.receive(orders)
    around = WorkerContext(orders, events, Writer, (orders.fileno(), events.fileno()))
    if isinstance(setting, Call):
        try:
            around = _called(setting, orders)
        except OSError as error:
            sys.exit(f"perfkit: cannot reach the driver at {setting.host}:{setting.port}: {error}")
        setting = framing.receive(around.orders)
    if setting is None:
        return
    sys.path[:] = [*dict.fromkeys([*sys.path, *setting["path"]])]
    if Path(setting["folder"]).is_dir():  # another machine may not have it
        os.chdir(setting["folder"])
    logging.basicConfig(level=setting["log_level"], format="%(message)s")
    data = framing.receive_bytes(around.orders)
    if data is not None:
        _work(data, around, setting)
        _leave_behind()


def _leave_behind() -> None:
    """Exit although a thread of a plugin does not end: the interpreter would wait for it."""
    until = monotonic() + PARTING
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    for thread in threads:
        if not thread.daemon:
            thread.join(max(0.0, until - monotonic()))
    if any(thread.is_alive() and not thread.daemon for thread in threads):
        sys.stderr.flush()
        os._exit(0)


def _called(call: Call, starter: BinaryIO) -> WorkerContext:
    links = dial(call)
    orders, events, rows = (links[part] for part in PARTS)
    ends = (orders.end.fileno(), events.end.fileno(), starter.fileno())
    return WorkerContext(orders.stream, events.stream, partial(RemoteStore, rows.ask), ends, starter, (rows,), call)


def _work(data: bytes, around: WorkerContext, setting: dict[str, Any]) -> None:
    work: Work = unpacked(data)
    detached = setting["detached"]
    PluginWatch.patience = patience = Patience(work.arguments.read_timeout)
    lock, mailbox, orphaned = threading.Lock(), Mailbox(patience), threading.Event()

    def report(event: dict[str, Any]) -> None:
        if event["event"] == "ended" and "error" not in event and orphaned.is_set():
            event |= failure_event(WorkerLost("what had started it is gone"))
        # A broken pipe: the driver is gone, and the orders thread is stopping us.
        with lock, contextlib.suppress(OSError):
            framing.tell(around.events, event)

    workers = work.arguments.workers
    scrapes = detached and work.arguments.scrape is not False  # never where requests are measured
    if isinstance(workers, int) and (workers > 1 or scrapes) and work.share == WHOLE:
        _coordinate(work, LocalHosts(workers), around, report, mailbox, scrapes=scrapes)
        return
    try:
        with _broken_off_if_held(around.orders, max(LOADING, work.arguments.read_timeout)):
            api = api_of(work)
            if is_own(api):
                bind_api(api, work.arguments)  # its constructor may hold us, too
    except PerfkitError as error:
        report({"event": "ended", **failure_event(error)})
        return
    # The recorder is forked while there are no threads; it must not hold the pipes open when this process is gone.
    recorder = start_recorder(
        work,
        api,
        forked=True,
        close=around.ends,
        open_store=partial(around.open_store, texts=work.arguments.texts),
        again=partial(another, setting, data, patience, around.call),
    )
    for link in around.links:
        os.close(link.end.detach())
    signal.signal(signal.SIGTERM, lambda *_: mailbox.stop())
    _listen(read_orders, around.orders, mailbox, detached)
    if around.starter is not None:
        _listen(_watch, around.starter, mailbox, orphaned)
    carry_out(work, api, recorder, report, mailbox, alone=True, here=not around.links)


@contextlib.contextmanager
def _broken_off_if_held(orders: BinaryIO, limit: float) -> Iterator[None]:
    """Break off a plugin that holds this thread for too long, or until the driver says anything at all or is gone.

    While plugins are loaded there may be no thread that reads orders: the recorder is forked after it.
    """
    began = monotonic()

    def look(_number: int, frame: FrameType | None) -> None:
        place, held = place_at(frame), monotonic() - began
        if place is not None and (held > limit or select.select([orders], [], [], 0)[0]):
            until = f"for {limit:g} s" if held > limit else "when the run was to stop"
            raise BrokenOff(UsageError(f"{place}: held the worker {until} before anything was sent"))

    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY, LOOK_EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _coordinate(
    work: Work, hosts: Backend, around: WorkerContext, report: Report, mailbox: Mailbox, *, scrapes: bool
) -> None:
    """Drive workers from here, and read what the server publishes, whether or not this process's own driver stays."""
    ended = threading.Event()
    scraper = scraper_of(work.arguments, lambda said: report({"event": "remark", "text": said})) if scrapes else None

    def listen(event: dict[str, Any]) -> None:
        if scraper is not None:
            scraper.hear(event)
        report(event)
        if event["event"] == "ended":
            ended.set()

    mailbox.on_stop(WorkerGroup(work, hosts, listen).stop)
    if scraper is not None:
        scraper.start()
    signal.signal(signal.SIGTERM, lambda *_: mailbox.stop())
    _listen(read_orders, around.orders, mailbox, True)
    ended.wait()


def _watch(starter: BinaryIO, mailbox: Mailbox, orphaned: threading.Event) -> None:
    """Stop when what started this program is gone; the driver is there, and takes what has come."""
    starter.read()
    orphaned.set()
    mailbox.stop()


def _listen(target: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, name="perfkit-orders", daemon=True).start()


if __name__ == "__main__":
    main()
