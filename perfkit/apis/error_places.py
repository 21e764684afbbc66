"""Where in a person's own code something went wrong: the file and line that an error of a plugin names."""

import inspect
import sysconfig
from collections.abc import Callable
from pathlib import Path
from traceback import walk_tb
from typing import Any

from perfkit.errors import BrokenOff, PerfkitError, PluginFailure

_LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name), "_")).removesuffix("_") for name in ("stdlib", "platstdlib")}
    | {str(Path(__file__).parent.parent / "_").removesuffix("_"), "<frozen "}
)


class Steps:
    """Counts the steps into a person's own code: one that lasts is told by it from many that follow each other."""

    begun = 0


STEPS = Steps()


def is_library(file: str) -> bool:
    """Tell whether code of this file is Python's, an installed package's or perfkit's, and not a person's own."""
    installed = "site-packages" in file or "dist-packages" in file
    return installed or file.endswith(".pyx") or file.startswith(_LIBRARIES)


def is_own(cls: type) -> bool:
    """Tell whether any method of a class is a person's own code."""
    functions = [member for each in cls.__mro__ for member in vars(each).values() if inspect.isfunction(member)]
    return any(not is_library(function.__code__.co_filename) for function in functions)


def place_of(function: Callable[..., Any]) -> str:
    """Return file and line where a function or class begins.

    Examples
    --------
    >>> place_of(place_of).rpartition("/")[2].partition(":")[0]
    'error_places.py'
    """
    code = getattr(inspect.unwrap(function), "__code__", None) or getattr(
        getattr(function, "__init__", None), "__code__", None
    )
    return f"{code.co_filename}:{code.co_firstlineno}" if code else repr(function)


def place_in(error: BaseException, function: Callable[..., Any]) -> str:
    """Return file and line of the last step of an error that is a person's code, and not a library that it calls."""
    own = place_of(function).rpartition(":")[0]
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    found = [f"{file}:{line}" for file, line in frames if file == own or not is_library(file)]
    return found[-1] if found else place_of(function)


def failure_in(error: BaseException, function: Callable[..., Any]) -> PerfkitError:
    """Return what a plugin raised as the error of its row, with its place."""
    if isinstance(error, BrokenOff):
        return error.reason
    if isinstance(error, PluginFailure):
        return error
    text = str(error) or (type(error).__doc__ or "").partition("\n")[0]
    return PluginFailure(f"{place_in(error, function)}: {type(error).__name__}: {text}")
