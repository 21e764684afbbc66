"""``perfkit lens``: one metric as every tool would have counted it."""

import argparse

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources

DESCRIPTION = (
    "Show one metric as every tool would have counted it: `changed` counts the requests whose value is not perfkit's."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``lens`` takes."""
    add_sources(parser)
    parser.add_argument("--metric", default="ttft", help="ttft, ttfat, itl, tpot or e2e; default ttft")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print what every tool would have reported."""
    lens = open_sources(options).lens(options.metric)
    if options.json:
        table = lens.table.reset_index()
        known = table.astype(object).where(table.notna(), None)
        print(to_json([{str(name): value for name, value in row.items()} for row in known.to_dict("records")]))
    else:
        print(lens)
    return 0
