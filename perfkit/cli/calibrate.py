"""``perfkit calibrate``: how exact this machine's measurements are."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from perfkit.cli.interruption import interruptible
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.watching import add_quiet
from perfkit.options.output import written

if TYPE_CHECKING:
    from perfkit.runner.calibration import Point


DESCRIPTION = (
    "Measure a simulated server, whose own log is the truth, over a grid of loads: what is added to "
    "TTFT, how late stamps are, what a chunk costs. The result is kept for this machine."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``calibrate`` takes."""
    parser.add_argument("--streams", type=int, nargs="+", metavar="N", help="streams at once")
    parser.add_argument("--itl", type=float, nargs="+", metavar="X", help="seconds between two tokens")
    parser.add_argument("--stamps", choices=("auto", "kernel", "user"), default="auto", help="whose stamps [auto]")
    parser.add_argument("--out", metavar="FILE", help="keep the result here instead")
    parser.add_argument("--chart", metavar="FILE", help="draw it, too: png, svg or pdf")
    add_json(parser)
    add_quiet(parser)


def run(options: argparse.Namespace) -> int:
    """Go through the grid, print it, and keep it."""
    from perfkit.runner.calibration import ITLS, STREAMS, calibrate

    told = None if options.quiet else _say_point
    with interruptible():
        found = calibrate(options.streams or STREAMS, options.itl or ITLS, stamps=options.stamps, progress=told)
    path = found.save(options.out)
    if not options.json:
        print(f"{found}\nkept in {path}")
    if options.chart:
        from perfkit.analysis.plots.canvas import render

        chart = Path(options.chart)
        drawn = written(chart, render(found.plot(), chart.suffix.lstrip(".") or "png"))
        if not options.json:
            print(f"drawn in {drawn}")
    if options.json:
        print(to_json({**found.to_dict(), "file": str(path)}))
    return 0


def _say_point(point: "Point") -> None:
    late = point.lateness.late_p99 * 1e3
    server = f"; the simulator itself {point.lateness.server_late_p99 * 1e3:.3f} ms" * (point.outcome == "server")
    print(f"{point.streams} streams at {point.rate:,.0f} events/s: {late:.3f} ms late (p99){server}", file=sys.stderr)
