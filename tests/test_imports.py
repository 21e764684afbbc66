"""What each side may import, and what importing perfkit costs. The layers themselves are declared in pyproject.toml."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

PACKAGE = Path(__file__).parents[1] / "perfkit"

MEASURING = ("perfkit.loadgen", "perfkit.simulator")
LOOKING = ("perfkit.analysis",)
SHARED = (
    "perfkit.apis",
    "perfkit.decoding",
    "perfkit.options",
    "perfkit.plugins",
    "perfkit.records",
    "perfkit.registry",
    "perfkit.runfile",
    "perfkit.secrets",
    "perfkit.validity",
)

HEAVY = {"pandas", "matplotlib", "scipy", "IPython", "ipywidgets"}
LOOPS = {"asyncio", "aiohttp", "uvloop", "nest_asyncio"}


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in PACKAGE.rglob("*.py")}


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node, lazy imports included, but what only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from statements(child)


def imports(name: str) -> set[str]:
    found = set()
    for node in statements(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {module if module in FILES else str(node.module) for module in whole}
    return found


@pytest.mark.parametrize(
    ("packages", "unwanted"),
    [(MEASURING, HEAVY), (SHARED, HEAVY | LOOPS), (LOOKING, LOOPS - {"nest_asyncio"})],
    ids=["measuring loads no pandas", "what is shared is pure", "the analysis runs no event loop"],
)
def test_third_parties_keep_to_their_side(packages, unwanted):
    used = {(name, other.partition(".")[0]) for name in FILES if name.startswith(packages) for other in imports(name)}
    allowed = {("perfkit.analysis.notebook.loops", "asyncio")}  # the one way to a kernel's own loop
    assert {(name, other) for name, other in used if other in unwanted} - allowed == set()


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_perfkit_loads_nothing_heavy():
    assert loaded_by("import perfkit") & (HEAVY | LOOPS | {"numpy", "transformers", "tokenizers"}) == set()


def test_the_worker_loads_nothing_that_it_does_not_need():
    assert loaded_by("import perfkit.loadgen.workers.program") & {*HEAVY, "numpy", "transformers", "aiohttp"} == set()


def test_the_driver_loads_neither_the_engine_nor_a_loop():
    rooms = {
        "perfkit.loadgen.run_loop",
        "perfkit.loadgen.recorder.process",
        "perfkit.loadgen.transport",
        "perfkit.simulator",
    }
    assert loaded_by("import perfkit.runner.start, perfkit.cli.run") & {*rooms, *HEAVY, *LOOPS, "numpy"} == set()


ALL_HELP = """
import contextlib, io
from perfkit.cli import COMMANDS, main
for words in [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)]:
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        main(words)
"""


def test_no_help_of_the_command_line_loads_pandas():
    assert loaded_by(ALL_HELP) & {*HEAVY, "numpy", "transformers"} == set()


@pytest.mark.alone
def test_import_perfkit_costs_under_a_seventh_of_a_second_more_than_asyncio():
    code = (
        "import time; began = time.perf_counter(); import asyncio; middle = time.perf_counter(); import perfkit; "
        "print(time.perf_counter() - middle)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    assert min(float(run.stdout) for run in runs) < 0.15


def test_a_star_import_hides_no_builtin():
    import builtins

    import perfkit

    assert [name for name in perfkit.__all__ if hasattr(builtins, name)] == []
