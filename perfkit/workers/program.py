"""The worker's program: ``python -P -m perfkit.workers.program``, its work on standard input.

It lives in a session of its own, ignores Ctrl-C and takes its orders from the pipe. When the pipe ends, the driver
is gone: it stops sending, commits, marks the run interrupted and exits.
"""

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from perfkit.records import Prompt
from perfkit.workers import pipe

SWITCH_INTERVAL = 0.0005
"""Seconds that the decoding thread may keep the loop waiting for the interpreter; the default is ten times that."""

HARD_LIMIT = 1.8
"""Seconds after the end of the driver until the worker exits whatever it is doing."""


class Orders:
    """Orders from the driver, read on a thread: stop, and prompts for those who have them in a notebook."""

    def __init__(self, stream: BinaryIO, want: Callable[[int], None]) -> None:
        self._stream, self._want = stream, want
        self._stop: Callable[[], None] | None = None
        self._stopped = False
        self._prompts: queue.SimpleQueue[Prompt | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="perfkit-orders", daemon=True).start()

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Say what stops the work."""
        self._stop = stop
        if self._stopped:
            stop()

    def stop(self) -> None:
        """Stop the work, or keep it from starting."""
        self._stopped = True
        if self._stop is not None:
            self._stop()

    def prompts(self, batch: int = 500) -> Iterator[Prompt]:
        """Yield the prompts that the driver pumps over, asking for a batch at a time."""
        coming = 0
        while True:
            if coming <= batch // 2:
                self._want(batch)
                coming += batch
            prompt = self._prompts.get()
            if prompt is None:
                return
            coming -= 1
            yield prompt

    def _read(self) -> None:
        while (order := pipe.receive(self._stream)) is not None:
            word, content = order
            if word == "stop":
                self.stop()
            elif word == "prompts":
                for prompt in content:
                    self._prompts.put(prompt)
            elif word == "no more prompts":
                self._prompts.put(None)
        self.stop()
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
    sys.setswitchinterval(SWITCH_INTERVAL)
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
    from perfkit.workers.work import carry_out

    work = pipe.receive(orders_in)
    if work is None:
        return
    orders = Orders(orders_in, lambda count: report({"event": "want", "count": count}))
    signal.signal(signal.SIGTERM, lambda *_: orders.stop())
    carry_out(work, report, orders.on_stop, orders.prompts() if work.pumped else None, alone=True)


if __name__ == "__main__":
    main()
