"""Up to which rate the simulated server keeps time on this machine, measured against itself."""

import json
import selectors
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.request import Request, urlopen

from perfkit.simulator.options import Simulation
from perfkit.simulator.process import Simulated, simulate

_LIMIT = 0.001  # s
_TTFT = 0.15  # s; time enough to take in a step's requests before their first tokens are due
_ITL = 0.01
_TOKENS = 20
_STREAMS = (50, 100, 200, 400, 800)
_TRIES = 3
_PATIENCE = 10.0  # s


@dataclass(frozen=True, slots=True)
class Step:
    """How late tokens were at one rate: events per second asked for, and the 99th percentile in seconds."""

    rate: float
    p99: float


def keeps_time(streams: Sequence[int] = _STREAMS) -> list[Step]:
    """Ramp streams against a simulated server of our own until it falls behind.

    Each stream asks for 100 events/s, at jittered intervals. A step takes about 0.4 s, and the ramp ends with the
    first step whose p99 of lateness is 1 ms or more three times over. What else the machine does counts, too:
    measure where and when you mean to use it.

    Parameters
    ----------
    streams : sequence of int
        Streams of each step, ascending.

    Returns
    -------
    list of Step
        The steps taken; all but the last are below 1 ms, and the last is too if the ramp came to its end.

    Examples
    --------
    >>> [step] = keeps_time([10])
    >>> step.rate
    1000.0
    """
    taken: list[Step] = []
    with simulate(Simulation(ttft=_TTFT, itl=_ITL, jitter=0.5, output_tokens=_TOKENS)) as server:
        for count in streams:
            taken.append(_best(server, count))
            if not taken[-1].p99 < _LIMIT:
                break
    return taken


def sentence(steps: Sequence[Step]) -> str:
    """Say what ``keeps_time`` found.

    Examples
    --------
    >>> sentence([Step(10_000, 0.0002), Step(20_000, 0.0004), Step(40_000, 0.003)])
    'keeps time up to 20,000 events/s on this machine now (p99 of lateness 0.40 ms; 3.00 ms at 40,000)'
    """
    held = [step for step in steps if step.p99 < _LIMIT]
    missed = [f"{step.p99 * 1000:.2f} ms at {step.rate:,.0f}" for step in steps if step not in held]
    if not held:
        return f"does not keep time on this machine now (p99 of lateness {missed[0]} events/s)"
    also = f"; {missed[0]}" if missed else ", the most that was tried"
    best = held[-1]
    lateness = f"p99 of lateness {best.p99 * 1000:.2f} ms{also}"
    return f"keeps time up to {best.rate:,.0f} events/s on this machine now ({lateness})"


def _best(server: Simulated, streams: int) -> Step:
    """Try again before giving up: other work on the machine can only make a step worse."""
    for _ in range(_TRIES):
        step = _step(server, streams)
        if step.p99 < _LIMIT:
            break
    return step


def _step(server: Simulated, streams: int) -> Step:
    urlopen(Request(server.url + "/__reset", method="POST"), timeout=_PATIENCE).close()
    _drain(server.port, streams)
    with urlopen(server.url + "/__stats", timeout=_PATIENCE) as answer:
        lateness = json.load(answer)["lateness"]
    return Step(streams / _ITL, lateness["p99"])


def _drain(port: int, streams: int) -> None:
    """Open streams together and read them to their ends."""
    body = b'{"messages":[{"role":"user","content":"keep time"}],"stream":true}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: simulator\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    buffer = bytearray(1 << 16)
    with selectors.DefaultSelector() as selector:
        for _ in range(streams):
            stream = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
            selector.register(stream, selectors.EVENT_READ)
        for key in list(selector.get_map().values()):
            _socket(key).sendall(head % len(body) + body)
        while selector.get_map():
            for key, _ in selector.select(_PATIENCE):
                stream = _socket(key)
                if not stream.recv_into(buffer):
                    selector.unregister(stream)
                    stream.close()


def _socket(key: selectors.SelectorKey) -> socket.socket:
    stream = key.fileobj
    if not isinstance(stream, socket.socket):
        raise TypeError(f"expected a socket, got {type(stream).__name__}")
    return stream
