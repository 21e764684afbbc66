"""Command lines of other tools and their translations: does a server receive the same of both?

    python benchmarks/translated.py                                     # the translations, beside what was recorded
    python benchmarks/translated.py --peer aiperf=venv/bin --peer guidellm=venv/bin        # the tools too, in turns
    python benchmarks/translated.py --peer aiperf=venv/bin --record     # keep what they sent in translated.json

Each line of ``translated.json`` is run by its tool, where that is installed, and then in the words of ``perfkit
translate``, against a simulated server whose log says what arrived. What the tool sent is told in facts: path and
fields of the body, headers, requests, most in flight, rate and spacing of arrivals, lengths of prompts in tokens of the
tokenizer under ``sample_data``. ``differs`` names the facts that ``translate`` itself says are not the same.
"""

import argparse
import json
import math
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from clients import CLIENTS, TOKENIZER, located

import perfkit as pk
from perfkit.apis.tokenizer import load_tokenizer
from perfkit.cli.tools import translated
from perfkit.simulator.process import Simulated
from perfkit.simulator.truth import read_requests

LINES = Path(__file__).with_name("translated.json")
TTFT, ITL = 0.030, 0.001
KEY = "sk-translated-0123456789"
KEYS = {name: KEY for name in ("API_KEY", "OPENAI_API_KEY", "AUTHORIZATION")}
TEXTS = ("messages", "prompt", "input")
"""Fields of a body that hold what is asked."""
OWN = ("x-tenant",)
"""Headers that lines add."""
Facts = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One command line: whose it is, which of its facts are known to differ, and what the tool was seen to send."""

    tool: str
    line: str
    differs: Mapping[str, str]
    """Facts that are not the same, each with the note of ``perfkit translate`` that says so, or a part of it."""
    trials: int
    """Requests with which the tool tries the connection, before its load; perfkit's own are left out by an option."""
    version: str
    sent: Facts


def read_lines() -> list[Line]:
    """Return the lines that are compared, each with what its tool was seen to send."""
    return [
        Line(**{"differs": {}, "trials": 0, "version": "", "sent": {}, **one})
        for one in json.loads(LINES.read_text(encoding="utf-8"))
    ]


@contextmanager
def server(folder: Path) -> Iterator[Simulated]:
    """Run a server that logs what it receives into a folder."""
    with pk.simulate(
        model="m", ttft=TTFT, itl=ITL, log=str(folder / "log.csv"), request_log=str(folder / "got.jsonl")
    ) as running:
        yield running


def emptied(running: Simulated) -> None:
    """Have a server begin its logs anew."""
    _ask(Request(f"{running.url}/__reset", data=b"{}", method="POST"))


def flushed(running: Simulated) -> None:
    """Have a server write its logs, once it has no answer to give any more."""
    while json.loads(_ask(Request(f"{running.url}/__stats")))["open_streams"]:
        time.sleep(0.01)


def _ask(request: Request) -> bytes:
    with urlopen(request, timeout=30) as answer:
        return bytes(answer.read())


def words_of(line: str, url: str, folder: Path) -> list[str]:
    """Return the words of a line, with the server, the tokenizer and the files that it names."""
    files = {"URL": url, "TOKENIZER": str(TOKENIZER), **_files(folder)}
    return shlex.split(re.sub(r"\b(URL|TOKENIZER|SHAREGPT|CUSTOM|LINES|TEXTS)\b", lambda found: files[found[0]], line))


def _files(folder: Path) -> dict[str, str]:
    """Write small datasets, each in the form that a tool reads; return their paths by name."""
    words = [f"Say in {count} words what the sea is like on day {count}." for count in range(5, 29)]
    talks = [
        {
            "id": str(at),
            "conversations": [{"from": "human", "value": text}, {"from": "gpt", "value": "It is blue. " * 9}],
        }
        for at, text in enumerate(words)
    ]
    contents = {
        "SHAREGPT": ("talks.json", json.dumps(talks)),
        "CUSTOM": ("prompts.jsonl", "".join(json.dumps({"prompt": text}) + "\n" for text in words)),
        "TEXTS": ("texts.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in words)),
        "LINES": ("prompts.txt", "\n".join(words) + "\n"),
    }
    for name, text in contents.values():
        (folder / name).write_text(text, encoding="utf-8")
    return {key: str(folder / name) for key, (name, _) in contents.items()}


# What a server received --------------------------------------------------------------------------------------------


def read_facts(folder: Path, trials: int = 0) -> Facts:
    """Return what a server's logs say of a load, the first ``trials`` requests aside."""
    got = [json.loads(line) for line in (folder / "got.jsonl").read_text(encoding="utf-8").splitlines()]
    spans = {one.req: (one.recv_done_ns, one.end_ns) for one in read_requests(folder / "log.csv")}
    got = sorted(got, key=lambda one: one["recv_done_ns"])[trials:]
    if not got:
        return {"requests": 0}
    bodies = [one["body"] for one in got]
    texts = [text_of(body) for body in bodies]
    times = [one["recv_done_ns"] / 1e9 for one in got]
    return {
        "requests": len(got),
        "path": _one({one["path"] for one in got}),
        "fields": {
            name: _value([body.get(name) for body in bodies])
            for name in sorted({n for b in bodies for n in b})
            if name not in TEXTS
        },
        "form": _one({form_of(body) for body in bodies}),
        "key": any("authorization" in one["headers"] for one in got),
        "headers": {name: got[0]["headers"][name] for name in OWN if name in got[0]["headers"]},
        "in flight": _most_in_flight([spans[one["req"]] for one in got if one["req"] in spans]),
        **arrivals(times),
        **_lengths(texts),
    }


def text_of(body: Mapping[str, Any]) -> str:
    """Return what a body asks, as one text."""
    asked = body.get("messages") or body.get("prompt") or body.get("input") or ""
    if isinstance(asked, str):
        return asked
    return "\n".join(part for each in asked for part in _parts(each))


def _parts(each: Any) -> list[str]:
    content = each.get("content") if isinstance(each, dict) else each
    if isinstance(content, list):
        return [part["text"] for part in content if isinstance(part, dict) and "text" in part]
    return [str(content)]


def form_of(body: Mapping[str, Any]) -> str:
    """Return the form of what a body asks: its field, and the roles of its messages."""
    field = next((name for name in TEXTS if name in body), "nothing")
    return " ".join([field, *(str(each.get("role")) for each in body.get("messages", ()))])


def _one(values: Collection[Any]) -> Any:
    return next(iter(values)) if len(values) == 1 else sorted(map(str, values))


def _value(values: list[Any]) -> Any:
    """Return the value of a field in all bodies, or how its values spread."""
    different = {json.dumps(value, sort_keys=True) for value in values}
    if len(different) == 1:
        return values[0]
    numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        return {"mean": round(statistics.mean(numbers), 1), "least": min(numbers), "most": max(numbers)}
    return {json.dumps(value): round(values.count(value) / len(values), 2) for value in values if value is not None}


def _most_in_flight(spans: list[tuple[int, int]]) -> int:
    changes = sorted([(came, 1) for came, _ in spans] + [(ended, -1) for _, ended in spans])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _common(texts: Sequence[str]) -> str:
    """Return how all texts begin."""
    first, last = min(texts), max(texts)
    return next((first[:at] for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), first)


def arrivals(times: list[float]) -> Facts:
    """Return the rate [1/s], the span [s] and the coefficient of variation of the gaps between requests."""
    gaps = [later - earlier for earlier, later in pairwise(times)]
    span = times[-1] - times[0]
    if len(gaps) < 2 or not span:
        return {"span": round(span, 2), "rate": None, "spacing": None}
    spread = statistics.pstdev(gaps) / statistics.mean(gaps)
    return {"span": round(span, 2), "rate": round(len(gaps) / span, 1), "spacing": round(spread, 2)}


def _lengths(texts: list[str]) -> Facts:
    """Return lengths of prompts in tokens, how many begin alike, and how many there are of each."""
    tokenizer = load_tokenizer(str(TOKENIZER))
    lengths = [tokenizer.count(text) for text in texts]
    shared = _common(texts) if len(set(texts)) > 1 else ""
    return {
        "prompt": round(statistics.mean(lengths), 1),
        "least": min(lengths),
        "most": max(lengths),
        "prefix": tokenizer.count(shared),
        "distinct": len(set(texts)),
    }


# What is run -------------------------------------------------------------------------------------------------------


def run_tool(line: Line, folder: Path, place: Path, patience: float) -> Facts:
    """Run a line by its tool, installed at ``place``; return what the server received.

    Raises
    ------
    RuntimeError
        It failed, or sent nothing; the message ends with its last words.
    """
    with server(folder) as running:
        words = words_of(line.line, running.url, folder)
        client = CLIENTS[line.tool]
        program = place / ("python" if words[0].startswith("python") else words[0])
        done = subprocess.run(
            [str(program), *words[1:]], cwd=folder, env={**os.environ, **client.environment}, timeout=patience,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    found = read_facts(folder, line.trials)
    if done.returncode or not found["requests"]:
        raise RuntimeError(f"it ended with {done.returncode}:\n{(done.stdout + done.stderr)[-1500:]}")
    return found


def run_ours(line: Line, folder: Path, patience: float) -> tuple[Facts, list[str]]:
    """Run the translation of a line; return what the server received, and the notes below the translation.

    Raises
    ------
    RuntimeError
        It failed; the message ends with its last words.
    """
    with server(folder) as running:
        _, ours = translated(words_of(line.line, running.url, folder))
        words = [*shlex.split(str(ours))[1:], "--no-preflight", "--db", str(folder / "run.db")]
        done = subprocess.run(
            [sys.executable, "-m", "perfkit", *words], cwd=folder, env={**os.environ, **KEYS}, timeout=patience,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{ours} ended with {done.returncode}:\n{done.stderr[-1500:]}")
    return read_facts(folder), ours.notes


# What differs ------------------------------------------------------------------------------------------------------


def compare(theirs: Facts, ours: Facts, closed: bool, timed: bool) -> dict[str, str]:
    """Return the facts that are not the same, each with both values.

    A field of the body that is null is one that is not sent. What is drawn agrees within what chance allows: rates and
    mean lengths within four standard errors. Requests are counted, unless a duration ends the load.
    """
    found = {}

    def differ(name: str, holds: bool, one: object = None, other: object = None) -> None:
        if not holds:
            found[name] = f"{theirs.get(name) if one is None else one} / {ours.get(name) if other is None else other}"

    for name in ("path", "form", "key", "headers"):
        differ(name, theirs[name] == ours[name])
    for name in sorted(theirs["fields"].keys() | ours["fields"].keys()):
        one, other = theirs["fields"].get(name), ours["fields"].get(name)
        differ(name, one == other, json.dumps(one), json.dumps(other))
    number = (theirs["requests"], ours["requests"])
    slack = 4 * math.sqrt(sum(number)) if timed else 0
    differ("requests", abs(number[0] - number[1]) <= slack)
    if closed:
        differ("in flight", theirs["in flight"] == ours["in flight"])
    elif theirs["rate"] and ours["rate"] and theirs["span"] > 0.5:
        error = math.sqrt(sum(1 / count for count in number))
        differ("rate", abs(math.log(theirs["rate"] / ours["rate"])) <= 4 * error)
    error = math.sqrt(sum((side["most"] - side["least"]) ** 2 / 12 / side["requests"] for side in (theirs, ours)))
    differ("prompt", abs(theirs["prompt"] - ours["prompt"]) <= 0.03 * theirs["prompt"] + 4 * error + 1)
    if max(theirs["prefix"], ours["prefix"]) > 16:
        differ("prefix", abs(theirs["prefix"] - ours["prefix"]) <= 0.1 * theirs["prefix"] + 2)
    return found


def unsaid(found: Mapping[str, str], line: Line, notes: Sequence[str]) -> list[str]:
    """Return the differences that no note of the translation is about."""
    return [
        f"{name}: {values}"
        for name, values in found.items()
        if not any(line.differs.get(name, "\0") in note for note in notes)
    ]


def loads(line: Line) -> tuple[bool, bool]:
    """Tell of a line whether its load is closed, and whether time ends it."""
    _, ours = translated(shlex.split(line.line.replace("URL", "http://127.0.0.1:1")))
    return "parallel" in ours.options, "duration" in ours.options and "number" not in ours.options


HEADS = "| tool | line | requests | in flight | rate [1/s] | prompt [tokens] | said to differ | not said |"


def row(line: Line, theirs: Facts, ours: Facts, notes: Sequence[str]) -> tuple[str, bool]:
    """Return a row of the table, and whether everything that differs is said."""
    found = compare(theirs, ours, *loads(line))
    silent = unsaid(found, line, notes)
    told = [name for name in found if not any(each.startswith(f"{name}: ") for each in silent)]
    numbers = [f"{theirs.get(name)} / {ours.get(name)}" for name in ("requests", "in flight", "rate", "prompt")]
    cells = [line.version, f"`{line.line}`", *numbers, ", ".join(told) or "-", "; ".join(silent) or "-"]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |", not silent


def version_of(tool: str, place: Path) -> str:
    """Return a tool's name with its version."""
    code = f"from importlib.metadata import version; print(version({tool!r}))"
    done = subprocess.run([str(place / "python"), "-c", code], capture_output=True, text=True, check=False)
    return f"{tool} {done.stdout.strip() or 'of unknown version'}"


def main(words: list[str] | None = None) -> int:
    """Run the program; the exit status is 1 if anything differs that no translation says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=BIN", help="bin folder of a tool's venv")
    parser.add_argument("--install", type=Path, metavar="FOLDER", help="install the tools here that can be")
    parser.add_argument("--only", nargs="+", help="tools to compare")
    parser.add_argument("--record", action="store_true", help=f"keep what the tools sent in {LINES.name}")
    parser.add_argument("--patience", type=float, default=300, help="seconds for one command [300]")
    options = parser.parse_args(words)
    lines = [line for line in read_lines() if not options.only or line.tool in options.only]
    places, _ = located(options.peer, options.install, {line.tool for line in lines})
    rows, good, seen = [], True, {}
    for line in lines:
        try:
            with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
                if line.tool in places:
                    sent = run_tool(line, Path(one), places[line.tool], options.patience)
                    line = replace(line, sent=sent, version=version_of(line.tool, places[line.tool]))
                    seen[line.line] = line
                ours, notes = run_ours(line, Path(other), options.patience)
        except (RuntimeError, subprocess.SubprocessError, OSError) as error:
            rows.append(f"| {line.tool} | `{line.line}` | {str(error)[-400:]!r} | | | | | |")
            good = False
            continue
        told, said = row(line, line.sent, ours, notes)
        rows.append(told)
        good = good and said
    print("\n".join([HEADS, "|" + "---|" * HEADS.count(" | ") + "---|", *rows]))
    print(f"\nRun beside their tools: {len(seen)}; beside what was recorded of them: {len(lines) - len(seen)}.")
    if options.record:
        keep([seen.get(line.line, line) for line in read_lines()])
    return 0 if good else 1


def keep(lines: Sequence[Line]) -> None:
    """Write the lines, with what their tools sent."""
    told = [
        json.dumps({name: value for name, value in asdict(line).items() if value or name == "sent"}) for line in lines
    ]
    LINES.write_text("[\n" + ",\n".join(told) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
