"""Which importers there are, and which of them reads a file."""

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol, TypeVar

from perfkit.analysis.importers.json_outline import outline
from perfkit.errors import UnsafeFile
from perfkit.records import Json
from perfkit.registry import Registry, as_names
from perfkit.runfile.raw_bytes import head_of
from perfkit.runfile.safe_file import is_our_live_file
from perfkit.runfile.schema import APPLICATION_ID

HEADS: Final = (1 << 16, 1 << 20, 1 << 24)
"""Bytes of a file that importers see to recognise it: of a JSON file that none knows by its first bytes, more."""
_ID_AT = 68  # in the header of a sqlite file


@dataclass(frozen=True)
class ImportedRun:
    """One run of another tool.

    ``results`` is consumed before ``run`` is stored, so an importer may learn from its rows what it says of the run.
    """

    run: dict[str, Json]
    """Columns of ``store.schema.RUN``; identity and counts are filled in when left out."""
    results: Iterable[dict[str, Json]] = ()
    """Columns of ``store.schema.RESULT``, one dict a request; what is left out is NULL."""
    figures: Mapping[str, float] | None = None
    """Of a run of which only a summary is there, in place of ``results``: its numbers, in seconds and tokens, by the
    names of metrics with ``_mean`` or ``_p50``, and of rates. ``run`` then has ``sent``, ``succeeded``, ``failed``."""


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


@dataclass(frozen=True)
class Format:
    """What is registered: a reader, and what is known of the other files of its tool."""

    reader: Importer
    side_files: tuple[str, ...] = ()
    summaries: tuple[str, ...] = ()
    tool: str = ""
    """Whose files they are, where several importers read a tool's."""


IMPORTERS: Registry[Format] = Registry("importer", "perfkit.analysis.importers")
"""Every importer by the name of the tool, the users' own too."""


def importer(
    name: str, *, side_files: tuple[str, ...] = (), summaries: tuple[str, ...] = (), tool: str = ""
) -> Callable[[Kind], Kind]:
    r"""Register a class that reads another tool's files; ``pk.open`` then opens them.

    Parameters
    ----------
    name : str
        The tool. A name that exists is replaced.
    side_files : tuple of str
        Names, or patterns of names, of what the tool writes beside its results: whoever opens one is told where the
        results are.
    summaries : tuple of str
        Names that stand at the top of a JSON file in which the tool sums up a run without its requests, divided by
        spaces; several are alternatives. Whoever opens one is told what it is.

    tool : str
        The tool, where this is one of several importers of its files; default: the name.

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
    as_names("importer", name)

    def register(cls: Kind) -> Kind:
        IMPORTERS.register(name, Format(cls(), side_files, summaries, tool), cls.__module__)
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
    for size in HEADS:
        head = _head(path, size)
        if head[_ID_AT : _ID_AT + 4] == APPLICATION_ID.to_bytes(4, "big") or is_our_live_file(path):
            return None  # ours: known before any importer is loaded
        for name in dict.fromkeys([*reversed(IMPORTERS.own), *reversed(list(IMPORTERS))]):  # the users' own first
            if IMPORTERS[name].reader.matches(path, head):
                return name
        if len(head) < size or not head.lstrip().startswith((b"{", b"[")):
            break
    return None


def reader_of(path: Path) -> tuple[str, Importer]:
    """Return the importer that reads a file, with its name.

    Raises
    ------
    UnsafeFile
        None does.
    """
    name = recognise(path)
    if name is None:
        raise UnsafeFile(unknown(path))
    return name, IMPORTERS[name].reader


def unknown(path: Path) -> str:
    """Say of a file that no importer reads what it is, as far as that can be told."""
    for tool, kind in IMPORTERS.items():
        if any(fnmatchcase(path.name, pattern) for pattern in kind.side_files):
            for results in sorted(path.parent.iterdir()):
                if recognise(results) == tool:
                    return f"{path} holds no individual requests; the results of {tool} are in {results.name} beside it"
    found = outline(_head(path, HEADS[1]))
    for tool, kind in IMPORTERS.items():
        if found.has(*kind.summaries):
            return f"{path} holds a summary of {tool} without single requests"
    known = ", ".join(sorted({*(kind.tool or name for name, kind in IMPORTERS.items()), "perfkit"}))
    return f"{path} is not a result file that perfkit knows (known: {known})"


def _head(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, none of what is not a readable regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        return head_of(path, size)
    except OSError:
        return b""
