"""Runs every point of a sweep in one worker, one after the other."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from perfkit import plugins
from perfkit.apis.error_places import is_own
from perfkit.decoding.pending import add, recover
from perfkit.errors import NothingSucceeded, PerfkitError, StorageError, UsageError
from perfkit.loadgen.commands import Place, Stop, open_gate
from perfkit.loadgen.datasets import name_models
from perfkit.loadgen.recorder.channel import LoopEnd, RecorderEnd, framed, pair
from perfkit.loadgen.recorder.client import RecorderClient
from perfkit.loadgen.recorder.process import OpenStore, Recorder
from perfkit.loadgen.recorder.run_record import default_name
from perfkit.loadgen.recorder.scheduling_class import NICENESS, may_return, stand
from perfkit.loadgen.run_loop import Session
from perfkit.loadgen.transport.served_model import served_model
from perfkit.loadgen.workers.mailbox import Mailbox, Report, Starts, threadsafe
from perfkit.loadgen.workers.work import Work, failure_event
from perfkit.options.arguments import Arguments
from perfkit.plugins import BoundApi
from perfkit.printable import slug
from perfkit.registry import APIS, DATASETS
from perfkit.runfile.record import RunRecord
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
    wait: Callable[[], str]
    """Waits for its end, once it was hung up, and says how it ended."""
    stand: Callable[[bool], None] | None = None
    """Lets it stand with everybody else, or behind all again; None where it cannot step that far back."""
    again: "Callable[[], Started] | None" = None
    """Starts another one where it has died."""


def start_recorder(
    work: Work,
    api: type,
    *,
    forked: bool,
    close: Iterable[int] = (),
    open_store: OpenStore = Writer,
    again: Callable[[], Started] | None = None,
) -> Started:
    """Start the recorder; ``again`` starts another one where it has died."""
    ours, theirs = pair()
    recorder = Recorder(RecorderEnd(theirs), api, work.pumped, open_store)
    if not (forked and hasattr(os, "fork")):

        def work_and_close() -> None:
            with theirs:
                recorder.work()

        thread = threading.Thread(target=work_and_close, name="perfkit-recorder")
        thread.start()

        def join() -> str:
            thread.join()
            return "its thread raised"

        return Started(ours, join)
    pid = os.fork()
    if pid == 0:
        ours.close()
        for number in close:
            os.close(number)
        be_recorder(recorder)
    theirs.close()
    statuses: list[int] = []

    def wait() -> str:
        if not statuses:
            with contextlib.suppress(ChildProcessError):
                statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return _ending(statuses[0]) if statuses else "how is not known"

    return Started(ours, wait, partial(stand, pid) if may_return() else None, again)


def start_another(program: Sequence[str], files: Sequence[int], *first: object) -> Started:
    """Start a recorder in the place of one that has died, as a program of its own: here are threads by now.

    Parameters
    ----------
    program : sequence of str
        Its command line.
    files : sequence of int
        Descriptors that it is to have, too.
    first : objects
        What it is told before anything else.
    """
    ours, theirs = pair()
    with theirs:
        process = subprocess.Popen(program, stdin=theirs.fileno(), pass_fds=files)
    ours.sendall(framed(first))
    back = partial(stand, process.pid) if may_return() else None
    return Started(ours, lambda: _ending(process.wait()), back, lambda: start_another(program, files, *first))


def _ending(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def be_recorder(recorder: Recorder) -> NoReturn:
    """Serve as the recorder in this process, and never return."""
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
    recorders = _Recorders(loop, started)
    # What prompts that are read once have left for the next point is known to the recorder alone.
    restartable = started.again is not None and not (work.pumped == "once" and len(work.run_ids) > 1)
    recorder = RecorderClient(
        lambda reading: report({"event": "want", "reading": reading, "count": PUMP_BATCH}),
        started.stand,
        lambda sentence: report({"event": "remark", "text": sentence}),
        lambda path: report({"event": "moved", "path": path}),
        recorders if restartable else None,
        work.pumped,
    )
    recorder.connect(recorders.connected(recorder))
    mailbox.on_prompts(lambda batch: threadsafe(loop, recorder.prompts, batch))
    try:
        asyncio.set_event_loop(loop)
        ended = loop.run_until_complete(_points(work, api, recorder, report, mailbox, alone, here))
    except PerfkitError as error:
        ended = failure_event(error)
    finally:
        recorder.close()
        recorders.wait()
        with contextlib.suppress(StorageError):  # a full disk: they stay, and whoever opens the file finds them
            _recover(recorder, work, api, here=here)
        asyncio.set_event_loop(None)
        loop.close()
    report({"event": "ended", **ended})


class _Recorders:
    """The recorders of one worker: one, and another where that has died."""

    def __init__(self, loop: asyncio.AbstractEventLoop, started: Started) -> None:
        self._loop, self._started = loop, started
        self._channel: LoopEnd | None = None
        self._client: RecorderClient | None = None

    def connected(self, client: RecorderClient) -> LoopEnd:
        """Return the channel to the recorder."""
        self._client = client
        self._channel = LoopEnd(self._loop, self._started.end, client.on_message, client.on_end)
        return self._channel

    def wait(self) -> None:
        """Wait for its end, once it was hung up."""
        self._started.wait()

    async def ended(self) -> str:
        """Hang up, and wait until it is gone; return how it ended."""
        if self._channel is not None:
            self._channel.close()
        return await asyncio.to_thread(self._started.wait)

    async def start(self) -> LoopEnd:
        """Start another one."""
        if self._started.again is None or self._client is None:
            raise OSError("it is a thread of this process")
        self._started = await asyncio.to_thread(self._started.again)
        if self._started.stand is not None:
            self._client.stand_by(self._started.stand)
        return self.connected(self._client)


def _recover(recorder: RecorderClient, work: Work, cls: type, *, here: bool) -> None:
    """Add the answers of a run that nobody has said to be complete to its file, or to the copy of one that is gone."""
    path = recorder.copy or recorder.path
    if path is None or recorder.begun is None or not here:
        return

    def api(record: RunRecord) -> BoundApi:
        return plugins.bind_api(cls, work.arguments)

    run_id, _ = recorder.begun
    if recorder.lost and is_own(cls):
        pass  # what has ended one process after the other may end this one: `perfkit recover` reads them
    elif recorder.waits_beside is not None:
        recover(path, api, recorder.scrub, recorder.begun, recorder.waits_beside)
    elif recorder.lost and (waiting := recorder.unstored()):
        add(path, waiting, api, recorder.scrub, texts=work.arguments.texts)
    if recorder.lost and recorder.failure is not None and work.share.count == 1:  # of several the driver does
        writer = Writer(path)
        writer.update_run(run_id, problem=str(recorder.failure))
        writer.settle_run(run_id)
        writer.close()


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
