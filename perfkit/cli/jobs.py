"""What commands that measure share: follow a job to its end, print its summary, return the exit status."""

import argparse
import os
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING

from perfkit.analysis.notebook.live import Remarked
from perfkit.cli.interruption import Interrupted
from perfkit.cli.json_output import to_json
from perfkit.cli.watching import Log, Requests, watcher
from perfkit.errors import NothingSucceeded, PerfkitError
from perfkit.options.coercion import as_mapping
from perfkit.printable import plain
from perfkit.runner.tracking import tracked
from perfkit.secrets import is_secret_name, keys_in

if TYPE_CHECKING:
    from perfkit.analysis.results.runs import Runs
    from perfkit.runner.attach import AttachedJob
    from perfkit.runner.start import Job, Progress


def finish(job: "Job", options: argparse.Namespace) -> int:
    """Follow a job to its end, print the summary, and return the exit status."""
    try:
        status = follow(job, options)
    except PerfkitError:
        if job.succeeded:
            print_summary(job.runs, job, as_json=options.json)
        raise
    status = conclude(job, as_json=options.json, status=status)
    if not job.done():  # a plugin holds a thread of this process, which would be waited for
        sys.stdout.flush()
        os._exit(status)
    return status


def conclude(job: "Job | AttachedJob", *, as_json: bool, status: int = 0) -> int:
    """Print the summary of a job that has ended; return its exit status, given that of a signal."""
    runs = job.runs
    print_summary(runs, job, as_json=as_json)
    if job.problem and not status:
        raise PerfkitError(job.problem)
    if job.problem:
        print(f"perfkit: {plain(job.problem)}", file=sys.stderr)
    return status or require_success(runs)


def follow(job: "Job", options: argparse.Namespace) -> int:
    """Watch a job until it ends; return 0, or the exit status of the signal that ended it."""
    if not options.quiet:
        job.listen(Remarked())
    job.listen(_Preparation())
    if job.arguments.log_every_n_query:
        job.listen(Log(job.arguments.log_every_n_query))
    if job.arguments.debug:
        job.listen(Requests())
    try:
        with watcher(options)(job), tracked(job):
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
        import_module("perfkit.analysis.results.runs")


def print_summary(runs: "Runs", job: "Job | AttachedJob", *, as_json: bool) -> None:
    """Print the numbers, where they are kept, and whether the run came to its end."""
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
    """Return 0 if any request succeeded."""
    found = runs.column("success", "error")
    if found["success"].sum():
        return 0
    commonest = found["error"].dropna().mode()
    raise NothingSucceeded(f"no request succeeded; {commonest.iloc[0] if len(commonest) else 'see the run file'}")


def advise(words: dict[str, object]) -> None:
    """Say what is better than a key that is typed in the open."""
    for name in ("api_key", "wandb_api_key"):
        key = str(words.get(name) or "")
        if key and not key.startswith(("env:", "@")):
            _say_better(name, "env:NAME or @file")
    for name in ("headers", "extra_args", "parameters", "dataset_args"):
        given = words.get(name)
        held = as_mapping(name, given) if given else {}
        if name == "headers":
            held = {each: value for each, value in held.items() if is_secret_name(each)}
        if any(not key.startswith("env:") for key in keys_in(held)):
            _say_better(name, "NAME=env:VARIABLE")


def _say_better(name: str, form: str) -> None:
    option = name.replace("_", "-")
    print(f"a key typed here stays in the shell's history; better: --{option} {form}", file=sys.stderr)
