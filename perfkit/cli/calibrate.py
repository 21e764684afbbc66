"""``perfkit calibrate``: how exact this machine's measurements are."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from perfkit.cli.interruption import interruptible

if TYPE_CHECKING:
    from perfkit.calibration import Point


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``calibrate``."""
    calibrate = subparsers.add_parser(
        "calibrate",
        help="measure how exact this machine's measurements are",
        description="Measure a simulated server, whose own log is the truth, over a grid of loads: what is added to "
        "TTFT, how late stamps are, what a chunk costs. The result is kept for this machine.",
    )
    calibrate.add_argument("--streams", type=int, nargs="+", metavar="N", help="streams at once")
    calibrate.add_argument("--itl", type=float, nargs="+", metavar="X", help="seconds between two tokens")
    calibrate.add_argument("--stamps", choices=("auto", "kernel", "user"), default="auto", help="whose stamps [auto]")
    calibrate.add_argument("--out", metavar="FILE", help="keep the result here instead")
    calibrate.add_argument("--chart", metavar="FILE", help="draw it, too: png, svg or pdf")
    calibrate.set_defaults(function=calibrate_machine)


def calibrate_machine(options: argparse.Namespace) -> int:
    """Go through the grid, print it, and keep it."""
    from perfkit.calibration import ITLS, STREAMS, calibrate

    with interruptible():
        found = calibrate(options.streams or STREAMS, options.itl or ITLS, stamps=options.stamps, progress=_say_point)
    print(found)
    print(f"kept in {found.save(options.out)}")
    if options.chart:
        from perfkit.plots.canvas import render

        chart = Path(options.chart)
        chart.parent.mkdir(parents=True, exist_ok=True)
        chart.write_bytes(render(found.plot(), chart.suffix.lstrip(".") or "png"))
        print(f"drawn in {options.chart}")
    return 0


def _say_point(point: "Point") -> None:
    late = point.lateness.late_p99 * 1e3
    server = f"; the simulator itself {point.lateness.server_late_p99 * 1e3:.3f} ms" * (point.outcome == "server")
    print(f"{point.streams} streams at {point.rate:,.0f} events/s: {late:.3f} ms late (p99){server}", file=sys.stderr)
