"""What ``plot``, ``export`` and ``report`` share: the runs to draw, and how they look."""

import argparse

import perfkit as pk
from perfkit.cli.sources import add_sources, open_sources
from perfkit.errors import UsageError


def add_drawn(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose what is drawn."""
    add_sources(parser)
    parser.add_argument("--by", metavar="COLUMN", help="one line per value of a column, setting or tag")


def add_style(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a picture's size and colours."""
    parser.add_argument(
        "--size", choices=("notebook", "paper"), default="notebook", help="screen, or 89 mm of a journal"
    )
    parser.add_argument("--width", metavar="LENGTH", help="width of the picture, such as 89mm")
    parser.add_argument("--grey", action="store_true", help="greys in place of colours")


def open_drawn(options: argparse.Namespace) -> "pk.Runs":
    """Open what is to be drawn, of which something must be left."""
    runs = open_sources(options)
    if options.where and runs.column("run").empty:
        raise UsageError(f"no request is left to draw: --where {options.where!r} holds for none of them")
    return runs
