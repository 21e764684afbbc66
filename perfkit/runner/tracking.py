"""Telling a tracker of experiments how a job goes: means every n requests, the summary and the charts at its end.

It looks at the run file from a thread of the driver, so that nothing of it runs where requests are measured. A
tracker that fails leaves the run as it is.
"""

import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from perfkit.errors import PerfkitError
from perfkit.records import Json
from perfkit.runfile.schema import FAILED

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs
    from perfkit.runner.job import Job

EVERY = 10
"""Requests between two messages, unless ``log_every_n_query`` says another number."""
LOOK = 0.5
"""Seconds between two looks at the job."""

_SINCE = f"""
SELECT count(*), coalesce(sum({FAILED}), 0), avg(first_chunk_latency),
       avg(time_per_output_token), avg(latency),
       coalesce(max(rowid), :after)
FROM result WHERE rowid > :after AND phase != 'preflight' AND run_id IN (SELECT value FROM json_each(:runs))
"""


class TrackingFailed(PerfkitError):
    """A tracker could not be told something."""


class Tracker(Protocol):
    """Another program that keeps track of experiments. Its methods may raise TrackingFailed."""

    def begin(self, name: str, settings: Mapping[str, Json]) -> None:
        """Take the name of the run and its settings, secrets removed."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take numbers after ``step`` requests."""

    def end(self, summary: Mapping[str, float | str], pictures: Iterable[Path]) -> None:
        """Take the last numbers, and charts as PNG files."""


@contextmanager
def tracked(job: "Job", tracker: Tracker | None = None) -> Iterator[None]:
    """Tell a tracker of a job until both have ended.

    Parameters
    ----------
    job : Job
        As ``pk.start`` returns it.
    tracker : Tracker, optional
        Default: Weights & Biases if the job was given its key, else none.
    """
    key = job.arguments.wandb_api_key
    tracker = tracker or (Wandb(key) if key else None)
    if tracker is None:
        yield
        return
    following = threading.Thread(target=_follow, args=(job, tracker), name="perfkit-tracking")
    following.start()
    try:
        yield
    finally:
        following.join()


def _follow(job: "Job", tracker: Tracker) -> None:
    try:
        _tell(job, tracker)
    except (TrackingFailed, sqlite3.Error) as error:
        sys.stderr.write(f"tracking ended early, the run did not: {error}\n")


def _tell(job: "Job", tracker: Tracker) -> None:
    ended = threading.Event()
    job.listen(lambda _: ended.set() if job.done() else None)
    while job.progress.path is None and not job.done():
        ended.wait(LOOK / 5)
    path = job.progress.path
    if path is None:
        return
    tracker.begin(job.arguments.name or Path(path).stem, job.arguments.shown())
    step, after = 0, 0
    while True:
        last = job.done()
        count, values, latest = _means(path, job.progress.run_ids, after)
        if count >= (1 if last else job.arguments.log_every_n_query or EVERY):
            step, after = step + count, latest
            tracker.log(step, {**values, "in_flight": job.progress.in_flight})
        if last:
            break
        ended.wait(LOOK)
    with tempfile.TemporaryDirectory() as folder:
        tracker.end(*_results(job.runs, Path(folder)) if step else ({}, []))


def _means(path: str, run_ids: Iterable[str], after: int) -> tuple[int, dict[str, float], int]:
    """Return how many requests came after a row, their means in seconds, and the last row."""
    if not Path(path).exists():  # a run that a mistake ended before it began is taken back
        return 0, {}, after
    runs = "[" + ",".join(f'"{run_id}"' for run_id in run_ids) + "]"
    with closing(sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True)) as file:
        count, failed, *means, latest = file.execute(_SINCE, {"after": after, "runs": runs}).fetchone()
    values = dict(zip(("ttft", "tpot", "e2e"), means, strict=True))
    return count, {"failed": failed, **{name: mean for name, mean in values.items() if mean is not None}}, latest


def _results(runs: "Runs", folder: Path) -> tuple[dict[str, float | str], list[Path]]:
    """Return the summary as names and values, and the usual charts."""
    summary = runs.summary().to_dict()
    values: dict[str, float | str] = {f"{run}/verdict": found["level"] for run, found in summary["verdicts"].items()}
    for row in summary["rates"]:
        values |= {f"{row['run']}/{name}": value for name, value in row.items() if _is_number(value)}
    for row in summary["metrics"]:
        of = f"{row['run']}/{row['metric']}"
        values |= {f"{of}/{name}": value for name, value in row.items() if _is_number(value)}
    return values, [path for path in runs.export(folder, formats=["png"]) if path.suffix == ".png"]


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Wandb:
    """Weights & Biases, in the project ``perfkit``; ``WANDB_MODE=offline`` and its other variables do as always.

    Parameters
    ----------
    key : str
        The API key.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._run: Any = None

    def begin(self, name: str, settings: Mapping[str, Json]) -> None:
        """Start a run."""
        import wandb

        quiet = wandb.Settings(
            api_key=str(self._key),
            silent=True,
            console="off",
            x_disable_meta=True,  # it would keep the command line, in which keys may stand
            x_disable_stats=True,  # it would take turns with the measurement
        )
        try:
            self._run = wandb.init(project="perfkit", name=name, config=dict(settings), settings=quiet)
        except wandb.Error as error:
            raise TrackingFailed(str(error)) from None

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers."""
        self._run.log(dict(values), step=step)

    def end(self, summary: Mapping[str, float | str], pictures: Iterable[Path]) -> None:
        """Log summary and charts, and end the run."""
        import wandb

        try:
            self._run.log({f"chart/{picture.stem}": wandb.Image(str(picture)) for picture in pictures})
            self._run.summary.update(dict(summary))
            self._run.finish()
        except wandb.Error as error:
            raise TrackingFailed(str(error)) from None
