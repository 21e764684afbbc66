"""``perfkit run``: measure an endpoint, keep everything, print the summary."""

import argparse
from time import sleep
from typing import TYPE_CHECKING

from perfkit.analysis.notebook.live import Remarked
from perfkit.cli.interruption import interruptible
from perfkit.cli.jobs import advise, finish, require_success
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.parser import add_config, add_options, add_url, given
from perfkit.cli.watching import add_quiet, watcher
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments

if TYPE_CHECKING:
    from perfkit.runner.start import Job

DESCRIPTION = "Measure an endpoint, keep every request and chunk in a run file, and print the summary."
USAGE = "%(prog)s [URL ...] [--model NAME] [--parallel N ... | --rate R ...] [-n N] [options]"
LOOK_EVERY = 0.05


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``run`` takes."""
    add_url(parser)
    add_config(parser)
    add_json(parser, "the summary")
    add_quiet(parser)
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="measure N times, each with the next prompts, for compare"
    )
    parser.add_argument("--detach", action="store_true", help="leave it running and say how to watch and end it")
    add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Measure, print the summary, and say where everything is."""
    words = given(options)
    advise(words)
    arguments = Arguments.from_mapping(words)
    with interruptible():
        # Loaded within reach of the signals: an impatient Ctrl-C ends in one line, too.
        from perfkit.runner.start import start

        if options.repeat is not None and options.detach:
            raise UsageError(
                "--repeat starts each run from this process, which --detach would end; give one of them, or leave the "
                "command running yourself: nohup perfkit run --repeat ... &"
            )
        if options.repeat is not None:
            return _repeat(arguments, options)
        if options.detach:
            return _leave(start(arguments, detach=True), options)
        return finish(start(arguments), options)


def _repeat(arguments: Arguments, options: argparse.Namespace) -> int:
    """Measure a load several times, and print the summary of all runs."""
    from perfkit.runner.repeat import repeat

    runs = repeat(arguments, count=options.repeat, watch=watcher(options))
    path = runs.members[0].source.path
    summary = runs.summary()
    print(to_json({**summary.to_dict(), "file": path}) if options.json else summary)
    if not options.json:
        print(f"\nkept in {path}; look again with: perfkit show {path}")
    return require_success(runs)


def _leave(job: "Job", options: argparse.Namespace) -> int:
    """Say where to find a detached job, once its load has begun or it has ended."""
    if not options.quiet:
        job.listen(Remarked())
    while not (job.done() or job.progress.sent):
        sleep(LOOK_EVERY)
    job.raise_failure()
    path = job.progress.path
    if options.json:
        print(to_json({"file": path, "run_ids": list(job.progress.run_ids)}))
        return 0
    print(f"under way: {path}\nwatch it with: perfkit attach {path}\nend it with:   perfkit stop {path}")
    return 0
