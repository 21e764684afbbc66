"""``perfkit attach`` and ``perfkit stop``: follow and end a job in the background or on another terminal."""

import argparse

from perfkit.cli.interruption import interruptible
from perfkit.cli.run import conclude
from perfkit.cli.watching import watched
from perfkit.errors import UsageError


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``attach`` and ``stop``."""
    attach = subparsers.add_parser(
        "attach",
        help="follow the job that writes a run file",
        description="Follow the job that writes a run file, and print its summary. Ctrl-C leaves it running.",
    )
    attach.add_argument("file", help="the run file")
    attach.add_argument("--json", action="store_true", help="print the summary as JSON")
    attach.set_defaults(function=follow_job)
    stop = subparsers.add_parser(
        "stop",
        help="end the job that writes a run file",
        description="Have the job that writes a run file stop sending. What has arrived is kept.",
    )
    stop.add_argument("file", help="the run file")
    stop.set_defaults(function=stop_job)


def follow_job(options: argparse.Namespace) -> int:
    """Follow it to its end, and print the summary."""
    from perfkit.attached import attach

    job = attach(options.file)
    with interruptible(), watched(job):
        job.wait()
    return conclude(job, as_json=options.json)


def stop_job(options: argparse.Namespace) -> int:
    """Stop it, and say what it had done."""
    from perfkit.attached import attach

    job = attach(options.file)
    if job.done():
        raise UsageError(f"nothing is under way in {options.file}")
    try:
        job.stop()
    except TimeoutError as error:
        print(f"{error}; the order stands in the file")
        return 1
    progress = job.progress
    print(f"stopped: {progress.done} requests kept in {progress.path}")
    return 0
