"""``perfkit plot``: one chart in one file."""

import argparse
from pathlib import Path
from typing import Any

from perfkit.cli.drawing import add_drawn, add_style, open_drawn
from perfkit.cli.json_output import add_json, to_json
from perfkit.errors import UsageError, nearest
from perfkit.options.output import written

DESCRIPTION = "Draw one chart into one file."
KINDS = (".png", ".svg", ".pdf", ".csv")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``plot`` takes."""
    add_drawn(parser)
    parser.add_argument("--chart", default="ecdf", metavar="NAME", help="ecdf, hist, over_time, scatter, sweep, ...")
    parser.add_argument("--metric", metavar="NAME", help="ttft, tpot, e2e, ...; default: the chart's own")
    parser.add_argument("--out", metavar="FILE", help="png, svg, pdf or csv, by its ending; default: CHART-METRIC.png")
    add_style(parser)
    add_json(parser, "the name of the file")


def run(options: argparse.Namespace) -> int:
    """Draw one chart into one file."""
    from perfkit.analysis.plots import render
    from perfkit.analysis.plots.accessor import rows_for
    from perfkit.analysis.plots.canvas import Style, styled
    from perfkit.analysis.plots.catalogue import find
    from perfkit.analysis.report.export import csv, numbers_of, slug
    from perfkit.options.units import inches

    runs = open_drawn(options)  # first: it loads --plugins, which may hold the chart
    chart = find(options.chart)
    metric = options.metric or chart.metric
    out = Path(options.out or slug("-".join(filter(None, [chart.name, metric]))) + ".png")
    if out.suffix not in KINDS:
        raise UsageError(f"--out ends in {' or '.join(KINDS)}, got {str(out)!r}{nearest(out.suffix, KINDS)}")
    by: dict[str, Any] = {"by": options.by} if options.by else {}
    with styled(Style(options.size, inches(options.width) if options.width else None, options.grey)):
        if out.suffix == ".csv" and chart.table:
            content = csv(numbers_of(chart, rows_for(runs, chart, metric, by=options.by or "run"), metric, options.by))
        else:
            content = render(runs.plot(chart.name, metric, **by), out.suffix[1:])
    path = written(out, content)
    print(to_json({"path": str(path)}) if options.json else path)
    return 0
