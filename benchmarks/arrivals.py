"""Do requests arrive as asked? What the server's own log says of Poisson, gamma and constant arrivals.

    python benchmarks/arrivals.py                      # 20 s of each, at 50 and at 500 requests/s
    python benchmarks/arrivals.py --fit-rate 20 --rate 200 --seconds 5

Gaps between the first bytes of requests, as the server received them, are held against the law asked for:
Kolmogorov-Smirnov for Poisson and gamma (p > 0.01 passes), and for constant arrivals the share of gaps within 1 ms of
the one asked for (95 % passes). The rate is the number of gaps over their sum, and is to be within 1 % of the rate of
the schedule, whose own draw of a random process differs from its mean; that of constant arrivals from the rate itself.

The law is required at ``--fit-rate``, the rate at ``--rate``; both are printed at both. At 500/s the mean gap is 2 ms,
and 10,000 gaps tell a few hundredths of a millisecond from none: there the test judges the client's alarm and the
scheduling of processes on the machine, the server's as much as the client's.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np
from scipy.stats import gamma, kstest

sys.path.insert(0, str(Path(__file__).parent.parent))

import perfkit as pk
from perfkit.load import offsets
from perfkit.records import Arrival
from perfkit.simulator.truth import read_requests

SIGNIFICANT = 0.01
CLOSE = 0.001
"""Seconds: a constant gap this near to the one asked for counts as kept."""
KEPT = 0.95
RATE_ERROR = 0.01


@dataclass(frozen=True)
class Law:
    """One arrival process; ``shape`` is that of its gamma gaps, None for equal ones."""

    name: str
    arrival: Arrival
    shape: float | None


LAWS = (
    Law("Poisson", "poisson", 1.0),
    Law("gamma, burstiness 0.5", "gamma", 0.5),
    Law("gamma, burstiness 3", "gamma", 3.0),
    Law("constant", "constant", None),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit-rate", type=float, default=50.0)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("| arrivals | requests | rate of the schedule | rate at the server | error | gaps | verdict |")
    print("|---|---|---|---|---|---|---|")
    fitting = [judge(law, options.fit_rate, options.seconds, options.seed)[0] for law in LAWS]
    on_time = [judge(law, options.rate, options.seconds, options.seed)[1] for law in LAWS]
    return 0 if all(fitting + on_time) else 1


def judge(law: Law, rate: float, seconds: float, seed: int) -> tuple[bool, bool]:
    """Measure one law, print its line, and tell whether the gaps fit it and whether the rate was kept."""
    received, verdict = measured(law, rate, seconds, seed)
    gaps = np.diff(received)
    due = list(takewhile(lambda offset: offset <= seconds, schedule(law, rate, seed)))
    asked = (len(due) - 1) / (due[-1] - due[0])
    achieved = len(gaps) / gaps.sum()
    error = achieved / asked - 1
    fits, told = goodness(law, rate, gaps)
    print(
        f"| {law.name} | {len(received):,} of {len(due):,} | {asked:.1f}/s | {achieved:.1f}/s | {error:+.2%} | {told} "
        f"| {verdict} |",
        flush=True,
    )
    return fits, abs(error) <= RATE_ERROR and len(received) == len(due)


def schedule(law: Law, rate: float, seed: int) -> Iterator[float]:
    return offsets(rate, law.arrival, seed=seed, burstiness=law.shape or 1.0)


def measured(law: Law, rate: float, seconds: float, seed: int) -> tuple[np.ndarray, str]:
    """Return when the server saw the first byte of each request [s], in order, and the run's verdict."""
    with tempfile.TemporaryDirectory() as name:
        log = Path(name) / "log.csv"
        with pk.simulate(ttft=0.01, itl=0.005, output_tokens=2, log=str(log)) as server:
            runs = pk.start(
                server.url,
                rate=rate,
                arrival=law.arrival,
                burstiness=law.shape or 1.0,
                arrival_seed=seed,
                duration=seconds,
                prompt="hello",
                preflight=False,
                db=f"{name}/run.db",
            ).wait()
        (judged,) = runs.verdicts.values()
        stamps = [each.recv_start_ns for each in read_requests(log) if each.path == "chat"]
    return np.sort(np.array(stamps)) / 1e9, judged.level if judged else "not judged"


def goodness(law: Law, rate: float, gaps: np.ndarray) -> tuple[bool, str]:
    """Hold gaps against their law: whether they fit, and the figure that says so."""
    if law.shape is None:
        near = float(np.mean(np.abs(gaps - 1 / rate) < CLOSE))
        return near >= KEPT, f"{near:.1%} within 1 ms"
    test = kstest(gaps, gamma(law.shape, scale=1 / (law.shape * rate)).cdf)
    return bool(test.pvalue > SIGNIFICANT), f"KS D={test.statistic:.4f}, p={test.pvalue:.2f}"


if __name__ == "__main__":
    sys.exit(main())
