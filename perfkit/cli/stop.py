"""``perfkit stop``: end a job that runs in the background or on another terminal."""

import argparse

from perfkit.cli.json_output import add_json, to_json
from perfkit.errors import UsageError

DESCRIPTION = "Have the job that writes a run file stop sending. What has arrived is kept."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``stop`` takes."""
    parser.add_argument("file", help="the run file, a folder for the newest job in it, or a run's name")
    add_json(parser, "what was done")


def run(options: argparse.Namespace) -> int:
    """Stop it, and say what it had done."""
    from perfkit.runner.attach import attach

    job = attach(options.file)
    if job.done():
        raise UsageError(f"nothing is under way in {job.path}")
    try:
        job.stop()
    except TimeoutError as error:
        print(f"{error}; the order is in the file")
        return 1
    progress = job.progress
    if options.json:
        counts = {"sent": progress.sent, "done": progress.done, "failed": progress.failed}
        print(to_json({"file": progress.path, **counts}))
        return 0
    print(f"stopped: {progress.done} requests kept in {progress.path}")
    return 0
