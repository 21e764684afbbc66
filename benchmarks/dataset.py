"""A dataset of two million lines: how soon does it send, and how much memory does it take?

python benchmarks/dataset.py [--lines 2000000]
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import perfkit as pk
from perfkit.simulator.truth import read_requests


def main(words: list[str] | None = None) -> dict[str, float]:
    """Run the program; returns the figures too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = folder / "lines.txt"
        with lines.open("w") as file:
            file.writelines(f"Question {number}: what is {number} times {number}?\n" for number in range(options.lines))
        with pk.simulate(ttft=0.005, itl=0.001, log=str(folder / "log.csv")) as server:
            began = time.monotonic_ns()
            job = pk.start(
                server.url,
                dataset="line_by_line",
                dataset_path=str(lines),
                parallel=8,
                number=options.requests,
                max_tokens=4,
                db=str(folder / "run.db"),
            )
            job.wait()
        sent = [request.recv_start_ns for request in read_requests(folder / "log.csv") if "chat" in request.path]
        size = lines.stat().st_size / 2**20
    # Of the largest process below this one: the worker, its recorder, or the simulator.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    figures = {
        "lines": options.lines,
        "file [MiB]": size,
        "start to first request [s]": (min(sent) - began) / 1e9,
        "requests": len(sent) - 1,
        "largest process, peak [MiB]": peak,
    }
    sys.stdout.write(
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {value:,.6g} |" for name, value in figures.items())])
    )
    sys.stdout.write("\n")
    return figures


if __name__ == "__main__":
    main()
