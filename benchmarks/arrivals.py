"""Do requests arrive as asked? What a server's own log says of Poisson, gamma and constant arrivals.

    python benchmarks/arrivals.py                      # 20 s of each, at 50 and at 500 requests/s
    python benchmarks/arrivals.py --rates 200 --seconds 5 --seeds 5
    python benchmarks/arrivals.py --server './paced_server --port {port} --ttft-ms 10 --itl-ms 5 --chunks 2 --log {log}'

Judged are the times of each request's first byte as a server received them, a millisecond or so of scheduling on both
sides included. Three figures are held against those of 999 processes drawn from the law asked for (by numpy; the
client's own draws are Python's), and the law stands when none of the three is stranger than one in 300, so that a
right process is refused about once in 100:

- *times*: the farthest that the share of arrivals strays from the share of the time gone by. It sees a rate that
  changes.
- *counts*: variance over mean of the arrivals in windows of 20 mean gaps. It sees bursts and lulls.
- *gaps*: the Kolmogorov-Smirnov distance between the gaps and their law, from ``RESOLUTION`` up: shorter gaps are one
  class, whose share is judged, not its shape. Two sends cannot be nearer than one takes, and which of two gaps of 0.1
  and 0.2 ms a server sees is up to its scheduling.

Constant arrivals are no random process: 95 % are to be within ``RESOLUTION`` of a grid of equal steps.

The first table says how often this test refuses right and wrong processes (drawn, not measured). In the second each
run is judged as each law, and the shapes nearest to its own that the test refuses are given. The rate at the server
is to be within 1 % of its schedule's, whose own draw of a random process differs from the mean. *As sent* is the same
test on the client's own stamps.

The simulator takes 0.4 ms of a processor for a request. On a busy machine gamma 0.5 at 500/s was once refused by its
log and not by a quicker server's.

Client and server run at real-time priority where the user may: judged is perfkit, not what else the machine does.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

sys.path.insert(0, str(Path(__file__).parent))

from accuracy import server as other_server

import perfkit as pk
from perfkit.loadgen.arrivals import offsets
from perfkit.records import Arrival
from perfkit.simulator.truth import read_requests

Times = NDArray[np.float64]

RESOLUTION = 0.001
"""Seconds: gaps below it are one class."""
DRAWS = 999
SIGNIFICANT = 0.01 / 3
"""Of each of the three figures: 1 % together."""
WINDOW = 20
"""Mean gaps in a window of counts."""
KEPT = 0.95
RATE_ERROR = 0.01
FACTORS = (1.05, 1.1, 1.15, 1.2, 1.3, 1.5, 2.0, 4.0)


@dataclass(frozen=True)
class Law:
    """One arrival process; ``shape`` is that of its gamma gaps, None for equal ones."""

    name: str
    arrival: Arrival
    shape: float | None


LAWS = (
    Law("Poisson", "poisson", 1.0),
    Law("gamma 0.5", "gamma", 0.5),
    Law("gamma 3", "gamma", 3.0),
    Law("constant", "constant", None),
)


@dataclass(frozen=True)
class Fit:
    """Whether times fit a law, and what says so."""

    fits: bool
    told: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[50.0, 500.0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1, help="of the schedules")
    parser.add_argument("--seeds", type=int, default=100, help="processes drawn for each line of the first table")
    parser.add_argument("--server", help="another server's command, judged at the last of the rates")
    options = parser.parse_args()
    print("| drawn | judged as | rate | refused |\n|---|---|---|---|")
    for rate in options.rates:
        show_power(rate, options.seconds, options.seeds)
    with real_time() as given:
        print(f"\nPriority of client and server: {'real-time' if given else 'ordinary'}.\n")
    before = stolen()
    heads = ("server", "asked for", "requests", "rate", "off its schedule's", *(law.name for law in LAWS))
    print(f"| {' | '.join(heads)} | as sent | refused from shape | verdict |\n|{'---|' * (len(heads) + 3)}")
    last = options.rates[-1]
    runs = [(None, rate) for rate in options.rates] + ([(options.server, last)] if options.server else [])
    good = [judge(law, rate, options, command) for command, rate in runs for law in LAWS]
    print(f"\nThe host took {stolen() - before:.1f} s of this machine's processors meanwhile.")
    return 0 if all(good) else 1


def judge(law: Law, rate: float, options: argparse.Namespace, command: str | None) -> bool:
    """Measure one law, print its line, and tell whether the law alone fits, and rate and number are right."""
    seconds, seed = options.seconds, options.seed
    times, sent, verdict = measured(law, rate, seconds, seed, command)
    due = list(takewhile(lambda offset: offset <= seconds, schedule(law, rate, seed)))
    asked = (len(due) - 1) / (due[-1] - due[0])
    error = (len(times) - 1) / (times[-1] - times[0]) / asked - 1
    fits = [fit(times, each, rate, seconds) for each in LAWS]
    as_sent = fit(sent, law, rate, seconds)
    cells = (
        "C" if command else "simulator",
        f"{law.name}, {rate:g}/s",
        f"{len(times):,} of {len(due):,}",
        f"{asked * (1 + error):.1f}/s",
        f"{error:+.2%}",
        *(f"**{each.told}**" if each.fits else each.told for each in fits),
        as_sent.told if as_sent.fits else f"refused: {as_sent.told}",
        nearest_refused(times, law, rate, seconds),
        verdict,
    )
    print(f"| {' | '.join(cells)} |", flush=True)
    right = [each.fits for each in fits] == [each is law for each in LAWS]
    return right and abs(error) <= RATE_ERROR and len(times) == len(due)


# What is measured.


def schedule(law: Law, rate: float, seed: int) -> Iterator[float]:
    return offsets(rate, law.arrival, seed=seed, burstiness=law.shape or 1.0)


def measured(law: Law, rate: float, seconds: float, seed: int, command: str | None = None) -> tuple[Times, Times, str]:
    """Return when the server saw each request's first byte and when the client sent it [s], and the run's verdict."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.csv"
        with real_time(), served(command, log) as url:
            runs = pk.start(
                url,
                rate=rate,
                arrival=law.arrival,
                burstiness=law.shape or 1.0,
                arrival_seed=seed,
                duration=seconds,
                prompt="hello",
                max_tokens=2,
                preflight=False,
                db=f"{name}/run.db",
            ).wait()
        (judged,) = runs.verdicts.values()
        stamps = [each.recv_start_ns for each in read_requests(log) if each.path == "chat"]
        sent = runs.requests["start_time"].to_numpy(dtype=float)
    return np.sort(np.array(stamps)) / 1e9, np.sort(sent), judged.level if judged else "not judged"


@contextmanager
def served(command: str | None, log: Path) -> Iterator[str]:
    """Run the simulator, or another server, and give its URL."""
    if command is None:
        with pk.simulate(ttft=0.01, itl=0.005, output_tokens=2, log=str(log)) as simulator:
            yield simulator.url
    else:
        with other_server(command, log.parent) as port:
            yield f"http://127.0.0.1:{port}"


@contextmanager
def real_time() -> Iterator[bool]:
    """Give this process, and those that it starts meanwhile, real-time priority; tell whether the system allows it."""
    if not hasattr(os, "sched_setscheduler"):
        yield False
        return
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def stolen() -> float:
    """Return how long the host of a virtual machine has kept processors from it [s], 0 where nobody counts."""
    counted = Path("/proc/stat")
    return int(counted.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if counted.exists() else 0.0


# The test.


def fit(times: Times, law: Law, rate: float, seconds: float) -> Fit:
    """Hold arrivals at these times against a law."""
    if law.shape is None:
        steps = times - np.arange(len(times)) / rate
        near = float(np.mean(np.abs(steps - np.median(steps)) <= RESOLUTION))
        return Fit(near >= KEPT, f"{near:.0%} near")
    chances = p_values(times, law.shape, rate, seconds)
    least = min(chances, key=chances.__getitem__)
    if chances[least] > SIGNIFICANT:
        return Fit(True, f"{least} p={chances[least]:.2f}")
    return Fit(False, ", ".join(name for name, chance in chances.items() if chance <= SIGNIFICANT) + " p<0.004")


def p_values(times: Times, shape: float, rate: float, seconds: float) -> dict[str, float]:
    """Return for each figure how often processes of the law are as strange; times and counts may be too even, too."""
    chances = {}
    for name, value, drawn in zip(FIGURES, figures(times, shape, rate), null(shape, rate, seconds), strict=True):
        above = (1 + np.count_nonzero(drawn >= value)) / (DRAWS + 1)
        below = (1 + np.count_nonzero(drawn <= value)) / (DRAWS + 1)
        chances[name] = min(1.0, above if name == "gaps" else 2 * min(above, below))
    return chances


FIGURES = ("times", "counts", "gaps")


def figures(times: Times, shape: float, rate: float) -> tuple[float, float, float]:
    """Return the three figures of arrivals judged as gamma of this shape."""
    past = (times - times[0]) / (times[-1] - times[0])
    stray = float(np.max(np.abs(past - np.linspace(0, 1, len(past))))) * np.sqrt(len(past))
    counts = np.bincount(((times - times[0]) * rate / WINDOW).astype(int))[:-1]  # the last window is not whole
    return stray, float(counts.var() / counts.mean()), distance(np.diff(times), shape, rate)


def distance(gaps: Times, shape: float, rate: float) -> float:
    """Return the largest difference, from the resolution up, between the shares of gaps and their law."""
    ordered = np.sort(gaps)
    first = int(np.searchsorted(ordered, RESOLUTION))
    law = gammainc(shape, shape * rate * np.append(RESOLUTION, ordered[first:]))
    shares = np.arange(first, len(ordered) + 1) / len(ordered)
    # Below each gap the share is the one before it, at and above it its own.
    farthest = max(np.max(np.abs(shares - law)), np.max(np.abs(shares[:-1] - law[1:]), initial=0.0))
    return float(farthest) * np.sqrt(len(gaps))


@cache
def null(shape: float, rate: float, seconds: float) -> Times:
    """Return the three figures, a row each, of processes drawn from the law."""
    random = np.random.default_rng(0)
    return np.array([figures(drawn(random, shape, rate, seconds), shape, rate) for _ in range(DRAWS)]).T


def drawn(random: np.random.Generator, shape: float, rate: float, seconds: float) -> Times:
    """Draw the arrivals of one process."""
    size = int(rate * seconds + 10 * np.sqrt(rate * seconds / shape))
    times = np.cumsum(random.gamma(shape, 1 / (shape * rate), size))
    return times[times <= seconds]


# What the test can tell.


def show_power(rate: float, seconds: float, seeds: int) -> None:
    """Print how often processes drawn right and wrong are refused."""

    def ticking(times: Times) -> Times:
        return np.ceil(times / (2 / rate)) * (2 / rate)

    def rising(times: Times) -> Times:
        return seconds * (np.sqrt(0.81 + 0.4 * times / seconds) - 0.9) / 0.2  # from 0.9 to 1.1 of the rate

    def paused(times: Times) -> Times:
        away = np.mod(times, 50 / rate) < 4 / rate  # what is due in one of 50 / rate waits for the end of 4 mean gaps
        return np.sort(np.where(away, times - np.mod(times, 50 / rate) + 4 / rate, times))

    wrong: tuple[tuple[str, float, Callable[[Times], Times], Law], ...] = (
        *((law.name, law.shape, np.asarray, law) for law in LAWS if law.shape),
        ("gamma 1.15", 1.15, np.asarray, LAWS[0]),
        ("gamma 0.58", 0.58, np.asarray, LAWS[1]),
        ("gamma 3.5", 3.5, np.asarray, LAWS[2]),
        ("gamma 3", 3.0, np.asarray, LAWS[0]),
        ("Poisson", 1.0, np.asarray, LAWS[2]),
        ("Poisson, at ticks of two mean gaps", 1.0, ticking, LAWS[0]),
        ("Poisson, the rate rising by a fifth", 1.0, rising, LAWS[0]),
        ("Poisson, 8 % of the time sends wait", 1.0, paused, LAWS[0]),
        ("gamma 100", 100.0, np.asarray, LAWS[3]),
    )
    random = np.random.default_rng(1)
    for name, shape, warp, law in wrong:
        refused = [not fit(warp(drawn(random, shape, rate, seconds)), law, rate, seconds).fits for _ in range(seeds)]
        print(f"| {name} | {law.name} | {rate:g}/s | {np.mean(refused):.0%} |", flush=True)


def nearest_refused(times: Times, law: Law, rate: float, seconds: float) -> str:
    """Return the shapes nearest to the law's own, below and above, that the test refuses for these arrivals."""
    if law.shape is None:
        return "–"
    ends = []
    for sign in (-1, 1):
        shapes = (law.shape * factor**sign for factor in FACTORS)
        refused = (f"{s:.3g}" for s in shapes if min(p_values(times, s, rate, seconds).values()) <= SIGNIFICANT)
        ends.append(next(refused, "none"))
    return " and ".join(ends)


if __name__ == "__main__":
    sys.exit(main())
