"""``perfkit annotate``: names, tags and notes of runs, kept in or beside their files."""

import argparse
from typing import TYPE_CHECKING

import perfkit as pk
from perfkit.analysis.text_table import plain
from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_pick
from perfkit.records import Json
from perfkit.runfile.annotations import read_tags

if TYPE_CHECKING:
    from perfkit.analysis.query.run import Run

DESCRIPTION = (
    "Name, tag, note, remove and restore runs. It is kept in a run file itself, of another tool's file in one beside "
    "it, FILE.perfkit.json; no measured row is changed or deleted."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``annotate`` takes."""
    add_pick(parser)
    parser.add_argument("--name", metavar="NAME", help="what they are called")
    parser.add_argument(
        "--tag", nargs="+", default=[], action="extend", metavar="KEY=VALUE", help="tags to add; KEY= takes one away"
    )
    parser.add_argument("--note", metavar="TEXT", help="a note; '' takes it away")
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--remove", dest="removed", action="store_true", default=None, help="leave them out from now on"
    )
    either.add_argument("--restore", dest="removed", action="store_false", default=None, help="bring removed ones back")
    add_json(parser, "what they are called now")


def run(options: argparse.Namespace) -> int:
    """Write about runs, and print what there is now."""
    runs = pk.open(options.path)
    before = {(run.source.path, run.run_id): run for run in (*runs.members, *runs.left_out)}
    tags = read_tags(options.tag)
    after = runs.annotate(*options.pick, name=options.name, tags=tags, note=options.note, removed=options.removed)
    every = (*after.members, *after.left_out)
    changed = [run for run in every if run.record is not before[run.source.path, run.run_id].record]
    if options.json:
        print(to_json([_recorded(run) for run in changed]))
        return 0
    for run in changed:
        print(plain(_described(run)))
    return 0


def _recorded(run: "Run") -> dict[str, Json]:
    told = {"run": run.label, "run_id": run.run_id, "tags": dict(run.tags), "note": run.record.get("note")}
    return {**told, "removed": run.is_removed, "path": run.source.path}


def _described(run: "Run") -> str:
    parts = [run.label, *(f"{name}={value}" for name, value in run.tags.items())]
    parts += [f"note: {run.record['note']}"] if run.record.get("note") else []
    parts += ["removed"] if run.is_removed else []
    return "  ".join(parts)
