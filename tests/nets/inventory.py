"""``python -m tests.nets.inventory [TREE]``: everything a user of perfkit can name, as JSON.

Reads the perfkit of a tree (default: this one) through its command line and ``import perfkit`` alone, so that it runs
on an old commit as on a new one: ``git worktree add ../old COMMIT``, then ``python -m tests.nets.inventory ../old``.
``inventory.json`` is what the commit before the reorganisation had; ``removed.json`` says what is gone, and why.

Lists that nothing public gives today (APIs, datasets, rates, importers, generations of plugins) are read from the
tables of the documentation or the registries of that commit; the test holds them by using each.
"""

import argparse
import dataclasses
import inspect
import io
import re
import runpy
import sqlite3
import subprocess
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def inventory(wanted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all names of the perfkit that ``import perfkit`` finds, run from the root of its tree.

    A class is listed by the first way to it, and by each way that the names of ``wanted``, another inventory, take.
    """
    import perfkit as pk

    return {
        "commands": {name: parameters(name) for name in commands()},
        "all": sorted(pk.__all__),
        "names": names(pk, wanted["names"] if wanted else ()),
        "options": {each.name: default(each) for each in dataclasses.fields(pk.Arguments)},
        "metrics": sorted(pk.METRICS),
        "definitions": sorted(pk.DEFINITIONS),
        "charts": charts(pk),
        "rates": documented("rates"),
        "apis": registered("APIS"),
        "datasets": registered("DATASETS"),
        "importers": importers(),
        "documented imports": imports(),
        "columns": columns(),
        "plugin generations": ["llmuses", "A", "B", "C", "C with process_request"],
    }


def commands() -> list[str]:
    """Return the commands that ``perfkit --help`` names."""
    parser = parser_of(["--help"])
    return sorted(name for action in subparsers(parser) for name in action.choices)


def parameters(command: str) -> dict[str, dict[str, Any]]:
    """Return the options of a command, by their longest spelling, and its positional arguments."""
    action = next(iter(subparsers(parser_of([command]))))
    found = {}
    for each in action.choices[command]._actions:
        name = max(each.option_strings, key=len, default=each.dest)
        found[name] = {
            "spellings": sorted(each.option_strings),
            "choices": sorted(map(str, each.choices)) if each.choices else None,
            "default": plain(each.default),
            "many": each.nargs in ("+", "*"),
            "flag": each.nargs == 0,
            "type": getattr(each.type, "__name__", None) if each.type in (int, float, str) else None,
        }
    return found


def parser_of(words: list[str]) -> argparse.ArgumentParser:
    """Return the parser that ``perfkit`` makes for a command line, without running it."""
    kept: list[argparse.ArgumentParser] = []

    class Stop(Exception):
        pass

    def seen(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        kept.append(self)
        raise Stop

    before, argv = argparse.ArgumentParser.parse_known_args, sys.argv
    argparse.ArgumentParser.parse_known_args, sys.argv = seen, ["perfkit", *words]  # type: ignore[method-assign]
    try:
        with suppress(Stop), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            runpy.run_module("perfkit", run_name="__main__")
    finally:
        argparse.ArgumentParser.parse_known_args, sys.argv = before, argv  # type: ignore[method-assign]
    return kept[0]


def subparsers(parser: argparse.ArgumentParser) -> Iterator[Any]:
    yield from (each for each in parser._actions if isinstance(each, argparse._SubParsersAction))


def plain(value: Any) -> Any:
    """Return a default as JSON."""
    if value is inspect.Parameter.empty or value is dataclasses.MISSING:
        return "required"
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, (bool, int, float, str, dict)) else type(value).__name__


def default(field: dataclasses.Field[Any]) -> Any:
    return plain(field.default if field.default_factory is dataclasses.MISSING else field.default_factory())


def signature(function: Callable[..., Any]) -> dict[str, Any] | None:
    """Return each parameter with its default and whether it is positional, by name; None where there is none."""
    try:
        given = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = {inspect.Parameter.POSITIONAL_ONLY: "position only", inspect.Parameter.KEYWORD_ONLY: "keyword only"}
    return {
        f"{'*' * (each.kind in (2, 4)) + '*' * (each.kind == 4)}{each.name}": [
            kinds.get(each.kind, ""),
            plain(each.default),
        ]
        for each in given
        if each.name not in ("self", "cls")
    }


def names(pk: Any, wanted: Iterable[str]) -> dict[str, Any]:
    """Return every public name, and the members of each class that it is, takes or returns, by the way there."""
    found: dict[str, Any] = {}
    seen: set[type] = set()
    waiting = [(f"pk.{name}", getattr(pk, name)) for name in sorted(dir(pk)) if not name.startswith("__")]
    while waiting:
        path, value = waiting.pop(0)
        if inspect.isclass(value):
            found[path] = "class"
            if value in seen and not any(name.startswith(f"{path}.") for name in wanted):
                continue
            seen.add(value)
            for name in sorted(dir(value)):
                owner = next(each for each in value.__mro__ if name in vars(each)) if name[0] != "_" else object
                if not owner.__module__.startswith("perfkit"):
                    continue
                member = inspect.getattr_static(value, name)
                inner = member.fget if isinstance(member, property) else getattr(member, "func", None)
                called = getattr(value, name, None)
                if inner is None and callable(called) and not inspect.isclass(called):
                    found[f"{path}.{name}"] = signature(called)
                    waiting += returned(f"{path}.{name}()", called)
                else:
                    found[f"{path}.{name}"] = "property" if inner else "attribute"
                    waiting += returned(f"{path}.{name}", inner) if inner else []
            if dataclasses.is_dataclass(value):
                found |= {
                    f"{path}.{each.name}": "attribute" for each in dataclasses.fields(value) if each.name[0] != "_"
                }
            found[f"{path}()"] = signature(value)
        elif callable(value):
            found[path] = signature(value)
            waiting += returned(f"{path}()", value)
        else:
            found[path] = type(value).__name__ if isinstance(value, (str, int)) else "object"
    return found


def returned(path: str, function: Any) -> list[tuple[str, type]]:
    """Return the class of perfkit that a function returns, under its path; none if it returns another."""
    try:
        hint = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        hint = unresolved(function)
    inside = [hint, *typing.get_args(hint)]
    return [(path, each) for each in inside if inspect.isclass(each) and each.__module__.startswith("perfkit")]


def unresolved(function: Any) -> Any:
    """Return what a hint names that only type checkers import: a class of perfkit that is loaded."""
    name = str(getattr(function, "__annotations__", {}).get("return", "")).strip("'\"")
    loaded = [module for key, module in list(sys.modules.items()) if key.startswith("perfkit")]
    return next((getattr(module, name) for module in loaded if inspect.isclass(getattr(module, name, None))), None)


def charts(pk: Any) -> dict[str, Any]:
    """Return the charts of runs and what each takes."""
    plot = pk.open(HERE / "data" / "runs.db").plot
    return {name: signature(getattr(plot, name)) for name in sorted(dir(plot)) if not name.startswith("_")}


def documented(table: str) -> list[str]:
    """Return the first column of a table that the documentation takes from the code."""
    text = "".join(page.read_text(encoding="utf-8") for page in sorted(Path("docs").glob("*.md")))
    body = re.search(rf"<!-- table {table} -->\n(.*?)<!-- end -->", text, re.DOTALL)
    return sorted(re.findall(r"^\| `(\w+)`", body[1], re.MULTILINE)) if body else []


def registered(name: str) -> list[str]:
    """Return the names of a registry, wherever the package keeps it."""
    for module in ("perfkit.apis", "perfkit.loadgen.datasets", "perfkit.loadgen.datasets"):  # where commits had them
        with suppress(ModuleNotFoundError):
            import_module(module)
    for key, module in sorted(sys.modules.items()):
        registry = getattr(module, name, None) if key.startswith("perfkit") else None
        if registry is not None:
            known = getattr(registry, "names", None) or getattr(registry, "classes", registry)
            return sorted(known() if callable(known) else known)
    return []


def importers() -> list[str]:
    """Return the tools whose files the fixtures are, as their rows name them."""
    import perfkit as pk

    root = HERE.parents[0] / "fixtures"
    folders = [*(root / "peers").iterdir(), *(root / "evalscope").iterdir()]
    return sorted({str(source) for folder in folders for source in pk.open(folder).table["source"]})


def imports() -> list[str]:
    """Return the imports from perfkit that the documentation shows."""
    pages = [Path("README.md"), *Path("docs").rglob("*.md"), *Path("notebooks").rglob("*.ipynb")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages if page.exists())
    found = set()
    for module, given in re.findall(r"from (perfkit[\w.]*) import ([\w, *]+)", text):
        found |= {f"{module}:{name.strip()}" for name in given.split(",") if name.strip()}
    return sorted(found)


def columns() -> dict[str, list[str]]:
    """Return the columns of each table and view of a run file, and of the frames that ``pk.open`` gives of it."""
    import perfkit as pk

    path = HERE / "data" / "runs.db"
    found = {}
    with closing(sqlite3.connect(path)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall():
            found[name] = [column[1] for column in connection.execute(f"PRAGMA table_info({name})")]
    runs = pk.open(path)
    frames = {"runs.requests": runs.requests, "runs.chunks": runs.chunks, "runs.table": runs.table}
    return found | {name: list(map(str, frame.columns)) for name, frame in frames.items()}


def missing(kept: Any, found: Any, where: str = "") -> Iterator[str]:
    """Yield the path of every entry of one inventory that another lacks, or has otherwise."""
    if isinstance(kept, dict):
        for key, value in kept.items():
            if not isinstance(found, dict) or key not in found:
                yield f"{where}/{key}"
            else:
                yield from missing(value, found[key], f"{where}/{key}")
    elif isinstance(kept, list) and isinstance(found, list) and not where.startswith(("/names", "/charts")):
        yield from (f"{where}/{each}" for each in kept if each not in found)
    elif kept != found:
        yield f"{where} (was {kept!r}, is {found!r})"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        program = "import sys, runpy; sys.path.insert(0, '.'); runpy.run_path(sys.argv.pop(), run_name='__main__')"
        sys.exit(
            subprocess.run(
                [sys.executable, "-c", program, str(Path(__file__))], cwd=sys.argv[1], check=False
            ).returncode
        )
    sys.path.insert(0, str(HERE.parents[1]))
    from tests.nets.golden import written

    print(written(inventory()))
