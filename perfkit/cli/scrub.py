"""``perfkit scrub``: copy result files without the secrets in them."""

import argparse
from pathlib import Path

from perfkit.cli.json_output import add_json, to_json

DESCRIPTION = (
    "Copy a result file, or a folder of them, with every secret masked: those named in settings beside "
    "the files, what looks like a key, and those given; in stored requests and answers, too. The original stays."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``scrub`` takes."""
    parser.add_argument("source", help="a run file, another tool's result file, or a folder of them")
    parser.add_argument("--to", metavar="COPY", help="where the copy goes; must not exist [NAME-scrubbed beside it]")
    parser.add_argument(
        "--secret", nargs="+", default=[], metavar="KEY", help="mask this, too: env:NAME, @file, or the value itself"
    )
    add_json(parser, "what was done")


def run(options: argparse.Namespace) -> int:
    """Copy, and say what was masked."""
    from perfkit.analysis.results.scrub import scrub
    from perfkit.secrets import resolve

    source = Path(options.source)
    target = Path(options.to) if options.to else source.with_name(f"{source.stem}-scrubbed{source.suffix}")
    done = scrub(source, target, [key for key in map(resolve, options.secret) if key is not None])
    if options.json:
        print(to_json({"path": str(done.path), "masked": done.masked, "dropped": done.dropped}))
        return 0
    print(f"written: {done.path}; masked in {done.masked} cells and files")
    if done.dropped:
        print(f"{done.dropped} cells could not be decoded safely: they are empty in the copy")
    return 0
