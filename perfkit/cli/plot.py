"""``perfkit plot``: one chart in one file."""

import argparse
import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perfkit.cli.drawing import add_drawn, add_style, open_drawn
from perfkit.cli.json_output import add_json, to_json
from perfkit.errors import UsageError, nearest
from perfkit.options.output import written

if TYPE_CHECKING:
    from perfkit.analysis.plots.catalogue import Chart

DESCRIPTION = "Draw one chart into one file."
KINDS = (".png", ".svg", ".pdf", ".csv")


OPTIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "x": ("what is along x, for charts that let it be chosen: prompt_tokens, interactivity, ...", {"metavar": "NAME"}),
    "y": ("what is along y: throughput_per_gpu, ...", {"metavar": "NAME"}),
    "over": ("what a trend runs over: a tag, or night", {"metavar": "TAG"}),
    "rate": ("which rate a latency is traded off against", {"metavar": "NAME"}),
    "percentile": ("which percentile is drawn, such as 99", {"metavar": "P", "type": float}),
    "slo": ("objectives, such as 'p95 ttft < 300ms'", {"metavar": "SLO", "nargs": "+"}),
}
"""Options of charts that have them, and how each is declared."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``plot`` takes."""
    add_drawn(parser)
    parser.add_argument("--chart", default="ecdf", metavar="NAME", help="ecdf, hist, over_time, scatter, sweep, ...")
    parser.add_argument("--metric", metavar="NAME", help="ttft, tpot, e2e, ...; default: the chart's own")
    for name, (meaning, more) in OPTIONS.items():
        parser.add_argument(f"--{name}", help=meaning, **more)
    parser.add_argument("--out", metavar="FILE", help="png, svg, pdf or csv, by its ending; default: CHART-METRIC.png")
    add_style(parser)
    add_json(parser, "the name of the file")


def run(options: argparse.Namespace) -> int:
    """Draw one chart into one file."""
    from perfkit.analysis.plots import render
    from perfkit.analysis.plots.accessor import rows_for
    from perfkit.analysis.plots.canvas import Style, styled
    from perfkit.analysis.plots.catalogue import find
    from perfkit.analysis.report.export import csv, file_name, numbers_of
    from perfkit.options.units import inches

    runs = open_drawn(options)  # first: it loads --plugins, which may hold the chart
    chart = find(options.chart)
    metric = options.metric or chart.metric
    out = Path(options.out or file_name(filter(None, [chart.name, metric])) + ".png")
    if out.suffix not in KINDS:
        raise UsageError(f"--out ends in {' or '.join(KINDS)}, got {str(out)!r}{nearest(out.suffix, KINDS)}")
    by: dict[str, Any] = {"by": options.by} if options.by else {}
    own = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    _require_taken(chart, own)
    with styled(Style(options.size, inches(options.width) if options.width else None, options.grey)):
        if out.suffix == ".csv" and chart.table:
            named = chart.named({"metric": metric, **own})
            rows = rows_for(runs, chart, metric, *named, by=options.by or "run")
            content = csv(numbers_of(chart, rows, metric, options.by, **own))
        else:
            content = render(runs.plot(chart.name, metric, **by, **own), out.suffix[1:])
    path = written(out, content)
    print(to_json({"path": str(path)}) if options.json else path)
    return 0


def _require_taken(chart: "Chart", given: Collection[str]) -> None:
    """Refuse an option that a chart does not have."""
    taken = inspect.signature(chart.draw).parameters
    for name in given:
        if name not in taken:
            has = [f"--{each}" for each in OPTIONS if each in taken]
            raise UsageError(f"the chart {chart.name!r} has no --{name}; it has {', '.join(has) or 'none of the kind'}")
