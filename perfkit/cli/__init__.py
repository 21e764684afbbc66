"""The command line: ``perfkit`` and its commands.

Each command is a module of its name in this package, with ``DESCRIPTION``, ``add_arguments(parser)`` and
``run(options)``. Only the one that is asked for is loaded: a measurement starts before anything that looks at results
is imported.
"""

import atexit
import gc
import sys
from collections.abc import Sequence
from importlib import import_module

from perfkit import errors
from perfkit.cli.parser import Parser, read
from perfkit.printable import plain

COMMANDS = {
    "run": "measure an endpoint",
    "check": "send one request and say what came back",
    "presets": "list the loads that people name, with their sources",
    "translate": "another tool's command line in perfkit's words",
    "simulate": "serve a simulated endpoint",
    "demo": "benchmark a simulated endpoint and draw the charts",
    "replay": "send an earlier run's requests again",
    "resume": "go on with an interrupted sweep",
    "attach": "follow the job that writes a run file",
    "stop": "end the job that writes a run file",
    "recover": "add the answers that a killed run has left beside its file",
    "calibrate": "measure how exact this machine's measurements are",
    "capacity": "find the largest load that meets objectives",
    "ls": "list the runs in files and folders",
    "annotate": "name, tag, note, remove and restore runs, so that it lasts",
    "show": "print the summary of result files",
    "slow": "print the slowest requests with their prompts and answers",
    "compare": "compare runs with a baseline at equal load",
    "ab": "compare two servers by interleaved rounds",
    "plan": "say how many runs a comparison needs",
    "trend": "follow a quantity over nights or commits, and say where it changed",
    "lens": "one metric as every tool would have counted it",
    "save": "write chosen runs of any files to one new run file",
    "merge": "write all runs of several files to one new run file",
    "scrub": "copy result files without the secrets in them",
    "plot": "draw one chart",
    "export": "write the usual charts and tables into a folder",
    "report": "write one HTML file that needs nothing else, or Markdown",
}
_STATUS = (
    (errors.UsageError, 2),
    (errors.UnsafeFile, 2),
    (errors.NothingSucceeded, 3),
    (errors.StorageError, 4),
    (errors.Slower, 5),
    (errors.Undecided, 6),
    (errors.PerfkitError, 1),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``perfkit``; default: those of this process.

    Returns
    -------
    int
        Exit status: 0 done, 1 unexpected, 2 bad usage, 3 no request succeeded, 4 storage failed, 5 slower
        than allowed, 6 undecided whether slower, 130 and 143 interrupted.

    Examples
    --------
    >>> main(["ls", "no/such/folder"])
    2
    """
    # pandas leaves so many objects that looking for cycles among them at exit would take 0.2 s.
    atexit.register(gc.freeze)
    words = list(sys.argv[1:] if argv is None else argv)
    if not words:
        parser().print_help(sys.stderr)
        return 2
    try:
        options = read(parser(words), words)
        status: int = options.function(options)
        sys.stdout.flush()
        return status
    except errors.PerfkitError as error:
        return _say(str(error), next(status for kind, status in _STATUS if isinstance(error, kind)))
    except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        return _say(f"{error.filename}: {error.strerror}", 2)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has left. Without this, closing stdout at exit complains again.
        sys.stdout = None
        return 0
    except OSError as error:
        return _say(str(error), 1)
    except KeyboardInterrupt as interruption:
        return getattr(interruption, "status", 130)


def _say(sentence: str, status: int) -> int:
    # One line that any terminal can show, whatever a server, a file or a path put into it.
    print(f"perfkit: {plain(' '.join(sentence.split()))}", file=sys.stderr)
    return status


def parser(words: Sequence[str] = ()) -> Parser:
    """Return the parser for a command line: of its command alone, or of their names if it names none."""
    named = words[0] if words and words[0] in COMMANDS else None
    if words and not named and not words[0].startswith("-"):
        raise errors.UsageError(f"no command is called {words[0]!r}{errors.nearest(words[0], COMMANDS)}")
    whole = Parser(prog="perfkit", description="Benchmark LLM serving endpoints and understand the results.")
    whole.add_argument("--version", action="version", version=_version())
    # A metavar of its own: choices are listed below it, one a line.
    subparsers = whole.add_subparsers(metavar="command", required=True, title="commands", dest="command")
    if named:
        command = import_module(f"perfkit.cli.{named}")
        # argparse's own usage line, where the module gives none.
        described = {"description": command.DESCRIPTION, "usage": getattr(command, "USAGE", None)}
        of_command = subparsers.add_parser(named, help=COMMANDS[named], **described)
        command.add_arguments(of_command)
        of_command.set_defaults(function=command.run)
    else:  # the list of commands needs none of their modules
        for name, purpose in COMMANDS.items():
            subparsers.add_parser(name, help=purpose)
    return whole


def _version() -> str:
    from perfkit import __version__

    return f"perfkit {__version__}"
