"""The work of one worker: every point of a sweep, one after the other, on a loop of its own, a desk beside it."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from perfkit import plugins
from perfkit.arguments import Arguments
from perfkit.engine.desk import Desk, OpenStore
from perfkit.engine.desk_client import DeskClient
from perfkit.engine.orders import Place, Stop, open_gate
from perfkit.engine.record import default_name, slug
from perfkit.engine.session import Session
from perfkit.errors import PerfkitError, UsageError
from perfkit.registry import APIS, DATASETS
from perfkit.store.writer import Writer
from perfkit.transport.models import served_model
from perfkit.workers.channel import DeskEnd, LoopEnd, pair
from perfkit.workers.inbox import Inbox, Report, Starts, threadsafe
from perfkit.workers.standing import NICENESS, may_return, stand
from perfkit.workers.work import Work, failure_event

DESK_GARBAGE = 20_000
"""Containers made before the desk looks for cycles: an answer makes hundreds and hardly a cycle."""

PUMP_BATCH = 500


def api_of(work: Work) -> type:
    """Register what came with the work, load its plugin files, and return its API class.

    Raises
    ------
    PerfkitError
        A plugin does not load, or nothing has that name.
    """
    APIS.classes.update(work.apis)
    DATASETS.classes.update(work.datasets)
    arguments = work.arguments
    plugins.load_plugins(arguments.plugins)
    return plugins.load_parser(arguments.parser) if arguments.parser else plugins.api_class(arguments.api)


class Started(NamedTuple):
    """A desk that was started."""

    end: socket.socket
    """The loop's end of its channel."""
    wait: Callable[[], None]
    """Waits for its end, once it was hung up."""
    stand: Callable[[bool], None] | None = None
    """Lets it stand with everybody else, or behind all again; None where it cannot step that far back."""


def start_desk(
    work: Work, api: type, *, forked: bool, close: Iterable[int] = (), open_store: OpenStore = Writer
) -> Started:
    """Start the desk.

    Parameters
    ----------
    work : Work
    api : type
        The API class, plugins loaded.
    forked : bool
        In a process of its own, where the system can; call it before there are threads.
    close : iterable of int
        File descriptors that this process must not share with it.
    open_store : callable
        Opens the run file.
    """
    ours, theirs = pair()
    desk = Desk(DeskEnd(theirs), api, work.pumped, open_store)
    if not (forked and hasattr(os, "fork")):

        def work_and_close() -> None:
            with theirs:
                desk.work()

        thread = threading.Thread(target=work_and_close, name="perfkit-desk")
        thread.start()
        return Started(ours, thread.join)
    pid = os.fork()
    if pid == 0:
        ours.close()
        for number in close:
            os.close(number)
        _be_desk(desk)
    theirs.close()

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    return Started(ours, wait, partial(stand, pid) if may_return() else None)


def _be_desk(desk: Desk) -> NoReturn:
    """Serve as the desk in this forked process, and never return."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the loop hangs up, with everything committed
    # Of a worker under `chrt` the loop alone is to have real time.
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(NICENESS)
    gc.freeze()  # what the fork brought stays, and would be copied page by page if it were looked at
    gc.set_threshold(DESK_GARBAGE)
    status = 1
    try:
        desk.work()
        status = 0
    finally:
        with contextlib.suppress(OSError):  # nobody reads it any more
            sys.stderr.flush()
        os._exit(status)


def carry_out(
    work: Work,
    api: type,
    started: Started,
    report: Report,
    inbox: Inbox,
    *,
    alone: bool,
) -> None:
    """Run every point of the work, and report how it ended.

    Parameters
    ----------
    work : Work
    api : type
        The API class.
    started : Started
        The desk.
    report : callable
        Takes events: ``file``, ``ready``, ``progress``, ``run``, ``want``, ``ended``.
    inbox : Inbox
        The driver's orders.
    alone : bool
        This process does nothing else: garbage collection may be frozen.
    """
    loop = _new_loop()
    desk = DeskClient(lambda reading: report({"event": "want", "reading": reading, "count": PUMP_BATCH}), started.stand)
    channel = LoopEnd(loop, started.end, desk.on_message, desk.on_end)
    desk.connect(channel)
    inbox.on_prompts(lambda batch: threadsafe(loop, desk.prompts, batch))
    try:
        asyncio.set_event_loop(loop)
        ended = loop.run_until_complete(_points(work, api, desk, report, inbox, alone))
    except PerfkitError as error:
        ended = failure_event(error)
    finally:
        desk.close()
        started.wait()
        asyncio.set_event_loop(None)
        loop.close()
    report({"event": "ended", **ended})


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows, and Pythons it has no build for
        return asyncio.SelectorEventLoop() if sys.platform == "win32" else asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _points(
    work: Work,
    api: type,
    desk: DeskClient,
    report: Report,
    inbox: Inbox,
    alone: bool,
) -> dict[str, Any]:
    stop = Stop(asyncio.get_running_loop())
    inbox.on_stop(stop.give)
    inbox.on_end(stop.end)
    starts = Starts(report, inbox)
    completing = asyncio.create_task(_completed(work.arguments, api))
    if not await stop.unless_given(completing):
        return {"status": "interrupted"}
    arguments = completing.result()
    path = run_file(arguments)
    await desk.open(str(path))
    report({"event": "file", "path": str(path), "name": arguments.name, "model": arguments.model})
    points = arguments.points()
    wanted = work.resumed.points if work.resumed else range(len(points))
    sweep: dict[str, Any] = {}
    if len(points) > 1 or work.resumed:
        sweep["sweep_id"] = work.resumed.sweep_id if work.resumed else work.run_ids[0]
        sweep["plan"] = json.dumps({"points": len(points), "arguments": arguments.shown()}, ensure_ascii=False)
    for index in wanted:
        point, run_id = points[index], work.run_ids[index]
        share = work.share.among(_users(point))
        if share is None:
            starts.pass_by(run_id)
            continue
        await desk.compare_clocks()
        gate = open_gate if work.share.count == 1 else starts.gate(run_id)
        place = Place(run_id, {**sweep, "point": index}, share, gate)
        session = Session(point, plugins.bind_api(api, point), desk, stop, report, place)
        with _quiet_collector(alone):
            await session.run()
        if session.problem is not None:
            return {"status": "interrupted", "problem": session.problem}
        if stop.given:
            break
    if desk.failure is not None:
        raise desk.failure
    return {"status": "interrupted" if stop.given else "finished"}


def _users(point: Arguments) -> int:
    """Return among how many a point's load can be dealt: its users, or any number of workers in the open model."""
    if point.load == "open":
        return sys.maxsize
    return point.parallel if isinstance(point.parallel, int) else 1


async def _completed(arguments: Arguments, api: type) -> Arguments:
    """Ask the server for its model if none was given, and name the run if nobody has."""
    if arguments.model is None and not arguments.query_template:
        headers = dict(plugins.bind_api(api, arguments).headers)
        arguments = arguments.replace(model=await served_model(arguments, headers))
    return arguments if arguments.name is not None else arguments.replace(name=default_name(arguments.model))


def run_file(arguments: Arguments) -> Path:
    """Return the run file: ``db``, or ``outputs/NAME.db``.

    Raises
    ------
    UsageError
        The name cannot be a file name, and no ``db`` was given.
    """
    if arguments.db is not None:
        return Path(arguments.db).expanduser()
    stem = slug(arguments.name or "")
    if not stem:
        raise UsageError(f"the name {arguments.name!r} cannot be a file name; give another, or give db")
    return Path("outputs") / f"{stem}.db"


@contextlib.contextmanager
def _quiet_collector(alone: bool) -> Iterator[None]:
    """Keep the garbage collector from stopping the loop: the hot path makes no cycles."""
    if not alone:
        yield
        return
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
