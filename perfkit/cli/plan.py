"""``perfkit plan``: how many runs a comparison needs."""

import argparse

import perfkit as pk
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources

DESCRIPTION = (
    "Say how many runs a side a comparison needs to show a difference, judged by runs that are like those to come: "
    "repeats among them, or --noise, tell how much runs differ."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``plan`` takes."""
    add_sources(parser)
    parser.add_argument("--effect", default=0.05, metavar="SHARE", help="difference to see: 5%% or 0.05; default: 5%%")
    parser.add_argument("--quantity", nargs="+", metavar="NAME", help="what will be compared; default: as for compare")
    parser.add_argument("--noise", metavar="SHARE", help="standard deviation between runs of one setting, such as 4%%")
    parser.add_argument("-n", "--number", type=int, metavar="N", help="requests of each run; default: as these had")
    parser.add_argument("--power", default=0.8, metavar="SHARE", help="chance to see the difference; default: 80%%")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print how many runs a side would show an effect."""
    names = {"quantities": options.quantity} if options.quantity else {}
    given = {name: getattr(options, name) for name in ("effect", "noise", "number", "power")}
    plan = pk.plan(like=open_sources(options), **given, **names)
    print(to_json(plan.to_dict()) if options.json else plan)
    return 0
