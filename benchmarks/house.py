"""How much there is to hold in one's head: lines, files, calls from a command to its result, and what a start costs.

``python -m benchmarks.house`` prints a table of this tree beside ``benchmarks/house.json``, what was measured before
the package was reorganised. ``--tree PATH`` counts another tree, ``--json FILE`` writes what was counted.

Functions are those of perfkit that are called at least once when a thing is done for the second time, comprehensions
left out. A run is counted with ``workers=0``, so in one process: what travels between processes is not, nor is the
simulator.
"""

import argparse
import ast
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import tokenize
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BEFORE = HERE / "house.json"

PROGRAM = """
import json, os, sys, threading, time
import perfkit as pk

seen = set()
root = os.path.dirname(pk.__file__)

def watch(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(root) and not code.co_name.startswith("<"):
        seen.add((os.path.relpath(code.co_filename, root), code.co_qualname))

def counted(work):
    seen.clear()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {"files": len({file for file, _ in seen}), "functions": len(seen)}

folder = sys.argv[1]
asked = dict(model="m", number=4, parallel=2, workers=0, max_tokens=4, dataset="sample")

def run(name):
    job = pk.start(server.url, db=f"{folder}/{name}.db", **asked)
    while not (job.done() if callable(job.done) else job.done):  # what reads the rows afterwards is not counted
        time.sleep(0.001)
    return job

def twice(work):
    work("warm")  # so that what runs once, while modules load, is not counted
    return counted(lambda: work("a"))

with pk.simulate(ttft=0.02, itl=0.005) as server:
    found = {"run": twice(run)}
path = f"{folder}/a.db"
found["open"] = twice(lambda _: pk.open(path))
found["chart"] = twice(lambda _: pk.open(path).plot.ecdf("ttft")._repr_png_())
found["summary"] = twice(lambda _: str(pk.open(path).summary()))
print(json.dumps(found))
"""


def counted(tree: Path) -> dict[str, Any]:
    """Return what a tree holds and costs."""
    return {
        "lines": lines(tree),
        **shape(tree),
        "calls": json.loads(said(tree, "-c", PROGRAM, tempfile.mkdtemp()).splitlines()[-1]),
        "import perfkit [ms]": wall(tree, "-c", "import perfkit"),
        "perfkit --help [ms]": wall(tree, "-m", "perfkit", "--help"),
        "python -c pass [ms]": wall(tree, "-c", "pass"),
        "wheel [bytes]": wheel(tree),
    }


def lines(tree: Path) -> dict[str, int]:
    """Return how many lines of the package are code, docstring, comment or blank; a comment behind code is code."""
    total: Counter[str] = Counter()
    for path in sorted((tree / "perfkit").rglob("*.py")):
        total.update(lines_of(path.read_text(encoding="utf-8")))
    return {**{kind: total[kind] for kind in ("code", "docstring", "comment", "blank")}, "total": total.total()}


def lines_of(source: str) -> Counter[str]:
    """Return the kinds of the lines of one file."""
    kinds = dict.fromkeys(range(1, len(source.splitlines()) + 1), "code")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip():
            kinds[token.start[0]] = "comment"
    for number, line in enumerate(source.splitlines(), 1):
        if not line.strip():
            kinds[number] = "blank"
    for statement in documented(ast.parse(source)):
        kinds |= dict.fromkeys(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1), "docstring")
    return Counter(kinds.values())


def documented(tree: ast.AST) -> list[ast.Expr]:
    """Return the texts that stand as statements: docstrings, and those below an attribute."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def shape(tree: Path) -> dict[str, int]:
    """Return how many files, packages, functions and classes there are."""
    package = tree / "perfkit"
    files = sorted(package.rglob("*.py"))
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return {
        "files": len(files),
        "modules at the root": len(list(package.glob("*.py"))),
        "packages": len(list(package.rglob("__init__.py"))),
        "functions": sum(isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in nodes),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "lines of tests": sum(
            len(path.read_text(encoding="utf-8").splitlines()) for path in (tree / "tests").rglob("*.py")
        ),
    }


def said(tree: Path, *words: str) -> str:
    """Return what Python prints in a tree, with the perfkit of that tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "MPLBACKEND": "Agg"}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def wall(tree: Path, *words: str, repeats: int = 11) -> float:
    """Return the wall time of the fastest of some starts of Python in milliseconds: others may use the machine."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        said(tree, *words)
        times.append(1e3 * (time.perf_counter() - began))
    return round(min(times), 1)


def wheel(tree: Path) -> int:
    """Return the size of the package's files compressed as a wheel compresses them."""
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tree / "perfkit").rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, path.relative_to(tree))
    return len(kept.getvalue())


def flat(found: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested counts under names such as ``calls run files``."""
    result: dict[str, Any] = {}
    for name, value in found.items():
        result |= flat(value, f"{prefix}{name} ") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return result


def main(words: Sequence[str] | None = None) -> None:
    """Count, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=str(__doc__).splitlines()[0])
    parser.add_argument("--tree", type=Path, default=HERE.parent, help="where the package is; default: here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was counted")
    options = parser.parse_args(words)
    found = counted(options.tree.resolve())
    before = flat(json.loads(BEFORE.read_text(encoding="utf-8"))) if BEFORE.exists() else {}
    print(f"{'':30} {'before':>10} {'now':>10}")
    for name, value in flat(found).items():
        print(f"{name:30} {before.get(name, ''):>10} {value:>10}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
