"""``perfkit merge``: the runs of several files in one new run file."""

import argparse
from typing import TYPE_CHECKING

from perfkit.cli.json_output import add_json, to_json
from perfkit.errors import UsageError
from perfkit.printable import plain

if TYPE_CHECKING:
    from perfkit.analysis.query.run import Run

DESCRIPTION = (
    "Write every run of some files, of perfkit or of other tools, to one new run file; the files stay. A run that "
    "several of them hold is written once; choose among runs and requests with: perfkit save."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``merge`` takes."""
    parser.add_argument("path", nargs="+", help="files, folders or patterns")
    parser.add_argument("--to", required=True, metavar="FILE", help="new file")
    add_json(parser, "what was done")


def _rows(run: "Run") -> int:
    """Return how many requests a copy of a run holds."""
    query = "SELECT count(*) FROM result WHERE run_id = ?"
    (count,) = run.source.connection.execute(query, [run.run_id]).fetchone()
    return int(count)


def run(options: argparse.Namespace) -> int:
    """Write all runs to a new file, and print its name."""
    import perfkit as pk
    from perfkit.analysis.query.annotations import said_of_removed
    from perfkit.analysis.query.opening import with_labels

    runs = pk.open(options.path)
    if runs.problems:
        raise UsageError(f"nothing was merged: {'; '.join(problem.reason for problem in runs.problems)}")
    every = (*runs.members, *runs.left_out)
    # A copy that was taken while the run went on has fewer of its requests.
    first = {run.run_id: run for run in sorted(reversed(every), key=_rows)}
    # Named anew: copies had made names longer.
    path = pk.Runs(with_labels(run for run in every if first[run.run_id] is run)).save(options.to)
    twice = len(every) - len(first)
    if options.json:
        print(to_json({"path": str(path), "runs": len(first), "left_out": twice, "removed": len(runs.left_out)}))
        return 0
    print(path)
    left = f"; {twice} left out, as copies of others" if twice else ""
    print(f"{len(first)} run{'s' * (len(first) != 1)}{left}")
    for said in said_of_removed(runs.removed):
        print(plain(said))
    return 0
