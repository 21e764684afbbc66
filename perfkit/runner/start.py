"""The bridge between the towers: start a measurement, and look at its runs."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from perfkit.errors import UsageError
from perfkit.loadgen.workers.work import Resumed
from perfkit.options.arguments import Arguments
from perfkit.options.signatures import takes_options
from perfkit.records import ListedModel, Prompt
from perfkit.registry import APIS
from perfkit.runner.attach import attach
from perfkit.runner.job import Job, Progress
from perfkit.runner.tracking import tracked
from perfkit.secrets import MASK

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs

__all__ = ["Job", "Progress", "attach", "check", "replay", "resume", "run", "run_perf_benchmark", "start"]


@takes_options
def start(url: str | Arguments | None = None, /, *, detach: bool = False, **given: Any) -> Job:
    """Start a measurement and return at once.

    Parameters
    ----------
    url : str or Arguments
        The endpoint, or everything.
    detach : bool
        It goes on when this process ends; ``attach`` finds it again by its run file.
    **given
        Fields of ``Arguments``.

    Returns
    -------
    Job
        ``job.progress``, ``job.runs``, ``job.stop()``, ``await job``.

    Raises
    ------
    UsageError
        What was given cannot be used.

    Examples
    --------
    >>> from perfkit.simulator import simulate
    >>> with simulate(ttft=0.01, itl=0.001) as server, tempfile.TemporaryDirectory() as folder:
    ...     job = start(server.url, number=3, max_tokens=4, db=f"{folder}/a.db")
    ...     runs = job.wait()
    >>> job.progress.done, job.progress.failed
    (3, 0)
    """
    return Job(_arguments(url, given), detach=detach)


@takes_options
def run(url: str | Arguments | None = None, /, **given: Any) -> "Runs":
    """Measure an endpoint, showing progress, and return the runs.

    Parameters
    ----------
    url : str or Arguments
        The endpoint, or everything.
    **given
        Fields of ``Arguments``; lists of ``parallel`` or ``rate`` make a sweep.

    Returns
    -------
    Runs
        One run per point of the sweep, opened from the run file.

    Raises
    ------
    UsageError
        What was given cannot be used.
    NothingSucceeded
        The server cannot be reached, or refuses the preflight request; its row is in the file all the same.
    StorageError
        The file cannot be written.

    Examples
    --------
    >>> from perfkit.simulator import simulate
    >>> with simulate(ttft=0.01, itl=0.001) as server, tempfile.TemporaryDirectory() as folder:
    ...     runs = run(server.url, parallel=2, number=4, max_tokens=4, db=f"{folder}/a.db")
    ...     int(runs.requests["success"].sum())
    4
    """
    from perfkit.analysis.notebook.live import Remarked, show

    job = start(url, **given)
    job.listen(Remarked())
    with show(job), tracked(job):
        return job.wait()


@takes_options
def check(url: str | Arguments | None = None, /, **given: Any) -> "Runs":
    """Send one request and return its run: model, usage, role chunk, TTFT are in it.

    Parameters
    ----------
    url : str or Arguments
        The endpoint, or everything.
    **given
        As for ``run``.

    Returns
    -------
    Runs
        One run of one request.
    """
    example = (
        {}
        if {"preset", "prompt", "dataset", "dataset_path"} & given.keys()
        else _example(str(given.get("api", "openai")))
    )
    short = {"max_tokens": 16} if _sends_length(given) else {}
    given = {"number": 1, "preflight": False, "workers": 0, **short, **example, **given}
    if "db" not in given:
        given["db"] = str(Path(tempfile.mkdtemp(prefix="perfkit-check-")) / "check.db")
    return start(url, **given).wait()


def _example(api: str) -> Mapping[str, str]:
    """Return settings that make one request of an API."""
    example: Mapping[str, str] = getattr(APIS.get(api), "example", {"prompt": "Say hello."})
    return example


def _sends_length(given: Mapping[str, Any]) -> bool:
    """Tell whether an API has a field for the longest answer."""
    api = given.get("api", "openai")
    takes = vars(APIS.get(api)).get("takes") if api in APIS else None
    return takes is None or "max_tokens" in takes


@takes_options
def replay(runs: "Runs | str | Path", url: str | None = None, /, *, speed: float = 1.0, **given: Any) -> Job:
    """Send the requests of an earlier run again: the same bodies, at the same times, in the same order.

    Parameters
    ----------
    runs : Runs, or path
        One run, of any tool whose files hold the bodies. Its preflight request is left out.
    url : str, optional
        Where to; default: where it was sent.
    speed : float
        2 plays it twice as fast.
    **given
        Further fields of ``Arguments``; ``model`` replaces the bodies' own.

    Returns
    -------
    Job
        As ``start`` returns it.

    Raises
    ------
    UsageError
        There is not exactly one run, or its file holds no bodies.

    Examples
    --------
    >>> import perfkit as pk
    >>> with pk.simulate(ttft=0.01, itl=0.001) as server, tempfile.TemporaryDirectory() as folder:
    ...     first = pk.start(server.url, rate=100, number=3, max_tokens=4, db=f"{folder}/a.db").wait()
    ...     again = replay(first, speed=2.0, db=f"{folder}/b.db").wait()
    ...     len(again.requests)
    3
    """
    if isinstance(runs, str | Path):
        from perfkit.analysis.results.open import open as open_runs

        runs = open_runs(runs)
    if len(runs) != 1:
        raise UsageError(f"replay takes one run, got {len(runs)}: {', '.join(runs.labels)}; choose with pick")
    rows = runs.requests.sort_values("start_time")
    begin = rows["start_time"].min()
    record = runs.members[0].record
    target = str(record.get("target") or "")
    asked: dict[str, Any] = {"url": _endpoint(url, target), "rate": -1}
    # Bodies keep their own; the run's only spares asking the server.
    asked |= {"model": ListedModel(record["model"])} if record.get("model") else {}
    asked |= {"api": "verbatim", "preflight": False, "number": len(rows), "speed": speed}
    asked |= {"name": f"{runs.labels[0]}-replay", **given}
    return start(**{**asked, "dataset": _Recording(runs, begin)})


def _endpoint(url: str | None, target: str) -> str | list[str]:
    """Return where to replay to: a base URL gains the path of the run's own target.

    Examples
    --------
    >>> _endpoint("other:8000", "http://host/v1/completions")
    'http://other:8000/v1/completions'
    """
    targets = target.split(", ")
    if url is None:
        return targets if len(targets) > 1 else target
    parts = urlsplit(url if "://" in url else f"http://{url}")
    return (parts if parts.path.strip("/") else parts._replace(path=urlsplit(targets[0]).path)).geturl()


@dataclass(frozen=True)
class _Recording:
    """The requests of a run as prompts with their times; each worker reads it from its beginning."""

    runs: "Runs"
    begin: float

    def __iter__(self) -> Iterator[Prompt]:
        rows = self.runs.decoded().sort_values("start_time")
        told = ("request", "start_time", "request_id", "request_headers")
        for request, moment, identity, headers in zip(*(rows[name] for name in told), strict=True):
            if not isinstance(request, dict):
                raise UsageError(
                    f"{self.runs.labels[0]} holds no request bodies: it was run with texts=False, or saved without them"
                )
            own = json.loads(headers) if isinstance(headers, str) else {}
            own = {name: value for name, value in own.items() if value != MASK}  # a key that nobody has kept
            due = float(moment - self.begin)
            yield Prompt(request, request_id=identity, due=due, headers=own or None)


@takes_options
def resume(path: str | Path, **given: Any) -> Job:
    """Go on with a sweep that was interrupted: measure the points that are missing.

    Points that finished are kept as they are, whatever failed in them and even if their runs were removed since:
    ``job.resumed.left`` names them. What a half-done point has stored stays in the file as its own, interrupted run.

    Parameters
    ----------
    path : str or Path
        The run file. Its last sweep is the one that goes on.
    **given
        Fields of ``Arguments`` that the file does not hold: keys and secret headers, a list of prompts.

    Returns
    -------
    Job
        As ``start`` returns it; its runs are those newly measured.

    Raises
    ------
    UsageError
        The file holds no sweep, it is still under way, nothing of it is missing, or its prompts came from the session
        that began it: then ``dataset`` gives them again.

    Examples
    --------
    >>> import perfkit as pk
    >>> with pk.simulate(ttft=0.01, itl=0.001) as server, tempfile.TemporaryDirectory() as folder:
    ...     _ = pk.start(server.url, parallel=[1, 2], number=2, max_tokens=4, db=f"{folder}/a.db").wait()
    ...     resume(f"{folder}/a.db")
    Traceback (most recent call last):
    perfkit.errors.UsageError: nothing is missing: all 2 points of the sweep finished (parallel=1; parallel=2)
    """
    from perfkit.analysis.results.open import open as open_runs

    opened = open_runs(path)
    # Runs that someone removed were measured all the same.
    every = [*opened.members, *opened.left_out]
    records = sorted((run.record for run in every), key=lambda record: record.get("start_time") or 0.0)
    sweeps = [record["sweep_id"] for record in records if record.get("sweep_id")]
    if not sweeps:
        raise UsageError(f"{path} holds no sweep; a sweep is a run with several values of parallel or rate")
    of_sweep = [record for record in records if record.get("sweep_id") == sweeps[-1]]
    if any(record.get("status") == "running" for record in of_sweep):
        raise UsageError(f"the sweep of {path} is still under way; wait for it, or end it with: perfkit stop {path}")
    plan = of_sweep[-1].plan
    finished = {record["point"]: record for record in of_sweep if record.get("status") == "finished"}
    missing = [index for index in range(plan["points"]) if index not in finished]
    left = "; ".join(_point(finished[index]) for index in sorted(finished))
    if not missing:
        raise UsageError(f"nothing is missing: all {plan['points']} points of the sweep finished ({left})")
    dataset = str(plan["arguments"].get("dataset", ""))
    if dataset.startswith("<") and "dataset" not in given:
        kind = dataset.strip("<>")
        raise UsageError(
            f"its prompts were a {kind} in memory and are not in the file; pass them again: resume(file, dataset=…)"
        )
    for name in ("api", "parser"):
        if str(plan["arguments"].get(name, "")).startswith("<") and name not in given:
            raise UsageError(
                f"its {name} was a class in memory and is not in the file; pass it again: resume(file, {name}=…)"
            )
    again = {**plan["arguments"], **given, "db": str(path)}
    for name in ("extra_args", "parameters", "query_template", "prompt", "system", "scrape"):
        if MASK in str(again.get(name, "")):
            raise UsageError(
                f"the file holds {name} without what is secret in it; pass it again: resume(file, {name}=…)"
            )
    arguments = Arguments.from_record(again)
    return Job(arguments, Resumed(sweeps[-1], tuple(missing), left))


def _point(record: Mapping[str, Any]) -> str:
    """Say which point a run was, and how many of its requests failed.

    Examples
    --------
    >>> _point({"parallel": 4, "rate": None, "failed": 36, "succeeded": 44})
    'parallel=4, where 36 of 80 requests failed'
    """
    load = "rate" if record.get("rate") is not None else "parallel"
    failed, done = record["failed"] or 0, (record["failed"] or 0) + (record["succeeded"] or 0)
    return f"{load}={record[load]:g}" + (f", where {failed:,} of {done:,} requests failed" if failed else "")


def run_perf_benchmark(arguments: Arguments | dict[str, Any]) -> "Runs":
    """Measure as evalscope does: everything in one Arguments (or dict); prints the summary.

    Returns
    -------
    Runs
        One run per point.
    """
    given = arguments if isinstance(arguments, Arguments) else Arguments.from_mapping(arguments)
    runs = run(given)
    sys.stdout.write(f"{runs}\n")
    return runs


def _arguments(url: str | Arguments | None, given: dict[str, Any]) -> Arguments:
    if isinstance(url, Arguments):
        return url.replace(**given) if given else url
    return Arguments.from_mapping({**({"url": url} if url is not None else {}), **given})
