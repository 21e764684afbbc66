"""Where plugins come from: decorators, files, folders and entry points; and how the engine binds them."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from perfkit.apis.base import ApiPluginBase, PerfPluginBase
from perfkit.apis.binding import BoundApi, bind_api
from perfkit.errors import BrokenOff, UsageError, nearest
from perfkit.registry import api_class as registered_api
from perfkit.registry import dataset_class, get_logger, register_api, register_dataset

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "BoundApi",
    "PerfPluginBase",
    "api_class",
    "bind_api",
    "dataset_class",
    "get_logger",
    "load_parser",
    "load_plugins",
    "register_api",
    "register_dataset",
]

ENTRY_POINTS = "perfkit.plugins"


def api_class(name_or_path: str) -> type:
    """Return an API class by its registered name, or by the path of its file.

    Raises
    ------
    UnknownPlugin
        Nothing has that name; the message suggests the nearest.
    UsageError
        The file cannot be loaded.
    """
    if name_or_path.partition(":")[0].endswith(".py"):
        return load_parser(name_or_path)
    return registered_api(name_or_path)


def load_plugins(paths: Iterable[str] = ()) -> None:
    """Load plugin files and folders, and the plugins of installed packages; their decorators register them.

    Parameters
    ----------
    paths : iterable of str
        Files, or folders whose ``*.py`` files are loaded in order of name.

    Raises
    ------
    UsageError
        A path does not exist, or a file does not load; the message names file and line.
    """
    load_entry_points()
    for path in map(Path, paths):
        if not path.exists():
            raise UsageError(f"no plugin file or folder at {path}")
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            load_file(file)


def load_entry_points() -> None:
    """Load the plugins of installed packages; their decorators register them.

    Raises
    ------
    UsageError
        One does not load; the message names it.
    """
    for entry in _installed(tuple(sys.path)):
        try:
            entry.load()
        except Exception as error:
            raise UsageError(f"installed plugin {entry.value}: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=8)
def _installed(path: tuple[str, ...]) -> "tuple[EntryPoint, ...]":
    """Return what the packages along ``sys.path`` offer: once, as each of a hundred has a file that is to be read."""
    from importlib.metadata import entry_points

    return tuple(entry_points(group=ENTRY_POINTS))


def load_parser(spec: str) -> type:
    """Load a plugin class as ``--parser`` names it.

    Parameters
    ----------
    spec : str
        ``file.py`` (its one plugin class), ``file.py:Class``, or ``module.Class``.

    Raises
    ------
    UsageError
        File, module or class cannot be found or loaded.
    """
    file, _, name = spec.partition(":")
    if file.endswith(".py"):
        module = load_file(Path(file))
        return _class(module, name) if name else _only_class(module)
    module_name, _, name = spec.rpartition(".")
    if not module_name:
        raise UsageError(f"parser must be file.py, file.py:Class or module.Class, got {spec!r}")
    beside = Path(*module_name.split(".")).with_suffix(".py")
    return _class(load_file(beside) if beside.exists() else _imported(module_name), name)


def load_file(path: Path) -> ModuleType:
    """Run a Python file as a module.

    Raises
    ------
    UsageError
        It cannot be read, or its code raises.
    """
    if not path.is_file():
        raise UsageError(f"no plugin file at {path}")
    path = path.resolve()
    name = f"perfkit_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BrokenOff as error:
        raise error.reason from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"plugin {_where(error, path)}: {type(error).__name__}: {error}") from error
    return module


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"cannot import the parser's module {name!r}: {error}") from None


def _class(module: ModuleType, name: str) -> type:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise UsageError(f"{_shown(module)} has no class {name!r}{nearest(name, _names(module))}")
    return found


def _only_class(module: ModuleType) -> type:
    own = _classes(module)
    plugins = [cls for cls in own if issubclass(cls, (PerfPluginBase, ApiPluginBase))] or own
    if len(plugins) != 1:
        shown = ", ".join(cls.__name__ for cls in plugins) or "none"
        raise UsageError(f"{_shown(module)} must define one plugin class, or name it as file.py:Class; found: {shown}")
    return plugins[0]


def _classes(module: ModuleType) -> list[type]:
    made_here = (value for value in vars(module).values() if isinstance(value, type))
    return [cls for cls in made_here if cls.__module__ == module.__name__ and hasattr(cls, "build_request")]


def _names(module: ModuleType) -> list[str]:
    return [cls.__name__ for cls in _classes(module)]


def _shown(module: ModuleType) -> str:
    return module.__file__ or module.__name__


def _where(error: BaseException, path: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    import traceback

    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
