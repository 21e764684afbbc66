"""Does reading what a server publishes disturb the measurement? Runs with and without ``scrape``, in turns.

    python benchmarks/scraping.py --users 256 --rounds 10 --seconds 6

With it, the server's own page and one of 1,000 series that all change are read once a second. Lateness is a chunk's
stored stamp minus the moment at which the server's own log says that it was sent, on one clock. The exit status is 1 if
the mean of the runs' p99 is larger with scraping, by more than their standard deviation without.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import perfkit as pk
from perfkit.runner.calibration import Lateness, lateness

TTFT, ITL, TOKENS = 0.100, 0.010, 64
SERIES = 1_000


@contextmanager
def large_page() -> Iterator[str]:
    """Serve a page as long as a vLLM server's of several engines, other values each time; yield its URL."""
    asked = count()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            value = next(asked)
            head = "# HELP large_seconds A histogram.\n# TYPE large_seconds gauge\n"
            labels = 'model_name="meta-llama/Llama-3.1-8B-Instruct",engine'
            lines = "".join(f'large_seconds{{{labels}="{each}"}} {value + each}\n' for each in range(SERIES))
            self.send_response(200)
            self.end_headers()
            self.wfile.write((head + lines).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()


def measure(users: int, seconds: float, stamps: str, pages: list[str]) -> tuple[Lateness, int]:
    """Run one load; return how late its chunks were, and how often a page was read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        db, log, chunk_log = (str(folder / each) for each in ("run.db", "log.csv", "chunks.bin"))
        with pk.simulate(ttft=TTFT, itl=ITL, output_tokens=TOKENS, log=log, chunk_log=chunk_log) as server:
            scrape = [f"{server.url}/metrics", *pages] if pages else False
            given = {"parallel": users, "duration": seconds, "max_tokens": TOKENS, "prompt": "hello", "stamps": stamps}
            runs = pk.start(server.url, db=db, scrape=scrape, **given).wait()
            looks = int(runs.server["up"].sum())
        return lateness(db, log, chunk_log), looks


def rounds(options: argparse.Namespace, stamps: str, page: str) -> dict[str, list[tuple[Lateness, int]]]:
    """Measure with and without scraping in turns, the first of each round by turns, too."""
    found: dict[str, list[tuple[Lateness, int]]] = {"without": [], "with": []}
    for number in range(options.rounds):
        for kind in sorted(found, reverse=number % 2 == 0):
            pages = [page] if kind == "with" else []
            found[kind].append(measure(options.users, options.seconds, stamps, pages))
    return found


HEADS = (
    "stamps | scraping | runs | looks | chunk late p50 [ms] | p99: mean [ms] | median [ms] | SD [ms] | "
    "TTFT error, mean [ms]"
)


def row(stamps: str, kind: str, found: list[tuple[Lateness, int]]) -> str:
    """Return the figures of the runs of one kind."""
    p50, p99, ttft = ([getattr(late, name) for late, _ in found] for name in ("every_p50", "every_p99", "ttft_error"))
    times = (statistics.mean(p50), statistics.mean(p99), statistics.median(p99), spread(p99), statistics.mean(ttft))
    cells = (stamps, kind, len(found), sum(looks for _, looks in found), *(f"{time * 1e3:.3f}" for time in times))
    return " | ".join(map(str, cells))


def spread(values: list[float]) -> float:
    """Return the standard deviation; that of a single run is unknown."""
    return statistics.stdev(values) if len(values) > 1 else float("nan")


def disturbed(found: dict[str, list[tuple[Lateness, int]]]) -> bool:
    """Tell whether the p99 grew by more than it differs between runs without scraping."""
    without, beside = ([late.every_p99 for late, _ in found[kind]] for kind in ("without", "with"))
    return statistics.mean(beside) - statistics.mean(without) > spread(without)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=10, help="runs of each kind [10]")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each run [6]")
    parser.add_argument("--stamps", nargs="+", default=["user", "auto"], choices=["auto", "kernel", "user"])
    options = parser.parse_args(words)
    with large_page() as page:
        results = {stamps: rounds(options, stamps, page) for stamps in options.stamps}
    lines = [HEADS, " | ".join(["---"] * (HEADS.count("|") + 1))]
    lines += [row(stamps, kind, found[kind]) for stamps, found in results.items() for kind in found]
    print("\n".join(f"| {line} |" for line in lines))
    return 1 if any(map(disturbed, results.values())) else 0


if __name__ == "__main__":
    sys.exit(main())
