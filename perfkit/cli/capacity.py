"""``perfkit capacity``: the largest load that meets objectives."""

import argparse
import sys
from math import inf
from typing import TYPE_CHECKING

from perfkit.cli.interruption import interruptible
from perfkit.cli.parser import add_options, given
from perfkit.cli.watching import watched
from perfkit.errors import UsageError

if TYPE_CHECKING:
    from perfkit.curve import Point


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``capacity``."""
    capacity = subparsers.add_parser(
        "capacity",
        help="find the largest load that meets objectives",
        usage="%(prog)s --slo METRIC:PERCENTILE:BOUND ... [--axis rate|parallel] [--low X] [--high X] [options]",
        description="Find the largest load that meets all objectives: each load is a run, measured where it is least "
        "certain, and the answer is a bracket with a stated confidence.",
    )
    wanted = "an objective, METRIC:PERCENTILE:BOUND, such as ttft:p95:500ms; several may be given"
    capacity.add_argument("--slo", metavar="SLO", nargs="+", required=True, help=wanted)
    capacity.add_argument("--axis", choices=("rate", "parallel"), default="rate", help="what grows [rate]")
    capacity.add_argument("--low", type=float, default=1.0, metavar="X", help="least load, measured first [1]")
    capacity.add_argument("--high", type=float, default=inf, metavar="X", help="largest load to try [none]")
    capacity.add_argument("--confidence", type=float, default=0.95, metavar="X", help="of the bracket [0.95]")
    capacity.add_argument("--points", type=int, default=10, metavar="N", help="runs at most [10]")
    capacity.add_argument("--config", metavar="FILE", help="TOML, YAML or JSON file of the options of `perfkit run`")
    add_options(capacity)
    capacity.set_defaults(function=find_capacity)


def find_capacity(options: argparse.Namespace) -> int:
    """Search, saying what each point showed, and print the curve and the answer."""
    words = given(options)
    slo = dict(_objective(text) for text in options.slo)
    search = {name: getattr(options, name) for name in ("axis", "low", "high", "confidence", "points")}
    with interruptible():
        from perfkit.slo import capacity

        found = capacity(slo=slo, progress=_say_point, watch=watched, **search, **words)
    print(found)
    print(f"\nkept in {found.path}; look again with: perfkit show {found.path}")
    return 0


def _objective(text: str) -> tuple[str, tuple[str, str]]:
    """Read one objective.

    Examples
    --------
    >>> _objective("ttft:p95:500ms"), _objective("tpot:p99:0.05")
    (('ttft', ('p95', '500ms')), ('tpot', ('p99', '0.05')))
    """
    metric, _, rest = text.partition(":")
    percentile, _, bound = rest.partition(":")
    if not (metric and percentile and bound):
        raise UsageError(f"an objective reads METRIC:PERCENTILE:BOUND, such as ttft:p95:500ms; got {text!r}")
    return metric, (percentile, bound)


def _say_point(point: "Point") -> None:
    chance = f"the objectives hold with a chance of {point.tried.chance:.3g}"
    said = chance if point.tried.counts else f"{point.verdict}, not counted"
    print(f"{point.load:.4g}: {said}", file=sys.stderr)
