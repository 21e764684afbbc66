"""Does a storm of faults disturb the streams beside it? Every way to fail, in three requests of ten.

    python benchmarks/storm.py --streams 512 --rounds 4 --seconds 20

Each run sends to ten addresses in turn: in a quiet one, all are the simulator's; in a storm, three are a server's that
does everything of docs/faults.md wrong, one thing after the other (``tests/storm.py``). Quiet runs and storms
alternate. The error of a TTFT is what perfkit stored, less what the simulator's own log says; each user's first request
is left out, as all of them come at once. The exit status is 1 if the median of the storms' p99 is more than ``--limit``
times the quiet runs', or if a healthy stream failed.
"""

import argparse
import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import perfkit as pk
from perfkit.simulator.truth import read_requests

ADDRESSES, FAULTY = 10, 3
TTFT, ITL = 0.100, 0.050
TOKENS = range(32, 97, 4)
"""Lengths of answers: those of one length would make all users send at once, again and again."""
READ_TIMEOUT = 5.0
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Run:
    """One run: errors of the healthy streams' TTFT (s), healthy ones that failed, the others by kind, its verdict."""

    kind: str
    errors: "np.ndarray"
    failed: "Counter[str]"
    faults: "Counter[str]"
    verdict: str

    def percentile(self, at: float) -> float:
        """Return a percentile of the errors, in ms."""
        return float(np.percentile(self.errors, at)) * 1e3


@contextlib.contextmanager
def faulty_server() -> Iterator[int]:
    """Serve faults in a process of its own; yield its port."""
    words = [sys.executable, "-m", "tests.storm"]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.communicate()


def measure(kind: str, streams: int, seconds: float, folder: Path) -> Run:
    """Run a load, quiet or in a storm."""
    log, path = folder / "log.csv", folder / "run.db"
    pace = {"ttft": TTFT, "itl": ITL, "jitter": 0.5, "host": "0.0.0.0", "log": str(log)}
    with pk.simulate(**pace) as server, faulty_server() as faulty:
        healthy = ADDRESSES if kind == "quiet" else ADDRESSES - FAULTY
        ports = [server.port] * healthy + [faulty] * (ADDRESSES - healthy)
        urls = [f"http://127.0.0.{at}:{port}" for at, port in enumerate(ports, 1)]
        ask = [{"role": "user", "content": "hello"}]
        bodies = [{"messages": ask, "max_tokens": random.Random(at).choice(TOKENS)} for at in range(1000)]
        given = {
            "parallel": streams,
            "duration": seconds,
            "dataset": bodies,
            "model": "m",
        }
        runs = pk.start(urls, db=str(path), preflight=False, read_timeout=READ_TIMEOUT, **given).wait()
        rows = runs.requests
        rows = rows[rows["seq"] >= streams]  # the first of each user come all at once
    truth = {each.req: each for each in read_requests(log)}
    of_simulator = rows["request_target"].str.endswith(f":{server.port}")
    own, others = rows[of_simulator], rows[~of_simulator]
    errors = []
    for identity, ttft in own.loc[own["success"], ["server_request_id", "ttft"]].itertuples(index=False):
        served = truth[int(identity.rpartition("-")[2])]
        errors.append(ttft - (served.first_ns - served.recv_done_ns) / 1e9)
    failed = Counter(own.loc[~own["success"], "error_kind"])
    del failed["cut_off"]  # by the end of the load
    kinds = Counter(others["error_kind"].fillna("success"))
    return Run(kind, np.array(errors), failed, kinds, str(runs.table["verdict"].item()))


HEADS = "run | kind | healthy streams | TTFT error p50 [ms] | p99 | max | of them failed | faulty requests | verdict"


def table(runs: list[Run]) -> str:
    """Return a Markdown table, a line a run, and what the faults were taken for."""
    lines = [HEADS, " | ".join(["---"] * (HEADS.count("|") + 1))]
    for number, run in enumerate(runs, 1):
        errors = (f"{run.percentile(at):.3f}" for at in (50, 99, 100))
        cells = (
            number,
            run.kind,
            len(run.errors),
            *errors,
            run.failed.total(),
            run.faults.total(),
            run.verdict,
        )
        lines.append(" | ".join(map(str, cells)))
    faults = sum((run.faults for run in runs), Counter[str]())
    told = ", ".join(f"{kind} {count:,}" for kind, count in faults.most_common())
    p99 = {
        kind: statistics.median(run.percentile(99) for run in runs if run.kind == kind) for kind in ("quiet", "storm")
    }
    ends = [
        f"The faulty requests by kind: {told}.",
        f"Median of p99: quiet {p99['quiet']:.3f} ms, storm {p99['storm']:.3f} ms, {p99['storm'] / p99['quiet']:.2f} "
        "times as much.",
    ]
    return "\n".join([*(f"| {line} |" for line in lines), "", *ends])


def holds(runs: list[Run], limit: float) -> bool:
    """Tell whether healthy streams were served as if nothing else had been."""
    quiet, storm = (
        statistics.median(run.percentile(99) for run in runs if run.kind == kind) for kind in ("quiet", "storm")
    )
    return storm <= limit * quiet and not any(run.failed for run in runs)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=4, help="runs of each kind [4]")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run [20]")
    parser.add_argument("--limit", type=float, default=1.5, help="times that the p99 may grow [1.5]")
    options = parser.parse_args(words)
    runs = []
    for number in range(options.rounds):
        for kind in sorted(("quiet", "storm"), reverse=number % 2 == 1):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(measure(kind, options.streams, options.seconds, Path(folder)))
    print(table(runs))
    return 0 if holds(runs, options.limit) else 1


if __name__ == "__main__":
    sys.exit(main())
