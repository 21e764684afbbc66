"""``perfkit replay`` and ``perfkit resume``: send what was sent before, and go on with what was interrupted."""

import argparse
import sys

from perfkit.cli.interruption import interruptible
from perfkit.cli.parser import add_options, given
from perfkit.cli.run import advise, finish
from perfkit.errors import UsageError


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``replay`` and ``resume``."""
    replay = subparsers.add_parser(
        "replay",
        help="send an earlier run's requests again",
        usage="%(prog)s FILE [--run LABEL] [--url URL] [--speed X] [options]",
        description="Send one earlier run's requests again: the same bodies, at the same times, in the same order.",
    )
    replay.add_argument("file", help="the run file")
    replay.add_argument("--run", metavar="LABEL", help="which run of the file, by label or pattern")
    replay.set_defaults(function=replay_run)
    resume = subparsers.add_parser(
        "resume",
        help="go on with an interrupted sweep",
        description="Measure what an interrupted sweep is missing. Keys are not in the file: give them again.",
    )
    resume.add_argument("file", help="the run file")
    resume.set_defaults(function=resume_sweep)
    for command in (replay, resume):
        command.add_argument("--json", action="store_true", help="print the summary as JSON")
    add_options(replay, ("target", "transport", "record"))
    replay.add_argument("--speed", type=float, metavar="X", default=1.0, help="2 plays it twice as fast [1]")
    add_options(resume, ("transport",))
    key = "key: env:NAME, @file, or the key itself"
    resume.add_argument("--api-key", metavar="KEY", default=argparse.SUPPRESS, help=key)


def replay_run(options: argparse.Namespace) -> int:
    """Replay one run of a file."""
    words = given(options)
    advise(words)
    with interruptible():
        from perfkit.measure import replay
        from perfkit.runs import open as open_runs

        runs = open_runs(options.file)
        url = words.pop("url", None)
        words["speed"] = options.speed
        chosen = runs.pick(options.run) if options.run else runs
        if len(chosen) != 1:
            raise UsageError(f"replay takes one run; choose with --run: {', '.join(chosen.labels)}")
        return finish(replay(chosen, str(url) if url else None, **words), as_json=options.json)


def resume_sweep(options: argparse.Namespace) -> int:
    """Go on with the last sweep of a file."""
    words = given(options)
    advise(words)
    with interruptible():
        from perfkit.measure import resume

        job = resume(options.file, **words)
        if job.resumed and job.resumed.left:
            print(f"finished, and left as they are: {job.resumed.left}", file=sys.stderr)
        return finish(job, as_json=options.json)
