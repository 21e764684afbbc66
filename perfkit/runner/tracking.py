"""Telling a tracker of experiments how a job goes: means every n requests, the summary and the charts at its end.

It looks at the run file from a thread of the driver, so that nothing of it runs where requests are measured. A
tracker that fails leaves the run as it is.
"""

import json
import os
import re
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from time import time_ns
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
        Default: those that the job's ``wandb_api_key`` and ``mlflow`` ask for.
    """
    key, uri = job.arguments.wandb_api_key, job.arguments.mlflow
    asked: list[Tracker] = [*([Wandb(key)] if key else []), *([Mlflow(uri)] if uri else [])]
    trackers = [tracker] if tracker is not None else asked
    following = [threading.Thread(target=_follow, args=(job, each), name="perfkit-tracking") for each in trackers]
    for each in following:
        each.start()
    try:
        yield
    finally:
        for each in following:
            each.join()


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


class Mlflow:
    """MLflow, in the experiment ``perfkit``; ``MLFLOW_TRACKING_TOKEN`` and its other variables do as always.

    Parameters
    ----------
    place : str
        The URI of its server, such as ``http://host:5000``, or a file of SQLite.
    """

    def __init__(self, place: str) -> None:
        self._uri = place if "://" in place else f"sqlite:///{place}"
        self._client: Any = None
        self._run_id = ""

    def begin(self, name: str, settings: Mapping[str, Json]) -> None:
        """Start a run; settings become its parameters."""
        # It would send word of its use over the network while requests are measured.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        with _mlflow_fails():
            self._client = MlflowClient(tracking_uri=self._uri)
            found = self._client.get_experiment_by_name("perfkit")
            experiment = found.experiment_id if found else self._client.create_experiment("perfkit")
            self._run_id = self._client.create_run(experiment, run_name=name).info.run_id
            params = [Param(_mlflow_name(key), _mlflow_text(value)) for key, value in settings.items()]
            self._client.log_batch(self._run_id, params=params)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers."""
        self._log(values, step)

    def end(self, summary: Mapping[str, float | str], pictures: Iterable[Path]) -> None:
        """Log the summary, its words as tags and the charts as artifacts, and end the run."""
        from mlflow.entities import RunTag

        self._log({name: value for name, value in summary.items() if not isinstance(value, str)}, 0)
        words = {name: value for name, value in summary.items() if isinstance(value, str)}
        with _mlflow_fails():
            tags = [RunTag(_mlflow_name(name), _mlflow_text(value)) for name, value in words.items()]
            self._client.log_batch(self._run_id, tags=tags)
            for picture in pictures:
                self._client.log_artifact(self._run_id, str(picture), "charts")
            self._client.set_terminated(self._run_id)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = time_ns() // 1_000_000
        metrics = [Metric(_mlflow_name(name), float(value), now, step) for name, value in values.items()]
        with _mlflow_fails():
            for first in range(0, len(metrics), _MLFLOW_BATCH):
                self._client.log_batch(self._run_id, metrics=metrics[first : first + _MLFLOW_BATCH])


_MLFLOW_BATCH = 500
"""Metrics of one message; MLflow takes a thousand at most."""


@contextmanager
def _mlflow_fails() -> Iterator[None]:
    """Turn what MLflow raises into TrackingFailed."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise TrackingFailed(" ".join(str(error).split())) from None


def _mlflow_name(name: str) -> str:
    """Return a name that MLflow takes: letters, digits, and ``_ - . /`` and blanks.

    Examples
    --------
    >>> _mlflow_name("qwen parallel=8/ttft/p95")
    'qwen parallel-8/ttft/p95'
    """
    return re.sub(r"[^\w\-. /]", "-", name, flags=re.ASCII)[:250].strip("/") or "-"


def _mlflow_text(value: Json) -> str:
    return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))[:5000]
