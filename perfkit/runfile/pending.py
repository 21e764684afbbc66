"""Answers that have come and are not in the run file yet: a file or two beside it while a run goes on.

The process that measures appends each finished exchange; the recorder decodes it and commits its row. Whoever dies
before that leaves the answers here, and the next to open the run file finds them. A segment is written from its start
again once all that it holds is committed, so what lies behind the newest generation is old.
"""

import errno
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct, error
from typing import Final, NamedTuple

import orjson

from perfkit.records import Json

PARTS: Final = 6
"""Byte strings of a record."""
SEGMENTS: Final = 2
LARGEST: Final = 96 << 20
"""Bytes of a record that are believed."""
_MOST: Final = 1 << 30
"""Bytes of a segment that are read."""
_MAGIC: Final = b"pfk\x02"
_HEAD: Final = Struct(f"<4sII{PARTS + 1}I")
_BETWEEN: Final = "-answers-"


class Record(NamedTuple):
    """One finished exchange: plain values, and byte strings."""

    told: dict[str, Json]
    parts: Sequence[bytes]


def segment(path: Path, run_id: str, worker: int, index: int) -> Path:
    """Return the place of a segment of one worker's answers of one run."""
    return path.with_name(f"{path.name}{_BETWEEN}{run_id}-{worker}-{index}")


def is_segment(path: Path) -> bool:
    """Tell whether a file holds answers that wait beside another."""
    return _BETWEEN in path.name


def segments(path: str | Path) -> list[Path]:
    """Return the segments that lie beside a run file.

    Examples
    --------
    >>> segments("nowhere/run.db")
    []
    """
    path = Path(path)
    before = path.name + _BETWEEN
    try:
        names = sorted(name for name in os.listdir(path.parent or ".") if name.startswith(before))
    except OSError:
        return []
    return [path.with_name(name) for name in names if (path.parent / name).is_file()]


def share_of(segment: Path) -> tuple[str, int]:
    """Return the run and the worker that a segment belongs to; worker -1 where its name does not say.

    Examples
    --------
    >>> share_of(segment(Path("run.db"), "01ARZ3NDEKTSV4RRFFQ69G5FAV", 2, 1))
    ('01ARZ3NDEKTSV4RRFFQ69G5FAV', 2)
    """
    run_id, _, rest = segment.name.rpartition(_BETWEEN)[2].partition("-")
    worker = rest.partition("-")[0]
    return run_id, int(worker) if worker.isascii() and worker.isdigit() else -1


def packed(record: Record, generation: int) -> list[bytes]:
    """Return a record as bytes, in pieces: an answer may be large, and is not copied."""
    pieces = [orjson.dumps(record.told, default=str), *record.parts]
    check = 0
    for piece in pieces:
        check = zlib.crc32(piece, check)
    return [_HEAD.pack(_MAGIC, generation, check, *map(len, pieces)), *pieces]


def write(file: int, pieces: Sequence[bytes], at: int) -> int:
    """Write pieces to a place of a file, by its descriptor; return how many bytes they are.

    Raises
    ------
    OSError
        There was no room for all of them.
    """
    size = sum(map(len, pieces))
    if hasattr(os, "pwritev"):
        written = os.pwritev(file, pieces, at)
    else:
        os.lseek(file, at, os.SEEK_SET)
        written = os.write(file, b"".join(pieces))
    if written < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return size


def records(path: Path) -> Iterator[Record]:
    """Yield the records of a segment, to the first that is torn or of an earlier generation.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "some")
    ...     new, old = (b"".join(packed(Record({"seq": seq}, [b"ab"] * PARTS), seq)) for seq in (2, 1))
    ...     _ = file.write_bytes(new + new + old)
    ...     [record.told["seq"] for record in records(file)]
    [2, 2]
    """
    with path.open("rb") as file:
        left, first = min(os.fstat(file.fileno()).st_size, _MOST), None
        while True:
            try:
                magic, generation, check, *lengths = _HEAD.unpack(file.read(_HEAD.size))
            except error:
                return
            left -= _HEAD.size
            first = generation if first is None else first
            if magic != _MAGIC or generation != first or sum(lengths) > min(left, LARGEST):
                return
            body = file.read(sum(lengths))
            left -= len(body)
            if len(body) < sum(lengths) or zlib.crc32(body) != check:
                return
            pieces, at = [], 0
            for length in lengths:
                pieces.append(body[at : at + length])
                at += length
            try:
                told = orjson.loads(pieces[0])
            except orjson.JSONDecodeError:
                return
            if not isinstance(told, dict):
                return
            yield Record(told, pieces[1:])
