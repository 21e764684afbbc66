"""The runs and rows that a command reads."""

import argparse

import perfkit as pk
from perfkit.plugins import load_plugins


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose runs and rows, the same for each command that reads files."""
    add_pick(parser)
    parser.add_argument("--where", metavar="CONDITION", help="only requests for which this holds: 'ttft > 1s'")
    parser.add_argument(
        "--plugins",
        nargs="+",
        default=[],
        metavar="PATH",
        help="files or folders with metrics, charts, ... of your own",
    )


def add_pick(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose runs."""
    parser.add_argument("path", nargs="+", help="files, folders or patterns")
    parser.add_argument(
        "--pick", nargs="+", default=[], metavar="LABEL", help="only these runs; patterns such as 'tp*'"
    )


def open_sources(options: argparse.Namespace) -> "pk.Runs":
    """Open what ``add_sources`` asked for."""
    load_plugins(options.plugins)
    runs = pk.open(options.path)
    runs = runs.pick(*options.pick) if options.pick else runs
    return runs.where(options.where) if options.where else runs
