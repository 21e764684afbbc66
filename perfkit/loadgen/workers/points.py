"""Runs every point of a sweep in one worker, one after the other."""

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
from perfkit.decoding.pending import Api, recover
from perfkit.errors import NothingSucceeded, PerfkitError, StorageError, UsageError
from perfkit.loadgen.commands import Place, Stop, open_gate
from perfkit.loadgen.datasets import name_models
from perfkit.loadgen.recorder.channel import LoopEnd, RecorderEnd, pair
from perfkit.loadgen.recorder.client import RecorderClient
from perfkit.loadgen.recorder.process import OpenStore, Recorder
from perfkit.loadgen.recorder.run_record import default_name, slug
from perfkit.loadgen.recorder.scheduling_class import NICENESS, may_return, stand
from perfkit.loadgen.run_loop import Session
from perfkit.loadgen.transport.models import served_model
from perfkit.loadgen.workers.mailbox import Mailbox, Report, Starts, threadsafe
from perfkit.loadgen.workers.work import Work, failure_event
from perfkit.options.arguments import Arguments
from perfkit.registry import APIS, DATASETS
from perfkit.runfile.schema import OUTPUTS
from perfkit.runfile.writer import Writer

RECORDER_GARBAGE = 20_000
"""Containers made before the recorder looks for cycles: an answer makes hundreds and hardly a cycle."""

PUMP_BATCH = 500


def api_of(work: Work) -> type:
    """Register what came with the work, load its plugin files, and return its API class."""
    APIS.own.update(work.apis)
    DATASETS.own.update(work.datasets)
    arguments = work.arguments
    plugins.load_plugins(arguments.plugins)
    if work.api is not None:
        return work.api
    return plugins.load_parser(str(arguments.parser)) if arguments.parser else plugins.api_class(str(arguments.api))


class Started(NamedTuple):
    """A recorder that was started."""

    end: socket.socket
    """The loop's end of its channel."""
    wait: Callable[[], None]
    """Waits for its end, once it was hung up."""
    stand: Callable[[bool], None] | None = None
    """Lets it stand with everybody else, or behind all again; None where it cannot step that far back."""


def start_recorder(
    work: Work, api: type, *, forked: bool, close: Iterable[int] = (), open_store: OpenStore = Writer
) -> Started:
    """Start the recorder."""
    ours, theirs = pair()
    recorder = Recorder(RecorderEnd(theirs), api, work.pumped, open_store)
    if not (forked and hasattr(os, "fork")):

        def work_and_close() -> None:
            with theirs:
                recorder.work()

        thread = threading.Thread(target=work_and_close, name="perfkit-recorder")
        thread.start()
        return Started(ours, thread.join)
    pid = os.fork()
    if pid == 0:
        ours.close()
        for number in close:
            os.close(number)
        _be_recorder(recorder)
    theirs.close()

    def wait() -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    return Started(ours, wait, partial(stand, pid) if may_return() else None)


def _be_recorder(recorder: Recorder) -> NoReturn:
    """Serve as the recorder in this forked process, and never return."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it ends when the loop hangs up, with everything committed
    # Of a worker under `chrt` the loop alone is to have real time.
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) in (os.SCHED_FIFO, os.SCHED_RR):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(NICENESS)
    gc.freeze()  # what the fork brought stays, and would be copied page by page if it were looked at
    gc.set_threshold(RECORDER_GARBAGE)
    status = 1
    try:
        recorder.work()
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
    mailbox: Mailbox,
    *,
    alone: bool,
    here: bool = True,
) -> None:
    """Run every point of the work, and report how it ended; ``here`` tells that the run file is on this machine."""
    loop = _new_loop()
    recorder = RecorderClient(
        lambda reading: report({"event": "want", "reading": reading, "count": PUMP_BATCH}),
        started.stand,
        lambda sentence: report({"event": "remark", "text": sentence}),
        lambda path: report({"event": "moved", "path": path}),
    )
    channel = LoopEnd(loop, started.end, recorder.on_message, recorder.on_end)
    recorder.connect(channel)
    mailbox.on_prompts(lambda batch: threadsafe(loop, recorder.prompts, batch))
    try:
        asyncio.set_event_loop(loop)
        ended = loop.run_until_complete(_points(work, api, recorder, report, mailbox, alone, here))
    except PerfkitError as error:
        ended = failure_event(error)
    finally:
        recorder.close()
        started.wait()
        with contextlib.suppress(StorageError):  # a full disk: they stay, and whoever opens the file finds them
            _recover(recorder, lambda record: plugins.bind_api(api, work.arguments))
        asyncio.set_event_loop(None)
        loop.close()
    report({"event": "ended", **ended})


def _recover(recorder: RecorderClient, api: Api) -> None:
    """Add the answers of a run that nobody has said to be complete to its file, or to the copy of one that is gone."""
    if recorder.waits_beside is not None:
        path, begun = recorder.waits_beside, recorder.begun
        recover(recorder.copy or path, api, recorder.scrub, begun, path)


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
    recorder: RecorderClient,
    report: Report,
    mailbox: Mailbox,
    alone: bool,
    here: bool,
) -> dict[str, Any]:
    stop = Stop(asyncio.get_running_loop())
    mailbox.on_stop(stop.give)
    mailbox.on_end(stop.end)
    starts = Starts(report, mailbox)
    completing = asyncio.create_task(_completed(work, api))
    if not await stop.unless_given(completing):
        return {"status": "interrupted"}
    arguments = completing.result()
    path = run_file(arguments)
    if here and work.share.index == 0:
        recover(path)
    await recorder.open(str(path))
    report({"event": "file", "path": str(path), "name": arguments.name, "model": arguments.model_name})
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
        await recorder.compare_clocks()
        gate = open_gate if work.share.count == 1 else starts.gate(run_id)
        place = Place(run_id, {**sweep, "point": index}, share, gate, here)
        session = Session(point, plugins.bind_api(api, point), recorder, stop, report, place)
        with _quiet_collector(alone):
            await session.run()
        if session.problem is not None:
            return {"status": "interrupted", "problem": session.problem}
        if stop.given:
            break
    if recorder.failure is not None:
        raise recorder.failure
    return {"status": "interrupted" if stop.given else "finished"}


def _users(point: Arguments) -> int:
    """Return among how many a point's load can be dealt: its users, or any number of workers in the open model."""
    if point.load == "open":
        return sys.maxsize
    return point.parallel if isinstance(point.parallel, int) else 1


async def _completed(work: Work, api: type) -> Arguments:
    """Ask the server for its model if none was given, and name the run if nobody has."""
    arguments, bound = work.arguments, plugins.bind_api(api, work.arguments)
    needs = arguments.model is None and not arguments.query_template and getattr(api, "needs_model", True)
    if needs and bound.over_http:
        try:
            arguments = arguments.replace(model=await served_model(arguments, dict(bound.headers)))
        except (UsageError, NothingSucceeded) as error:
            # A server of several models (a base and its LoRAs) does not say which; the bodies may. What a plugin
            # sends by itself may go to a server that knows of no models.
            named = work.bodies_name_models or (work.pumped is None and name_models(arguments))
            if not (bound.sends or (named and isinstance(error, UsageError))):
                raise
    return arguments if arguments.name is not None else arguments.replace(name=default_name(arguments.model_name))


def run_file(arguments: Arguments) -> Path:
    """Return the run file: ``db``, or ``outputs/NAME.db``."""
    if arguments.db is not None:
        return Path(arguments.db).expanduser()
    stem = slug(arguments.name or "")
    if not stem:
        raise UsageError(f"the name {arguments.name!r} cannot be a file name; give another, or give db")
    return Path(OUTPUTS) / f"{stem}.db"


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
