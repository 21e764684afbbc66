"""Ports at which nobody listens."""

import contextlib
import random
import socket


def free_port() -> int:
    """Return one beneath those that the kernel gives out by itself: no neighbour gets it meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
