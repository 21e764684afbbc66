"""Does a notebook disturb its own measurement? A kernel shows a run of 64 users, or draws a figure a second.

    python benchmarks/notebook.py --seconds 10

Lateness is a chunk's stored stamp minus the moment at which the server's own log says it was sent, on one clock. The
quiet run is the same, in the same kind of kernel, while no other cell runs. The exit status is 1 if the p99 of one
of the others is worse than both twice the quiet one's and 5 ms.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

import perfkit as pk
from perfkit.runner.calibration import Lateness, lateness

TTFT, ITL, TOKENS = 0.100, 0.010, 64
BOUND = 0.005  # s

START = """
import perfkit as pk
job = pk.start({url!r}, parallel={users}, duration={seconds}, max_tokens={tokens}, prompt="hello", stamps={stamps!r},
               db={db!r})
"""
CELLS = {
    "quiet": "_ = job.wait(); drawn = 0",
    "panel": "display(job); _ = job.wait(); drawn = 0",
    "busy": """
import time
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import clear_output, display

drawn = 0
while not job.done():
    due = time.monotonic() + 1
    figure, axes = plt.subplots(figsize=(10, 6))
    axes.plot(np.random.default_rng(drawn).normal(size=(3000, 4)).cumsum(axis=0))
    clear_output(wait=True)
    display(figure)
    plt.close(figure)
    drawn += 1
    time.sleep(max(0, due - time.monotonic()))
""",
}


@dataclass(frozen=True)
class Figures:
    """One run: which stamps, what else the kernel did, how many figures it drew, and how late the chunks were."""

    stamps: str
    kernel: str
    drawn: int
    late: Lateness


def measure(stamps: str, kind: str, users: int, seconds: float) -> Figures:
    """Run one load from a kernel of its own, while another cell draws or not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        db, log, chunk_log = (str(folder / each) for each in ("run.db", "log.csv", "chunks.bin"))
        with pk.simulate(ttft=TTFT, itl=ITL, output_tokens=TOKENS, log=log, chunk_log=chunk_log) as server:
            given = {"url": server.url, "users": users, "seconds": seconds, "tokens": TOKENS}
            drawn = in_kernel([START.format(**given, stamps=stamps, db=db), CELLS[kind], "print(drawn)"], folder)
        return Figures(stamps, kind, int(drawn), lateness(db, log, chunk_log))


def in_kernel(cells: list[str], folder: Path) -> str:
    """Run cells in a kernel one after the other, and return what the last one printed."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        for cell in cells:
            printed = executed(client, cell)
        return printed
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def executed(client: BlockingKernelClient, cell: str) -> str:
    """Run one cell to its end, and return what it printed."""
    printed = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(cell, output_hook=hear, timeout=120)
    if reply["content"]["status"] != "ok":
        raise SystemExit(f"{reply['content']['ename']}: {reply['content']['evalue']}")
    return "".join(printed)


def kept(quiet: Figures, *others: Figures) -> bool:
    """Tell whether what else the kernel did cost no more than it may."""
    return all(each.late.every_p99 <= max(2 * quiet.late.every_p99, BOUND) for each in others)


HEADS = (
    "stamps | kernel | figures drawn | n | chunk late p50 [ms] | p99 [ms] | TTFT error, mean [ms] | censored | verdict"
)


def table(figures: list[Figures]) -> str:
    """Return the figures as a Markdown table."""
    lines = [HEADS, " | ".join(["---"] * (HEADS.count("|") + 1))]
    for each in figures:
        late = each.late
        times = (late.every_p50, late.every_p99, late.ttft_error)
        cells = (each.stamps, each.kernel, each.drawn, late.requests, *(f"{time * 1e3:.3f}" for time in times))
        lines.append(" | ".join(map(str, (*cells, f"{late.censored:.1%}", late.verdict))))
    return "\n".join(f"| {line} |" for line in lines)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run")
    parser.add_argument("--stamps", nargs="+", default=["user", "auto"], choices=["auto", "kernel", "user"])
    options = parser.parse_args(words)
    kinds = [[measure(each, kind, options.users, options.seconds) for kind in CELLS] for each in options.stamps]
    print(table([figures for each in kinds for figures in each]))
    return 0 if all(kept(*each) for each in kinds) else 1


if __name__ == "__main__":
    sys.exit(main())
