"""A sheet of all charts for 1, 2, 6, 20 and 40 runs, in colour and in grey, to be looked at.

    python benchmarks/chart_sheet.py /tmp/sheet                    # all charts, 300 requests a run
    python benchmarks/chart_sheet.py /tmp/sheet ecdf box           # two of them
    python benchmarks/chart_sheet.py /tmp/sheet --requests 100000  # in all, dealt to the runs
    python benchmarks/chart_sheet.py /tmp/sheet --runs 2 --requests 20

One picture a chart: a row for each number of runs, colour beside grey. The requests are made up by a small model of an
engine with a queue; the runs are deployments at several loads, named as people name them.
"""

import argparse
import heapq
import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pandas as pd
from PIL import Image

from perfkit.analysis.plots import CHARTS, render
from perfkit.analysis.plots.canvas import Style, styled

COUNTS = (1, 2, 6, 20, 40)
LOADS = (4, 16, 64, 1, 256)
EPOCH = 1_790_000_000.0
SLOTS = 24


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("charts", nargs="*", default=[], help="default: all")
    parser.add_argument("--requests", type=int, default=0, help="in all; default: 300 a run")
    parser.add_argument("--runs", type=int, nargs="+", default=COUNTS, help="how many; default: 1 2 6 20 40")
    parser.add_argument("--size", choices=("notebook", "paper"), default="notebook")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    made = {count: deployments(count, options.requests // count or 300) for count in options.runs}
    for name in options.charts or CHARTS.built_in:
        rows = [
            [picture(name, made[count], Style(options.size, grey=grey)) for grey in (False, True)] for count in made
        ]
        path = options.folder / f"{name}.png"
        tiled(rows).save(path)
        print(path)
    return 0


def picture(name: str, requests: pd.DataFrame, style: Style) -> Image.Image:
    chart, started = CHARTS[name], time.perf_counter()
    rows = chunks(requests) if chart.needs == "chunks" else requests
    with styled(style), warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(render(chart.draw(rows, chart.metric), "png", dpi=100)))
    print(
        f"{name}: {requests['run'].nunique()} runs, {len(requests):,} requests, {time.perf_counter() - started:.2f} s"
    )
    return image


def tiled(rows: list[list[Image.Image]]) -> Image.Image:
    """Put pictures beside and below each other, on a ground that shows where each ends."""
    width = max(sum(each.width + 10 for each in row) for row in rows)
    sheet = Image.new("RGB", (width, sum(max(each.height for each in row) + 10 for row in rows)), "#ffd9d9")
    top = 0
    for row in rows:
        left = 0
        for each in row:
            sheet.paste(each, (left, top))
            left += each.width + 10
        top += max(each.height for each in row) + 10
    return sheet


def deployments(count: int, number: int) -> pd.DataFrame:
    """Return the requests of so many runs: deployments, each under several loads."""
    loads = LOADS[: 1 if count == 1 else 2 if count < 4 else 3 if count < 12 else 5]
    runs = []
    for at in range(count):
        deployment, load = divmod(at, len(loads))
        name = f"qwen2.5-72b tp{2 ** (deployment % 4)}{' fp8' * (deployment % 8 > 3)}"
        speed = 1.6 / (1 + deployment % 4) ** 0.5 * (0.8 if deployment % 8 > 3 else 1)
        runs.append(served(f"{name}, {loads[load]} users", name, loads[load], number, speed, seed=at))
    together = pd.concat(runs, ignore_index=True)
    doubtful = together["run"].unique()[1::3]
    return together.assign(
        run=pd.Categorical(together["run"], together["run"].unique()),
        verdict=np.where(together["run"].isin(doubtful), "SUSPECT", "VALID"),
    )


def served(run: str, name: str, users: int, number: int, speed: float, seed: int) -> pd.DataFrame:
    """Answer the requests of users who ask one after the other, first come first served in so many slots."""
    rng = np.random.default_rng(seed)
    prompt = rng.lognormal(5.2, 0.7, number).astype(int) + 8
    tokens = np.clip(rng.lognormal(4.2, 0.5, number), 4, 400).astype(int)
    waiting, slots = [0.0] * users, [0.0] * SLOTS
    rows: list[tuple[Any, ...]] = []
    for seq in range(number):
        scheduled = heapq.heappop(waiting)
        start = scheduled + rng.exponential(0.0004)
        begun = max(start, heapq.heappop(slots))
        busy = sum(free > begun for free in slots) + 1
        first = begun + (0.03 + prompt[seq] * 2e-4) * speed * rng.lognormal(0, 0.25)
        gap = 0.011 * speed * (1 + busy / 30) * rng.lognormal(0, 0.05)
        end = first + gap * (tokens[seq] - 1) + 0.0005
        failed = rng.random() < (0.02 if users > 16 else 0)
        end = start + rng.uniform(0.05, 0.5) if failed else end
        heapq.heappush(slots, end)
        heapq.heappush(waiting, end)
        rows.append((start, scheduled, first, end, gap, not failed))
    t, scheduled, first, end, gap, good = (np.array(column) for column in zip(*rows, strict=True))
    good = good.astype(bool)
    return pd.DataFrame(
        {
            "run": run,
            "name": name,
            "run_id": run,
            "seq": range(number),
            "phase": np.where(t < 0.05 * t.max(), "warmup", "steady"),
            "t": t,
            "success": good,
            "error_kind": np.where(good, None, rng.choice(["timeout", "http", "reset"], number)),
            "start_time": EPOCH + t,
            "scheduled_time": EPOCH + scheduled,
            "completed_time": EPOCH + end,
            "last_token_time": np.where(good, EPOCH + end - 0.0005, np.nan),
            "latency": np.where(good, end - t, np.nan),
            "first_chunk_latency": np.where(good, first - t, np.nan),
            "time_per_output_token": np.where(good, gap, np.nan),
            "prompt_tokens": prompt,
            "completion_tokens": np.where(good, tokens, np.nan),
            "parallel": float(users),
            "rate": np.nan,
            "load": "closed",
        }
    )


def chunks(requests: pd.DataFrame, pieces: int = 30) -> pd.DataFrame:
    """Return the chunks of the first answers of each run."""
    rng, parts = np.random.default_rng(0), []
    for index, request in requests[requests["success"]].groupby("run", observed=True).head(20).iterrows():
        at = request["first_chunk_latency"] + np.cumsum(rng.lognormal(-4.3, 0.3, pieces))
        kinds = np.where(np.arange(pieces) == 0, "role", "content")
        parts.append(pd.DataFrame({"request": index, "run": request["run"], "arrival": at, "kind": kinds}))
    made = pd.concat(parts, ignore_index=True)
    return made.assign(run=made["run"].astype(requests["run"].dtype), censored=rng.random(len(made)) < 0.1)


if __name__ == "__main__":
    sys.exit(main())
