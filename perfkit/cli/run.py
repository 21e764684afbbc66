"""``perfkit run``: measure an endpoint, keep everything, print the summary."""

import argparse
import os
import sys
import threading
from importlib import import_module
from time import sleep
from typing import TYPE_CHECKING

from perfkit.arguments import Arguments
from perfkit.cli.interruption import Interrupted, interruptible
from perfkit.cli.parser import add_options, given
from perfkit.cli.watching import Log, Requests, watched
from perfkit.errors import NothingSucceeded, PerfkitError
from perfkit.tracking import tracked

if TYPE_CHECKING:
    from perfkit.attached import AttachedJob
    from perfkit.measure import Job, Progress
    from perfkit.runs import Runs

LOOK_EVERY = 0.05
_KEYS = ("api_key", "wandb_api_key")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``run``."""
    run = subparsers.add_parser(
        "run",
        help="measure an endpoint",
        usage="%(prog)s [--url URL] [--model NAME] [--parallel N ... | --rate R ...] [-n N] [options]",
        description="Measure an endpoint, keep every request and chunk in a run file, and print the summary.",
    )
    run.add_argument("--config", metavar="FILE", help="TOML, YAML or JSON file of these options; the command line wins")
    run.add_argument("--json", action="store_true", help="print the summary as JSON")
    run.add_argument("--detach", action="store_true", help="leave it running and say how to watch and end it")
    add_options(run)
    run.set_defaults(function=run_load)


def run_load(options: argparse.Namespace) -> int:
    """Measure, print the summary, and say where everything is."""
    words = given(options)
    advise(words)
    arguments = Arguments.from_mapping(words)
    with interruptible():
        # Loaded within reach of the signals: an impatient Ctrl-C ends in one line, too.
        from perfkit.measure import start

        if options.detach:
            return leave(start(arguments, detach=True))
        return finish(start(arguments), as_json=options.json)


def leave(job: "Job") -> int:
    """Say where to find a detached job, once its load has begun or it has ended.

    Raises
    ------
    PerfkitError
        It failed before.
    """
    while not (job.done() or job.progress.sent):
        sleep(LOOK_EVERY)
    job.raise_failure()
    path = job.progress.path
    print(f"under way: {path}\nwatch it with: perfkit attach {path}\nend it with:   perfkit stop {path}")
    return 0


def finish(job: "Job", *, as_json: bool) -> int:
    """Follow a job to its end, print the summary, and return the exit status.

    Raises
    ------
    PerfkitError
        It failed, nothing succeeded, or too much failed; what it had measured is printed all the same.
    """
    try:
        status = follow(job)
    except PerfkitError:
        if job.succeeded:
            print_summary(job.runs, job, as_json=as_json)
        raise
    return conclude(job, as_json=as_json, status=status)


def conclude(job: "Job | AttachedJob", *, as_json: bool, status: int = 0) -> int:
    """Print the summary of a job that has ended; return its exit status, given that of a signal.

    Raises
    ------
    PerfkitError
        Nothing succeeded, or too much failed.
    """
    runs = job.runs
    print_summary(runs, job, as_json=as_json)
    if job.problem:
        raise PerfkitError(job.problem)
    return status or require_success(runs)


def follow(job: "Job") -> int:
    """Watch a job until it ends; return 0, or the exit status of the signal that ended it.

    Raises
    ------
    PerfkitError
        It failed.
    """
    job.listen(_Preparation())
    if job.arguments.log_every_n_query:
        job.listen(Log(job.arguments.log_every_n_query))
    if job.arguments.debug:
        job.listen(Requests())
    try:
        with watched(job), tracked(job):
            job.wait()
    except Interrupted as interruption:
        return interruption.status
    return 0


class _Preparation:
    """Loads what looks at results once requests are on their way: before, it would delay the first of them."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, progress: "Progress") -> None:
        if progress.sent and not self._begun:
            self._begun = True
            threading.Thread(target=self._load, name="perfkit-preparation", daemon=True).start()

    @staticmethod
    def _load() -> None:
        if sys.platform == "linux":
            # Of this thread alone, so that a load on a small machine is not disturbed by its own driver.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        import_module("perfkit.runs")


def print_summary(runs: "Runs", job: "Job | AttachedJob", *, as_json: bool) -> None:
    """Print the numbers, where they are kept, and whether the run came to its end."""
    from perfkit.cli.show import as_json as to_json

    summary = runs.summary()
    if as_json:
        print(to_json({**summary.to_dict(), "file": job.progress.path, "interrupted": job.interrupted}))
        return
    if not runs:
        print("interrupted before anything was measured")
        return
    if job.interrupted and not job.problem:
        print("interrupted: what had arrived is kept")
    print(summary)
    print(f"\nkept in {job.progress.path}; look again with: perfkit show {job.progress.path}")


def require_success(runs: "Runs") -> int:
    """Return 0 if any request succeeded.

    Raises
    ------
    NothingSucceeded
        None did; the message has the commonest error.
    """
    found = runs.column("success", "error")
    if found["success"].sum():
        return 0
    commonest = found["error"].dropna().mode()
    raise NothingSucceeded(f"no request succeeded; {commonest.iloc[0] if len(commonest) else 'see the run file'}")


def advise(words: dict[str, object]) -> None:
    """Say what is better than a key that is typed in the open."""
    for name in _KEYS:
        key = str(words.get(name) or "")
        if key and not key.startswith(("env:", "@")):
            option = name.replace("_", "-")
            print(
                f"a key typed here stays in the shell's history; better: --{option} env:NAME or @file", file=sys.stderr
            )
