"""What travels between perfkit's own processes with code in it: a person's classes, and prompts made of them.

Unpacking runs what was packed. Nothing from a file or a server is ever unpacked here: only what the driver has packed,
from pipes that nobody else holds.
"""

import pickle
from typing import Any

import cloudpickle


def packed(value: object) -> bytes:
    """Return anything as bytes, classes of a script or notebook included.

    Raises
    ------
    TypeError
        It cannot leave its process: a lock, a connection.

    Examples
    --------
    >>> unpacked(packed(["hello"]))
    ['hello']
    """
    try:
        data: bytes = cloudpickle.dumps(value)
    except pickle.PicklingError as error:
        raise TypeError(str(error)) from None
    return data


def unpacked(data: bytes) -> Any:
    """Return what ``packed`` was given."""
    return pickle.loads(data)
