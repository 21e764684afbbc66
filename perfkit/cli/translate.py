"""``perfkit translate``: another tool's command line in perfkit's words."""

import argparse
import shlex

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.tools import translated
from perfkit.errors import UsageError
from perfkit.printable import plain

DESCRIPTION = (
    "Print another tool's command line as perfkit's, and what differs or cannot be said. Nothing is run. Known: vllm "
    "bench serve, sglang bench_serving, guidellm, aiperf, genai-perf, evalscope perf."
)
USAGE = "%(prog)s [--json] -- COMMAND ..."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``translate`` takes."""
    add_json(parser)
    parser.add_argument("line", nargs=argparse.REMAINDER, metavar="COMMAND", help="such as: vllm bench serve --model m")


def run(options: argparse.Namespace) -> int:
    """Print a command line, and notes below it."""
    words = options.line[1:] if options.line[:1] == ["--"] else options.line
    if len(words) == 1:  # in quotes
        words = shlex.split(words[0])
    if not words:
        raise UsageError("give another tool's command line: perfkit translate -- vllm bench serve --model m ...")
    tool, ours = translated(words)
    if options.json:
        print(to_json({"tool": tool.name, "command": str(ours), "notes": ours.notes}))
        return 0
    print(plain(ours))
    for note in ours.notes:
        print(f"# {plain(note)}")
    return 0
