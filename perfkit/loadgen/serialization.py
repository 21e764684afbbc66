"""What travels between perfkit's own processes with code in it: a person's classes, and prompts made of them.

Unpacking runs what was packed. Nothing from a file or a server is ever unpacked here: only what the driver has packed,
from pipes that nobody else holds.
"""

import pickle
from collections import ChainMap
from collections.abc import Callable
from io import BytesIO
from types import CodeType
from typing import Any, ClassVar

import cloudpickle


def packed(value: object) -> bytes:
    """Return anything as bytes, classes of a script or notebook included.

    Examples
    --------
    >>> unpacked(packed(["hello"]))
    ['hello']
    """
    buffer = BytesIO()
    try:
        _Pickler(buffer).dump(value)
    except pickle.PicklingError as error:
        raise TypeError(str(error)) from None
    return buffer.getvalue()


def unpacked(data: bytes) -> Any:
    """Return what ``packed`` was given."""
    return pickle.loads(data)


def _reduce_code(code: CodeType) -> tuple[Callable[..., CodeType], tuple[Any, ...]]:
    # cloudpickle 3.1.3 calls every file <dynamic-code>; an error in a person's code must name their file and line.
    make, arguments = cloudpickle.Pickler.dispatch_table[CodeType](code)
    return _make_code, (code.co_filename, make, arguments)


def _make_code(filename: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=filename)


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    dispatch_table: ClassVar = ChainMap({CodeType: _reduce_code}, cloudpickle.Pickler.dispatch_table)
