"""Does a plan promise what a comparison then delivers? Simulated runs whose truth is known.

    python benchmarks/planning.py                      # 400 plans and comparisons of each of ten cases
    python benchmarks/planning.py --plans 50

Runs of one server differ by a factor for the whole run (log-normal) beside the luck of their requests: log-normal
latencies of eight users. Each time a pilot is drawn, ``pk.plan``'s arithmetic says how many runs a side show the effect
with a chance of 80 %, that many are drawn of a server that is slower by just the effect in one quantity, and the
comparison of all quantities of the case, Holm's correction included, is asked whether that quantity is clearly worse.
It should be in 75 to 90 % of them.
"""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

from perfkit.analysis.compare.pairing import Pairing
from perfkit.analysis.compare.result import compare_quantity
from perfkit.analysis.compare.sample_size import plan_estimates
from perfkit.analysis.metrics.quantity import QUANTITIES, quantity
from perfkit.analysis.query.run import Run, Source
from perfkit.analysis.stats.distribution import holm
from perfkit.analysis.stats.estimates import Estimate
from perfkit.runfile.record import RunRecord

NOWHERE = Source("", sqlite3.connect(":memory:"))
LEAST, MOST = 0.75, 0.90
USERS, LONGER = 8, 4
POOL = 300
"""Runs of equal servers that are drawn from, of each length."""

Runs = list[dict[str, Estimate]]


@dataclass(frozen=True)
class Case:
    """What is planned: a quantity, among others or alone, and how the runs are known to differ."""

    differs: str
    effect: float
    scatter: float
    together: bool = False
    """Whether all of perfkit's quantities are compared."""
    repeats: int = 0
    """Runs of the pilot, by whose scatter it is planned; 0: the scatter is given, as ``--noise``."""
    rounds: bool = False
    loads: int = 1
    longer: int = 1
    """How many times as many requests as in the pilot."""

    @property
    def names(self) -> tuple[str, ...]:
        return QUANTITIES if self.together else (self.differs,)


CASES = (
    Case("ttft_p95", 0.10, 0.05),
    Case("ttft_p50", 0.05, 0.03),
    Case("e2e_p95", 0.05, 0.03),
    Case("output_throughput", 0.05, 0.04),
    Case("ttft_p95", 0.05, 0.0),
    Case("ttft_p95", 0.10, 0.05, together=True),
    Case("tpot_mean", 0.05, 0.04, together=True, loads=2),
    Case("ttft_p95", 0.10, 0.05, together=True, repeats=5),
    Case("e2e_p50", 0.05, 0.03, repeats=3, longer=LONGER),
    Case("ttft_p95", 0.10, 0.05, together=True, rounds=True),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plans", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pools = {longer: pool(rng, 400 * longer) for longer in (1, LONGER)}
    print("| planned | slower by | compared | runs differ by | known from | runs a side (median) | seen |")
    print("|---|---|---|---|---|---|---|")
    wrong = False
    for case in CASES:
        counts, seen = power(case, pools, rng, options.plans)
        wrong |= not LEAST <= seen <= MOST
        compared = f"{len(case.names)} quantities" if case.together else "alone"
        compared += f" at {case.loads} loads" if case.loads > 1 else ""
        basis = f"{case.repeats} repeats" if case.repeats else "--noise"
        basis += f", then {case.longer} times as long" if case.longer > 1 else ""
        kind = " rounds" if case.rounds else ""
        print(
            f"| {case.differs} | {case.effect:.0%} | {compared} | {case.scatter:.0%} | {basis} | "
            f"{np.median(counts):.0f}{kind} | {seen:.1%} |",
            flush=True,
        )
    return int(wrong)


def power(case: Case, pools: dict[int, Runs], rng: np.random.Generator, plans: int) -> tuple[list[int], float]:
    """Return the runs planned, and the share of comparisons that see the effect."""
    counts, seen = [], []
    for _ in range(plans):
        count = planned(case, drawn(pools[1], rng, case.scatter, max(1, case.repeats)))
        counts.append(count)
        sides = [[drawn(pools[case.longer], rng, case.scatter, count) for _ in range(case.loads)] for _ in "ab"]
        seen.append(sees(case, *sides))
    return counts, float(np.mean(seen))


def planned(case: Case, pilot: Runs) -> int:
    """Return the planned number of runs a side, or of rounds."""
    known = {quantity(name): [[run[name] for run in pilot]] for name in case.names}
    noise = None if case.repeats else case.scatter
    needs = plan_estimates(known, case.effect, noise=noise, longer=case.longer, loads=case.loads)
    (need,) = (need for need in needs if need.quantity == case.differs)
    return (need.rounds if case.rounds else need.runs) or 0


def sees(case: Case, ours: Sequence[Runs], theirs: Sequence[Runs]) -> bool:
    """Tell whether the quantity that differs at the first load is clearly worse in the comparison."""
    results = []
    for load, (before, after) in enumerate(zip(ours, theirs, strict=True)):
        runs = [tuple(Run(NOWHERE, RunRecord.of({}), f"{side}{at}") for at in range(len(before))) for side in "ab"]
        pairing = Pairing("b", {}, runs[0], runs[1], rounds=case.rounds)
        for name in case.names:
            slower = 1 + case.effect if (name, load) == (case.differs, 0) else 1.0
            slower = 1 / slower if name.endswith("throughput") else slower
            other = [scaled(run[name], slower) for run in after]
            results.append(compare_quantity(pairing, quantity(name), [run[name] for run in before], other))
    corrected = holm([each.p for each in results])
    results = [replace(each, p_holm=p, together=len(results)) for each, p in zip(results, corrected, strict=True)]
    return next(each for each in results if each.quantity.name == case.differs).is_better is False


def drawn(runs: Runs, rng: np.random.Generator, scatter: float, count: int) -> Runs:
    """Return runs of one server: each is as much slower or faster as a whole as runs differ."""
    factors = np.exp(rng.normal(0, np.log1p(scatter), count))
    chosen = [runs[at] for at in rng.integers(len(runs), size=count)]
    return [
        {name: scaled(each, 1 / by if name.endswith("throughput") else by) for name, each in run.items()}
        for run, by in zip(chosen, factors, strict=True)
    ]


def scaled(estimate: Estimate, by: float) -> Estimate:
    value, low, high = (by * each for each in (estimate.value, estimate.low, estimate.high))
    return replace(estimate, value=value, low=low, high=high)


def pool(rng: np.random.Generator, requests: int) -> Runs:
    return [
        {name: quantity(name).estimate(rows) for name in QUANTITIES}
        for rows in (frame(rng, requests) for _ in range(POOL))
    ]


def frame(rng: np.random.Generator, requests: int) -> pd.DataFrame:
    """Return the requests of one run: eight users who take the next when their answer has ended, until all are sent."""
    ttft = rng.lognormal(-2.3, 0.4, (USERS, 2 * requests // USERS))
    tpot = rng.lognormal(-4.0, 0.1, ttft.shape)
    tokens = rng.integers(20, 60, ttft.shape)
    latency = ttft + tpot * (tokens - 1)
    ends = np.cumsum(latency, axis=1)
    columns = {
        "phase": "steady",
        "run_id": "r",
        "start_time": (ends - latency).ravel(),
        "completed_time": ends.ravel(),
        "success": True,
        "latency": latency.ravel(),
        "first_chunk_latency": ttft.ravel(),
        "time_per_output_token": tpot.ravel(),
        "completion_tokens": tokens.ravel(),
        "crossing_gaps": None,
        "load": "closed",
        "parallel": USERS,
        "rate": None,
    }
    return pd.DataFrame(columns).sort_values("start_time", ignore_index=True).head(requests)


if __name__ == "__main__":
    sys.exit(main())
