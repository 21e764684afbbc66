"""A server that does everything wrong, to as many clients as come: each fault of the page in its turn.

    python -m tests.storm        # prints its port, and ends with its standard input

The next request on a connection that a fault leaves open meets the next fault.
"""

import socket
import sys
from collections.abc import Iterator
from itertools import cycle

from tests.faults import FAULTS
from tests.scripted import CLOSE, HANG, RESET, Script, Step, scripted

CONNECTIONS = 50_000
"""Connections that meet the faults in turn; those after them meet the last one's."""


def chains() -> Iterator[Script]:
    """Yield what each connection meets: faults up to one that ends it, or says no more."""
    faults = cycle([(title == "Waiting", fault.script) for title, some in FAULTS.items() for fault in some])
    while True:
        steps: list[Step] = []
        for waits, script in faults:
            steps += script if waits or script[-1] is not HANG else script[:-1]
            if waits or script[-1] in (CLOSE, RESET):
                break
        yield steps


def main() -> None:
    scripts = chains()
    # On every address of the machine's own, as a client takes each for a server of its own.
    listener = socket.create_server(("0.0.0.0", 0), backlog=512)
    with scripted(*(next(scripts) for _ in range(CONNECTIONS)), listener=listener) as server:
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
