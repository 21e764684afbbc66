"""Do several workers measure what one measures, and what is lost when one of them dies?

    python benchmarks/workers.py --rate 40 --seconds 10 --rounds 3 --kills 5

Same load: one worker, two local processes and two Dask workers send the same Poisson arrivals to a simulator whose
every run draws its latencies anew (mean TTFT 100 ms, ITL 10 ms). TTFT of several workers against one's: the two-sample
Kolmogorov-Smirnov test. ITL: the same distance, over all gaps; gaps of one answer are alike, so that its p comes from
permuting whole requests. p > 0.01 passes.

Killed: of two Dask workers that carry 16 users, one is killed at a random moment: alone, or with all that runs
beside it, as when its machine fails. By the server's log, no answer that had ended may be missing; of a machine that
failed, none that had ended 250 ms before. The run must say whose share is missing, and must not be VALID. The exit
status is 1 if anything did not hold.
"""

import argparse
import random
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns, sleep
from typing import Any

import numpy as np
import psutil
from scipy.stats import ks_2samp, permutation_test

sys.path.insert(0, str(Path(__file__).parent.parent))

import perfkit as pk
from benchmarks.dask_cluster import Cluster, dask_cluster
from perfkit.simulator.truth import read_requests

SIGNIFICANT = 0.01
GRACE = 250_000_000  # ns: what the failure of a machine may cost
SERVER = {"ttft": 0.1, "itl": 0.01, "jitter": 0.8, "output_tokens": 24}


@dataclass(frozen=True)
class Sample:
    """What one way to carry the load measured: a TTFT and an array of gaps for each request, and the verdicts."""

    ttft: np.ndarray
    gaps: list[np.ndarray]
    verdicts: list[str]


_ANSWERED = "SELECT server_request_id FROM result UNION ALL SELECT server_request_id FROM preflight"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=40.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=5, help="of each kind")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS), help="what is killed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, dask_cluster(Path(folder)) as cluster:
        ways = {"one worker": 1, "two local processes": 2, "two Dask workers": cluster.client}
        same = compare(ways, options.rate, options.seconds, options.rounds)
    kept = lose(options.kills, options.kinds)
    return 0 if same and kept else 1


# -- The same load ---------------------------------------------------------------------------------------------------


Serve = Callable[[int], AbstractContextManager[str]]
"""Starts the target with a seed; gives its URL."""


@contextmanager
def served_here(seed: int) -> Iterator[str]:
    with pk.simulate(**SERVER, seed=seed) as server:
        yield server.url


def compare(ways: dict[str, Any], rate: float, seconds: float, rounds: int, serve: Serve = served_here) -> bool:
    """Carry the load in each way, turn about; print what was measured, and tell whether it is the same."""
    parts: dict[str, list[Sample]] = {way: [] for way in ways}
    for number in range(rounds):
        for at, (way, workers) in enumerate(ways.items()):
            parts[way].append(measured(workers, rate, seconds, serve(number * len(ways) + at)))
    samples = {way: _together(some) for way, some in parts.items()}
    one = samples["one worker"]
    print(
        "| load carried by | requests | TTFT p50, p99 [ms] | ITL p50, p99 [ms] | TTFT as one | ITL as one | verdicts |"
    )
    print("|---|---|---|---|---|---|---|")
    passed = []
    for way, sample in samples.items():
        told = ["-", "-"]
        if sample is not one:
            tests = [ks_2samp(sample.ttft, one.ttft), gaps_test(sample.gaps, one.gaps)]
            told = [f"D={test.statistic:.3f}, p={test.pvalue:.2f}" for test in tests]
            passed += [test.pvalue > SIGNIFICANT for test in tests]
        gaps = np.concatenate(sample.gaps)
        figures = [", ".join(f"{x * 1e3:.1f}" for x in np.percentile(part, [50, 99])) for part in (sample.ttft, gaps)]
        print(f"| {way} | {len(sample.ttft):,} | {' | '.join([*figures, *told])} | {', '.join(sample.verdicts)} |")
    return all(passed)


def measured(workers: Any, rate: float, seconds: float, serving: AbstractContextManager[str]) -> Sample:
    with tempfile.TemporaryDirectory() as folder, serving as url:
        job = pk.start(
            url,
            rate=rate,
            number=round(rate * seconds),
            prompt="hello",
            workers=workers,
            db=f"{folder}/r.db",
        )
        runs = job.wait()
        chunks = runs.chunks
        tokens = chunks[(chunks["kind"] == "content") & chunks["request"].isin(runs.requests.index)]
        gaps = [np.diff(np.sort(times.to_numpy())) for _, times in tokens.groupby("request")["arrival"]]
        (verdict,) = runs.verdicts.values()
        return Sample(runs.requests["ttft"].dropna().to_numpy(), gaps, [verdict.level if verdict else "not judged"])


def _together(samples: list[Sample]) -> Sample:
    return Sample(
        np.concatenate([sample.ttft for sample in samples]),
        [gaps for sample in samples for gaps in sample.gaps],
        [level for sample in samples for level in sample.verdicts],
    )


def gaps_test(some: list[np.ndarray], others: list[np.ndarray]) -> Any:
    """Hold the gaps of requests against those of others, whole requests permuted."""
    every = [*some, *others]

    def distance(left: np.ndarray, right: np.ndarray) -> float:
        sides = [np.sort(np.concatenate([every[int(index)] for index in side])) for side in (left, right)]
        at = np.concatenate(sides)
        low, high = (np.searchsorted(side, at, side="right") / len(side) for side in sides)
        return float(np.abs(low - high).max())

    indices = (np.arange(len(some)), np.arange(len(some), len(every)))
    return permutation_test(
        indices,
        distance,
        vectorized=False,
        n_resamples=499,
        alternative="greater",
        random_state=np.random.default_rng(1),
    )


# -- Killed ----------------------------------------------------------------------------------------------------------

KINDS = {"worker": "the Dask worker", "machine": "all that runs there"}


def lose(kills: int, kinds: list[str]) -> bool:
    """Kill a Dask worker some times; print what became of its requests, and tell whether all promises held."""
    rng = random.Random(1)
    print("\n| killed | runs | answers finished | missing | of the last 250 ms missing | says whose share is missing |")
    print("|---|---|---|---|---|---|")
    kept = True
    for kind in kinds:
        trials = [_killed(kind, rng.uniform(0.1, 1.2)) for _ in range(kills)]
        finished, missing, recent, told = (sum(column) for column in zip(*trials, strict=True)) if trials else (0,) * 4
        print(f"| {KINDS[kind]} | {kills} | {finished:,} | {missing} | {recent} | {told} of {kills} |")
        kept = kept and not missing and told == kills
    return kept


def _killed(kind: str, moment: float) -> tuple[int, int, int, bool]:
    """Kill one of two Dask workers; return finished answers, those missing, those that may be, and the run's word."""
    with tempfile.TemporaryDirectory() as name, dask_cluster(Path(name)) as cluster:
        path, log = Path(name) / "r.db", Path(name) / "log.csv"
        with pk.simulate(ttft=0.02, itl=0.004, jitter=0.5, log=str(log)) as server:
            given = {"parallel": 16, "duration": 2.5, "max_tokens": 8, "prompt": "hello", "db": str(path)}
            job = pk.start(server.url, workers=cluster.client, **given)
            while job.progress.done < 16:
                sleep(0.005)
            sleep(moment)
            ended = perf_counter_ns()
            _kill(cluster, kind)
            job.wait()
        return reckoned(path, log, ended, GRACE if kind == "machine" else 0)


def reckoned(path: Path, log: Path, ended: int, grace: int) -> tuple[int, int, int, bool]:
    """Return answers finished by the server's log, those missing, those of the last moment missing, and the run's word.

    Parameters
    ----------
    path, log : Path
        Run file, and the server's log.
    ended : int
        When a worker or its host went, by ``perf_counter_ns``.
    grace : int
        Nanoseconds before that from which answers may be missing.
    """
    with closing(sqlite3.connect(path)) as db:
        stored = {int(told.rpartition("-")[2]) for told in _column(db, _ANSWERED)}
        (verdict, reasons) = db.execute("SELECT verdict, reasons FROM run").fetchone()
    finished = [each for each in read_requests(log) if each.outcome == "ok" and each.events]
    lost = [each for each in finished if each.req not in stored]
    recent = [each for each in lost if grace and ended - grace < each.end_ns]
    return len(finished), len(lost) - len(recent), len(recent), verdict != "VALID" and "worker 2 of 2" in reasons


def _kill(cluster: Cluster, kind: str) -> None:
    _, worker = sorted(cluster.workers.items())[1]
    process = psutil.Process(worker.pid)
    below = process.children(recursive=True) if kind == "machine" else []
    for each in (*below, process):
        each.send_signal(signal.SIGKILL)


def _column(db: sqlite3.Connection, query: str) -> Iterator[str]:
    return (value for (value,) in db.execute(query) if value is not None)


if __name__ == "__main__":
    sys.exit(main())
