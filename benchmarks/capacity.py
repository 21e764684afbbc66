"""Does ``pk.capacity`` find the truth? Searches against servers whose capacity their own models give.

    python benchmarks/capacity.py                      # 60 searches of each of five kinds, and 10 over the network
    python benchmarks/capacity.py --searches 5 --network 0

In virtual time: perfkit's simulated engine, users before a number of slots, a latency that grows evenly with the load,
a queue that refuses what does not fit, and servers that differ by 5 % from run to run. A point has 500 requests, a
search at most 12 points, and begins at a load somewhere between a fourth and a fortieth of the truth. The truth is the
load at which the share of requests beyond the bound, over many runs as long as those of a search, is just what is
allowed. The brackets should hold it in 95 % of the searches, and their ends lie within 15 % of their middle.

Over the network the same engine answers, at loads of which a machine with nothing else to do is capable: client and
server run at real-time priority where the user may.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush
from itertools import islice
from math import inf, sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from arrivals import real_time
from virtual_time import simulate_arrivals

import perfkit as pk
from perfkit.analysis.capacity.objective import Objective
from perfkit.analysis.capacity.search import Belief, Bracket, TriedLoad, plan_next
from perfkit.loadgen.arrivals import offsets
from perfkit.simulator.model import Work

REQUESTS, POINTS, CONFIDENCE = 500, 12, 0.95
NARROW = 1.15 / 0.85
"""Ratio of the ends of a bracket that lie within 15 % of its middle."""
RIGHT = 0.93
"""Share of 300 searches that are right, at least, where 95 % are promised."""

ENGINE = pk.Simulation(slots=8, itl=0.0025, slowdown=0.0001, base_latency=0.001, prefill_rate=40_000, output_tokens=8)
WORK = Work(prompt_tokens=20, output_tokens=8)
PROMPT = "hello " * 20

Floats = np.ndarray


def engine(rate: float, seed: int) -> Floats:
    """Return the TTFT of perfkit's engine with continuous batching."""
    arrivals = list(islice(offsets(rate, seed=seed), REQUESTS))
    tokens = simulate_arrivals(arrivals, ENGINE, WORK)
    return np.array([times[0] - at for at, times in zip(arrivals, tokens, strict=True)])


def slots(users: float, seed: int, count: int = 16) -> Floats:
    """Return the TTFT of users who share some slots, each busy for an answer."""
    rng = np.random.default_rng(seed)
    lasting = rng.lognormal(0, 0.3, REQUESTS)
    free, ready = [0.0] * count, sorted(rng.uniform(0, 0.1, int(users)))
    waits = np.empty(REQUESTS)
    for number, each in enumerate(lasting):
        came, slot = heappop(ready), heappop(free)
        begin = max(came, slot)
        waits[number] = begin - came + 0.05
        heappush(free, begin + each)
        heappush(ready, begin + each)
    return waits


def even_growth(rate: float, seed: int) -> Floats:
    """Return latencies that grow evenly with the load, and do not queue."""
    return 0.2 * (1 + rate / 20) * np.random.default_rng(seed).lognormal(0, 0.5, REQUESTS)


def full_queue(rate: float, seed: int, servers: int = 8, places: int = 16) -> Floats:
    """Return 1 for each request that was refused as the queue was full."""
    rng = np.random.default_rng(seed)
    free, waiting, refused = [0.0] * servers, list[float](), np.zeros(REQUESTS)
    arrivals, lasting = np.cumsum(rng.exponential(1 / rate, REQUESTS)), rng.exponential(0.08, REQUESTS)
    for number, (came, each) in enumerate(zip(arrivals, lasting, strict=True)):
        while waiting and waiting[0] <= came:
            heappop(waiting)
        if len(waiting) >= places:
            refused[number] = 1
            continue
        begin = max(came, heappop(free))
        heappush(free, begin + each)
        heappush(waiting, begin)
    return refused


def changing(rate: float, seed: int, servers: int = 4) -> Floats:
    """Return latencies of servers behind one queue, as a whole faster or slower by 5 % from run to run."""
    rng = np.random.default_rng(seed)
    factor = np.exp(rng.normal(0, 0.05))
    arrivals, lasting = np.cumsum(rng.exponential(1 / rate, REQUESTS)), rng.gamma(2, 0.04 * factor, REQUESTS)
    free, waits = [0.0] * servers, np.empty(REQUESTS)
    for number, (came, each) in enumerate(zip(arrivals, lasting, strict=True)):
        begin = max(came, heappop(free))
        heappush(free, begin + each)
        waits[number] = begin - came
    return waits + 0.05 * factor * rng.lognormal(0, 0.3, REQUESTS)


@dataclass(frozen=True)
class Kind:
    """A server: its values of one run at a load, and what is asked of them."""

    name: str
    run: Callable[[float, int], Floats]
    objective: Objective
    start: float
    """A load that it takes with ease."""
    whole: bool = False
    seeds: int = 1_000
    """Runs that the truth rests on at each load."""


KINDS = (
    Kind("engine, open", engine, Objective("ttft", 90, 0.020), 50, seeds=200),
    Kind("slots, closed", slots, Objective("ttft", 95, 0.4), 4, whole=True),
    Kind("even growth, open", even_growth, Objective("ttft", 95, 0.9), 2),
    Kind("full queue, open", full_queue, Objective("failures", None, 0.02), 20),
    Kind("changing, open", changing, Objective("ttft", 95, 0.2), 10),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=60)
    parser.add_argument("--network", type=int, default=10)
    options = parser.parse_args()
    print("| server | objective | truth | searches | right | within ±15 % | upper / lower, median | points |")
    print("|---|---|---|---|---|---|---|---|")
    every: list[bool] = []
    narrow = True
    for kind in KINDS:
        true = truth(kind)
        found = [search(kind, seed, true) for seed in range(options.searches)]
        brackets = [bracket for bracket, _ in found]
        every += [true in bracket for bracket in brackets]
        narrow &= bool(np.median([ratio(each, kind) for each in brackets]) <= NARROW)
        print(row(kind.name, kind, true, brackets, float(np.mean([points for _, points in found]))), flush=True)
    print(f"\nright in {sum(every)} of {len(every)}")
    if options.network:
        over_network(options.network)
    return 0 if np.mean(every) >= RIGHT and narrow else 1


def row(name: str, kind: Kind, true: float, brackets: list[Bracket], points: float) -> str:
    ratios = np.array([ratio(each, kind) for each in brackets])
    right = np.mean([true in each for each in brackets])
    return (
        f"| {name} | {kind.objective} | {true:.4g} | {len(brackets)} | {right:.0%} | {np.mean(ratios <= NARROW):.0%} | "
        f"{np.median(ratios):.2f} | {points:.1f} |"
    )


def ratio(bracket: Bracket, kind: Kind) -> float:
    """Return upper / lower; neighbouring whole loads are as narrow as can be."""
    if bracket.lower is None or bracket.upper is None:
        return inf
    return 1.0 if kind.whole and bracket.upper - bracket.lower <= 1 else bracket.upper / bracket.lower


def search(kind: Kind, seed: int, true: float) -> tuple[Bracket, int]:
    """Search in virtual time; return the bracket and how many points it took."""
    low = max(1.0, true / float(np.exp(np.random.default_rng(seed).uniform(np.log(4), np.log(40)))))
    low = round(low) if kind.whole else low
    tried: list[TriedLoad] = []
    while (load := plan_next(tried, 1 - CONFIDENCE, POINTS - len(tried), low, whole=kind.whole)) is not None:
        evidence = kind.objective.evidence(kind.run(load, 20_000_000 + 1_000 * seed + len(tried)))
        tried.append(TriedLoad(load, (evidence,) if evidence else ()))
    belief = Belief.of(tried)
    return belief.bracket(1 - CONFIDENCE, whole=kind.whole) if belief else Bracket(None, None), len(tried)


@cache
def truth(kind: Kind, seeds: int | None = None) -> float:
    """Return the load at which the share beyond the bound is what is allowed; of users the largest that meets it."""
    bound = 0.5 if kind.objective.metric == "failures" else kind.objective.bound
    low, high = float(kind.start), kind.start * 64.0
    while high > low * 1.005 and not (kind.whole and high - low <= 1):
        middle = float(round(sqrt(low * high))) if kind.whole else sqrt(low * high)
        middle = min(max(middle, low + 1), high - 1) if kind.whole else middle
        beyond = [np.mean(kind.run(middle, 1_000_000 + seed) > bound) for seed in range(seeds or kind.seeds)]
        low, high = (middle, high) if np.mean(beyond) <= kind.objective.allowed else (low, middle)
    return low if kind.whole else sqrt(low * high)


def over_network(searches: int) -> None:
    """Search over the network, where the engine is served by perfkit's simulator."""
    kind = KINDS[0]
    began = time.perf_counter()
    with real_time():
        found = [network_search(seed) for seed in range(searches)]
    took = (time.perf_counter() - began) / searches
    brackets = [each.bracket for each in found]
    points = float(np.mean([len(each.points) for each in found]))
    print(f"\n{row('the engine over the network', kind, truth(kind), brackets, points)} ({took:.0f} s each)")
    levels: dict[str, int] = {}
    for point in (point for each in found for point in each.points):
        levels[point.verdict] = levels.get(point.verdict, 0) + 1
    print(f"verdicts of the runs: {', '.join(f'{count} {level}' for level, count in sorted(levels.items()))}")


def network_search(seed: int, points: int = POINTS) -> "pk.Capacity":
    with tempfile.TemporaryDirectory() as folder, pk.simulate(ENGINE, seed=seed + 1) as server:
        return pk.capacity(
            server.url,
            slo="p90 ttft < 20ms",
            low=50,
            confidence=CONFIDENCE,
            points=points,
            number=REQUESTS,
            prompt=PROMPT,
            max_tokens=WORK.output_tokens,
            arrival_seed=1_000 * seed,
            db=f"{folder}/capacity.db",
        )


if __name__ == "__main__":
    sys.exit(main())
