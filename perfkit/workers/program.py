"""The worker's program: ``python -P -m perfkit.workers.program``, its work on standard input.

It lives in a session of its own, ignores Ctrl-C and takes its orders from the pipe. When the pipe ends, the driver
is gone: it stops sending, commits, marks the run interrupted and exits; a detached one goes on alone.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from perfkit.errors import PerfkitError
from perfkit.workers import pipe
from perfkit.workers.execution import api_of, carry_out, start_desk
from perfkit.workers.inbox import Inbox, Report
from perfkit.workers.work import Work, failure_event

HARD_LIMIT = 1.8
"""Seconds after the end of the driver until the worker exits whatever it is doing."""


def read_orders(stream: BinaryIO, inbox: Inbox, detached: bool) -> None:
    """Put the driver's orders into the inbox until its pipe ends; then, unless detached, stop, and be gone soon."""
    words: dict[str, Callable[..., None]] = {"stop": inbox.stop, "prompts": inbox.prompts, "go": inbox.go}
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


def main() -> None:
    """Read the work, carry it out, exit."""
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a plugin prints must not stand between our events
    orders_in = os.fdopen(os.dup(0), "rb")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lock = threading.Lock()

    def report(event: dict[str, Any]) -> None:
        # A broken pipe: the driver is gone, and the orders thread is stopping us.
        with lock, contextlib.suppress(BrokenPipeError):
            pipe.tell(events, event)

    setting = pipe.receive(orders_in)
    if setting is None:
        return
    sys.path[:] = [*dict.fromkeys([*sys.path, *setting["path"]])]
    os.chdir(setting["folder"])
    logging.basicConfig(level=setting["log_level"], format="%(message)s")
    work = pipe.receive(orders_in)
    if work is not None:
        _work(work, orders_in, events, report, setting["detached"])


def _work(work: Work, orders_in: BinaryIO, events: BinaryIO, report: Report, detached: bool) -> None:
    try:
        api = api_of(work)
    except PerfkitError as error:
        report({"event": "ended", **failure_event(error)})
        return
    # The desk is forked while there are no threads; it must not hold the pipes open when this process is gone.
    desk_end, wait = start_desk(work, api, forked=True, close=(orders_in.fileno(), events.fileno()))
    inbox = Inbox()
    signal.signal(signal.SIGTERM, lambda *_: inbox.stop())
    orders = threading.Thread(target=read_orders, args=(orders_in, inbox, detached), name="perfkit-orders", daemon=True)
    orders.start()
    carry_out(work, api, desk_end, report, inbox, wait, alone=True)


if __name__ == "__main__":
    main()
