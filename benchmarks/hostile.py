"""Read every hostile cell and file of a corpus in a child of its own, then fuzz the reader of pickles.

    python benchmarks/hostile.py CORPUS [--mutants 100000]

CORPUS holds ``cells/manifest.json`` and ``files/manifest.json``. A child may take 1 s and 200 MB more than an idle
one, must end as the manifest says, and must leave no marker file. That the cells have teeth is shown first: the
standard library runs them. Mutants of honest pickles are either refused by us with our own exception, or mean the
same to the standard library's reader without globals.
"""

import argparse
import base64
import io
import json
import os
import pickle
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from perfkit.errors import UnsafePickle
from perfkit.runfile.safe_pickle import encode_cell, loads, read_cell

SECONDS, MEGABYTES = 1.0, 200

READ_CELL = """
import json, resource, sys, time
from perfkit.runfile.safe_pickle import Refused, read_cell
cell = sys.stdin.buffer.read().decode()
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
value = read_cell(cell, "cell")
seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps(["refuse" if isinstance(value, Refused) else "accept", seconds, (after - before) / 1024]))
"""
READ_FILE = """
import json, resource, sys, time
from perfkit.errors import UnsafeFile
from perfkit.analysis.importers import open_imported
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
try:
    (count,) = open_imported(sys.argv[1]).execute("SELECT count(*) FROM result").fetchone()
    found = f"accept:{count}"
except UnsafeFile:
    found = "refuse"
seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([found, seconds, (after - before) / 1024]))
"""
FIRE = """
import base64, copyreg, os, pickle, sys
exec(sys.argv[1])
try:
    pickle.loads(base64.b64decode(sys.stdin.buffer.read()))
except Exception:
    pass
"""


def cell_of(folder: Path, item: dict) -> bytes:
    if "file" in item:
        return (folder / item["file"]).read_bytes()
    build = item["build"]
    if "text" in build:
        return (build["text"] * build["count"]).encode()
    prefix, unit, suffix = (base64.b64decode(build[part]) for part in ("prefix", "unit", "suffix"))
    return base64.b64encode(prefix + unit * build["count"] + suffix)


def child(program: str, *arguments: str, given: bytes = b"", markers: str = "") -> str:
    environment = {**os.environ, "PERFKIT_MARKER_DIR": markers}
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(
        command, input=given, env=environment, capture_output=True, timeout=30, check=False
    ).stdout.decode()


def verdict(expected: str, told: str, markers: Path) -> str:
    """Return what is wrong with how a child ended; empty when nothing is."""
    if not told:
        return "the child died"
    found, seconds, megabytes = json.loads(told)
    if expected not in ("either", found):
        return f"{found}, expected {expected}"
    if seconds > SECONDS or megabytes > MEGABYTES:
        return f"took {seconds:.2f} s and {megabytes:.0f} MB"
    return "a side effect" if any(markers.iterdir()) else ""


def cells(corpus: Path) -> Counter[str]:
    """Read every cell; first show that those with a marker fire under the standard library."""
    counts: Counter[str] = Counter()
    for item in json.loads((corpus / "cells/manifest.json").read_text())["items"]:
        given = cell_of(corpus / "cells", item)
        with tempfile.TemporaryDirectory() as markers:
            if item.get("teeth") == "marker":
                child(FIRE, item.get("requires", ""), given=given, markers=markers)
                fired = any(Path(markers).iterdir())
                counts["fired under the standard library"] += fired
                if not fired:
                    counts["wrong"] += 1
                    print(f"{item['id']}: has no teeth here, so that refusing it proves nothing")
        with tempfile.TemporaryDirectory() as markers:
            wrong = verdict(item["expect"], child(READ_CELL, given=given, markers=markers), Path(markers))
        counts["cells as expected"] += not wrong
        if wrong:
            counts["wrong"] += 1
            print(f"{item['id']}: {wrong}")
    return counts


def files(corpus: Path) -> Counter[str]:
    """Read every database file; nothing in its folder may change."""
    counts: Counter[str] = Counter()
    for item in json.loads((corpus / "files/manifest.json").read_text()):
        path = corpus / "files" / item["path"]
        before = {entry: entry.read_bytes() for entry in path.parent.iterdir()}
        with tempfile.TemporaryDirectory() as markers:
            wrong = verdict(item["expect"], child(READ_FILE, str(path), markers=markers), Path(markers))
        if before != {entry: entry.read_bytes() for entry in path.parent.iterdir()}:
            wrong = "the folder changed"
        counts["files as expected"] += not wrong
        if wrong:
            counts["wrong"] += 1
            print(f"{item['id']}: {wrong}")
    return counts


class OnlyData(pickle.Unpickler):
    """The standard library's reader without globals: no safe one, but right about data."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"{module}.{name}")


MESSAGE = {
    "id": "c-1",
    "choices": [{"delta": {"content": "\u00e9"}, "index": 0, "p": None}],
    "t": 1.5,
    "n": 2**40,
    "b": True,
}


def mutants(count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    values = ([MESSAGE, MESSAGE], ["a", "b" * 300], MESSAGE, [b"raw", (1, 2), -1])
    honest = [pickle.dumps(value, protocol) for protocol in (2, 3, 4, 5) for value in values]
    for _ in range(count):
        mutant = bytearray(chance.choice(honest))
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(2, len(mutant))
            match chance.randrange(4):
                case 0:
                    mutant[at] = chance.randrange(256)
                case 1 if len(mutant) > 8:
                    del mutant[at : at + chance.randint(1, 3)]
                case 2:
                    mutant[at:at] = bytes([chance.choice(b"\x8c\x94h(]}ueas.KNJ\x85t\x95\x8aGX")])
                case _:
                    mutant[at:at] = mutant[at : at + chance.randint(1, 8)]
        yield bytes(mutant)


def fuzz(count: int, seed: int = 1) -> Counter[str]:
    counts: Counter[str] = Counter()
    for mutant in mutants(count, seed):
        try:
            value = loads(mutant)
        except UnsafePickle:
            counts["mutants refused"] += 1
            continue
        counts["mutants accepted"] += 1
        if repr(value) != repr(OnlyData(io.BytesIO(mutant)).load()):
            counts["wrong"] += 1
            print(f"differs: {mutant.hex()}")
    return counts


def speed() -> None:
    """Print what decoding a row of 64 messages costs."""
    choice = {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    common = {"object": "chat.completion.chunk", "created": 1_700_000_000, "model": "qwen", "choices": [choice]}
    dicts = [{"id": f"chatcmpl-{index:016}", **common} for index in range(64)]
    texts = encode_cell([json.dumps(message) for message in dicts])
    pickled = base64.b64encode(pickle.dumps([json.loads(json.dumps(message)) for message in dicts], 4)).decode()
    for name, cell, goal in (("64 texts", texts, 0.10), ("64 dicts", pickled, 1.0)):
        best = min(_timed(cell) for _ in range(50)) * 1e3
        print(f"a row of {name}: {best:.3f} ms (goal {goal} ms)")


def _timed(cell: str) -> float:
    start = time.perf_counter()
    read_cell(cell, "cell")
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--mutants", type=int, default=100_000)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    counts = cells(options.corpus) + files(options.corpus) + fuzz(options.mutants)
    print(", ".join(f"{name}: {count}" for name, count in counts.items()))
    speed()
    return int(counts["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
