"""Are the rates of a window those of the server, whatever the run's length? In virtual time, and by a server's log.

    python benchmarks/windows.py                      # 400 virtual runs of each kind and length
    python benchmarks/windows.py --runs 100 --number 100

First virtual runs at a level that is known by construction, of 50, 200 and 1,000 requests: constant and log-normal
latencies, users who begin together, one after the other, or are stopped by the clock, and schedules with and without a
cap. The mean of each rate over the runs may be off the truth by 1 %, beside twice its standard error. Then real runs
against the simulated server: each rate against what the server's own log says of the time from when all users have sent
two requests (in a schedule: after two mean latencies) to the last request that arrived; wanted within 1 %.
"""

import argparse
import heapq
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent.parent))

import perfkit as pk
from perfkit.analysis.metrics import rates
from perfkit.simulator.truth import chunks_by_request, read_requests

USERS, PER_SECOND, TOKENS, PROMPT = 8, 8.0, 64, 10
LENGTHS = (50, 200, 1_000)
LIMIT = 0.01
RATES = ("request_throughput", "output_throughput", "prompt_throughput", "concurrency")
TRUTH = (PER_SECOND, PER_SECOND * TOKENS, PER_SECOND * PROMPT, float(USERS))

Latency = Callable[[np.random.Generator], float]


def constant(rng: np.random.Generator) -> float:
    return 1.0


def lognormal(rng: np.random.Generator) -> float:
    return float(rng.lognormal(-0.125, 0.5))


def closed(rng: np.random.Generator, n: int, draw: Latency, *, ramp: float = 0.0, stops: bool = False) -> pd.DataFrame:
    """Users who send the next request when an answer ends, until n are sent or as long as these take."""
    free = [(ramp * user / USERS) for user in range(USERS)]
    rows: list[tuple[float, float]] = []
    while (at := heapq.heappop(free)) <= n / PER_SECOND if stops else len(rows) < n:
        at = at if stops else heapq.heappop(free)
        rows.append((at, draw(rng)))
        heapq.heappush(free, at + rows[-1][1])
    return frame(rows, ramp, load="closed", parallel=USERS)


def scheduled(rng: np.random.Generator, n: int, draw: Latency, *, cap: int | None = None) -> pd.DataFrame:
    """Poisson arrivals; a cap holds back what comes while as many requests are in flight."""
    rows: list[tuple[float, float]] = []
    busy: list[float] = []
    for at in np.cumsum(rng.exponential(1 / (1.5 * PER_SECOND if cap else PER_SECOND), n)):
        while busy and busy[0] <= at:
            heapq.heappop(busy)
        sent = heapq.heappop(busy) if cap and len(busy) >= cap else float(at)
        rows.append((sent, draw(rng)))
        heapq.heappush(busy, sum(rows[-1]))
    return frame(rows, load="open", rate=PER_SECOND)


def frame(rows: Sequence[tuple[float, float]], ramp: float = 0.0, **settings: object) -> pd.DataFrame:
    start, lasts = np.array(sorted(rows)).T
    return pd.DataFrame(
        {
            "run_id": "a",
            "phase": np.where(start < ramp, "ramp", "steady"),
            "success": True,
            "start_time": start,
            "completed_time": start + lasts,
            "first_chunk_latency": lasts / 4,
            "completion_tokens": TOKENS,
            "prompt_tokens": PROMPT,
            **settings,
        }
    )


VIRTUAL: dict[str, Callable[[np.random.Generator, int], pd.DataFrame]] = {
    "constant": lambda rng, n: closed(rng, n, constant),
    "log-normal": lambda rng, n: closed(rng, n, lognormal),
    "ramped": lambda rng, n: closed(rng, n, lognormal, ramp=2.0),
    "stopped": lambda rng, n: closed(rng, n, lognormal, stops=True),
    "schedule": lambda rng, n: scheduled(rng, n, lognormal),
    "capped": lambda rng, n: scheduled(rng, n, lognormal, cap=USERS),
}


def virtual(name: str, n: int, runs: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return by how much each rate is off the truth on average, as a share, and the standard error of that."""
    rng = np.random.default_rng([seed, n])
    found = []
    for _ in range(runs):
        rows = rates.with_windows(VIRTUAL[name](rng, n))
        found.append([getattr(rates, rate)(rows) for rate in RATES])
    shares = np.array(found) / TRUTH - 1
    return shares.mean(axis=0), shares.std(axis=0, ddof=1) / np.sqrt(runs)


REAL: dict[str, dict[str, object]] = {
    "constant": {"parallel": USERS},
    "log-normal": {"parallel": USERS},
    "ramped": {"parallel": USERS, "ramp": 2.0},
    "stopped": {"parallel": USERS, "duration": 20.0},
    "schedule": {"rate": 8.0},
    "capped": {"rate": 30.0, "max_concurrency": USERS},
}
"""Loads on a server whose first token takes 250 ms and each other one 10 ms."""


def real(name: str, number: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates of a run, and those that the server's log has for the time in which the load was whole."""
    rng = np.random.default_rng(1)
    drawn = np.clip(rng.lognormal(4, 0.5, number), 8, 400).astype(int)
    lengths = [64] * number if name == "constant" else drawn.tolist()
    bodies = [
        {"messages": [{"role": "user", "content": f"{name} {seq}"}], "max_tokens": length}
        for seq, length in enumerate(lengths)
    ]
    log, chunk_log = folder / f"{name}.csv", folder / f"{name}.bin"
    settings = {"model": "simulated", "number": number, "db": str(folder / f"{name}.db")}
    with pk.simulate(ttft=0.25, itl=0.01, log=str(log), chunk_log=str(chunk_log)) as server:
        runs = pk.run(server.url, dataset=bodies, **settings, **REAL[name])
    found = runs.summary().rates.iloc[0]
    chunks = chunks_by_request(chunk_log)
    # The first one tries the connection.
    served = sorted((each for each in read_requests(log) if each.tokens), key=lambda each: each.recv_done_ns)[1:]
    sent = [np.array([chunk.sent for chunk in chunks[each.req]]) / 1e9 for each in served]
    began, ended = (np.array([getattr(each, at) for each in served]) / 1e9 for at in ("recv_done_ns", "end_ns"))
    high = began[-1]
    if "rate" in REAL[name]:
        low = began[0] + 2 * (ended - began).mean()
    else:
        low = began[began > began[0] + 2.0][USERS - 1] if name == "ramped" else began[2 * USERS - 1]
    events = ended, np.concatenate(sent), np.array([each[0] for each in sent])
    counts = [np.sum((at > low) & (at <= high)) for at in events]
    counts[2] = counts[2] * runs.requests["prompt_tokens"].mean()
    in_flight = np.clip(np.minimum(ended, high) - np.maximum(began, low), 0, None).sum()
    return np.array([found[rate] for rate in RATES], dtype=float), np.array([*counts, in_flight]) / (high - low)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=400, help="virtual runs of each kind and length")
    parser.add_argument("--number", type=int, default=300, help="requests of each real run")
    options = parser.parse_args()
    wrong = False
    head = f"{' | '.join(rate.replace('_', ' ') for rate in RATES)} |"
    print(f"Off the truth on average over virtual runs:\n\n| load | requests | {head}\n|{'---|' * 6}")
    for name in VIRTUAL:
        for n in LENGTHS:
            off, error = virtual(
                name, n, max(2, options.runs * LENGTHS[0] // n if name == "constant" else options.runs)
            )
            wrong |= bool(np.any(np.abs(off) > LIMIT + 2 * error))
            cells = " | ".join(f"{share:+.2%} ± {each:.2%}" for share, each in zip(off, error, strict=True))
            print(f"| {name} | {n:,} | {cells} |", flush=True)
    print(f"\nReal runs against the server's log:\n\n| load | requests | {head}\n|{'---|' * 6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in REAL:
            found, truth = real(name, options.number, Path(folder))
            off = found / truth - 1
            wrong |= bool(np.any(np.abs(off) > LIMIT))
            cells = " | ".join(f"{share:+.2%}" for share in off)
            print(f"| {name} | {options.number:,} | {cells} |", flush=True)
    print("\nnot as wanted" if wrong else "\nas wanted")
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
