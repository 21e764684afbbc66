"""``perfkit save``: chosen runs of any files in one new run file."""

import argparse

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources

DESCRIPTION = "Write chosen runs, and of these the chosen requests, of any files to one new run file."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``save`` takes."""
    add_sources(parser)
    parser.add_argument("--to", required=True, metavar="FILE", help="new file")
    parser.add_argument("--no-body", action="store_true", help="leave out prompts, bodies and answers")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Write runs to a new file and print its name."""
    runs = open_sources(options)
    path = runs.save(options.to, body=not options.no_body)
    print(to_json({"path": str(path), "runs": len(runs)}) if options.json else path)
    return 0
