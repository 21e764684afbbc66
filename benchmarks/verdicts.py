"""Is the verdict right? Runs that are set up to be good, and runs whose client is disturbed on purpose.

    python benchmarks/verdicts.py --good 20 --bad 20

A bad run called VALID breaks the promise, and so does one that is doubted for another reason alone than what was done
to it: the exit status is 1 then. A good run that is not VALID is a false alarm, and counted. A run can only be set up
to be good while the machine is quiet: each waits a while for that, and those that waited in vain stand in a line of
their own. The simulator's log tells whether a run's numbers were right, whatever it was set up to be.

The kinds of disturbance take turns: busy neighbours on the worker's core, a rate beyond what the client was just seen
to reach (no number is beyond every machine), a worker that is stopped for a while, a limit of open files below the
users, a run file that another program locks, a dataset slower than the load. Each neighbour has a session of its own,
as another person's job has: those of one session share one turn at the core (autogroups), and three of them were found
to disturb nothing.
"""

import argparse
import os
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import perfkit as pk
from perfkit.analysis.results.evidence import evidence
from perfkit.loadgen.file_limit import MARGIN
from perfkit.loadgen.recorder.run_state import AHEAD
from perfkit.runner.calibration import Lateness, lateness
from perfkit.validity.verdict import Verdict

SECONDS = 1.5
FIRST_OFF, SENT_OFF = 0.005, 0.020
"""Seconds at the 99th percentile from which the client is to be seen in the numbers: a tenth of the server's TTFT."""
TOO_MUCH = 50_000
"""Requests a second that no client here sends."""
QUIET = 0.25
"""Share of the machine's processors that others may use beside a good run."""
Given = dict[str, Any]
Disturbance = Callable[[int, Path], None]
"""Does something to a run under way: the worker's process and the run file."""


@dataclass(frozen=True)
class Heard:
    """What was said of a run, and what was so."""

    verdict: Verdict
    late: Lateness
    """Of stamps, by the server's log."""
    sent: float
    """99th percentile of the time from when a request was due, or its user free, to when it was sent; seconds."""
    waited: float
    """Share of the time that the client's loop waited for a processor."""

    @property
    def off(self) -> bool:
        """True if the client is to be seen in the numbers."""
        return self.late.first_p99 >= FIRST_OFF or self.sent >= SENT_OFF


@dataclass(frozen=True)
class Trial:
    """One run, what it was set up to be, and what was heard of it."""

    kind: str
    setting: str
    good: bool
    heard: Heard
    busy: float
    """Share of the machine's processors that others used just before."""

    @property
    def right(self) -> bool:
        """True if good is VALID, and bad is doubted for what was done to it."""
        if self.good:
            return self.heard.verdict.level == "VALID"
        return any(check.name in OWN[self.kind] for check in self.heard.verdict.checks)


def neighbours(number: int, worker: int, path: Path) -> None:
    """Pin the worker to one core, and busy loops to the same."""
    core = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(worker, core)
    loop = [sys.executable, "-c", "while True: pass"]
    loops = [subprocess.Popen(loop, start_new_session=True) for _ in range(number)]
    for each in loops:
        os.sched_setaffinity(each.pid, core)
    _until_ended(path)
    for each in loops:
        each.kill()
        each.wait()


def stopped(seconds: float, worker: int, path: Path) -> None:
    """Stop the worker for a while."""
    os.kill(worker, signal.SIGSTOP)
    sleep(seconds)
    os.kill(worker, signal.SIGCONT)


def locked(seconds: float, worker: int, path: Path) -> None:
    """Hold the run file's lock for a while, as a slow disk would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA busy_timeout = 5000")
        file.execute("BEGIN IMMEDIATE")
        sleep(seconds)
        file.execute("ROLLBACK")


def slow_prompts(pause: float) -> Iterator[str]:
    """Yield prompts that take long to make, once those are used up that a run holds ready before it starts."""
    for number in count():
        sleep(pause if number >= AHEAD else 0)
        yield f"prompt {number}"


def beyond(times: float) -> Given:
    """Return a load at a multiple of the rate that this machine's client reaches."""
    return {"rate": round(times * reached()), "max_tokens": 1}


@cache
def reached() -> float:
    """Return the rate that the client reaches when far too much is asked of it."""
    with tempfile.TemporaryDirectory() as name, pk.simulate(ttft=0.05, itl=0.01) as server:
        asked = {"rate": TOO_MUCH, "max_tokens": 1, "duration": 1.0, "prompt": "hello"}
        runs = pk.start(server.url, **asked, db=f"{name}/run.db").wait(60)
        return evidence(runs[0].members[0]).achieved_rate or TOO_MUCH


GOOD: list[tuple[str, Given]] = [
    ("1 user", {"parallel": 1}),
    ("4 users", {"parallel": 4}),
    ("8 users", {"parallel": 8}),
    ("16 users", {"parallel": 16}),
    ("32 users", {"parallel": 32}),
    ("10/s", {"rate": 10}),
    ("50/s, constant", {"rate": 50, "arrival": "constant"}),
    ("50/s, Poisson", {"rate": 50}),
    ("100/s, Poisson", {"rate": 100}),
    ("40/s, bursts", {"rate": 40, "arrival": "gamma", "burstiness": 0.3}),
]
STEADY: Given = {"rate": 100, "arrival": "constant"}
QUICK: Given = {"rate": 800, "arrival": "constant", "max_tokens": 1, "duration": 3.0}
BAD: list[tuple[str, str, Given | Callable[[], Given], Disturbance | None]] = [
    ("busy neighbour", "3 jobs, 32 users", {"parallel": 32}, partial(neighbours, 3)),
    ("rate", "1.5 times what is reached", partial(beyond, 1.5), None),
    ("stopped process", "0.3 s, 16 users", {"parallel": 16}, partial(stopped, 0.3)),
    ("file limit", "60 users, 32 sockets", {"parallel": 60}, None),
    ("slow disk", "1.0 s", {"parallel": 16}, partial(locked, 1.0)),
    ("slow dataset", "4 ms a prompt, 800/s", {**QUICK, "dataset": partial(slow_prompts, 0.004)}, None),
    ("busy neighbour", "6 jobs, 100/s", STEADY, partial(neighbours, 6)),
    ("rate", "3 times what is reached", partial(beyond, 3), None),
    ("stopped process", "0.15 s, 100/s", STEADY, partial(stopped, 0.15)),
    ("file limit", "200 users, 32 sockets", {"parallel": 200}, None),
    ("slow disk", "0.7 s", STEADY, partial(locked, 0.7)),
    ("slow dataset", "2 ms a prompt, 800/s", {**QUICK, "dataset": partial(slow_prompts, 0.002)}, None),
    ("busy neighbour", "4 jobs, 64 users", {"parallel": 64}, partial(neighbours, 4)),
    ("stopped process", "0.6 s, 1 user", {"parallel": 1}, partial(stopped, 0.6)),
]
SOCKETS = 32
OWN = {
    "busy neighbour": {"processor wait", "processors", "loop lag"},
    "rate": {"rate", "send lag"},
    "stopped process": {"stall"},
    "file limit": {"file limit"},
    "slow disk": {"storing"},
    "slow dataset": {"look-ahead"},
}
"""The checks that each kind of disturbance is for."""


def good_trial(index: int, patience: float) -> Trial:
    """Measure something easy, undisturbed."""
    name, given = GOOD[index % len(GOOD)]
    busy = quietest(patience)
    kind = "undisturbed" if busy < QUIET else "undisturbed, machine busy"
    with tempfile.TemporaryDirectory() as folder:
        return Trial(kind, name, True, measured(given, Path(folder)), busy)


def bad_trial(index: int) -> Trial:
    """Measure something while the client is disturbed."""
    kind, setting, given, disturbance = BAD[index % len(BAD)]
    busy = machine_busy()
    with tempfile.TemporaryDirectory() as name:
        run = _limited if kind == "file limit" else partial(measured, disturbance=disturbance)
        return Trial(kind, setting, False, run(given() if callable(given) else given, folder=Path(name)), busy)


def quietest(patience: float) -> float:
    """Wait until the machine is quiet, but no longer than ``patience`` seconds; return how busy it is then."""
    until = monotonic() + patience
    while (busy := machine_busy()) >= QUIET and monotonic() < until:
        pass
    return busy


def machine_busy(seconds: float = 0.3) -> float:
    """Return the share of all processors that is used while nothing of ours runs."""

    def times() -> tuple[int, int]:
        spent = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(spent), spent[3] + spent[4]

    whole, idle = times()
    sleep(seconds)
    whole_after, idle_after = times()
    return 1 - (idle_after - idle) / max(1, whole_after - whole)


def measured(given: Given, folder: Path, disturbance: Disturbance | None = None) -> Heard:
    """Measure a simulated server, the client disturbed or not, and hear what is said and what was."""
    path = folder / "run.db"
    dataset = given.get("dataset")
    drawn = {"dataset": dataset()} if dataset else {"prompt": "hello"}
    log, chunk_log = folder / "log.csv", folder / "chunks.bin"
    with pk.simulate(ttft=0.05, itl=0.01, log=str(log), chunk_log=str(chunk_log)) as server:
        job = pk.start(server.url, **{"max_tokens": 16, "duration": SECONDS, **given, **drawn}, db=str(path))
        if disturbance is not None:
            worker = os.getpgid(_waited_for(partial(_pid, path)))
            threading.Thread(target=disturbance, args=(worker, path)).start()
        runs = job.wait(60)
    return _heard(runs, path, log, chunk_log)


DRIVER = """
import sys
import perfkit as pk
pk.start(sys.argv[1], parallel=int(sys.argv[2]), duration=1.0, max_tokens=16, prompt="hello", db=sys.argv[3]).wait(60)
"""


def _limited(given: Given, folder: Path) -> Heard:
    """Measure in a process whose hard limit of open files is too low: it could not be raised again here."""
    path, limit = folder / "run.db", SOCKETS + MARGIN
    log, chunk_log = folder / "log.csv", folder / "chunks.bin"
    with pk.simulate(ttft=0.05, itl=0.01, log=str(log), chunk_log=str(chunk_log)) as server:
        words = [sys.executable, "-c", DRIVER, server.url, str(given["parallel"]), str(path)]
        lower = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (limit, limit))
        subprocess.run(words, preexec_fn=lower, check=True, timeout=60)
    return _heard(pk.open(path), path, log, chunk_log)


def _heard(runs: pk.Runs, path: Path, log: Path, chunk_log: Path) -> Heard:
    verdict: Verdict | None = next(iter(runs.verdicts.values()))
    if verdict is None:
        raise SystemExit("the run was not judged")
    sent = runs.requests["start_time"] - runs.requests["scheduled_time"]
    waited = evidence(runs[0].members[0]).cpu_wait or 0.0
    return Heard(verdict, lateness(path, log, chunk_log), float(sent.quantile(0.99)), waited)


def _opened(path: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True))


def _pid(path: Path) -> int | None:
    """Return the process that writes the run once its load is under way."""
    if not path.exists():
        return None
    try:
        with _opened(path) as file:
            row = file.execute("SELECT pid FROM run WHERE (SELECT count(*) FROM result) > 4").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return None
    return int(row[0]) if row else None


def _until_ended(path: Path) -> None:
    def ended() -> int | None:
        try:
            with _opened(path) as file:
                return file.execute("SELECT 1 FROM run WHERE status <> 'running'").fetchone() is not None
        except sqlite3.OperationalError:  # the trial is over, and its folder gone
            return True

    _waited_for(ended)


def _waited_for(holds: Callable[[], int | None], within: float = 60.0) -> int:
    until = monotonic() + within
    while not (value := holds()):
        if monotonic() > until:
            raise SystemExit(f"nothing happened for {within:g} s")
        sleep(0.005)
    return int(value)


LEVELS = ("VALID", "SUSPECT", "CLIENT-BOUND")
LATE = ("stamps read alone late [ms]", "first tokens late [ms]", "requests sent late [ms]")  # p99: median run, worst


def table(trials: list[Trial]) -> str:
    """Return a Markdown table, a line for each kind, and what went wrong below it."""
    lines: list[tuple[str, ...]] = [
        ("set up", "runs", *LEVELS, *LATE, "what was said"),
        ("---",) * (3 + len(LEVELS) + len(LATE)),
    ]
    for kind in dict.fromkeys(each.kind for each in trials):
        some = [each.heard for each in trials if each.kind == kind]
        counts = [str(sum(each.verdict.level == level for each in some)) for level in LEVELS]
        said = sorted({check.name for each in some for check in each.verdict.checks})
        late = zip(*((each.late.late_p99, each.late.first_p99, each.sent) for each in some), strict=True)
        lines.append((kind, str(len(some)), *counts, *map(middle_and_worst, late), ", ".join(said)))
    wrong = [_sentence(each) for each in trials if not each.right]
    valid = sum(each.heard.verdict.level == "VALID" and not each.good for each in trials)
    missed = sum(not each.right and not each.good for each in trials)
    quiet = [each for each in trials if each.good and each.busy < QUIET]
    bad, good = sum(not each.good for each in trials), sum(each.good for each in trials)
    heard = [each.heard for each in trials]
    believed = [each.off for each in heard if each.verdict.level == "VALID"]
    doubted = [each.off for each in heard if each.verdict.level != "VALID"]
    told = (
        f"Bad runs called VALID: {valid} of {bad}; not doubted for what was done to them: {missed}. "
        f"Good runs not VALID: {sum(not each.right for each in quiet)} of {len(quiet)} on a quiet machine, "
        f"{sum(not each.right and each.good for each in trials)} of {good} in all. "
        f"The machine was {statistics.median(each.busy for each in trials):.0%} busy (median) before a run.\n\n"
        f"By the log, whatever a run was set up to be: first tokens {FIRST_OFF * 1e3:g} ms late or requests "
        f"{SENT_OFF * 1e3:g} ms (p99) in {sum(believed)} of {len(believed)} runs called VALID, "
        f"and in {sum(doubted)} of {len(doubted)} others."
    )
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", told, *wrong])


def middle_and_worst(seconds: Sequence[float]) -> str:
    """Return the median and the largest of some times, in milliseconds."""
    return f"{statistics.median(seconds) * 1e3:.2f}, {max(seconds) * 1e3:.2f}"


def _sentence(trial: Trial) -> str:
    said = "; ".join(f"{check.level}: {check.sentence}" for check in trial.heard.verdict.checks) or "VALID"
    return f"- {trial.kind}, {trial.setting}, the machine {trial.busy:.0%} busy before: {said}"


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--good", type=int, default=20)
    parser.add_argument("--bad", type=int, default=20)
    parser.add_argument("--only", nargs="+", default=[""], help="kinds of bad runs that contain one of these")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds that a good run waits for a quiet machine")
    options = parser.parse_args(words)
    chosen = [index for index in range(len(BAD)) if any(word in BAD[index][0] for word in options.only)]
    trials = []
    for number in range(max(options.good, options.bad)):
        if number < options.bad:
            trials.append(bad_trial(chosen[number % len(chosen)]))
        if number < options.good:
            trials.append(good_trial(number, options.patience))
    print(table(sorted(trials, key=lambda each: (not each.good, each.kind))))
    return 0 if all(each.right or each.good for each in trials) else 1


if __name__ == "__main__":
    sys.exit(main())
