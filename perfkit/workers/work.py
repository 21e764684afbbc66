"""The work of one worker: every point of a sweep, one after the other, on a loop of its own."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfkit import plugins
from perfkit.arguments import Arguments
from perfkit.datasets import prompts as read_prompts
from perfkit.engine.record import default_name, new_run_id, slug
from perfkit.engine.session import Session, Stop
from perfkit.engine.sink import Sink
from perfkit.errors import NothingSucceeded, PerfkitError, UsageError
from perfkit.plugins import BoundApi
from perfkit.records import Prompt
from perfkit.registry import APIS, DATASETS
from perfkit.transport.models import served_model

Report = Callable[[dict[str, Any]], None]


@dataclass
class Work:
    """What the driver hands to a worker.

    Parameters
    ----------
    arguments : Arguments
        Of the whole sweep; an iterable dataset is not in it but in ``prompts``.
    apis, datasets : dict of classes
        What the person registered in their own session, by name.
    folder : str
        Working directory.
    path : list of str
        ``sys.path`` of the driver.
    pumped : bool
        Prompts come over the pipe.
    """

    arguments: Arguments
    apis: dict[str, type] = field(default_factory=dict)
    datasets: dict[str, type] = field(default_factory=dict)
    folder: str = "."
    path: list[str] = field(default_factory=list)
    pumped: bool = False


def carry_out(
    work: Work,
    report: Report,
    on_stop: Callable[[Callable[[], None]], None],
    pumped: Iterable[Prompt] | None = None,
    *,
    alone: bool,
) -> None:
    """Run every point of the work, and report how it ended.

    Parameters
    ----------
    work : Work
    report : callable
        Takes events: ``file``, ``progress``, ``run``, ``ended``.
    on_stop : callable
        Is given the function that stops the work, callable from any thread.
    pumped : iterable of Prompt, optional
        Where prompts come from when ``work.pumped``.
    alone : bool
        This process does nothing else: garbage collection may be frozen.
    """
    APIS.classes.update(work.apis)
    DATASETS.classes.update(work.datasets)
    loop = _new_loop()
    try:
        asyncio.set_event_loop(loop)
        ended = loop.run_until_complete(_points(work, report, on_stop, pumped, alone))
        report({"event": "ended", **ended})
    except PerfkitError as error:
        report({"event": "ended", "error": type(error).__name__, "text": str(error)})
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows, and Pythons it has no build for
        return asyncio.SelectorEventLoop() if sys.platform == "win32" else asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _points(
    work: Work,
    report: Report,
    on_stop: Callable[[Callable[[], None]], None],
    pumped: Iterable[Prompt] | None,
    alone: bool,
) -> dict[str, Any]:
    stop = Stop(asyncio.get_running_loop())
    on_stop(stop.give)
    arguments, api = await _prepared(work.arguments)
    path = run_file(arguments)
    sink = Sink(path)
    report({"event": "file", "path": str(path), "name": arguments.name})
    try:
        return await _sweep(arguments, api, pumped, sink, stop, report, alone)
    finally:
        sink.close()


async def _sweep(
    arguments: Arguments,
    api: BoundApi,
    pumped: Iterable[Prompt] | None,
    sink: Sink,
    stop: Stop,
    report: Report,
    alone: bool,
) -> dict[str, Any]:
    points = arguments.points()
    sweep_id = new_run_id() if len(points) > 1 else None
    problem: str | None = None
    for index, point in enumerate(points):
        prompts = _bodies(api, point) if api.generation == "llmuses" else pumped or read_prompts(point)
        more = {"sweep_id": sweep_id, "point": index, "name": arguments.name}
        session = Session(point, replace_arguments(api, point), prompts, sink, stop, report, dict(more))
        with _quiet_collector(alone):
            await session.run()
        problem = session.problem
        if sink.failure is not None:
            raise sink.failure
        if problem is not None or stop.event.is_set():
            break
    if problem is not None:
        raise NothingSucceeded(problem)
    return {"status": "interrupted" if stop.event.is_set() else "finished"}


def replace_arguments(api: BoundApi, point: Arguments) -> BoundApi:
    """Return the API bound to one point of the sweep."""
    return plugins.bind_api(type(api.api), point)


async def _prepared(arguments: Arguments) -> tuple[Arguments, BoundApi]:
    """Load the plugins, ask the server for its model if none was given, and name the run."""
    plugins.load_plugins(arguments.plugins)
    cls = plugins.load_parser(arguments.parser) if arguments.parser else plugins.api_class(arguments.api)
    api = plugins.bind_api(cls, arguments)
    if arguments.model is None and not arguments.query_template:
        arguments = arguments.replace(model=await served_model(arguments, dict(api.headers)))
    if arguments.name is None:
        arguments = arguments.replace(name=default_name(arguments.model))
    return arguments, plugins.bind_api(cls, arguments)


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


def _bodies(api: BoundApi, arguments: Arguments) -> Iterator[Prompt]:
    for row, body in enumerate(api.bodies(arguments)):
        yield Prompt(body, row=row)


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
