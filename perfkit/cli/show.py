"""``perfkit show`` and ``perfkit ls``: what result files hold, on a terminal or as JSON."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import datetime

import perfkit as pk
from perfkit.errors import UsageError
from perfkit.records import Json
from perfkit.safe_pickle import Refused, read_cell
from perfkit.tables import Cell, as_text, label, number

_SINCE_2001 = 1e9
_JSON = ("plan", "arguments", "versions", "host", "git", "reasons", "basis")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``show`` and ``ls``."""
    show = subparsers.add_parser(
        "show",
        help="print the summary of result files",
        description="Print rates, percentiles and the verdict of each run, of perfkit's files and of other tools'.",
    )
    add_sources(show)
    show.add_argument("--by", nargs="+", default=["run"], metavar="COLUMN", help="group by columns, settings or tags")
    show.add_argument("--metric", nargs="+", metavar="NAME", help="only these metrics")
    show.add_argument("--definition", metavar="NAME", help="count as another tool does: vllm, guidellm, ...")
    wanted = "objectives of each request, METRIC:BOUND, such as ttft:500ms tpot:50ms: adds the goodput within them"
    show.add_argument("--slo", nargs="+", default=[], metavar="SLO", help=wanted)
    amount = "a count such as 20, a share such as 10%% or 0.1, a time such as 10s"
    show.add_argument("--warmup", metavar="AMOUNT", help=f"left out at the start: {amount}, or auto")
    show.add_argument("--cooldown", metavar="AMOUNT", help=f"left out at the end: {amount}")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(function=show_files)

    ls = subparsers.add_parser(
        "ls", help="list the runs in files and folders", description="List the runs in files and folders, one a line."
    )
    ls.add_argument("path", nargs="*", default=["outputs"], help="files, folders or patterns; default: outputs")
    ls.add_argument("--json", action="store_true", help="print JSON")
    ls.set_defaults(function=list_files)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose runs and rows, the same for each command that reads files."""
    parser.add_argument("path", nargs="+", help="files, folders or patterns")
    parser.add_argument(
        "--pick", nargs="+", default=[], metavar="LABEL", help="only these runs; patterns such as 'tp*'"
    )
    parser.add_argument("--where", metavar="CONDITION", help="only requests for which this holds: 'ttft > 1s'")


def sources(options: argparse.Namespace) -> "pk.Runs":
    """Open what ``add_sources`` asked for."""
    runs = pk.open(options.path)
    runs = runs.pick(*options.pick) if options.pick else runs
    return runs.where(options.where) if options.where else runs


def objective(text: str) -> tuple[str, str]:
    """Read what each request is to meet.

    Examples
    --------
    >>> objective("ttft:500ms"), objective("tpot:0.05")
    (('ttft', '500ms'), ('tpot', '0.05'))
    """
    metric, _, limit = text.partition(":")
    if not (metric and limit) or ":" in limit:
        raise UsageError(
            f"an objective of each request reads METRIC:BOUND, such as ttft:500ms; got {text!r}; "
            "percentiles are objectives of perfkit capacity"
        )
    return metric, limit


def show_files(options: argparse.Namespace) -> int:
    """Print the summary of some runs."""
    runs = sources(options)
    if options.warmup is not None or options.cooldown is not None:
        runs = runs.trim(options.warmup, options.cooldown)
    slo = dict(map(objective, options.slo))
    summary = runs.summary(options.metric, by=options.by, definition=options.definition, slo=slo)
    print(as_json(summary.to_dict()) if options.json else summary)
    return 0


def list_files(options: argparse.Namespace) -> int:
    """Print one line a run."""
    runs = pk.open(options.path)
    table = runs.table.reset_index()
    records = [{str(name): _known(value) for name, value in row.items()} for row in table.to_dict("records")]
    for record in records:
        record |= {name: _decoded(record, name) for name in _JSON if name in record}
    if options.json:
        print(as_json(records))
    else:
        print(
            as_text(
                ["run", "model", "load", "requests", "failed", "cut off", "started", "status", "verdict", "file"],
                list(map(_line, records)),
            )
        )
    for problem in runs.problems:
        print(f"not opened: {problem.reason}", file=sys.stderr)
    return 0


def as_json(value: Json) -> str:
    """Return JSON that a script reads, and a person too."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def _line(record: dict[str, Json]) -> Sequence[Cell]:
    started = record["start_time"]
    date = datetime.fromtimestamp(started).strftime("%Y-%m-%d %H:%M") if started and started > _SINCE_2001 else ""
    counts = [Cell(number(record[name])) for name in ("sent", "failed", "cut_off")]
    texts = [record["run"], record["model"] or "", _load(record)]
    rest = [date, record["status"] or "", record["verdict"] or "", record["path"]]
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
