"""``python -m perfkit.simulator``: serve until a signal comes, or standard input ends (``--until-eof``)."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import ModuleType

from perfkit.errors import UsageError
from perfkit.simulator.options import Simulation, add_arguments, from_arguments
from perfkit.simulator.server import raise_file_limit, serve


def main(argv: Sequence[str] | None = None) -> int:
    """Serve as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m perfkit.simulator", description="Serve a simulated LLM endpoint.")
    add_arguments(parser)
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    arguments = parser.parse_args(argv)
    try:
        run(from_arguments(arguments), until_eof=arguments.until_eof)
    except (UsageError, OSError) as error:
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
    uvloop = _uvloop()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if uvloop else None) as runner:
        runner.run(_serve(simulation, until_eof))


def _uvloop() -> ModuleType | None:
    try:
        import uvloop
    except ImportError:  # Windows, or not CPython
        return None
    found: ModuleType = uvloop
    return found


async def _serve(simulation: Simulation, until_eof: bool) -> None:
    loop = asyncio.get_running_loop()
    until = asyncio.Event()
    if sys.platform != "win32":
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, until.set)
    if until_eof:
        threading.Thread(target=_wait_for_eof, args=(loop, until), daemon=True).start()
    await serve(simulation, _announce, until)


def _wait_for_eof(loop: asyncio.AbstractEventLoop, until: asyncio.Event) -> None:
    # os.read holds no lock that the interpreter would wait for when a signal ends it first.
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(until.set)


def _announce(url: str) -> None:
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
