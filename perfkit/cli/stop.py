"""``perfkit stop``: end a job that runs in the background or on another terminal."""

import argparse

from perfkit.errors import UsageError


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``stop``."""
    stop = subparsers.add_parser(
        "stop",
        help="end the job that writes a run file",
        description="Have the job that writes a run file stop sending. What has arrived is kept.",
    )
    stop.add_argument("file", help="the run file")
    stop.set_defaults(function=stop_job)


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
