"""Does ``pk.capacity`` find the truth? Searches against a simulated engine, whose capacity its own model gives.

    python benchmarks/capacity.py                      # 20 searches over the network, 100 in virtual time
    python benchmarks/capacity.py --searches 2 --virtual 10

The truth is the rate at which 90 % of the first tokens come within 20 ms, from runs of the model in virtual time, as
long as those of a search, over 200 seeds. A search has eight runs of 1.2 s; its bracket should hold the truth in at
least 18 of 20, and most should be closed on both sides: an open one holds it easily. The searches in virtual time try
the method alone, on as many seeds as one likes.

Client and server run at real-time priority where the user may: the truth is that of a machine with nothing else to do.
"""

import argparse
import sys
import tempfile
import time
from itertools import takewhile
from math import sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from arrivals import real_time

import perfkit as pk
from perfkit.bracketing import Bracket, Objective, Tried, plan_next
from perfkit.curve import Capacity
from perfkit.load import offsets
from perfkit.simulator.model import Work, simulate_arrivals

ENGINE = pk.Simulation(slots=8, itl=0.0025, slowdown=0.0001, base_latency=0.001, prefill_rate=40_000, output_tokens=8)
OBJECTIVE = Objective("ttft", 90, 0.020)
WORK = Work(prompt_tokens=20, output_tokens=8)
PROMPT = "hello " * 20
SECONDS, WARMUP, RUNS, LOW, CONFIDENCE = 1.2, 0.2, 8, 100, 0.95
TRUE_SEEDS = range(1_000_000, 1_000_200)
WANTED, CLOSED = 0.9, 0.75
"""Shares of the searches that hold the truth, and that know both ends."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--virtual", type=int, default=100)
    options = parser.parse_args()
    true = truth()
    print(f"truth: {OBJECTIVE} up to {true:.1f} requests/s\n")
    print("| searches | of | bracket holds the truth | both ends found | upper / lower, median | seconds each |")
    print("|---|---|---|---|---|---|")
    began = time.perf_counter()
    virtual = [virtual_search(seed) for seed in range(options.virtual)]
    print(row("in virtual time", virtual, true, time.perf_counter() - began))
    began = time.perf_counter()
    with real_time():
        found = [search(seed) for seed in range(options.searches)]
    print(row("over the network", [each.bracket for each in found], true, time.perf_counter() - began))
    levels: dict[str, int] = {}
    for point in (point for each in found for point in each.points):
        levels[point.verdict] = levels.get(point.verdict, 0) + 1
    print(f"\nverdicts of the runs: {', '.join(f'{count} {level}' for level, count in sorted(levels.items()))}")
    missed = [each for each in found if true not in each.bracket]
    print("\n".join(f"missed: {each.bracket}" for each in missed))
    closed = [each for each in found if each.bracket.lower is not None and each.bracket.upper is not None]
    return 0 if len(found) - len(missed) >= WANTED * len(found) and len(closed) >= CLOSED * len(found) else 1


def search(seed: int) -> Capacity:
    """Search over the network."""
    with tempfile.TemporaryDirectory() as folder, pk.simulate(ENGINE, seed=seed + 1) as server:
        return pk.capacity(
            server.url,
            slo={OBJECTIVE.metric: (f"p{OBJECTIVE.q:g}", OBJECTIVE.bound)},
            low=LOW,
            confidence=CONFIDENCE,
            points=RUNS,
            duration=SECONDS,
            warmup=f"{WARMUP}s",
            prompt=PROMPT,
            max_tokens=WORK.output_tokens,
            arrival_seed=1_000 * seed,
            db=f"{folder}/capacity.db",
        )


def virtual_search(seed: int) -> Bracket:
    """Search in virtual time."""
    error = (1 - CONFIDENCE) / RUNS
    tried: list[Tried] = []
    while (load := plan_next(tried, error, RUNS - len(tried), LOW)) is not None:
        values = latencies(load, 20_000_000 + 1_000 * seed + len(tried))
        tried.append(Tried(load, (OBJECTIVE.chance(values),)))
    return Bracket.of(tried, error)


def latencies(rate: float, seed: int) -> np.ndarray:
    """Return the TTFT of every request of one run of the model, after its warm-up."""
    arrivals = list(takewhile(lambda offset: offset < SECONDS, offsets(rate, seed=seed)))
    tokens = simulate_arrivals(arrivals, ENGINE, WORK)
    return np.array([times[0] - at for at, times in zip(arrivals, tokens, strict=True) if at >= WARMUP])


def truth(seeds: range = TRUE_SEEDS) -> float:
    """Return the rate at which the share of late first tokens, over all seeds, is just what is allowed."""
    low, high = LOW / 2, LOW * 8.0
    while high > low * 1.003:
        middle = sqrt(low * high)
        late = np.concatenate([latencies(middle, seed) for seed in seeds]) > OBJECTIVE.bound
        low, high = (middle, high) if late.mean() <= 1 - OBJECTIVE.q / 100 else (low, middle)
    return sqrt(low * high)


def row(name: str, brackets: list[Bracket], true: float, took: float) -> str:
    held = sum(true in bracket for bracket in brackets)
    widths = [each.upper / each.lower for each in brackets if each.lower is not None and each.upper is not None]
    width = f"{np.median(widths):.2f}" if widths else "–"
    return f"| {name} | {len(brackets)} | {held} | {len(widths)} | {width} | {took / max(1, len(brackets)):.1f} |"


if __name__ == "__main__":
    sys.exit(main())
