"""``perfkit replay``: an earlier run's requests, sent again."""

import argparse

from perfkit.cli.interruption import interruptible
from perfkit.cli.jobs import advise, finish
from perfkit.cli.json_output import add_json
from perfkit.cli.parser import add_options, add_url, given
from perfkit.cli.watching import add_quiet
from perfkit.errors import UsageError

DESCRIPTION = "Send one earlier run's requests again: the same bodies, at the same times, in the same order."
USAGE = "%(prog)s FILE [URL] [--run LABEL] [--speed X] [options]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``replay`` takes."""
    parser.add_argument("file", help="the run file")
    add_url(parser)
    parser.add_argument("--run", metavar="LABEL", help="which run of the file, by label or pattern")
    add_json(parser, "the summary")
    add_quiet(parser)
    add_options(parser, ("target", "transport", "record"))
    parser.add_argument("--speed", type=float, metavar="X", default=1.0, help="2 plays it twice as fast [1]")


def run(options: argparse.Namespace) -> int:
    """Replay one run of a file."""
    words = given(options)
    advise(words)
    with interruptible():
        from perfkit.analysis.results.open import open as open_runs
        from perfkit.runner.start import replay

        runs = open_runs(options.file)
        url = words.pop("url", None)
        words["speed"] = options.speed
        chosen = runs.pick(options.run) if options.run else runs
        if len(chosen) != 1:
            raise UsageError(f"replay takes one run; choose with --run: {', '.join(chosen.labels)}")
        return finish(replay(chosen, str(url) if url else None, **words), options)
