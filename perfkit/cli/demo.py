"""``perfkit demo``: the whole of it on this machine: a simulated server, four loads, the summary and the charts."""

import argparse
import sys
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

from perfkit.cli.interruption import interruptible
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.watching import Watching, add_quiet, watched, watcher
from perfkit.errors import UsageError
from perfkit.records import Json

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs

SERVER: dict[str, Any] = {"slots": 40, "itl": 0.008, "prefill_rate": 12_000.0, "jitter": 0.15, "model": "simulated-7b"}
"""An engine that 64 users overload and 8 do not, so that the charts have something to show."""
CLOSED: dict[str, Any] = {"parallel": [1, 8, 64], "number": [10, 110, 320]}
OPEN: dict[str, Any] = {"rate": 22.0, "number": 160}
PROMPTS: Json = {"median": 700, "sigma": 0.9, "max": 8000}
"""Their lengths, in characters."""
ANSWERS: Json = {"median": 40, "sigma": 0.5, "min": 4, "max": 160}
"""Their lengths, in tokens."""
OVERVIEW = ("ecdf-ttft", "sweep-ttft", "over_time-concurrency", "scatter-ttft")


DESCRIPTION = "Benchmark a simulated endpoint with 1, 8 and 64 users, then in the open model, and draw charts."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``demo`` takes."""
    parser.add_argument(
        "--to", default="outputs", metavar="DIR", help="where demo.db and the charts go; default: outputs"
    )
    add_json(parser, "the summary")
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print the summary, draw, and say where everything is."""
    began = perf_counter()
    path = Path(options.to) / "demo.db"
    with interruptible():
        runs = measured(path, watcher(options))
        if not options.json:
            print(runs)
        charts = drawn(runs, path.parent / "demo")
    if options.json:
        print(to_json({**runs.summary().to_dict(), "file": str(path), "charts": list(map(str, charts))}))
        return 0
    print(f"\nrun file  {path}")
    print(f"charts    {charts[0].parent}/: {', '.join(sorted({chart.stem for chart in charts}))}")
    print(f"took      {perf_counter() - began:.0f} s")
    print(f"\nlook again with: perfkit show {path}; by hand, in Jupyter: pk.explore({str(path)!r})")
    return 0


def measured(path: Path, watch: Watching = watched) -> "Runs":
    """Benchmark a simulated server into a new run file; an earlier demo's is replaced."""
    from perfkit.analysis.results.open import open as open_runs
    from perfkit.runner.start import start
    from perfkit.simulator import simulate

    _make_room(path)
    with simulate(**SERVER) as server:
        print(f"simulated server at {server.url}: 40 slots, 8 ms a token", file=sys.stderr)
        for name, load in (("closed", CLOSED), ("open", OPEN)):
            job = start(server.url, db=str(path), dataset=bodies(600), name=name, **load)
            with watch(job):
                job.wait()
    return open_runs(path)


def _make_room(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            each.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}; give another folder with --to") from None


def bodies(count: int) -> list[dict[str, Json]]:
    """Return request bodies whose prompts and answers are of many lengths, the same every time.

    Examples
    --------
    >>> [body["max_tokens"] for body in bodies(3)]
    [49, 35, 42]
    """
    from perfkit.loadgen.datasets.random_text import Words, lengths

    rng = Random(1)
    words = Words.of(None)
    characters, tokens = lengths(PROMPTS, rng), lengths(ANSWERS, rng)
    texts = (words.text(characters(), rng) for _ in range(count))
    return [{"messages": [{"role": "user", "content": text}], "max_tokens": tokens()} for text in texts]


def drawn(runs: "Runs", folder: Path) -> list[Path]:
    """Draw every usual chart, and four of them on one sheet."""
    written = runs.export(folder, formats=["png", "svg"])
    return [sheet(folder), *written]


def sheet(folder: Path) -> Path:
    """Put the pictures of four charts side by side."""
    import numpy as np
    from matplotlib.image import imread, imsave

    pictures = [imread(folder / f"{name}.png") for name in OVERVIEW]
    tallest, widest = (max(each.shape[axis] for each in pictures) for axis in (0, 1))
    # A chart is as tall as what it holds: white below makes them equal.
    filled = [((0, tallest - each.shape[0]), (0, widest - each.shape[1]), (0, 0)) for each in pictures]
    equal = [np.pad(each, room, constant_values=1) for each, room in zip(pictures, filled, strict=True)]
    path = folder / "overview.png"
    imsave(path, np.vstack([np.hstack(equal[:2]), np.hstack(equal[2:])]))
    return path
