"""Requests as a small serving engine would answer them: what the tests of charts draw."""

import heapq

import numpy as np
import pandas as pd

EPOCH = 1_790_000_000.0
SLOTS = 24


def served(run, *, parallel=None, rate=None, number=400, speed=1.0, failing=0.0, seed=0):
    """Answer requests of a closed model (parallel) or an open one (rate), first come first served."""
    rng = np.random.default_rng(seed)
    prompt = rng.lognormal(5.2, 0.7, number).astype(int) + 8
    tokens = np.clip(rng.lognormal(4.2, 0.5, number), 4, 400).astype(int)
    due = np.cumsum(rng.exponential(1 / rate, number)) if rate else None
    users, slots, rows = [0.0] * (parallel or 0), [0.0] * SLOTS, []
    for seq in range(number):
        scheduled = due[seq] if rate else heapq.heappop(users)
        start = scheduled + rng.exponential(0.0004)
        begun = max(start, heapq.heappop(slots))
        busy = sum(free > begun for free in slots) + 1
        first = begun + (0.03 + prompt[seq] * 2e-4) * speed * rng.lognormal(0, 0.25)
        gap = 0.011 * speed * (1 + busy / 30) * rng.lognormal(0, 0.05)
        end = first + gap * (tokens[seq] - 1) + 0.0005
        failed = rng.random() < failing
        if failed:
            end = start + rng.uniform(0.05, 0.5)
        heapq.heappush(slots, end)
        if parallel:
            heapq.heappush(users, end)
        rows.append((seq, start, scheduled, first, end, gap, failed, begun))
    frame = pd.DataFrame(rows, columns=["seq", "t", "scheduled", "first", "end", "gap", "failed", "begun"])
    good = ~frame["failed"]
    requests = pd.DataFrame(
        {
            "run": run,
            "run_id": f"id-{run}",
            "seq": frame["seq"],
            "phase": "steady",
            "t": frame["t"],
            "success": good,
            "start_time": EPOCH + frame["t"],
            "scheduled_time": EPOCH + frame["scheduled"],
            "completed_time": EPOCH + frame["end"],
            "last_token_time": (EPOCH + frame["end"] - 0.0005).where(good),
            "latency": (frame["end"] - frame["t"]).where(good),
            "first_chunk_latency": (frame["first"] - frame["t"]).where(good),
            "time_per_output_token": frame["gap"].where(good),
            "prompt_tokens": prompt,
            "completion_tokens": pd.Series(tokens).where(good),
            "parallel": float(parallel) if parallel else np.nan,
            "rate": float(rate) if rate else np.nan,
            "load": "closed" if parallel else "open",
            "model": "qwen2.5-7b-instruct",
        }
    )
    return requests


def together(*parts):
    """Put runs under each other, as one frame with an index of its own."""
    return pd.concat(parts, ignore_index=True)


def chunked(requests, answers=6, pieces=30, seed=0):
    """Spread the chunks of the first answers over their time."""
    rng = np.random.default_rng(seed)
    rows = []
    for index, request in requests.head(answers).iterrows():
        at = request["first_chunk_latency"]
        rows.append((index, request["run"], at * 0.9, "role", False))
        for piece in range(pieces):
            censored = piece % 7 == 3
            rows.append((index, request["run"], at, "content", censored))
            at += 0.0 if censored else rng.lognormal(-4.3, 0.3)
    return pd.DataFrame(rows, columns=["request", "run", "arrival", "kind", "censored"])
