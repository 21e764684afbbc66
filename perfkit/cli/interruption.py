"""Ctrl-C and SIGTERM: the first one stops the run and keeps what has come, the second one ends everything."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to stop; ``status`` is what it should exit with."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.status = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """Make the first signal raise ``Interrupted`` in the block, and the second exit at once.

    At once is safe: the worker sees its pipe end, commits what it has, and exits by itself.
    """

    def first(number: int, frame: FrameType | None) -> None:
        for each in _STOPPING:
            signal.signal(each, second)
        raise Interrupted(number)

    def second(number: int, frame: FrameType | None) -> None:
        os._exit(128 + number)

    before = {each: signal.signal(each, first) for each in _STOPPING}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
