"""The house stands: imports point down, the two towers never meet, and importing perfkit costs nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "perfkit"

# From the ground up: a room imports rooms of lower floors only, inside functions too. What stands between the towers
# (shared) is pure: no pandas and no asyncio. A new room: put it on the lowest floor where it fits.
FLOORS = [
    # measure                        shared                                          explore
    ("",                                   "limits",                                       ""),
    ("alarm sse",                          "errors records tables verdict",                "stats"),
    ("load registry",                "calibrated chunks labels safe_file safe_pickle secrets settings store tokens",
                                                                                     "estimates metrics where"),
    ("simulator",                    "validation",                                   "frame plots summary"),
    ("",                             "arguments",       "answers checks columns decoding export saving steady"),
    ("transport",                    "apis",            "aggregates bracketing cohorts comparing report showing"),
    ("datasets plugins",             "evalscope",                                    "curve"),
    ("engine",                       "importers",                                    "definitions"),
    ("workers",                      "scrubbing",                                    "dataframe opening"),
    ("",                             "",                                             "selection"),
    ("",                             "",                                             "measured"),
    ("",                             "",                                             "runs"),
    ("",                             "",                                             "notebook"),
]  # fmt: skip
ROOF = "job attached tracking measure calibration slo cli __main__"
"""The bridge between the towers, from the lower to the higher."""

MEASURE, SHARED, EXPLORE = ({room for floor in FLOORS for room in floor[tower].split()} for tower in range(3))
LEVEL = {room: level for level, floor in enumerate(FLOORS) for room in " ".join(floor).split()}
LEVEL |= {room: len(FLOORS) + level for level, room in enumerate(ROOF.split())} | {"perfkit": -1}

HEAVY = {"pandas", "matplotlib", "scipy", "IPython", "ipywidgets"}
LOOPS = {"asyncio", "aiohttp", "uvloop", "nest_asyncio"}


def name_of(file: Path) -> str:
    parts = file.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in HOUSE.rglob("*.py")}


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


GRAPH = {name: imports(name) for name in FILES}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else name


ARROWS = {
    (room(name), room(other), f"{name} imports {other}")
    for name, others in GRAPH.items()
    for other in others
    if other.startswith("perfkit") and room(other) != room(name)
}


def test_every_room_has_its_floor():
    assert {room(name) for name in FILES} - set(LEVEL) == set(), "put new rooms into FLOORS"


def test_imports_point_down():
    assert [arrow for above, below, arrow in ARROWS if LEVEL.get(above, 99) <= LEVEL.get(below, 99)] == []


def test_no_files_import_each_other_in_a_circle():
    known = {name: {other for other in others if other in FILES and other != name} for name, others in GRAPH.items()}
    # A package's own __init__ gathers its files; that they import it back would be the circle.
    list(TopologicalSorter(known).static_order())


def test_the_towers_do_not_know_each_other():
    assert [arrow for above, below, arrow in ARROWS if above in MEASURE and below in EXPLORE] == []
    assert [arrow for above, below, arrow in ARROWS if above in EXPLORE and below in MEASURE] == []


@pytest.mark.parametrize(
    ("tower", "unwanted"),
    [(MEASURE, HEAVY), (SHARED, HEAVY | LOOPS), (EXPLORE, LOOPS - {"nest_asyncio"})],
    ids=["measuring loads no pandas", "what is shared is pure", "exploring runs no loop"],
)
def test_third_parties_keep_to_their_tower(tower, unwanted):
    used = {(name, other.partition(".")[0]) for name in FILES if room(name) in tower for other in GRAPH[name]}
    allowed = {("perfkit.notebook.loops", "asyncio")}  # the one door to a kernel's own loop
    assert {(name, other) for name, other in used if other in unwanted} - allowed == set()


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_perfkit_loads_nothing_heavy():
    assert loaded_by("import perfkit") & (HEAVY | LOOPS | {"numpy", "transformers", "tokenizers"}) == set()


def test_the_worker_loads_nothing_that_it_does_not_need():
    assert loaded_by("import perfkit.workers.program") & {*HEAVY, "numpy", "transformers", "aiohttp"} == set()


def test_the_driver_loads_neither_the_engine_nor_a_loop():
    rooms = {"perfkit.engine.session", "perfkit.engine.desk", "perfkit.transport", "perfkit.simulator"}
    assert loaded_by("import perfkit.measure, perfkit.cli.run") & {*rooms, *HEAVY, *LOOPS, "numpy"} == set()


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
