"""``perfkit plot``, ``perfkit export`` and ``perfkit report``: pictures of what result files hold."""

import argparse
from pathlib import Path
from typing import Any

import perfkit as pk
from perfkit.cli.show import add_sources, sources
from perfkit.errors import UsageError, nearest

KINDS = (".png", ".svg", ".pdf", ".csv")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``plot``, ``export`` and ``report``."""
    plot = subparsers.add_parser("plot", help="draw one chart")
    add_sources(plot)
    plot.add_argument("--chart", default="ecdf", metavar="NAME", help="ecdf, hist, over_time, scatter, sweep, ...")
    plot.add_argument("--metric", metavar="NAME", help="ttft, tpot, e2e, ...; default: the chart's own")
    plot.add_argument("--by", metavar="COLUMN", help="one line per value of a column, setting or tag")
    plot.add_argument("--out", metavar="FILE", help="png, svg, pdf or csv, by its ending; default: CHART-METRIC.png")
    _add_style(plot)
    plot.set_defaults(function=plot_files)

    export = subparsers.add_parser(
        "export",
        help="write the usual charts and tables into a folder",
        description="Write the usual charts, and the table behind each, into a folder.",
    )
    add_sources(export)
    export.add_argument("--to", default="charts", metavar="DIR", help="folder; default: charts")
    export.add_argument("--chart", nargs="+", metavar="NAME[:METRIC]", help="only these charts")
    export.add_argument("--by", metavar="COLUMN", help="one line per value of a column, setting or tag")
    export.add_argument("--format", nargs="+", metavar="KIND", help="of png, svg, pdf, csv, tex")
    _add_style(export)
    export.set_defaults(function=export_files)

    report = subparsers.add_parser(
        "report",
        help="write one HTML file that needs nothing else",
        description="Write summary, charts, failures and settings into one HTML file that needs nothing else.",
    )
    add_sources(report)
    report.add_argument("--out", default="report.html", metavar="FILE", help="default: report.html")
    report.add_argument("--title", metavar="TEXT", help="its title")
    report.add_argument("--by", metavar="COLUMN", help="one line per value of a column, setting or tag")
    report.set_defaults(function=report_files)


def _add_style(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", choices=("notebook", "paper"), default="notebook", help="screen, or 89 mm of a journal"
    )
    parser.add_argument("--width", metavar="LENGTH", help="width of the picture, such as 89mm")
    parser.add_argument("--grey", action="store_true", help="greys in place of colours")


def _chosen(options: argparse.Namespace) -> "pk.Runs":
    """Open what is to be drawn, of which something must be left."""
    runs = sources(options)
    if options.where and runs.column("run").empty:
        raise UsageError(f"no request is left to draw: --where {options.where!r} holds for none of them")
    return runs


def plot_files(options: argparse.Namespace) -> int:
    """Draw one chart into one file."""
    from perfkit.export import csv, slug
    from perfkit.plots import render
    from perfkit.plots.accessor import rows_for
    from perfkit.plots.canvas import Style, inches, styled
    from perfkit.plots.catalogue import find

    chart = find(options.chart)
    metric = options.metric or chart.metric
    out = Path(options.out or slug("-".join(filter(None, [chart.name, metric]))) + ".png")
    if out.suffix not in KINDS:
        raise UsageError(f"--out ends in {' or '.join(KINDS)}, got {str(out)!r}{nearest(out.suffix, KINDS)}")
    runs = _chosen(options)
    by: dict[str, Any] = {"by": options.by} if options.by else {}
    with styled(Style(options.size, inches(options.width) if options.width else None, options.grey)):
        if out.suffix == ".csv" and chart.table:
            content = csv(chart.table(rows_for(runs, chart, metric, options.by), metric, **by))
        else:
            content = render(runs.plot(chart.name, metric, **by), out.suffix[1:])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(content)
    print(out)
    return 0


def export_files(options: argparse.Namespace) -> int:
    """Write charts and tables into a folder, and print where they are."""
    from perfkit.export import export

    written = export(
        _chosen(options),
        options.to,
        options.chart,
        size=options.size,
        formats=options.format,
        width=options.width,
        grey=options.grey,
        by=options.by,
    )
    print("\n".join(map(str, written)))
    return 0


def report_files(options: argparse.Namespace) -> int:
    """Write a report, and print where it is."""
    from perfkit.report import report

    print(report(_chosen(options), options.out, title=options.title, by=options.by))
    return 0
