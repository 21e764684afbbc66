"""``perfkit capacity``: the largest load that meets objectives."""

import argparse
import sys
from math import inf
from typing import TYPE_CHECKING

from perfkit.cli.interruption import interruptible
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.parser import Several, add_config, add_options, add_url, given
from perfkit.cli.watching import add_quiet, watcher
from perfkit.options.units import share

if TYPE_CHECKING:
    from perfkit.analysis.capacity.curve import Point


DESCRIPTION = (
    "Find the largest load that meets all objectives: each load is a run, measured where it is least "
    "certain, and the answer is a bracket with a stated confidence."
)
USAGE = "%(prog)s [URL] --slo 'p95 ttft < 500ms' ... [--axis rate|parallel] [--low X] [--high X] [options]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``capacity`` takes."""
    add_url(parser)
    wanted = "an objective such as 'p95 ttft < 500ms', 'mean e2e < 2s' or 'failures < 1%%'; several may be given"
    parser.add_argument("--slo", metavar="SLO", nargs="+", action=Several, required=True, help=wanted)
    parser.add_argument("--axis", choices=("rate", "parallel"), default="rate", help="what grows [rate]")
    parser.add_argument("--low", type=float, default=1.0, metavar="X", help="least load, measured first [1]")
    parser.add_argument("--high", type=float, default=inf, metavar="X", help="largest load to try [none]")
    parser.add_argument("--confidence", default=0.95, type=_share, metavar="X", help="of the bracket [0.95]")
    parser.add_argument("--points", type=int, default=12, metavar="N", help="runs at most [12]")
    add_json(parser)
    add_quiet(parser)
    add_config(parser)
    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Search, saying what each point showed, and print the curve and the answer."""
    words = given(options)
    search = {name: getattr(options, name) for name in ("axis", "low", "high", "confidence", "points")}
    with interruptible():
        from perfkit.runner.capacity import capacity

        told = None if options.quiet else _say_point
        found = capacity(slo=options.slo, progress=told, watch=watcher(options), **search, **words)
    if options.json:
        print(to_json({**found.to_dict(), "file": found.path}))
        return 0
    print(found)
    print(f"\nkept in {found.path}; look again with: perfkit show {found.path}")
    return 0


def _share(text: str) -> float:
    return share("confidence", text)


def _say_point(point: "Point") -> None:
    seen = ", ".join(f"{each.objective.words(each.measured)}" for each in point.seen)
    aside = "" if point.tried.counts else f"; {point.verdict}, not counted"
    print(f"{point.load:.4g}: {seen}{aside}", file=sys.stderr)
