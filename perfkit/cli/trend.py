"""``perfkit trend``: a quantity over nights or commits."""

import argparse

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources

DESCRIPTION = (
    "Follow a quantity over nights or commits, and say where it changed: a step that the scatter of the nights does "
    "not explain. Fewer than eight nights show none."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``trend`` takes."""
    add_sources(parser)
    wanted = "ttft (its p95), 'mean tpot', output_throughput, ...; default ttft"
    parser.add_argument("--metric", default="ttft", metavar="NAME", help=wanted)
    parser.add_argument(
        "--over", default="night", metavar="TAG", help="a tag or setting such as commit; default: night, the day (UTC)"
    )
    parser.add_argument("--by", default="run", metavar="SETTING", help="setting or tag that tells series apart")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print how a quantity went on, and where it changed."""
    found = open_sources(options).trend(options.metric, over=options.over, by=options.by)
    print(to_json(found.to_dict()) if options.json else found)
    return 0
