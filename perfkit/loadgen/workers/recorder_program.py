"""The recorder as a program of its own, in the place of one that has died.

The first recorder of a worker is forked. By the time that it dies the worker has threads, and connections whose stamps
a fork would disturb; a program that is started costs it a millisecond. Its standard input is the channel to the loop,
over which it is told first what the worker was told.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from perfkit.loadgen.plugin_watch import Patience, PluginWatch
from perfkit.loadgen.recorder.channel import RecorderEnd
from perfkit.loadgen.recorder.process import Recorder
from perfkit.loadgen.serialization import unpacked
from perfkit.loadgen.workers.points import Started, api_of, be_recorder, start_another
from perfkit.loadgen.workers.remote import Call, dial
from perfkit.loadgen.workers.work import Work
from perfkit.runfile.remote import RemoteStore
from perfkit.runfile.writer import Writer

PROGRAM = (sys.executable, "-P", "-m", "perfkit.loadgen.workers.recorder_program")


def another(setting: Mapping[str, Any], work: bytes, patience: Patience, call: Call | None = None) -> Started:
    """Start one.

    Parameters
    ----------
    setting : dict
        What the worker was told of where it is: ``path``, ``log_level``.
    work : bytes
        Its work, packed.
    patience : Patience
        The worker's.
    call : Call, optional
        Where it reaches the driver, which has the run file then.
    """
    files = [patience.file] if patience.file >= 0 else []
    return start_another(PROGRAM, files, dict(setting), work, patience.file, call)


def main() -> None:
    """Hear what there is to do, and do it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = RecorderEnd(socket.socket(fileno=os.dup(0)))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a plugin may read it
    try:
        setting, data, file, call = channel.receive(None) or ({}, b"", -1, None)
    except EOFError:
        return
    sys.path[:] = [*dict.fromkeys([*sys.path, *setting["path"]])]
    logging.basicConfig(level=setting["log_level"], format="%(message)s")
    work: Work = unpacked(data)
    PluginWatch.patience = Patience(work.arguments.read_timeout, file)
    api = api_of(work)
    store: Callable[..., Writer | RemoteStore] = Writer
    if call is not None:
        store = partial(RemoteStore, dial(call, ("rows",))["rows"].ask)
    be_recorder(Recorder(channel, api, work.pumped, partial(store, texts=work.arguments.texts)))


if __name__ == "__main__":
    main()
