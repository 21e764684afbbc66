"""``perfkit attach``: follow a job that runs in the background or on another terminal."""

import argparse
import sys

from perfkit.cli.interruption import Interrupted, interruptible
from perfkit.cli.jobs import conclude
from perfkit.cli.json_output import add_json
from perfkit.cli.watching import add_quiet, watcher

DESCRIPTION = "Follow the job that writes a run file, and print its summary. Ctrl-C leaves it running."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``attach`` takes."""
    parser.add_argument("file", nargs="?", help="the run file, a folder or a run's name; default: the newest job")
    add_json(parser, "the summary")
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Follow it to its end, and print the summary."""
    from perfkit.runner.attach import attach

    job = attach(options.file)
    with interruptible():
        try:
            with watcher(options)(job):
                job.wait()
        except Interrupted as interruption:
            again = f"follow it again with: perfkit attach {job.path}, end it with: perfkit stop {job.path}"
            print(f"the job goes on; {again}", file=sys.stderr)
            return interruption.status
    return conclude(job, as_json=options.json)
