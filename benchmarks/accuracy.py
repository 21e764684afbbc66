"""How true are the stamps? Measures a server whose own log says what it really did, on the same clock.

    python benchmarks/accuracy.py                          # against perfkit's simulator
    python benchmarks/accuracy.py --streams 32 256 1024 \
        --server './paced_server --port {port} --ttft-ms 100 --itl-ms 10 --chunks 64 --log {log} --chunk-log {chunks}' \
        --client './epoll_client {port} {streams} {requests}'

Any server with such logs will do (``perfkit.simulator.truth`` gives the format): a line per request and a record per
content event, stamped on CLOCK_MONOTONIC right before the write. ``--client`` is another client against the same
server, which prints a line of JSON with ``us_per_event`` and ``ttft_ms``. It runs once before ours and once after, and
its figures are the means of both: a shared machine changes its speed from one run to the next by more than a fifth.
``--busy`` keeps processors busy beside ours.
"""

import argparse
import contextlib
import json
import multiprocessing
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import perfkit as pk
from perfkit.runner.calibration import Lateness, lateness
from perfkit.simulator.truth import read_requests

TTFT, ITL, TOKENS = 0.100, 0.010, 64
THEIRS = ("us_per_event", "ttft_ms")
"""What another client says of itself."""


@contextlib.contextmanager
def server(command: str | None, folder: Path, **options: Any) -> Iterator[int]:
    """Run the server, and give its port; the options are the simulator's."""
    log, chunk_log = folder / "log.csv", folder / "chunks.bin"
    if command is None:
        pace = {"ttft": TTFT, "itl": ITL, "output_tokens": TOKENS}
        with pk.simulate(**pace, **options, log=str(log), chunk_log=str(chunk_log)) as simulator:
            yield simulator.port
        return
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    words = shlex.split(command.format(port=port, log=log, chunks=chunk_log))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep this many processors busy meanwhile."""
    processes = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


@dataclass(frozen=True)
class Setting:
    """What is the same for every size."""

    rounds: int
    workers: int
    busy: int
    server: str | None
    client: str | None


@dataclass(frozen=True)
class Figures:
    """One size: what was stored against the truth, and another client's figures beside it."""

    streams: int
    stamps: str
    ours: Lateness
    their_ttft_error: float
    their_us: float


def measure(streams: int, stamps: str, setting: Setting) -> Figures:
    """Measure one size with a server of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        number = streams * setting.rounds
        with server(setting.server, folder) as port:
            before = run_client(setting.client, port, streams, number)
            with busy(setting.busy):
                pk.start(
                    f"http://127.0.0.1:{port}",
                    parallel=streams,
                    number=number,
                    max_tokens=TOKENS,
                    prompt="hello",
                    stamps=stamps,
                    workers=setting.workers,
                    db=str(folder / "run.db"),
                ).wait()
            after = run_client(setting.client, port, streams, number)
        ours = lateness(folder / "run.db", folder / "log.csv", folder / "chunks.bin")
        other = {name: (before[name] + after[name]) / 2 for name in THEIRS if name in after}
        error = their_ttft_error(other, folder / "log.csv", ours)
    return Figures(streams, stamps, ours, error, other.get("us_per_event", float("nan")))


def run_client(client: str | None, port: int, streams: int, requests: int) -> dict[str, float]:
    """Run the other client, if one was named."""
    if client is None:
        return {}
    words = shlex.split(client.format(port=port, streams=streams, requests=requests))
    told: dict[str, float] = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    return told


def their_ttft_error(other: dict[str, float], log: Path, ours: Lateness) -> float:
    """Return the other client's mean TTFT minus what the server did for it, in seconds."""
    if "ttft_ms" not in other:
        return float("nan")
    theirs = [request for request in read_requests(log) if request.req not in ours.own and request.first_ns]
    # The preflight request of ours is among them: one of very many, and as quick as any.
    return other["ttft_ms"] / 1e3 - float(np.mean([(r.first_ns - r.recv_done_ns) / 1e9 for r in theirs]))


MS = 1e3
COLUMNS: dict[str, Callable[[Figures], object]] = {
    "streams": lambda f: f.streams,
    "stamps": lambda f: f.stamps,
    "n": lambda f: f.ours.requests,
    "every chunk late p50 [ms]": lambda f: f.ours.every_p50 * MS,
    "p99 [ms]": lambda f: f.ours.every_p99 * MS,
    "uncensored p50 [ms]": lambda f: f.ours.late_p50 * MS,
    "uncensored p99 [ms]": lambda f: f.ours.late_p99 * MS,
    "first token p50 [ms]": lambda f: f.ours.first_p50 * MS,
    "first token p99 [ms]": lambda f: f.ours.first_p99 * MS,
    "censored [%]": lambda f: f.ours.censored * 100,
    "written - start p99 [ms]": lambda f: f.ours.written_p99 * MS,
    "TTFT error, mean [ms]": lambda f: f.ours.ttft_error * MS,
    "the other client's [ms]": lambda f: f.their_ttft_error * MS,
    "ITL p50 [ms]": lambda f: f.ours.itl_p50 * MS,
    "TPOT error [ms]": lambda f: f.ours.tpot_error * MS,
    "CPU per event received [us]": lambda f: f.ours.us_received,
    "and stored [us]": lambda f: f.ours.us_stored,
    "the other client's [us]": lambda f: f.their_us,
    "memory [MB]": lambda f: f.ours.memory / 1e6,
    "server's own lateness p99 [ms]": lambda f: f.ours.server_late_p99 * MS,
    "verdict": lambda f: f.ours.verdict,
}


def table(figures: list[Figures]) -> str:
    """Return the figures as a Markdown table, a column per size."""
    heads = ["| |" + "".join(f" {f.streams} {f.stamps} |" for f in figures), "|---|" + "---|" * len(figures)]
    rows = [f"| {name} |" + "".join(f" {_shown(value(f))} |" for f in figures) for name, value in COLUMNS.items()]
    return "\n".join(heads + rows[2:])


def _shown(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main(words: list[str] | None = None) -> list[Figures]:
    """Run the program; returns the figures too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--rounds", type=int, default=4, help="requests per stream [4]")
    parser.add_argument("--stamps", nargs="+", default=["auto"], choices=["auto", "kernel", "user"])
    parser.add_argument("--workers", type=int, default=1, help="worker processes [1]")
    parser.add_argument("--busy", type=int, default=0, help="processors kept busy beside the run [0]")
    parser.add_argument("--server", help="command with {port}, {log} and {chunks}; default: the simulator")
    parser.add_argument("--client", help="another client's command with {port}, {streams} and {requests}")
    options = parser.parse_args(words)
    setting = Setting(options.rounds, options.workers, options.busy, options.server, options.client)
    figures = [measure(streams, stamps, setting) for streams in options.streams for stamps in options.stamps]
    sys.stdout.write(table(figures) + "\n")
    return figures


if __name__ == "__main__":
    main()
