"""``perfkit ab``: compare two servers by interleaved rounds."""

import argparse

from perfkit.cli.interruption import interruptible
from perfkit.cli.jobs import advise
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.parser import add_config, add_options, given
from perfkit.cli.watching import add_quiet, watcher

DESCRIPTION = (
    "Compare two servers: in each round both are measured, in random order, with the same prompts, "
    "which are others in each round. Ends with the comparison, paired by round."
)
USAGE = "%(prog)s URL_A URL_B [--repeat N] [--start-a CMD --stop-a CMD --start-b CMD --stop-b CMD] [options]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``ab`` takes."""
    parser.add_argument("url_a", metavar="URL_A", help="the baseline")
    parser.add_argument("url_b", metavar="URL_B", help="what is compared with it")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds [5]")
    for side in "ab":
        for verb in ("start", "stop"):
            parser.add_argument(
                f"--{verb}-{side}",
                metavar="CMD",
                help=f"shell command that {verb}s server {side.upper()} in each round",
            )
    parser.add_argument(
        "--start-timeout", type=float, default=600.0, metavar="SECONDS", help="wait for a started server [600]"
    )
    add_json(parser, "the comparison")
    add_quiet(parser)
    add_config(parser)
    add_options(parser, leave_out="url")


def run(options: argparse.Namespace) -> int:
    """Measure all rounds and print the comparison."""
    words = given(options)
    advise(words)
    names = ("repeat", "start_a", "stop_a", "start_b", "stop_b", "start_timeout")
    rounds = {name: getattr(options, name) for name in names}
    with interruptible():
        from perfkit.runner.repeat import ab

        found = ab(options.url_a, options.url_b, watch=watcher(options), **rounds, **words)
    print(to_json(found.to_dict()) if options.json else found)
    if not options.json:
        path = found.results[0].pairing.baseline_runs[0].source.path if found.results else words.get("db")
        print(f"\nkept in {path}; look again with: perfkit compare {path} --baseline A")
    return 0
