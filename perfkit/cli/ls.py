"""``perfkit ls``: the runs in files and folders, one a line."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime

import perfkit as pk
from perfkit.analysis.text_table import Cell, label, number, on_terminal, plain
from perfkit.cli.json_output import add_json, to_json
from perfkit.records import Json
from perfkit.runfile.safe_pickle import Refused, read_cell

DESCRIPTION = "List the runs in files and folders, one a line."
_SINCE_2001 = 1e9
_JSON = ("plan", "arguments", "versions", "host", "git", "reasons", "basis")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``ls`` takes."""
    parser.add_argument("path", nargs="*", default=["outputs"], help="files, folders or patterns; default: outputs")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print one line a run."""
    from perfkit.analysis.query.annotations import said_of_removed  # with pandas, which --help does without

    runs = pk.open(options.path)
    table = runs.table.reset_index()
    records = [{str(name): _known(value) for name, value in row.items()} for row in table.to_dict("records")]
    for record in records:
        record |= {name: _decoded(record, name) for name in _JSON if name in record}
    if options.json:
        print(to_json(records))
    else:
        head = ["run", "model", "load", "requests", "failed", "cut off", "started", "status", "verdict", "file"]
        written = {
            "tags": [" ".join(f"{name}={value}" for name, value in run.tags.items()) for run in runs.members],
            "note": [str(record["note"] or "") for record in records],
        }
        written = {name: texts for name, texts in written.items() if any(texts)}
        rows = [
            [*_line(record, record["run"] in runs.summarized), *(label(texts[at]) for texts in written.values())]
            for at, record in enumerate(records)
        ]
        print(on_terminal([*head, *written], rows))
    for said in (*(f"not opened: {problem.reason}" for problem in runs.problems), *said_of_removed(runs.removed)):
        print(plain(said), file=sys.stderr)
    return 0


def _line(record: dict[str, Json], is_summary: bool) -> Sequence[Cell]:
    started = record["start_time"]
    date = datetime.fromtimestamp(started).strftime("%Y-%m-%d %H:%M") if started and started > _SINCE_2001 else ""
    counts = [Cell(number(record[name])) for name in ("sent", "failed", "cut_off")]
    texts = [record["run"], record["model"] or "", _load(record)]
    rest = [date, record["status"] or "", "summary" if is_summary else record["verdict"] or "", record["path"]]
    return [*map(label, texts), *counts, *map(label, rest)]


def _load(record: dict[str, Json]) -> str:
    users, rate = record["parallel"], record["rate"]
    if record["load"] == "closed":
        return f"{users} user{'s' * (users != 1)}" if users else "closed"
    if record["load"] == "open":
        arguments = record["arguments"] if isinstance(record["arguments"], dict) else {}
        steps = ", ".join(f"{step[0]:g}" for step in arguments.get("steps") or ())
        # At no rate of its own: everything at once, or at the times of a trace, as a replay.
        return "open" if rate == -1 else f"{steps or rate}/s"
    return ""


def _decoded(record: dict[str, Json], name: str) -> Json:
    """Return what a column of JSON holds; the text itself where it is none."""
    text = record[name]
    if text is None or text == "null":
        return None
    value = read_cell(text, name)
    return text if isinstance(value, Refused) else value


def _known(value: Json) -> Json:
    """Return None for a missing value, and whole numbers as such: a column with gaps holds floats."""
    if value is None or value != value:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e6 else value
