"""What is lost when a run is killed? Judged by the simulator's own log, not by the client's word.

    python benchmarks/durability.py --kills 30 --interrupts 10 --busy 8

Each trial is a run of 16 users ended at a random moment: SIGKILL to the worker's whole process group, to the driver,
to the group whose recorder has had no time for a second, or Ctrl-C (SIGINT) to the driver, beside ``--busy`` loops that
use the processors. Where the recorder alone is killed the run goes on with another one, and is interrupted a while
later. An answer counts as finished when the server had sent its last byte. Of a killed run only answers that ended more
than 250 ms (``--grace``) before the kill are asked for; of an interrupted one, all that ended before the signal. The
exit status is 1 if any promise was broken.
"""

import argparse
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
INTERRUPTED = ("recorder", "interrupt")
HEARD_WITHIN = 50_000_000  # ns: a request that was on its way when the signal came is not one sent afterwards
DRIVER = """
import sys
import perfkit as pk
pk.start(sys.argv[1], parallel=16, number=10**6, max_tokens=8, prompt="hello", db=sys.argv[2]).wait()
"""


@dataclass(frozen=True)
class Trial:
    """One run that was ended: counts of answers, and seconds until everything of it had gone."""

    kind: str
    finished: int
    missing: int
    recent: int
    """Answers within the grace before a kill that are missing: nobody promised them."""
    oldest: float
    """Seconds before the end of the oldest answer that is missing; 0 if none is."""
    ended_in: float
    sent_after: int
    opens: bool
    status: str

    def kept(self, patience: float = 1) -> bool:
        """Tell whether every promise held; ``patience`` multiplies the time in which all of it must have gone."""
        # A recorder that has just taken over has the answers of a second or more to store first.
        in_time = self.kind in ("worker", "starved", "recorder") or self.ended_in <= ENDS_WITHIN * patience
        return self.opens and not self.missing and not self.sent_after and in_time and self.status == "interrupted"


def trial(kind: str, moment: float, folder: Path, patience: float = 1, grace: float = GRACE) -> Trial:
    """End a run ``moment`` seconds after its first rows were stored.

    Parameters
    ----------
    kind : str
        "worker" and "driver" are killed, "starved" is a worker whose recorder got no time before, "interrupt" is
        Ctrl-C, "recorder" Ctrl-C after the recorder was killed and another one has begun to store rows.
    moment : float, seconds
    folder : Path
        An empty one.
    patience : float
        Multiplies the limits of time.
    grace : float, seconds
        What a kill may cost: answers that ended within it before the kill may be missing.
    """
    path, log = folder / "run.db", folder / "log.csv"
    with pk.simulate(ttft=0.02, itl=0.004, jitter=0.5, log=str(log)) as server:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, server.url, str(path)], stderr=subprocess.DEVNULL, cwd=folder
        )
        pid = _wait(lambda: _stored_pid(path, driver))
        group = os.getpgid(pid)
        sleep(moment)
        if kind == "starved":
            os.kill(pid, signal.SIGSTOP)
            sleep(STARVED)
        if kind == "recorder":
            os.kill(pid, signal.SIGKILL)
            _wait(lambda: (_stored_pid(path, driver) or pid) != pid)
            sleep(moment)
        ended = perf_counter_ns()
        if kind in ("worker", "starved"):
            os.killpg(group, signal.SIGKILL)
        else:
            driver.send_signal(signal.SIGKILL if kind == "driver" else signal.SIGINT)
        driver.wait(60)
        _wait(lambda: not _lives(group))
        ended_in = (perf_counter_ns() - ended) / 1e9
    return judge(kind, ended, ended_in, path, read_requests(log), patience, grace)


def judge(
    kind: str,
    ended: int,
    ended_in: float,
    path: Path,
    truth: list[RequestTruth],
    patience: float = 1,
    grace: float = GRACE,
) -> Trial:
    """Compare the file with the server's log; ``ended`` is the moment of the signal (perf_counter ns)."""
    runs = pk.open(path)
    opens = len(runs) == 1 and len(runs.requests) > 0
    with closing(sqlite3.connect(path)) as db:
        opens = opens and db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    told = pd.concat([rows[rows["success"]]["server_request_id"] for rows in (runs.requests, runs.preflight)])
    stored = {int(identity.rpartition("-")[2]) for identity in told}
    limit = ended if kind in INTERRUPTED else ended - grace * 1e9
    finished = [each for each in truth if each.outcome == "ok" and each.events and each.end_ns < ended]
    lost = [each for each in finished if each.req not in stored]
    missing = sum(each.end_ns < limit for each in lost)
    # A driver that is killed can tell nobody: its worker notices, and stops, on its own.
    late = sum(each.recv_start_ns > ended + HEARD_WITHIN * patience for each in truth) if kind in INTERRUPTED else 0
    (status,) = runs.table["status"]
    oldest = max(((ended - each.end_ns) / 1e9 for each in lost), default=0.0)
    return Trial(kind, len(finished), missing, len(lost) - missing, oldest, ended_in, late, opens, str(status))


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
    return any(state not in "ZX" and int(member) == group for state, member in _processes())


def _processes() -> Iterator[tuple[str, str]]:
    """Yield state and process group of every process."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            state, _, group = entry.read_text().rpartition(")")[2].split()[:3]
            yield state, group


HEADS = (
    "ended by | runs | answers finished | missing | missing within the grace | the oldest of them [ms] "
    "| gone within, max [s] | sent after | files open | marked"
)
NAMES = {
    "worker": "SIGKILL to worker and recorder",
    "recorder": "SIGKILL to recorder, then Ctrl-C",
    "starved": "SIGKILL to all, after a second without recorder",
    "driver": "SIGKILL to driver",
    "interrupt": "Ctrl-C to driver",
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
                sum(each.recent for each in some),
                f"{max(each.oldest for each in some) * 1e3:.0f}",
                f"{max(each.ended_in for each in some):.2f}",
                sum(each.sent_after for each in some),
                sum(each.opens for each in some),
                ", ".join(sorted({each.status for each in some})),
            )
            lines.append(" | ".join(map(str, cells)))
    return "\n".join(f"| {line} |" for line in lines)


KILLED = ("worker", "recorder", "starved", "driver")


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
    parser.add_argument("--busy", type=int, default=0, help="loops that use the processors meanwhile")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--patience", type=float, default=1, help="multiplies limits of time, for a busy machine")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds before a kill whose answers may be missing")
    options = parser.parse_args(words)
    rng = random.Random(options.seed)
    kinds = [KILLED[index % len(KILLED)] for index in range(options.kills)] + ["interrupt"] * options.interrupts
    trials = []
    with busy(options.busy):
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                trials.append(trial(kind, rng.uniform(0.1, 1.5), Path(folder), options.patience, options.grace))
    print(table(trials))
    return 0 if all(each.kept(options.patience) for each in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
