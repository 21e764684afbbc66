"""``perfkit resume``: go on with an interrupted sweep."""

import argparse
import sys

from perfkit.cli.interruption import interruptible
from perfkit.cli.jobs import advise, finish
from perfkit.cli.json_output import add_json
from perfkit.cli.parser import add_options, given
from perfkit.cli.watching import add_quiet

DESCRIPTION = "Measure what an interrupted sweep is missing. Keys are not in the file: give them again."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``resume`` takes."""
    parser.add_argument("file", help="the run file")
    add_json(parser, "the summary")
    add_quiet(parser)
    add_options(parser, ("transport",))
    key = "key: env:NAME, @file, or the key itself"
    parser.add_argument("--api-key", metavar="KEY", default=argparse.SUPPRESS, help=key)


def run(options: argparse.Namespace) -> int:
    """Go on with the last sweep of a file."""
    words = given(options)
    advise(words)
    with interruptible():
        from perfkit.runner.start import resume

        job = resume(options.file, **words)
        if job.resumed and job.resumed.left and not options.quiet:
            print(f"finished, and left as they are: {job.resumed.left}", file=sys.stderr)
        return finish(job, options)
