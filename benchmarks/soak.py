"""Does anything grow while a run goes on? Memory and open files of every process, for half an hour under faults.

    python benchmarks/soak.py --streams 256 --minutes 30

Users send to the simulator without a pause; one request in a hundred fails, in each way that the simulator knows. Once
a second the memory (resident, without what is shared with files) and the open descriptors of the driver, the loop and
the recorder are read. After the first minutes (``--settled``) a line is fitted to the memory of each. The exit status
is 1 if one grows by ``--most`` MB/min or more, holds more descriptors (the median) in the last fifth of that time than
in the first, or is another process at the end, or if a row is missing.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import numpy as np

import perfkit as pk

FAULTY = 100
"""One request in so many."""
FAULTS = ("stall", "stall_midway", "close", "close_midway", "reset", "reset_midway", "truncate", "error_event")
FAULTS += ("no_done", "no_usage", "http_400", "http_429", "http_500", "http_503")
EVERY = 1.0  # s
SPARE = 2
"""Descriptors by which the median may differ: users who just lost a connection have none."""
DRIVER = """
import json, sys
import perfkit as pk
given = json.loads(sys.argv[1])
bodies = [json.loads(line) for line in open(given.pop("bodies"))]
pk.start(dataset=bodies, **given).wait()
"""
MEASURED = ("driver", "loop", "recorder")


@dataclass
class Process:
    """What one process has held over time: seconds, bytes of memory, descriptors."""

    pid: int
    times: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    open_files: list[int] = field(default_factory=list)

    def look(self, now: float) -> None:
        """Read what it holds; nothing if it has ended."""
        try:
            told = dict(
                line.split(":", 1) for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if ":" in line
            )
            descriptors = len(os.listdir(f"/proc/{self.pid}/fd"))
            memory = int(told["RssAnon"].split()[0]) << 10
        except (FileNotFoundError, ProcessLookupError, KeyError):
            return
        self.times.append(now)
        self.memory.append(memory)
        self.open_files.append(descriptors)

    def slope(self, since: float) -> float:
        """Return by how many MB a minute its memory grew after a moment; NaN where too little is known."""
        times, memory = np.array(self.times), np.array(self.memory) / 1e6
        late = times >= since
        if late.sum() < 3:
            return float("nan")
        return float(np.polyfit(times[late] / 60, memory[late], 1)[0])

    def descriptors(self, since: float) -> "tuple[np.ndarray, np.ndarray]":
        """Return the counts in the first and in the last fifth of the time after a moment."""
        times, counts = np.array(self.times), np.array(self.open_files)
        later = times[times >= since] if times[-1] >= since else times[-1:]
        fifth = (later[-1] - later[0]) / 5
        return counts[(times >= later[0]) & (times <= later[0] + fifth)], counts[times >= times[-1] - fifth]


@dataclass(frozen=True)
class Soaked:
    """What a run left: its processes by role, how long it was looked at, rows by kind of error, and rows that lack."""

    processes: dict[str, Process]
    seconds: float
    rows: dict[str, int]
    lacking: int
    replaced: tuple[str, ...]
    """Roles whose process was another one at the end."""


def members(pid: int) -> dict[str, int]:
    """Return the processes of a driver by their role."""
    found = {"driver": pid}
    loops = _children(pid)
    # The resource tracker and such are no part of the measurement.
    loops = [child for child in loops if "perfkit.loadgen" in _words(child)]
    if loops:
        found["loop"] = loops[0]
        recorders = _children(loops[0])
        found |= {"recorder": recorders[0]} if recorders else {}
    return found


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def bodies(folder: Path) -> Path:
    """Write the requests: of each hundred one with a fault, each fault in its turn."""
    path = folder / "bodies.jsonl"
    with path.open("w") as file:
        for number in range(FAULTY * len(FAULTS)):
            body = {"messages": [{"role": "user", "content": f"hello {number}"}]}
            if number % FAULTY == FAULTY - 1:
                body["x_fault"] = FAULTS[number // FAULTY]  # type: ignore[assignment]
            file.write(json.dumps(body) + "\n")
    return path


def soak(streams: int, seconds: float, itl: float, tokens: int, folder: Path) -> Soaked:
    """Run a load for so long, and look at its processes meanwhile."""
    path = folder / "run.db"
    given = {"model": "m", "parallel": streams, "duration": seconds, "max_tokens": tokens, "read_timeout": 5.0}
    with pk.simulate(ttft=0.1, itl=itl, jitter=0.2) as server:
        told = json.dumps({**given, "url": server.url, "db": str(path), "bodies": str(bodies(folder))})
        driver = subprocess.Popen([sys.executable, "-c", DRIVER, told], stderr=subprocess.DEVNULL, cwd=folder)
        try:
            found: dict[str, Process] = {}
            replaced: set[str] = set()
            began = monotonic()
            while driver.poll() is None:
                now, living = monotonic() - began, members(driver.pid)
                if found.keys() > living.keys():
                    break  # the load has ended
                for role, pid in living.items():
                    known = found.setdefault(role, Process(pid))
                    if known.pid != pid:
                        replaced.add(role)
                        known.pid = pid
                    known.look(now)
                sleep(EVERY if seconds > 60 else EVERY / 10)
            driver.wait()
        finally:
            driver.kill()
            driver.wait()
    with closing(sqlite3.connect(path)) as db:
        rows = dict(db.execute("SELECT coalesce(error_kind, 'success'), count(*) FROM result GROUP BY 1"))
        numbers = db.execute("SELECT count(DISTINCT seq), max(seq) + 1 FROM result").fetchone()
    return Soaked(found, monotonic() - began, rows, numbers[1] - numbers[0], tuple(sorted(replaced)))


HEADS = (
    "process | memory once settled [MB] | at the end [MB] | most [MB] | growth [MB/min] "
    "| descriptors in the first fifth, median | in the last"
)


def table(soaked: Soaked, settled: float) -> str:
    """Return a Markdown table, a line for each process, and what became of the requests."""
    lines = [HEADS, " | ".join(["---"] * (HEADS.count("|") + 1))]
    for role, process in soaked.processes.items():
        memory = np.array(process.memory) / 1e6
        at_first = memory[np.searchsorted(process.times, settled) :][:1]
        early, late = process.descriptors(settled)
        cells = (
            role,
            *(f"{each:.1f}" for each in (*at_first, memory[-1], memory.max())),
            f"{process.slope(settled):+.3f}",
            *(f"{each.min()} to {each.max()}, {np.median(each):.0f}" for each in (early, late)),
        )
        lines.append(" | ".join(map(str, cells)))
    told = ", ".join(f"{count:,} {kind}" for kind, count in sorted(soaked.rows.items(), key=lambda each: -each[1]))
    total = sum(soaked.rows.values())
    ends = [f"{total:,} requests in {soaked.seconds / 60:.1f} min: {told}. Rows missing: {soaked.lacking}."]
    ends += [f"Started again meanwhile: {', '.join(soaked.replaced)}."] if soaked.replaced else []
    return "\n".join([*(f"| {line} |" for line in lines), "", *ends])


def complaints(soaked: Soaked, settled: float, most: float) -> list[str]:
    """Return what is not as it should be."""
    found = [f"no {role} was seen" for role in MEASURED if role not in soaked.processes]
    for role, process in soaked.processes.items():
        slope = process.slope(settled)
        if slope >= most:
            found.append(f"{role}: memory grows by {slope:.2f} MB/min")
        early, late = map(np.median, process.descriptors(settled))
        if late > early + SPARE:
            found.append(f"{role}: {late:.0f} descriptors at the end, {early:.0f} before")
    found += [f"{role} was started again" for role in soaked.replaced]
    return found + ([f"{soaked.lacking} rows are missing"] if soaked.lacking else [])


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--settled", type=float, default=5.0, help="minutes after which memory must not grow [5]")
    parser.add_argument("--most", type=float, default=1.0, help="MB/min that memory may grow [1]")
    parser.add_argument("--itl", type=float, default=0.05, help="seconds between two tokens [0.05]")
    parser.add_argument("--tokens", type=int, default=64, help="of an answer [64]")
    options = parser.parse_args(words)
    if not sys.platform.startswith("linux"):
        parser.error("memory and descriptors of other processes are read from /proc, which is Linux's")
    with tempfile.TemporaryDirectory() as folder:
        soaked = soak(options.streams, options.minutes * 60, options.itl, options.tokens, Path(folder))
    settled = min(options.settled, options.minutes / 3) * 60
    print(table(soaked, settled))
    wrong = complaints(soaked, settled, options.most)
    print("".join(f"\n{each}" for each in wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
