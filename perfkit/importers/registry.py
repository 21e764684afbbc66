"""Which importers there are, and which of them reads a file."""

import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, TypeVar

from perfkit.errors import UnsafeFile
from perfkit.records import Json
from perfkit.store.schema import APPLICATION_ID

HEAD: Final = 1 << 16
"""Bytes of a file that an importer sees to recognise it."""
_ID_AT = 68  # in the header of a sqlite file


@dataclass(frozen=True)
class ImportedRun:
    """One run of another tool.

    ``results`` is consumed before ``run`` is stored, so an importer may learn from its rows what it says of the run.
    """

    run: dict[str, Json]
    """Columns of ``store.schema.RUN``; identity and counts are filled in when left out."""
    results: Iterable[dict[str, Json]]
    """Columns of ``store.schema.RESULT``, one dict a request; what is left out is NULL."""


class Importer(Protocol):
    """Reads one kind of file."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell whether a file is of this kind, by its first bytes, its name aside."""

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the runs of a file.

        Raises
        ------
        UnsafeFile
            It cannot be read, or holds no single requests.
        """


Kind = TypeVar("Kind", bound=type[Importer])

IMPORTERS: dict[str, Importer] = {}
"""Every importer by the name of the tool, the users' own first."""

_BUILT_IN: Final = ("evalscope", "guidellm", "aiperf", "llmeter", "vllm")


def importer(name: str) -> Callable[[Kind], Kind]:
    r"""Register a class that reads another tool's files; ``pk.open`` then opens them.

    Parameters
    ----------
    name : str
        The tool. A name that exists is replaced.

    Examples
    --------
    >>> @importer("stopwatch")
    ... class Stopwatch:
    ...     def matches(self, path, head):
    ...         return head.startswith(b"latency\n")
    ...     def read(self, path):
    ...         rows = ({"success": 1, "latency": float(line)} for line in path.read_text().split()[1:])
    ...         yield ImportedRun({"name": path.stem}, rows)
    >>> _ = IMPORTERS.pop("stopwatch")
    """

    def register(cls: Kind) -> Kind:
        IMPORTERS[name] = cls()
        return cls

    return register


def recognise(path: str | Path) -> str | None:
    """Return the name of the importer that reads a file, None when no one does.

    Parameters
    ----------
    path : str or Path
        Any file.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return None
    if head[_ID_AT : _ID_AT + 4] == APPLICATION_ID.to_bytes(4, "big"):
        return None  # ours: known before any importer is loaded
    _load_built_in()
    return next((name for name, reader in reversed(IMPORTERS.items()) if reader.matches(path, head)), None)


def reader_of(path: Path) -> tuple[str, Importer]:
    """Return the importer that reads a file, with its name.

    Raises
    ------
    UnsafeFile
        None does.
    """
    name = recognise(path)
    if name is None:
        known = ", ".join(sorted({*IMPORTERS, "perfkit"}))
        raise UnsafeFile(f"{path} is no result file that perfkit knows (known: {known})")
    return name, IMPORTERS[name]


def _load_built_in() -> None:
    for name in _BUILT_IN:
        if name not in IMPORTERS:
            import_module(f"perfkit.importers.{name}")
