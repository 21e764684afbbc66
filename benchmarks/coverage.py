"""Do intervals hold what they promise? Simulated experiments whose truth is known.

    python benchmarks/coverage.py                      # 1,000 experiments of each kind
    python benchmarks/coverage.py --experiments 100 --permutations 100

Log-normal, bimodal and autocorrelated latencies (each remembers 0.6 of the one before), with at least 500 effective
samples. 95 % intervals should hold the truth in 93 to 97 % of the experiments, and two runs of the same thing should
be called different in 5 % of them, by the interval of their ratio and, in so many experiments, by exchanging requests.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).parent.parent))

from perfkit.comparing.permutation import p_of_requests
from perfkit.comparing.quantity import quantity
from perfkit.estimates import Estimate, mean_estimate, p_value, percentile_estimate, ratio

Draw = Callable[[np.random.Generator, int], np.ndarray]
Estimator = Callable[[np.ndarray], Estimate]


def lognormal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.lognormal(0, 0.5, n)


def bimodal(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.where(rng.random(n) < 0.7, rng.normal(1, 0.1, n), rng.normal(3, 0.3, n))


def autocorrelated(rng: np.random.Generator, n: int) -> np.ndarray:
    noise = rng.normal(size=n) * 0.8
    noise[0] = rng.normal()
    return np.exp(0.5 * lfilter([1], [1, -0.6], noise))


KINDS: dict[str, tuple[Draw, int]] = {
    "log-normal": (lognormal, 600),
    "bimodal": (bimodal, 600),
    "autocorrelated": (autocorrelated, 2_500),
}
STATISTICS: dict[str, Estimator] = {
    "p50": lambda values: percentile_estimate(values, 50),
    "p95": lambda values: percentile_estimate(values, 95),
    "mean": mean_estimate,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=1_000)
    parser.add_argument("--permutations", type=int, default=1_000, help="experiments judged by exchange, too [1000]")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| latencies | n | effective | statistic | holds the truth | ratio holds 1 | A/A different | by exchange |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (draw, n) in KINDS.items():
        rng = np.random.default_rng(options.seed)
        truth = draw(rng, 4_000_000)
        pairs = [(draw(rng, n), draw(rng, n)) for _ in range(options.experiments)]
        for statistic, estimate in STATISTICS.items():
            exchanged = called_by_exchange(statistic, pairs[: options.permutations])
            print(f"| {name} | {n:,} | {row(statistic, estimate, truth, pairs)} | {exchanged:.1%} |", flush=True)
    return 0


def row(name: str, estimate: Estimator, truth: np.ndarray, pairs: list[tuple[np.ndarray, np.ndarray]]) -> str:
    expected = truth.mean() if name == "mean" else np.percentile(truth, float(name[1:]))
    both = [(estimate(first), estimate(second)) for first, second in pairs]
    held = np.mean([first.low <= expected <= first.high for first, _ in both])
    ratios = [ratio(second, first) for first, second in both]
    equal = np.mean([each.low <= 1 <= each.high for each in ratios])
    called = np.mean([p_value(each) < 0.05 for each in ratios])
    effective = np.mean([first.effective for first, _ in both])
    return f"{effective:,.0f} | {name} | {held:.1%} | {equal:.1%} | {called:.1%}"


def called_by_exchange(name: str, pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return how often two runs of the same thing are called different by a permutation test."""
    wanted = quantity(f"e2e_{name}")
    found = []
    for pair in pairs:
        sides = [[pd.DataFrame({"latency": values, "success": True})] for values in pair]
        found.append(p_of_requests(wanted, *sides, draws=199) < 0.05)
    return float(np.mean(found)) if found else float("nan")


if __name__ == "__main__":
    sys.exit(main())
