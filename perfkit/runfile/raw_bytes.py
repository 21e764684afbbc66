"""Reads the bytes of a run file without disturbing whoever writes it.

POSIX takes a process's locks on a file from all its connections as soon as it closes any descriptor of that file,
and a writer in another process would then fold the journal beneath them. So a file to which this process may have a
connection stays open until it has none.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 20
_SHARES_LOCKS: Final = hasattr(os, "pread")
"""Whether the system's locks are those of POSIX."""


@dataclass(slots=True)
class _Kept:
    """A descriptor, which file it is of, and how many read it now."""

    descriptor: int
    path: str
    identity: os.stat_result
    readers: int = 0


_lock = threading.Lock()
_kept: list[_Kept] = []
_locked: list[str] = []


@contextmanager
def kept_open(path: Path) -> Iterator[None]:
    """Keep a file's descriptors open while a connection holds locks of it that no write-ahead log tells of."""
    real = os.path.realpath(path)
    with _lock:
        _locked.append(real)
    try:
        yield
    finally:
        with _lock:
            _locked.remove(real)


def head_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    OSError
        It cannot be read.
    """
    if not _SHARES_LOCKS:
        with path.open("rb") as file:
            return file.read(size)
    with _descriptor_of(path) as descriptor:
        return os.pread(descriptor, size, 0)


def copy_bytes(path: Path, target: Path) -> None:
    """Copy the bytes of a file.

    Raises
    ------
    OSError
        It cannot be read, or the copy cannot be written.
    """
    with path.open("rb") if not _SHARES_LOCKS else _descriptor_of(path) as source, target.open("wb") as copy:
        position = 0
        while piece := source.read(_PIECE) if not isinstance(source, int) else os.pread(source, _PIECE, position):
            copy.write(piece)
            position += len(piece)


@contextmanager
def _descriptor_of(path: Path) -> Iterator[int]:
    with _lock:
        _close_unused()
        identity = path.stat()
        kept = next((kept for kept in _kept if os.path.samestat(kept.identity, identity)), None)
        if kept is None:
            descriptor = os.open(path, os.O_RDONLY)
            kept = _Kept(descriptor, os.path.realpath(path), os.fstat(descriptor))
            _kept.append(kept)
        kept.readers += 1
    try:
        yield kept.descriptor
    finally:
        with _lock:
            kept.readers -= 1
            _close_unused()


def _close_unused() -> None:
    for kept in _kept[:]:
        if not (kept.readers or kept.path in _locked or os.path.exists(f"{kept.path}-shm")):
            _kept.remove(kept)
            os.close(kept.descriptor)
