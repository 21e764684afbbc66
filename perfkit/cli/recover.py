"""``perfkit recover``: add the answers that a killed run has left beside its file."""

import argparse

from perfkit.cli.json_output import add_json, to_json

DESCRIPTION = (
    "Write the answers that a killed run has left beside its file into it. Opening the file reads them as well; this "
    "is for answers that a plugin reads, and before a file is copied alone."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``recover`` takes."""
    parser.add_argument("file", help="the run file")
    parser.add_argument("--plugins", nargs="+", default=(), metavar="FILE", help="Python files with the runs' APIs")
    parser.add_argument("--parser", metavar="FILE", help="file of the class that was given as parser: file.py:Class")
    add_json(parser, "what was done")


def run(options: argparse.Namespace) -> int:
    """Add them, and say how many, and what is missing for the others."""
    from perfkit.runner.recover import recover

    folded = recover(options.file, plugins=options.plugins, parser=options.parser)
    if options.json:
        left = [{"api": str(api), "answers": count} for api, count in folded.left.values()]
        print(to_json({"file": options.file, "added": folded.added, "left": left}))
        return 1 if folded.left else 0
    print(f"{folded.added:,} answers were added to {options.file}")
    for api, count in folded.left.values():
        print(f"{count:,} answers are read by {api}, which is not here; name its file with --plugins or --parser")
    return 1 if folded.left else 0
