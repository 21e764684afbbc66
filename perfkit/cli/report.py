"""``perfkit report``: one HTML file that needs nothing else, or Markdown for a pull request."""

import argparse

from perfkit.cli.drawing import add_drawn, open_drawn
from perfkit.cli.json_output import add_json, to_json

DESCRIPTION = (
    "Write summary, charts, failures and settings into one HTML file that needs nothing else, or into Markdown."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``report`` takes."""
    add_drawn(parser)
    parser.add_argument("--out", metavar="FILE", help="default: report.html, or report.md")
    parser.add_argument("--format", choices=("html", "md"), help="md: Markdown for a pull request; default: by --out")
    parser.add_argument("--baseline", metavar="NAME", help="the side that the others are compared with")
    parser.add_argument("--title", metavar="TEXT", help="its title")
    add_json(parser, "the name of the file")


def run(options: argparse.Namespace) -> int:
    """Write a report, and print where it is."""
    from perfkit.analysis.report.report import report

    out = options.out or f"report.{options.format or 'html'}"
    chosen = {"title": options.title, "by": options.by, "baseline": options.baseline, "format": options.format}
    path = report(open_drawn(options), out, **chosen)
    print(to_json({"path": str(path)}) if options.json else path)
    return 0
