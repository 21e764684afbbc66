"""Several runs of one load, alone or against another server: what tells a difference from the scatter between runs."""

import itertools
import os
import random
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from perfkit.analysis.notebook.live import SeveralJobs
from perfkit.errors import PerfkitError, UsageError
from perfkit.loadgen.datasets import open_dataset
from perfkit.loadgen.recorder.run_record import default_name
from perfkit.options.arguments import Arguments
from perfkit.options.signatures import takes_options
from perfkit.runner.capacity import Watch
from perfkit.runner.job import Job

if TYPE_CHECKING:
    from perfkit.analysis.compare import Comparison
    from perfkit.analysis.results.runs import Runs

SIDES = ("A", "B")
_LOOK_EVERY = 0.1
_STOP_WAIT = 60.0


@dataclass(frozen=True)
class Server:
    """One side: where it is, and the shell commands that start and stop it, where it must be started each round."""

    url: str
    start: str | None = None
    stop: str | None = None


@takes_options
def repeat(url: str | Arguments | None = None, /, *, count: int, watch: Watch | None = None, **given: Any) -> "Runs":
    """Measure one load several times, each time with the next prompts of its dataset, or with the same ones and a salt.

    Parameters
    ----------
    url : str or Arguments
        The endpoint, or everything.
    count : int
        How many times.
    watch : callable, optional
        Shows each job until it ends.
    **given
        Fields of ``Arguments``.

    Returns
    -------
    Runs
        All of them, of one file and name, each with the tag ``repeat``.
    """
    base = _shared(url, given, count)
    watch = watch or SeveralJobs()
    offset, run_ids = base.dataset_offset, []
    for number in range(count):
        arguments = base.replace(dataset_offset=_wrapped(base, offset), tags={**base.tags, "repeat": str(number + 1)})
        runs = _measure(arguments, f"run {number + 1} of {count}", watch)
        offset += _sent(runs) if base.salt == "none" else 0
        run_ids += [run.run_id for run in runs.members]
    return _opened(base, run_ids)


@takes_options
def ab(
    url_a: str,
    url_b: str,
    /,
    *,
    repeat: int = 5,
    start_a: str | None = None,
    stop_a: str | None = None,
    start_b: str | None = None,
    stop_b: str | None = None,
    start_timeout: float = 600.0,
    noise: str | float | None = None,
    watch: Watch | None = None,
    **given: Any,
) -> "Comparison":
    """Compare two servers by rounds: in each, both are measured in random order with the same prompts.

    Parameters
    ----------
    url_a, url_b : str
        The endpoints; A is the baseline. They may be the same where commands start another server behind it.
    repeat : int
        How many rounds. Each has the next prompts of the dataset, or the second would measure the prefix cache; with
        ``salt="run"`` all have the same ones, new to the cache.
    start_a, stop_a, start_b, stop_b : str, optional
        Shell commands that start and stop a side's server in each round, so that what a restart changes counts, too,
        and one GPU need not hold both. Without ``stop``, what ``start`` runs is ended by SIGTERM.
    start_timeout : float, seconds
        How long a server may take until it answers.
    noise : str or float, optional
        As for ``Runs.compare``.
    watch : callable, optional
        Shows each job until it ends.
    **given
        Fields of ``Arguments``.

    Returns
    -------
    Comparison
        Of B with A, paired by round. The runs are in the file ``db``, named A and B and tagged ``round``.

    Raises
    ------
    UsageError
        What was given cannot be used.
    PerfkitError
        A server did not answer in time, or its command failed.

    Examples
    --------
    >>> from perfkit.simulator import simulate
    >>> with simulate(ttft=0.01, itl=0.001) as a, simulate(ttft=0.05, itl=0.001) as b:
    ...     with tempfile.TemporaryDirectory() as folder:
    ...         found = ab(a.url, b.url, repeat=2, number=8, parallel=2, max_tokens=4, workers=0, db=f"{folder}/ab.db")
    >>> [len(side) for side in (found.results[0].pairing.baseline_runs, found.results[0].pairing.other_runs)]
    [2, 2]
    """
    servers = dict(zip(SIDES, (Server(url_a, start_a, stop_a), Server(url_b, start_b, stop_b)), strict=True))
    base = _shared(url_a, given, repeat)
    order = random.Random(base.arrival_seed)
    watch = watch or SeveralJobs()
    offset, run_ids = base.dataset_offset, []
    for number in range(repeat):
        tags = {**base.tags, "round": str(number + 1)}
        arguments = base.replace(dataset_offset=_wrapped(base, offset), tags=tags)
        for side in order.sample(SIDES, 2):
            own = arguments.replace(url=servers[side].url, name=side)
            with _served(servers[side], start_timeout):
                runs = _measure(own, f"{side}, round {number + 1} of {repeat}", watch)
            if base.salt == "none":
                offset = max(offset, arguments.dataset_offset + _sent(runs))
            run_ids += [run.run_id for run in runs.members]
    return _opened(base, run_ids).compare("A", match=_matched(base), noise=noise)


def _matched(arguments: Arguments) -> list[str]:
    """Return what must be equal: both sides were sent the same, whatever their models are called."""
    return ["rate" if arguments.rate is not None else "parallel"]


def _shared(url: str | Arguments | None, given: Mapping[str, Any], count: int) -> Arguments:
    """Return what all runs share, with one name and file."""
    if not isinstance(count, int) or count < 1:
        raise UsageError(f"repeat is a whole number of runs, 1 or more, got {count!r}")
    if isinstance(url, Arguments):
        base = url.replace(**given)
    else:
        base = Arguments.from_mapping({**({"url": url} if url is not None else {}), **given})
    if isinstance(base.dataset, Iterator):
        raise UsageError("prompts that can be read only once cannot be repeated; give dataset a list, a name or a file")
    name = base.name or default_name(base.model_name)
    return base.replace(name=name, db=base.db or str(Path("outputs") / f"{name.replace('/', '_')}.db"))


def _wrapped(arguments: Arguments, offset: int) -> int:
    """Return where in the dataset a run begins: past its end the first prompts come again."""
    if not offset:
        return 0
    length = sum(1 for _ in itertools.islice(open_dataset(arguments).prompts(), offset + 1))
    return offset if length > offset else offset % max(length, 1)


def _sent(runs: "Runs") -> int:
    return int(runs.table["sent"].max()) if len(runs) else 0


def _measure(arguments: Arguments, name: str, watch: Watch) -> "Runs":
    job = Job(arguments)
    with watch(job, name, ""):
        return job.wait()


def _opened(base: Arguments, run_ids: list[str]) -> "Runs":
    from perfkit.analysis.results.open import open as open_runs

    return open_runs(str(base.db)).pick(run_id=run_ids)


@contextmanager
def _served(server: Server, timeout: float) -> Iterator[None]:
    """Start a server and wait until it answers; stop it at the end."""
    if server.start is None:
        yield
        return
    if _answers(server.url):
        raise PerfkitError(
            f"a server answers at {server.url} before its start command has run, so another one would be measured: "
            "stop it, or see why the stop command has not"
        )
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            server.start, shell=True, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            until = monotonic() + timeout
            while not _answers(server.url):
                # A command that ended well may have left a server behind, as `docker start` does.
                if process.poll() or monotonic() > until:
                    output.seek(0)
                    words = output.read()[-500:].decode("utf-8", "replace").strip()
                    why = f"ended with status {process.returncode}" if process.poll() else f"took over {timeout:g} s"
                    raise PerfkitError(
                        f"the server at {server.url} does not answer: its start command {why}; its last words: {words}"
                    )
                sleep(_LOOK_EVERY)
            yield
        finally:
            _stop(server, process)


def _stop(server: Server, process: "subprocess.Popen[bytes]") -> None:
    """Stop a server, and wait until its start command has ended and it answers no more."""
    if server.stop is not None:
        done = subprocess.run(server.stop, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode:
            words = (done.stdout + done.stderr)[-500:].decode("utf-8", "replace").strip()
            _end(process)
            raise PerfkitError(
                f"the server at {server.url} may still run: its stop command ended with status {done.returncode}; its "
                f"last words: {words}"
            )
    else:
        _end(process)
    try:
        process.wait(_STOP_WAIT)
    except subprocess.TimeoutExpired:
        _end(process)
        process.wait()
    until = monotonic() + _STOP_WAIT
    while _answers(server.url) and monotonic() < until:
        sleep(_LOOK_EVERY)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command with all that it began: they share its session."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)


def _answers(url: str) -> bool:
    """Tell whether a server answers, with whatever but an error of its own: 503 is how some say that they load."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        with build_opener(ProxyHandler({})).open(f"{parts.scheme}://{parts.netloc}/v1/models", timeout=5):
            return True
    except HTTPError as error:
        return error.code < 500
    except (URLError, OSError, HTTPException):
        return False
