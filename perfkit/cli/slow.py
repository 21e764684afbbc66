"""``perfkit slow``: the slowest requests, with what was asked and what came."""

import argparse

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources

DESCRIPTION = "Print the slowest requests with their prompts and answers, or the fastest, failed, first or random ones."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``slow`` takes."""
    add_sources(parser)
    parser.add_argument("-n", "--number", type=int, default=5, metavar="N", help="how many; default: 5")
    parser.add_argument("--metric", default="e2e", metavar="NAME", help="by which they are slow: ttft, tpot, e2e, ...")
    which = "slowest, fastest, failed, first or random; default: slowest"
    parser.add_argument("--which", default="slowest", metavar="WHICH", help=which)
    add_json(parser, "them, texts at full length,")


def run(options: argparse.Namespace) -> int:
    """Print some requests."""
    found = open_sources(options).show(options.which, options.number, metric=options.metric)
    print(to_json(found.to_dict()) if options.json else found)
    return 0
