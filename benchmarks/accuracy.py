"""How true are the stamps? Measures a server whose own log says what it really did, on the same clock.

    python benchmarks/accuracy.py                          # against perfkit's simulator
    python benchmarks/accuracy.py --streams 32 256 1024 \
        --server './paced_server --port {port} --ttft-ms 100 --itl-ms 10 --chunks 64 --log {log} --chunk-log {chunks}' \
        --client './epoll_client {port} {streams} {requests}'

Any server with such logs will do (``perfkit.simulator.truth`` gives the format): a line per request and a record per
content event, stamped on CLOCK_MONOTONIC right before the write. ``--client`` is another client to run beside ours
against the same server; it prints a line of JSON with ``us_per_event`` and ``ttft_ms``.
"""

import argparse
import contextlib
import json
import shlex
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import perfkit as pk
from perfkit import chunks
from perfkit.records import TOKEN_KINDS
from perfkit.simulator.truth import chunks_by_request, read_requests

TTFT, ITL, TOKENS = 0.100, 0.010, 64


@dataclass(frozen=True)
class Figures:
    """One size: lateness is the stored stamp minus the server's send stamp; all in milliseconds unless named."""

    streams: int
    stamps: str
    requests: int
    late_p50: float
    late_p99: float
    uncensored_p50: float
    uncensored_p99: float
    first_p50: float
    first_p99: float
    written_p99: float
    ttft_error: float
    itl_p50: float
    tpot_error: float
    censored_percent: float
    us_per_chunk: float
    us_stored: float
    client_us_per_chunk: float
    client_ttft_error: float
    server_late_p99: float
    verdict: str


@contextlib.contextmanager
def server(command: str | None, folder: Path) -> Iterator[int]:
    """Run the server, and give its port."""
    log, chunk_log = folder / "log.csv", folder / "chunks.bin"
    if command is None:
        with pk.simulate(ttft=TTFT, itl=ITL, output_tokens=TOKENS, log=str(log), chunk_log=str(chunk_log)) as simulator:
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


def measure(streams: int, rounds: int, stamps: str, command: str | None, client: str | None) -> Figures:
    """Measure one size with a server of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server(command, folder) as port:
            pk.start(
                f"http://127.0.0.1:{port}",
                parallel=streams,
                number=streams * rounds,
                max_tokens=TOKENS,
                prompt="hello",
                stamps=stamps,
                db=str(folder / "run.db"),
            ).wait()
            other = run_client(client, port, streams, streams * rounds)
        return judge(folder, streams, stamps, other)


def run_client(client: str | None, port: int, streams: int, requests: int) -> dict[str, float]:
    """Run the other client, if one was named."""
    if client is None:
        return {}
    words = shlex.split(client.format(port=port, streams=streams, requests=requests))
    told: dict[str, float] = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    return told


def judge(folder: Path, streams: int, stamps: str, other: dict[str, float]) -> Figures:
    """Compare what perfkit stored with what the server logged."""
    requests = {request.req: request for request in read_requests(folder / "log.csv")}
    sent = chunks_by_request(folder / "chunks.bin")
    db = sqlite3.connect(folder / "run.db")
    offset, verdict = db.execute("SELECT clock_offset, verdict FROM run").fetchone()
    rows = db.execute(
        "SELECT server_request_id, start_time, written_time, first_chunk_latency, time_per_output_token, chunks, "
        "inter_token_latencies FROM result WHERE success AND phase <> 'preflight'"
    ).fetchall()
    late, first, censored, error, events = [], [], [], [], 0
    for identity, start, _, ttft, _, blob, _ in rows:
        number = int(identity.rpartition("-")[2])
        truth = np.array([chunk.sent for chunk in sent[number]])
        stored = chunks.unpack(blob)
        kinds, reads = np.asarray(stored.kind), np.asarray(stored.read)
        tokens = np.isin(kinds, TOKEN_KINDS)
        arrival = np.asarray(stored.arrival)[tokens] + round(start * 1e9) - offset
        late.append((arrival - truth) / 1e6)
        first.append((arrival[0] - truth[0]) / 1e6)
        shared = np.zeros(tokens.sum(), bool)
        shared[:-1] = np.diff(reads[tokens]) == 0
        censored.append(shared)
        request = requests[number]
        error.append(ttft * 1e3 - (request.first_ns - request.recv_done_ns) / 1e6)
        events += len(set(zip(stored.message, stored.kind, strict=True)))
    every, hidden = np.concatenate(late), np.concatenate(censored)
    gaps = np.concatenate([json.loads(row[6]) for row in rows]) * 1e3
    cpu, desk_cpu = (
        db.execute("SELECT value FROM sample WHERE name = ?", (name,)).fetchone()[0]
        for name in ("cpu_seconds", "desk_cpu_seconds")
    )
    true_tpot = [(requests[int(r[0].rpartition("-")[2])]) for r in rows]
    spans = np.array([(t.last_ns - t.first_ns) / 1e6 / (TOKENS - 1) for t in true_tpot])
    server_late = np.concatenate([[(c.sent - c.due) / 1e6 for c in sent[t.req]] for t in true_tpot])
    client_error = float("nan")
    if "ttft_ms" in other:
        ours = {t.req for t in true_tpot}
        theirs = [
            (t.first_ns - t.recv_done_ns) / 1e6 for t in requests.values() if t.req not in ours and t.status == 200
        ]
        client_error = other["ttft_ms"] - float(np.mean(theirs))
    return Figures(
        streams=streams,
        stamps=stamps,
        requests=len(rows),
        late_p50=float(np.percentile(every, 50)),
        late_p99=float(np.percentile(every, 99)),
        uncensored_p50=float(np.percentile(every[~hidden], 50)),
        uncensored_p99=float(np.percentile(every[~hidden], 99)),
        first_p50=float(np.percentile(first, 50)),
        first_p99=float(np.percentile(first, 99)),
        written_p99=float(np.percentile([(row[2] - row[1]) * 1e3 for row in rows], 99)),
        ttft_error=float(np.mean(error)),
        itl_p50=float(np.percentile(gaps, 50)),
        tpot_error=float(np.abs(np.array([row[4] for row in rows]) * 1e3 - spans).mean()),
        censored_percent=float(hidden.mean() * 100),
        us_per_chunk=cpu / events * 1e6,
        us_stored=(cpu + desk_cpu) / events * 1e6,
        client_us_per_chunk=other.get("us_per_event", float("nan")),
        client_ttft_error=client_error,
        server_late_p99=float(np.percentile(server_late, 99)),
        verdict=verdict,
    )


HEADS = {
    "streams": "streams",
    "stamps": "stamps",
    "requests": "n",
    "late_p50": "chunk late p50 [ms]",
    "late_p99": "p99",
    "uncensored_p50": "uncensored p50",
    "uncensored_p99": "p99 ",
    "first_p50": "first token late p50",
    "first_p99": "p99  ",
    "written_p99": "written - start p99 [ms]",
    "ttft_error": "TTFT error, mean [ms]",
    "client_ttft_error": "other client's [ms]",
    "itl_p50": "ITL p50 [ms]",
    "tpot_error": "TPOT error [ms]",
    "censored_percent": "censored [%]",
    "us_per_chunk": "CPU per chunk, received [us]",
    "us_stored": "and stored [us]",
    "client_us_per_chunk": "other client's [us]",
    "server_late_p99": "server's own lateness p99 [ms]",
    "verdict": "verdict",
}


def table(figures: list[Figures]) -> str:
    """Return the figures as a Markdown table."""
    lines = [" | ".join(HEADS.values()), " | ".join("---" for _ in HEADS)]
    for each in figures:
        values = asdict(each)
        cells = [f"{values[n]:.3f}" if isinstance(values[n], float) else str(values[n]) for n in HEADS]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def main(words: list[str] | None = None) -> list[Figures]:
    """Run the program; returns the figures too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--rounds", type=int, default=4, help="requests per stream [4]")
    parser.add_argument("--stamps", nargs="+", default=["auto"], choices=["auto", "kernel", "user"])
    parser.add_argument("--server", help="command with {port}, {log} and {chunks}; default: the simulator")
    parser.add_argument("--client", help="another client's command with {port}, {streams} and {requests}")
    options = parser.parse_args(words)
    figures = [
        measure(streams, options.rounds, stamps, options.server, options.client)
        for streams in options.streams
        for stamps in options.stamps
    ]
    sys.stdout.write(table(figures) + "\n")
    return figures


if __name__ == "__main__":
    main()
