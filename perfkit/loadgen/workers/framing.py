"""What goes over the pipes between a driver and its worker: framed pickles in, lines of JSON out.

The worker unpacks what its own driver wrote into its standard input, code included, since plugin classes travel by
value. Nothing from a file or a server passes here. What a worker on another machine sends as pickles, rows, its driver
reads as plain data only.
"""

import json
import pickle
import sys
from collections.abc import Iterator
from io import BytesIO
from struct import Struct
from types import ModuleType
from typing import Any, BinaryIO

import cloudpickle

from perfkit.apis.error_places import is_library
from perfkit.loadgen.serialization import packed, unpacked

_HEAD = Struct("<Q")


def send(stream: BinaryIO, message: object) -> None:
    """Write one message for the worker."""
    data = packed(message)
    stream.write(_HEAD.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one message from the driver; None when the pipe has ended."""
    data = receive_bytes(stream)
    return None if data is None else unpacked(data)


def receive_plain(stream: BinaryIO) -> Any:
    """Read one message that may hold nothing but plain data; None when the stream has ended."""
    data = receive_bytes(stream)
    try:
        return None if data is None else _Plain(BytesIO(data)).load()
    except pickle.UnpicklingError as error:
        raise ValueError(str(error)) from None


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def receive_bytes(stream: BinaryIO) -> bytes | None:
    """Read one message as it was packed; None when the stream has ended."""
    try:
        head = stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        (size,) = _HEAD.unpack(head)
        data = stream.read(size)
    except OSError:  # a connection that broke has ended
        return None
    return data if len(data) == size else None


def tell(stream: BinaryIO, event: dict[str, Any]) -> None:
    """Write one event for the driver."""
    stream.write(json.dumps(event).encode() + b"\n")
    stream.flush()


def heard(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the events of a worker until its stream ends."""
    try:
        for line in stream:
            if line.endswith(b"\n"):  # what broke off in the middle was not said
                yield json.loads(line)
    except OSError:  # a connection that broke has ended
        return


def carry_by_value(classes: list[type]) -> None:
    """Have the modules of a person's own classes pickled by value, so that the worker need not import them."""
    for cls in classes:
        module = sys.modules.get(cls.__module__)
        if module is not None and _is_own(module):
            cloudpickle.register_pickle_by_value(module)


def _is_own(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None) or ""
    return module.__name__ != "__main__" and not is_library(file)
