"""How soon is a connection that a server loses noticed, while other streams go on?

    python benchmarks/losses.py --streams 64 --rounds 3

A server in a process of its own sends a chunk every 10 ms on each stream and then, at a random moment, resets the
connection, closes its half of it, or falls silent, and notes when. The table says how much later the transport ended
the request: after the reset or the half-close itself, and after ``read_timeout`` for the silent ones. Both event loops,
plain and TLS (which needs the ``openssl`` program for a certificate). The exit status is 1 if any was noticed later
than ``--limit``, or taken for something else.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import random
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from shutil import which
from time import perf_counter_ns, sleep

import numpy as np

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.transport.pool import Pool
from perfkit.loadgen.transport.target import Target

WAYS = {"reset": "reset", "half-close": "reset", "stall": "read_timeout"}
"""How a connection is lost, and the kind of error that it is."""

PACE = 0.01
FIRST, LAST = 0.2, 1.2  # s after a request, between which its connection is lost
READ_TIMEOUT = 1.0
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


@dataclass(frozen=True)
class Loss:
    """One request whose connection was lost: how, how much later that was noticed (s), and as what."""

    way: str
    after: float
    kind: str | None


def serve(pipe: Connection, certificate: tuple[str, str] | None) -> None:
    """Serve until the pipe says so; then send back when each connection was lost, by the number of its request."""
    lost: dict[int, int] = {}
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

    def answer(sock: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) if context else sock as wire:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            came = b""
            while not (request := re.fullmatch(rb"(?is).*content-length: (\d+)\r\n(?:.*?\r\n)?\r\n(\d+)", came)) or (
                len(request[2]) < int(request[1])
            ):
                came += wire.recv(2**16)
            number = int(request[2])
            wire.sendall(HEAD)
            for _ in range(int(random.Random(number).uniform(FIRST, LAST) / PACE)):
                lost[number] = perf_counter_ns()
                wire.sendall(CHUNK)
                sleep(PACE)
            way = list(WAYS)[number % len(WAYS)]
            if way == "reset":
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                lost[number] = perf_counter_ns()
                wire.close()
            elif way == "half-close":
                lost[number] = perf_counter_ns()
                wire.shutdown(socket.SHUT_WR)
            while wire.recv(2**16):  # until the client has closed, too
                pass

    def accept() -> None:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        threading.Thread(target=accept, daemon=True).start()
        pipe.send(listener.getsockname()[1])
        pipe.recv()
        pipe.send(lost)


async def requests(url: str, streams: int, trusted: str | None) -> list[Exchange]:
    """Send a request on each of many connections at once; its body is its number."""
    target = Target.of(url, {})
    context = ssl.create_default_context(cafile=trusted) if trusted else None
    pool = Pool(target, read_timeout=READ_TIMEOUT, context=context)
    try:
        await pool.warm(streams)
        return await asyncio.gather(*(pool.send(target.request(b"%d" % number)) for number in range(streams)))
    finally:
        await pool.close()


def losses(
    loop: Callable[[], asyncio.AbstractEventLoop], streams: int, certificate: tuple[str, str] | None
) -> list[Loss]:
    """Lose the connections of so many streams, and say how each was noticed on such a loop."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there, certificate), daemon=True)
    server.start()
    try:
        url = f"http{'s' if certificate else ''}://127.0.0.1:{here.recv()}/v1"
        with asyncio.Runner(loop_factory=loop) as runner:
            exchanges = runner.run(requests(url, streams, certificate and certificate[0]))
        here.send("stop")
        lost = here.recv()
    finally:
        server.kill()
        server.join()
    found = []
    for number, exchange in enumerate(exchanges):
        way = list(WAYS)[number % len(WAYS)]
        patience = int(READ_TIMEOUT * 1e9) if way == "stall" else 0
        found.append(Loss(way, ((exchange.end or 0) - lost[number] - patience) / 1e9, exchange.error_kind))
    return found


def table(found: dict[tuple[str, str], list[Loss]], limit: float) -> tuple[str, bool]:
    """Return a Markdown table, a line for each loop, wire and way, and whether all is as it should be."""
    head = ("loop", "wire", "lost by", "streams", "noticed as", "after p50 [ms]", "p99", "max", "within the limit")
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    good = True
    for (loop, wire), some in found.items():
        for way, kind in WAYS.items():
            these = [each for each in some if each.way == way]
            after = np.array([each.after for each in these]) * 1e3
            right = sum(each.kind == kind and each.after <= limit for each in these)
            good = good and right == len(these)
            kinds = ", ".join(sorted({str(each.kind) for each in these}))
            figures = (f"{value:.1f}" for value in (*np.percentile(after, (50, 99)), after.max()))
            lines.append((loop, wire, way, str(len(these)), kinds, *figures, f"{right} of {len(these)}"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines), good


def certificate_in(folder: Path) -> tuple[str, str] | None:
    """Make a certificate for 127.0.0.1; None where there is nothing to make it with."""
    if which("openssl") is None:
        return None
    files = str(folder / "certificate.pem"), str(folder / "key.pem")
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    name = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]]
    subprocess.run(["openssl", *words.split(), *name], check=True, capture_output=True)
    return files


def loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Return what makes each event loop there is here."""
    found: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    with contextlib.suppress(ImportError):
        import uvloop

        found = {"uvloop": uvloop.new_event_loop, **found}
    return found


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=0.05, help="s within which each must be noticed")
    options = parser.parse_args(words)
    found: dict[tuple[str, str], list[Loss]] = {}
    with tempfile.TemporaryDirectory() as folder:
        certificate = certificate_in(Path(folder))
        for _ in range(options.rounds):
            for name, loop in loops().items():
                for wire in ("plain", "TLS") if certificate else ("plain",):
                    files = certificate if wire == "TLS" else None
                    found.setdefault((name, wire), []).extend(losses(loop, options.streams, files))
    text, good = table(found, options.limit)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
