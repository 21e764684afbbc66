"""Does a comparison claim what is not there, and see what is? Simulated runs whose truth is known.

    python benchmarks/claims.py                        # 2,000 comparisons of each kind, a quarter of differing servers
    python benchmarks/claims.py --comparisons 200

Runs of one server differ by a scatter of 0, 2 or 5 % (a factor for the whole run, log-normal) beside what the luck of
their 400 requests is; a session drifts by half of it from round to round. Of equal servers (A/A) the first sentence may
claim a difference in at most 5 + 1.5 % of the comparisons of the six quantities that perfkit compares, and never with
one run a side. Beside it stands how often a server that is 5 or 10 % slower is called slower: measured one after the
other, and in rounds.
"""

import argparse
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from perfkit.analysis.compare import Comparison, quantity
from perfkit.analysis.compare.pairing import Pairing
from perfkit.analysis.compare.result import compare_quantity
from perfkit.analysis.metrics.quantity import QUANTITIES
from perfkit.analysis.query.run import Run, Source
from perfkit.analysis.stats.distribution import holm
from perfkit.analysis.stats.estimates import Estimate
from perfkit.runfile.record import RunRecord

NOWHERE = Source("", sqlite3.connect(":memory:"))
REQUESTS = 400
LIMIT = 0.065
LUCK = {
    "ttft_p50": 0.03,
    "ttft_p95": 0.06,
    "tpot_mean": 0.01,
    "e2e_p50": 0.02,
    "e2e_p95": 0.04,
    "output_throughput": 0.01,
}
"""What the luck of 400 requests makes of each quantity, as a standard deviation of its logarithm."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    print("| scatter | runs a side | order | A/A claims | +5 % seen | +10 % seen |")
    print("|---|---|---|---|---|---|")
    wrong, seen = False, -(-options.comparisons // 4)
    for scatter in (0.0, 0.02, 0.05):
        for runs in (1, 2, 3, 5):
            for rounds in (False, True):
                shares = [
                    np.mean([claims(rng, scatter, runs, effect, rounds=rounds) for _ in range(count)])
                    for effect, count in ((0.0, options.comparisons), (0.05, seen), (0.10, seen))
                ]
                wrong |= shares[0] > (LIMIT if runs > 1 else 0)
                order = "interleaved" if rounds else "one after the other"
                told = " | ".join(f"{share:.1%}" for share in shares)
                print(f"| {scatter:.0%} | {runs} | {order} | {told} |", flush=True)
    return int(wrong)


def claims(rng: np.random.Generator, scatter: float, runs: int, effect: float, *, rounds: bool) -> bool:
    """Tell whether the first sentence claims a difference."""
    sides = [tuple(Run(NOWHERE, RunRecord.of({}), f"{side}{number}") for number in range(runs)) for side in "ab"]
    pairing = Pairing("b", {}, sides[0], sides[1], rounds=rounds and runs > 1)
    # In rounds both sides have the drift of their round; one after the other the sides' runs drift by themselves.
    drift = rng.normal(0, scatter / 2, runs)
    own = [drift, drift if rounds else rng.normal(0, scatter / 2, runs)]
    factors = [rng.normal(0, scatter, runs) + each for each in own]
    factors[1] = factors[1] + np.log(1 + effect)
    results = []
    for name in QUANTITIES:
        way = -1 if name.endswith("throughput") else 1
        logs = [way * each + rng.normal(0, LUCK[name], runs) for each in factors]
        known = [[estimate(value, LUCK[name]) for value in np.exp(side)] for side in logs]
        results.append(compare_quantity(pairing, quantity(name), *known))
    corrected = holm([each.p for each in results])
    results = [replace(each, p_holm=p) for each, p in zip(results, corrected, strict=True)]
    (answer,) = Comparison("a", tuple(results)).answers
    return answer.startswith(("b is faster", "b is slower", "b is better", "b is worse"))


def estimate(value: float, luck: float) -> Estimate:
    return Estimate(value, value * np.exp(-1.96 * luck), value * np.exp(1.96 * luck), REQUESTS, REQUESTS)


if __name__ == "__main__":
    sys.exit(main())
