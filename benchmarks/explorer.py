"""How fast the explorer is with 100,000 requests of 64 chunks: open to first picture, change to picture, memory.

    python benchmarks/explorer.py                       # 100,000 requests, 2 GB of disk
    python benchmarks/explorer.py --requests 5000       # a quick look

Measured in a process of its own, without a browser: what a front end adds is the time of one message. The exit status
is 1 if the first picture takes 3 s or more, a change 300 ms or more at the median, or the process 1 GB or more.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.exploring import write

FIRST, CHANGE, MEMORY = 3.0, 0.3, 1e9
CHANGES = (
    {"metric": "e2e"},
    {"metric": "tpot"},
    {"metric": "ttft", "chart": "hist"},
    {"chart": "percentiles"},
    {"chart": "scatter"},
    {"chart": "over_time"},
    {"where": "ttft > 100ms"},
    {"where": ""},
    {"chart": "ecdf"},
    {"picked": "ttft > 500ms"},
    {"metric": "e2e", "picked": ""},
    {"metric": "ttft"},
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        return measure(options.file)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.db")
        write(path, options.requests, bodies=True)
        print(f"{options.requests:,} requests, {path.stat().st_size / 1e9:.2f} GB")
        return subprocess.run([sys.executable, __file__, "--file", str(path)], check=False).returncode


def measure(path: Path) -> int:
    """Open the explorer as a cell would that has imported perfkit before, and change what it shows."""
    import perfkit as pk
    from perfkit.analysis.notebook.explorer import workbench  # noqa: F401  # what a first cell has loaded

    began = time.perf_counter()
    panel = pk.explore(path)
    first = time.perf_counter() - began
    took = []
    for change in CHANGES:
        began = time.perf_counter()
        panel.bench.change(**change)
        took.append(time.perf_counter() - began)
        print(f"  {', '.join(f'{name}={value!r}' for name, value in change.items())}: {took[-1] * 1e3:.0f} ms")
    median, peak = statistics.median(took), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1e3
    print(f"open to first picture {first:.2f} s; change to picture {median * 1e3:.0f} ms at the median, ", end="")
    print(f"{max(took) * 1e3:.0f} ms at most; {peak / 1e9:.2f} GB")
    return int(first >= FIRST or median >= CHANGE or peak >= MEMORY)


if __name__ == "__main__":
    sys.exit(main())
