"""perfkit beside its peers: the same closed load, the same paced server, one run; each tool's report against the log.

    python benchmarks/peers.py --install venvs                     # makes a virtual environment for each peer
    python benchmarks/peers.py --peer evalscope=venv/bin --streams 1 32 256 \
        --server './paced_server --port {port} --ttft-ms 100 --itl-ms 10 --chunks 64 --log {log} --chunk-log {chunks}'

Without ``--server`` perfkit's own simulator serves. True TTFT is the first content write minus the last byte of the
request read, both by the server's log; the requests that a tool sends before its load are left out of it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from accuracy import TOKENS, server
from clients import CLIENTS, Client, Load, Report, located
from cost import Cost, run

from perfkit.simulator.truth import RequestTruth, read_requests


@dataclass(frozen=True)
class Row:
    """One tool at one size: its own report, what it cost, and what the server saw of its load."""

    tool: str
    streams: int
    report: Report
    cost: Cost
    served: tuple[RequestTruth, ...]
    first_ns: int
    """When the server saw the tool's first request; many send one to try the connection, before their load."""
    busy: float
    """The machine's load average before."""

    @property
    def true_ttft(self) -> np.ndarray:
        """Seconds, one a request that was answered."""
        return np.array([(one.first_ns - one.recv_done_ns) / 1e9 for one in self.served if one.first_ns])

    @property
    def true_itl(self) -> float:
        """Mean seconds from token to token."""
        spans = [(one.last_ns - one.first_ns) / 1e9 / (one.tokens - 1) for one in self.served if one.tokens > 1]
        return float(np.mean(spans)) if spans else float("nan")

    @property
    def chunks(self) -> int:
        """Content events served."""
        return sum(one.tokens for one in self.served)

    @property
    def load_seconds(self) -> float:
        """From the first request to the last byte."""
        return (max(one.end_ns for one in self.served) - min(one.recv_start_ns for one in self.served)) / 1e9


def measure(client: Client, folder: Path, streams: int, rounds: int, command: str | None, patience: float) -> Row:
    """Run one tool at one size, on a server of its own.

    Raises
    ------
    RuntimeError
        The tool failed or left no report; the message ends with its last words.
    """
    number, busy = streams * rounds, os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        output, logs = Path(name) / "output", Path(name) / "logs"
        output.mkdir()
        logs.mkdir()
        with server(command, logs) as port:
            load = Load(f"http://127.0.0.1:{port}", streams, number, TOKENS)
            cost = run(client.command(folder, load, output), output, client.environment, patience)
        served = sorted(read_requests(logs / "log.csv"), key=lambda one: one.recv_start_ns)
        try:
            report = client.report(output)
        except (StopIteration, KeyError, ValueError, OSError) as error:
            words = (output / "output.txt").read_text(errors="replace")[-1500:]
            raise RuntimeError(f"{client.name} ended with {cost.status} and no report ({error!r}):\n{words}") from error
    return Row(client.name, streams, report, cost, tuple(served[-number:]), served[0].recv_start_ns, busy)


MS = 1e3
COLUMNS: dict[str, Callable[[Row], object]] = {
    "streams": lambda r: r.streams,
    "tool": lambda r: r.tool,
    "served / reported": lambda r: f"{len(r.served)} / {r.report.requests}",
    "true TTFT mean [ms]": lambda r: float(np.mean(r.true_ttft)) * MS,
    "reported TTFT mean": lambda r: r.report.figures["ttft"].mean * MS,
    "TTFT p50": lambda r: r.report.figures["ttft"].p50 * MS,
    "TTFT p99": lambda r: r.report.figures["ttft"].p99 * MS,
    "TTFT error mean [ms]": lambda r: (r.report.figures["ttft"].mean - float(np.mean(r.true_ttft))) * MS,
    "TTFT error p50": lambda r: (r.report.figures["ttft"].p50 - float(np.percentile(r.true_ttft, 50))) * MS,
    "TTFT error p99": lambda r: (r.report.figures["ttft"].p99 - float(np.percentile(r.true_ttft, 99))) * MS,
    "true ITL mean [ms]": lambda r: r.true_itl * MS,
    "ITL mean": lambda r: r.report.figures["itl"].mean * MS,
    "TPOT mean": lambda r: r.report.figures["tpot"].mean * MS,
    "CPU ms / 1000 chunks": lambda r: r.cost.cpu * 1e6 / r.chunks,
    "CPU whole command [s]": lambda r: r.cost.cpu,
    "start-up to first request [s]": lambda r: (r.first_ns - r.cost.began) / 1e9,
    "to the load [s]": lambda r: (r.served[0].recv_start_ns - r.cost.began) / 1e9,
    "load [s]": lambda r: r.load_seconds,
    "tail [s]": lambda r: (r.cost.ended - max(one.end_ns for one in r.served)) / 1e9,
    "peak memory [MB]": lambda r: r.cost.memory / 1e6,
    "machine's load before": lambda r: r.busy,
    "its own verdict": lambda r: r.report.verdict,
}


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_shown(value(row)) for value in COLUMNS.values()) + " |" for row in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return "-" if np.isnan(value) else f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"


def main(words: list[str] | None = None) -> list[Row]:
    """Run the program; returns the rows too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--rounds", type=int, help="requests per stream [10; from 256 streams on 8]")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BIN", help="bin folder of a peer's venv")
    parser.add_argument("--install", type=Path, metavar="FOLDER", help="install the other peers here")
    parser.add_argument("--only", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--server", help="command with {port}, {log} and {chunks}; default: the simulator")
    parser.add_argument("--patience", type=float, default=180, help="seconds for one command [180]")
    options = parser.parse_args(words)
    found, skipped = located(options.peer, options.install, options.only)
    rows = []
    for streams in options.streams:
        for name in (name for name in options.only if name in found):
            rounds = options.rounds or (10 if streams < 256 else 8)
            try:
                row = measure(CLIENTS[name], found[name], streams, rounds, options.server, options.patience)
            except (RuntimeError, subprocess.SubprocessError, OSError) as error:
                skipped.append(f"{name} at {streams} streams gave nothing: {error}")
                continue
            rows.append(row)
            sys.stderr.write(f"{name} at {streams} streams: done\n")
    sys.stdout.write("\n\n".join([table(rows), *skipped]) + "\n")
    return rows


if __name__ == "__main__":
    main()
