"""Do intervals hold what they promise, and are those marked that cannot? Simulated runs whose truth is known.

    python benchmarks/coverage.py                      # 400 runs of each kind and size
    python benchmarks/coverage.py --runs 100

Independent latencies (log-normal, Pareto 1.5, one in a hundred 20 times as long, rounded, two values) and dependent
ones (each remembers 0.95 of the one before, a drift from 1 to 2, stalls that hold up ten in a row, bursts in which all
take three times as long), 20 to 1,000 of each. Of the intervals *without a mark*, 92 to 98 % are to hold the truth,
for each statistic over all kinds and sizes; of log-normal latencies at most 10 % are to be marked from 200 requests on.
A run in which no outlier, stall or burst happened to come cannot know of them: such runs are counted apart. Where
values are few (rounded, two values), intervals hold more often than they say, as the truth is itself one of the values;
these are not in the totals. Then the rates of closed and open runs. What changes from run to run is in none: see
``claims.py``.
"""

import argparse
import heapq
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).parent.parent))

from perfkit.analysis.metrics.quantity import quantity
from perfkit.analysis.stats.estimates import Estimate, estimates, ratio

Floats = np.ndarray
Draw = Callable[[np.random.Generator, int], tuple[Floats, bool]]
"""Latencies in order of time, and whether what is rare about them came."""

SIZES = (20, 50, 100, 200, 500, 1_000)
QUANTILES = (50, 90, 95, 99)
LEAST, MOST, MARKED = 0.92, 0.98, 0.10
TRUTH = 1_000_000
"""Latencies that the truth is worked out of."""
SHAPE = 0.5
"""Sigma of all log-normal latencies."""


def lognormal(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    return rng.lognormal(0, SHAPE, n), True


def pareto(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    return rng.pareto(1.5, n) + 1, True


def outliers(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    is_slow = rng.random(n) < 0.01
    return rng.lognormal(0, SHAPE, n) * np.where(is_slow, 20, 1), bool(is_slow.any())


def rounded(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    return np.round(rng.lognormal(0, SHAPE, n), 1), True


def two_values(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    return np.where(rng.random(n) < 0.3, 2.0, 1.0), True


def autoregressive(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    noise = rng.normal(size=n) * np.sqrt(1 - 0.95**2)
    noise[0] = rng.normal()
    return np.exp(SHAPE * lfilter([1], [1, -0.95], noise)), True


def drifting(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    return rng.lognormal(0, SHAPE, n) * np.linspace(1, 2, n), True


def stalled(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    before = 10
    held = np.zeros(n + 2 * before)
    for at in np.flatnonzero(rng.random(n + before) < 1 / 60):
        held[at : at + 10] = np.maximum(held[at : at + 10], 5 * np.linspace(1, 0.1, 10))
    held = held[before : before + n]
    return rng.lognormal(0, SHAPE, n) + held, bool(held.any())


def bursts(rng: np.random.Generator, n: int) -> tuple[Floats, bool]:
    before = 100
    is_slow = np.zeros(n + 2 * before, dtype=bool)
    for at in np.flatnonzero(rng.random(n + before) < 1 / 50):
        is_slow[at : at + int(rng.geometric(0.1))] = True
    is_slow = is_slow[before : before + n]
    return rng.lognormal(0, SHAPE, n) * np.where(is_slow, 3, 1), bool(is_slow.any())


@dataclass(frozen=True)
class Kind:
    """Some latencies: how they are drawn, and their mean where no sample shows it."""

    draw: Draw
    mean: float | None = None
    has_few_values: bool = False

    def truth(self, rng: np.random.Generator, n: int) -> dict[str, float]:
        values = np.concatenate([self.draw(rng, n)[0] for _ in range(TRUTH // n)])
        found = dict(zip([f"p{q}" for q in QUANTILES], np.percentile(values, QUANTILES), strict=True))
        return {"mean": values.mean() if self.mean is None else self.mean, **found}


KINDS = {
    "log-normal": Kind(lognormal),
    "Pareto 1.5": Kind(pareto, mean=3.0),
    "1 % outliers": Kind(outliers),
    "rounded": Kind(rounded, has_few_values=True),
    "two values": Kind(two_values, has_few_values=True),
    "AR 0.95": Kind(autoregressive),
    "drift": Kind(drifting),
    "stalls": Kind(stalled),
    "bursts": Kind(bursts),
}


@dataclass
class Count:
    """How many intervals of a statistic went without a mark, and held the truth."""

    all: int = 0
    unmarked: int = 0
    held: int = 0
    unseen: int = 0
    """Without a mark in runs in which nothing rare came."""
    pairs: int = 0
    equal: int = 0

    def add(self, estimate: Estimate, truth: float, *, came: bool) -> None:
        self.all += 1
        if estimate.mark:
            return
        self.unseen += not came
        self.unmarked += came
        self.held += came and estimate.low <= truth <= estimate.high

    def add_pair(self, one: Estimate, other: Estimate) -> None:
        if not (one.mark or other.mark):
            found = ratio(other, one)
            self.pairs += 1
            self.equal += found.low <= 1 <= found.high

    def __iadd__(self, other: "Count") -> "Count":
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self

    @property
    def marked(self) -> float:
        return 1 - (self.unmarked + self.unseen) / self.all

    @property
    def coverage(self) -> float:
        return self.held / self.unmarked if self.unmarked else float("nan")

    def __str__(self) -> str:
        if not self.unmarked:
            return f"{self.marked:.0%}"
        few = " (few)" if self.unmarked < self.all / 10 else ""
        return f"{self.marked:.0%}, {self.coverage:.1%}{few}"


def count(kind: Kind, n: int, runs: int, seed: int = 1) -> tuple[dict[str, Count], float]:
    """Return what became of the intervals of each statistic, and the share of the runs in which nothing rare came."""
    rng = np.random.default_rng([seed, n])
    truth = kind.truth(rng, n)
    found = {name: Count() for name in truth}
    before: dict[str, Estimate] | None = None
    unseen = 0
    for _ in range(runs):
        values, came = kind.draw(rng, n)
        unseen += not came
        each = estimates(values, QUANTILES)
        for name, estimate in each.items():
            found[name].add(estimate, truth[name], came=came)
            if before is not None:
                found[name].add_pair(before[name], estimate)
        before = each if before is None else None
    return found, unseen / runs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    names = ["mean", *(f"p{q}" for q in QUANTILES)]
    print("Share of the intervals that are marked, and how many of the others hold the truth:\n")
    print(f"| latencies | n | {' | '.join(names)} | nothing rare came |\n|{'---|' * (len(names) + 3)}")
    totals = {name: Count() for name in names}
    failed = []
    for title, kind in KINDS.items():
        for n in SIZES:
            found, unseen = count(kind, n, options.runs, options.seed)
            print(f"| {title} | {n:,} | {' | '.join(map(str, found.values()))} | {unseen:.0%} |", flush=True)
            for name in names:
                if not kind.has_few_values:
                    totals[name] += found[name]
                if (
                    title == "log-normal"
                    and n >= 200
                    and name in ("mean", "p50", "p95")
                    and found[name].marked > MARKED
                ):
                    failed.append(f"{found[name].marked:.0%} of {name} are marked at n = {n}")
    print(
        "\n| statistic | marked | of the others hold the truth | ratios of two hold 1 | unmarked, nothing rare came |"
    )
    print("|---|---|---|---|---|")
    for name, total in totals.items():
        equal = total.equal / max(total.pairs, 1)
        unseen = total.unseen / total.all
        print(f"| {name} | {total.marked:.0%} | {total.coverage:.1%} | {equal:.1%} | {unseen:.1%} |")
        if not LEAST <= total.coverage <= MOST:
            failed.append(f"{total.coverage:.1%} of the intervals of {name} hold the truth")
    failed += rates(options.runs // 2, options.seed)
    print(f"\nfailed: {'; '.join(failed)}" if failed else "\nas wanted")
    return int(bool(failed))


USERS, TOKENS, PER_SECOND = 8, 64, 8.0
LOADS = ("closed", "open")
REPORTED = ("request_throughput", "output_throughput")


def requests(rng: np.random.Generator, load: str, n: int) -> pd.DataFrame:
    """Return the requests of a run: eight users, or Poisson arrivals of as many a second; log-normal latencies."""
    lasts = rng.lognormal(-(SHAPE**2) / 2, SHAPE, n)
    if load == "open":
        starts = np.cumsum(rng.exponential(1 / PER_SECOND, n))
    else:
        free, starts = [0.0] * USERS, np.empty(n)
        for at, each in enumerate(lasts):
            starts[at] = heapq.heappop(free)
            heapq.heappush(free, starts[at] + each)
    settings = {"load": load, "parallel": USERS} if load == "closed" else {"load": load, "rate": PER_SECOND}
    return pd.DataFrame(
        {
            "run_id": "a",
            "phase": "steady",
            "success": True,
            "start_time": starts,
            "completed_time": starts + lasts,
            "first_chunk_latency": lasts / 10,
            "completion_tokens": TOKENS,
            **settings,
        }
    )


def rates(runs: int, seed: int) -> list[str]:
    """Print how often intervals of rates hold the truth, and return what is not as wanted."""
    print("\n| rate | load | n | marked, of the others hold the truth |\n|---|---|---|---|")
    failed = []
    totals: Counter[str] = Counter()
    for name in REPORTED:
        truth = PER_SECOND * (TOKENS if name == "output_throughput" else 1)
        for load in LOADS:
            for n in SIZES[1:]:
                rng = np.random.default_rng([seed, n])
                found = Count()
                for _ in range(runs):
                    found.add(quantity(name).estimate(requests(rng, load, n)), truth, came=True)
                print(f"| {name} | {load} | {n:,} | {found} |", flush=True)
                totals["held"] += found.held
                totals["unmarked"] += found.unmarked
        if not LEAST <= (share := totals["held"] / max(totals["unmarked"], 1)) <= MOST:
            failed.append(f"{share:.1%} of the intervals of {name} hold the truth")
        totals.clear()
    return failed


if __name__ == "__main__":
    sys.exit(main())
