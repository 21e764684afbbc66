"""Serving as a program: until a signal comes, or standard input ends (``--until-eof``)."""

import argparse
import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading

from perfkit.errors import PerfkitError
from perfkit.simulator import options
from perfkit.simulator.options import Simulation
from perfkit.simulator.server import raise_file_limit, serve
from perfkit.simulator.timekeeping import keeps_time, sentence


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options of the simulated server and of running it."""
    options.add_arguments(parser)
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    parser.add_argument(
        "--measure",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="first find the rate up to which this machine keeps time (about 2 s; never with --until-eof)",
    )


def main(arguments: argparse.Namespace) -> int:
    """Serve as a command line says that ``add_arguments`` has described.

    Parameters
    ----------
    arguments : Namespace

    Returns
    -------
    int
        The exit status: 0 when it was ended, 2 when it could not be done.
    """
    try:
        simulation = options.from_arguments(arguments)
        if arguments.measure and not arguments.until_eof:
            sys.stdout.write(f"{sentence(keeps_time())}\n")
        run(simulation, until_eof=arguments.until_eof)
    except (PerfkitError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    return 0


def run(simulation: Simulation, *, until_eof: bool = False) -> None:
    """Serve in this process until SIGTERM or SIGINT.

    Parameters
    ----------
    simulation : Simulation
    until_eof : bool
        Stop when standard input ends, too: a parent that dies takes its server along.

    Raises
    ------
    OSError
        The address cannot be listened on, or a log cannot be written.
    """
    raise_file_limit()
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        runner.run(_serve(simulation, until_eof))


def _event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows, or not CPython
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(simulation: Simulation, until_eof: bool) -> None:
    loop = asyncio.get_running_loop()
    until = asyncio.Event()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, until.set)
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=(loop, until), daemon=True).start()
    await serve(simulation, _ready, until)


def _wait_for_eof(loop: asyncio.AbstractEventLoop, until: asyncio.Event) -> None:
    # os.read holds no lock that the interpreter would wait for when a signal ends it first.
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(until.set)


def _ready(url: str) -> None:
    """Say where, and from here on leave memory alone."""
    gc.collect()
    gc.freeze()
    gc.disable()  # a full collection takes milliseconds, and nothing here makes cycles that matter
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
