"""What is lost when a run is killed? Judged by the simulator's own log, not by the client's word.

    python benchmarks/durability.py --kills 30 --interrupts 10
    python benchmarks/durability.py --kinds everything=30 --busy 8
    python benchmarks/durability.py --kinds group=20 recorder=30 worker=20 full=10 deleted=10

Each trial is a run of 16 users ended at a random moment, beside ``--busy`` loops that use the processors: SIGKILL to
everything, to the worker's process group, to the recorder or the measuring loop alone, to the driver, to the group
whose recorder has had no time for a second, or Ctrl-C (SIGINT) to the driver; or its disk, a small tmpfs of its own,
fills up, or its file is deleted.

An answer counts as finished when the server had sent its last byte. Of a killed run only answers that ended more than
250 ms (``--grace``) before the kill are asked for, less those that lay in the kernel, unread by the loop: whoever is
killed is stopped first, and its sockets are looked at. Of an interrupted one, all that ended before the signal. A run
whose recorder was killed goes on with another one, and is interrupted a while later. Of a full disk and a deleted file
all that ended before the last answer is in a file that the run names. The exit status is 1 if any promise was broken.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns, sleep

import pandas as pd

import perfkit as pk
from perfkit.simulator.truth import RequestTruth, read_requests

GRACE = 0.25  # s: what a kill may cost
ENDS_WITHIN = 2.0  # s
STARVED = 1.0  # s
HEARD_WITHIN = 50_000_000  # ns: a request that was on its way when the signal came is not one sent afterwards
INTERRUPTED = ("recorder", "interrupt")
ON_ITS_WAY = 0.05  # s: what the server sent so short before a run ended by itself may not have come
DRIVER = """
import sys
import perfkit as pk
prompt = "hello " * int(sys.argv[3])
pk.start(sys.argv[1], parallel=16, number=10**6, max_tokens=8, prompt=prompt, db=sys.argv[2]).wait()
"""
ON_A_SMALL_DISK = """
import subprocess, sys
size, place, out, *words = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
done = subprocess.run(words)
subprocess.run(["cp", "-a", f"{place}/.", out], check=True)
sys.exit(done.returncode)
"""
"""Runs a program in a mount namespace of its own, in which a folder is a small disk; the machine sees nothing of it."""


@dataclass(frozen=True)
class Trial:
    """One run that was ended: counts of answers, and seconds until everything of it had gone."""

    kind: str
    finished: int
    missing: int
    unread: int
    """Connections that held bytes of the server which the loop had not read when it was stopped."""
    recent: int
    """Answers within the grace before a kill that are missing: nobody promised them."""
    oldest: float
    """Seconds before the end of the oldest answer that is missing; 0 if none is."""
    ended_in: float
    sent_after: int
    opens: bool
    twice: int
    """Rows of one request too many."""
    status: str

    def kept(self, patience: float = 1) -> bool:
        """Tell whether every promise held; ``patience`` multiplies the time in which all of it must have gone."""
        # A recorder that has just taken over has the answers of a second or more to store first.
        in_time = self.kind not in ("driver", "interrupt") or self.ended_in <= ENDS_WITHIN * patience
        good = self.opens and not self.missing and not self.twice and not self.sent_after
        return good and in_time and self.status == "interrupted"


def trial(kind: str, moment: float, folder: Path, patience: float = 1, grace: float = GRACE) -> Trial:
    """End a run ``moment`` seconds after its first rows were stored.

    Parameters
    ----------
    kind : str
        One of ``NAMES``.
    moment : float, seconds
    folder : Path
        An empty one.
    patience : float
        Multiplies the limits of time.
    grace : float, seconds
        What a kill may cost: answers that ended within it before the kill may be missing.
    """
    path, log = folder / "results" / "run.db", folder / "log.csv"
    path.parent.mkdir()
    with pk.simulate(ttft=0.02, itl=0.004, jitter=0.5, log=str(log)) as server:
        words = [sys.executable, "-c", DRIVER, server.url, str(path), "1000" if kind == "full" else "1"]
        if kind == "full":
            size = f"{2048 + 2048 * moment:.0f}k"
            (folder / "out").mkdir()
            small = [sys.executable, "-c", ON_A_SMALL_DISK, size, str(path.parent), str(folder / "out")]
            words = ["unshare", "--mount", *small, *words]
        driver = subprocess.Popen(words, stderr=subprocess.DEVNULL, cwd=folder)
        unread, ended, group = 0, 0, 0
        if kind != "full":
            recorder = _wait(lambda: _stored_pid(path, driver))
            group, loop = os.getpgid(recorder), _parent(recorder)
            sleep(moment)
        if kind == "starved":
            os.kill(recorder, signal.SIGSTOP)
            sleep(STARVED)
        if kind in ("everything", "group", "starved", "worker"):
            victims = [loop] if kind == "worker" else _members(group)
            victims += [driver.pid] if kind == "everything" else []
            _signal(victims, signal.SIGSTOP)
            ended = perf_counter_ns()
            unread = _unread(server.port)
            _signal(victims, signal.SIGKILL)
        elif kind == "deleted":
            for each in path.parent.iterdir():
                each.unlink()
        elif kind != "full":
            if kind == "recorder":
                _signal([recorder], signal.SIGKILL)
                _wait(lambda: (_stored_pid(path, driver) or recorder) != recorder)
                sleep(moment)
            ended = perf_counter_ns()
            _signal([driver.pid], signal.SIGKILL if kind == "driver" else signal.SIGINT)
        driver.wait(60 * min(8, patience))  # on a busy machine it takes long to read what is there
        _wait(lambda: not group or not _lives(group))
        ended_in = (perf_counter_ns() - ended) / 1e9 if ended else 0.0
    files = [each for each in folder.rglob("*.db") if each.stat().st_size]
    return judge(kind, ended, ended_in, files, read_requests(log), unread, patience, grace)


def judge(
    kind: str,
    ended: int,
    ended_in: float,
    files: list[Path],
    truth: list[RequestTruth],
    unread: int = 0,
    patience: float = 1,
    grace: float = GRACE,
) -> Trial:
    """Compare the file, or files, with the server's log.

    ``ended`` is the moment of the signal (perf_counter ns); 0: the run ended by itself, with its last answer.
    """
    runs = pk.open(files)
    opens = len(runs) == 1 and len(runs.requests) > 0 and not runs.problems
    for path in files:
        with closing(sqlite3.connect(path)) as db:
            opens = opens and db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = pd.concat([runs.requests, runs.preflight])
    told = list(rows.loc[rows["success"], "server_request_id"])
    ends, numbers = list(rows["completed_time"]), list(runs.requests["seq"])
    for spilled in files[0].parents[1].glob("*.unsaved.jsonl"):
        unsaved = [json.loads(line) for line in spilled.read_text("utf-8").splitlines()]
        told += [row["server_request_id"] for row in unsaved if row["success"]]
        ends += [row["completed_time"] for row in unsaved]
    if not ended:
        offset = runs.members[0].record["clock_offset"]
        ended = int((max(ends) - ON_ITS_WAY) * 1e9) - int(offset)
        limit: float = ended
    else:
        limit = ended if kind in INTERRUPTED else ended - grace * 1e9
    stored = {int(identity.rpartition("-")[2]) for identity in told}
    finished = [each for each in truth if each.outcome == "ok" and each.events and each.end_ns < ended]
    lost = [each for each in finished if each.req not in stored]
    old = sum(each.end_ns < limit for each in lost)
    # A driver that is killed can tell nobody: its worker notices, and stops, on its own.
    late = sum(each.recv_start_ns > ended + HEARD_WITHIN * patience for each in truth) if kind in INTERRUPTED else 0
    (status,) = runs.table["status"]
    oldest = max(((ended - each.end_ns) / 1e9 for each in lost), default=0.0)
    twice = len(numbers) - len(set(numbers))
    missing = max(0, old - unread)
    return Trial(
        kind, len(finished), missing, unread, len(lost) - missing, oldest, ended_in, late, opens, twice, str(status)
    )


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _members(group: int) -> list[int]:
    return [pid for pid, state, member in _processes() if state not in "ZX" and int(member) == group]


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _unread(port: int) -> int:
    """Return how many connections to a port of this machine hold bytes that their client has not read."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(line[2].endswith(f":{port:04X}") and int(line[4].partition(":")[2], 16) > 0 for line in lines)


def _stored_pid(path: Path, driver: "subprocess.Popen[bytes]") -> int | None:
    """Return a process of the worker's group once rows are stored."""
    if driver.poll() is not None:
        raise SystemExit(f"the driver ended before it was killed, with status {driver.returncode}")
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT pid FROM run WHERE (SELECT count(*) FROM result) > 16").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return None
    return int(found[0]) if found else None


def _wait(holds: Callable[[], int | bool | None], within: float = 60.0) -> int:
    until = perf_counter_ns() + within * 1e9
    while not (value := holds()):
        if perf_counter_ns() > until:
            raise SystemExit(f"nothing happened for {within:g} s")
        sleep(0.005)
    return int(value)


def _lives(group: int) -> bool:
    """Tell whether a process of the group runs; one that has ended may wait long to be buried by init."""
    if not sys.platform.startswith("linux"):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        return True
    return bool(_members(group))


def _processes() -> Iterator[tuple[int, str, str]]:
    """Yield number, state and process group of every process."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, group = entry.read_text().rpartition(")")[2].split()[:3]
            yield int(entry.parent.name), state, group


HEADS = (
    "ended by | runs | answers finished | missing | connections with unread bytes | missing within the grace or unread "
    "| the oldest of them [ms] | gone within, max [s] | sent after | rows twice | files open | marked"
)
NAMES = {
    "everything": "SIGKILL to everything",
    "group": "SIGKILL to worker and recorder",
    "recorder": "SIGKILL to recorder, then Ctrl-C",
    "worker": "SIGKILL to worker",
    "starved": "SIGKILL to all, after a second without recorder",
    "driver": "SIGKILL to driver",
    "interrupt": "Ctrl-C to driver",
    "full": "a full disk (tmpfs of 2 to 5 MiB)",
    "deleted": "its file deleted",
}


def table(trials: list[Trial]) -> str:
    """Return a Markdown table, a line for each way to end a run."""
    lines = [HEADS, " | ".join(["---"] * (HEADS.count("|") + 1))]
    for kind, name in NAMES.items():
        some = [each for each in trials if each.kind == kind]
        if some:
            cells = (
                name,
                len(some),
                sum(each.finished for each in some),
                sum(each.missing for each in some),
                sum(each.unread for each in some),
                sum(each.recent for each in some),
                f"{max(each.oldest for each in some) * 1e3:.0f}",
                f"{max(each.ended_in for each in some):.2f}",
                sum(each.sent_after for each in some),
                sum(each.twice for each in some),
                sum(each.opens for each in some),
                ", ".join(sorted({each.status for each in some})),
            )
            lines.append(" | ".join(map(str, cells)))
    return "\n".join(f"| {line} |" for line in lines)


KILLED = ("group", "recorder", "worker", "starved", "driver")


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep the processors busy meanwhile."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument(
        "--kinds", nargs="+", help=f"how many of which in place of these: {', '.join(NAMES)}, as group=20"
    )
    parser.add_argument("--busy", type=int, default=0, help="loops that use the processors meanwhile")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--patience", type=float, default=1, help="multiplies limits of time, for a busy machine")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds before a kill whose answers may be missing")
    options = parser.parse_args(words)
    rng = random.Random(options.seed)
    kinds = [KILLED[index % len(KILLED)] for index in range(options.kills)] + ["interrupt"] * options.interrupts
    if options.kinds:
        told = [each.partition("=") for each in options.kinds]
        kinds = [name for name, _, count in told for _ in range(int(count))]
        if unknown := set(kinds) - set(NAMES):
            parser.error(f"no way to end a run is called {min(unknown)!r} (known: {', '.join(NAMES)})")
    trials = []
    with busy(options.busy):
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                trials.append(trial(kind, rng.uniform(0.1, 1.5), Path(folder), options.patience, options.grace))
    print(table(trials))
    return 0 if all(each.kept(options.patience) for each in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
