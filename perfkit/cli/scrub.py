"""``perfkit scrub``: copy result files without the secrets in them."""

import argparse
import json
from pathlib import Path


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``scrub``."""
    parser = subparsers.add_parser(
        "scrub",
        help="copy result files without the secrets in them",
        description="Copy a result file, or a folder of them, with every secret masked: those named in settings beside "
        "the files, what looks like a key, and those given; in stored requests and answers, too. The original stays.",
    )
    parser.add_argument("source", help="a run file, another tool's result file, or a folder of them")
    parser.add_argument("--to", metavar="COPY", help="where the copy goes; must not exist [NAME-scrubbed beside it]")
    parser.add_argument(
        "--secret", nargs="+", default=[], metavar="KEY", help="mask this, too: env:NAME, @file, or the value itself"
    )
    parser.add_argument("--json", action="store_true", help="print what was done as JSON")
    parser.set_defaults(function=scrub_files)


def scrub_files(options: argparse.Namespace) -> int:
    """Copy, and say what was masked."""
    from perfkit.scrubbing import scrub
    from perfkit.secrets import resolve

    source = Path(options.source)
    target = Path(options.to) if options.to else source.with_name(f"{source.stem}-scrubbed{source.suffix}")
    done = scrub(source, target, [key for key in map(resolve, options.secret) if key is not None])
    if options.json:
        print(json.dumps({"path": str(done.path), "masked": done.masked, "dropped": done.dropped}))
        return 0
    print(f"written: {done.path}; masked in {done.masked} cells and files")
    if done.dropped:
        print(f"{done.dropped} cells could not be decoded safely: they are empty in the copy")
    return 0
