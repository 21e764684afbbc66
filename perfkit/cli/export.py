"""``perfkit export``: the usual charts, and the table behind each, in a folder."""

import argparse

from perfkit.cli.drawing import add_drawn, add_style, open_drawn
from perfkit.cli.json_output import add_json, to_json

DESCRIPTION = (
    "Write the usual charts, and the table behind each, into a folder; or, with --format prometheus or otel, the "
    "summary as a monitoring system reads it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``export`` takes."""
    add_drawn(parser)
    parser.add_argument("--to", default="charts", metavar="DIR", help="folder; default: charts")
    parser.add_argument("--chart", nargs="+", metavar="NAME[:METRIC]", help="only these charts")
    parser.add_argument("--format", nargs="+", metavar="KIND", help="of png, svg, pdf, csv, tex, prometheus, otel")
    add_style(parser)
    add_json(parser, "the names of the files")


def run(options: argparse.Namespace) -> int:
    """Write charts and tables into a folder, and print where they are."""
    from perfkit.analysis.report.export import export

    written = export(
        open_drawn(options),
        options.to,
        options.chart,
        size=options.size,
        formats=options.format,
        width=options.width,
        grey=options.grey,
        by=options.by,
    )
    paths = list(map(str, written))
    print(to_json({"paths": paths}) if options.json else "\n".join(paths))
    return 0
