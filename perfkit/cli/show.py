"""``perfkit show``: rates, percentiles and the verdict of each run."""

import argparse

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources

DESCRIPTION = "Print rates, percentiles and the verdict of each run, of perfkit's files and of other tools'."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``show`` takes."""
    add_sources(parser)
    parser.add_argument("--by", nargs="+", default=["run"], metavar="COLUMN", help="group by columns, settings or tags")
    parser.add_argument("--metric", nargs="+", metavar="NAME", help="only these metrics")
    parser.add_argument("--definition", metavar="NAME", help="count as another tool does: vllm, guidellm, ...")
    wanted = "objectives of each request, such as 'ttft < 500ms' or tpot:50ms: adds the goodput within them"
    parser.add_argument("--slo", nargs="+", default=[], metavar="SLO", help=wanted)
    amount = "a count such as 20, a share such as 10%% or 0.1, a time such as 10s"
    parser.add_argument("--warmup", metavar="AMOUNT", help=f"left out at the start: {amount}, or auto")
    parser.add_argument("--cooldown", metavar="AMOUNT", help=f"left out at the end: {amount}")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the summary of some runs."""
    runs = open_sources(options)
    if options.warmup is not None or options.cooldown is not None:
        runs = runs.trim(options.warmup, options.cooldown)
    summary = runs.summary(options.metric, by=options.by, definition=options.definition, slo=options.slo)
    print(to_json(summary.to_dict()) if options.json else summary)
    return 0
