"""Files of prompts, read piece by piece: lines, JSON arrays, CSV tables, Arrow and Parquet files."""

import csv
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from perfkit.errors import UsageError
from perfkit.records import Json

_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_LONGEST_FIELD = 2**31 - 1
"""Characters: long documents stand in CSV files, too."""


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file, line ends included."""
    number = 0
    try:
        with open_text(path) as file:
            for line in file:
                number += 1
                yield line
    except UnicodeDecodeError as error:
        # The decoder works ahead of the lines, by up to 8 KiB.
        raise UsageError(f"{path} is not UTF-8 in line {number + 1} or soon after: {error.reason}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def open_text(path: Path) -> TextIO:
    """Open a text file in UTF-8, gzip'd or not."""
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path, "rt", encoding="utf-8-sig") if packed else path.open(encoding="utf-8-sig")


def kind_of(path: Path) -> str:
    """Return the ending that says what is in a file, ``.gz`` aside.

    Examples
    --------
    >>> kind_of(Path("prompts.jsonl.gz")), kind_of(Path("a.CSV"))
    ('.jsonl', '.csv')
    """
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def records_of(path: Path) -> Iterator[tuple[str, Json]]:
    """Yield the records of a file of any kind with their places, for messages.

    JSON is an array of records, records line by line, or one object that holds a list of records; the content says
    which. Tables are CSV (the head line says what separates), Parquet and Arrow.
    """
    kind = kind_of(path)
    if kind in (".csv", ".tsv"):
        return ((f"{path}, row {number}", row) for number, row in enumerate(rows_of(path), 1))
    if kind in (".parquet", ".arrow"):
        return ((f"{path}, record {number}", row) for number, row in enumerate(arrow_rows(path), 1))
    return _json_records(path)


def _json_records(path: Path) -> Iterator[tuple[str, Json]]:
    begin = next((line.strip() for line in lines_of(path) if line.strip()), "")
    whole: Json = None
    if not _is_json(begin):
        # The first line is not whole: an array or an object over several lines, or not JSON at all.
        if begin.startswith("["):
            items = _items_of_array(path)
            first = list(islice(items, 1))
            whole = chain(first, items)
            if first and isinstance(first[0], dict) and "role" in first[0]:
                whole = [list(whole)]
        elif begin.startswith("{"):
            whole = _held_records(path)
    elif begin.startswith("[") and not _is_talk(json.loads(begin)):
        whole = _items_of_array(path)
    elif begin.startswith("{") and (held := _list_in(json.loads(begin))) is not None:
        whole = held
    if whole is None:
        yield from ((f"{path}:{number}", value) for number, value in values_of(path))
    else:
        yield from ((f"{path}, record {number}", value) for number, value in enumerate(whole, 1))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _is_talk(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "role" in value[0]


_LISTS = ("data", "records", "rows", "items", "examples", "prompts", "requests", "entries", "instances", "train")
"""What a list of records is called where it is a member of an object."""


def _list_in(value: dict[str, Json]) -> list[Json] | None:
    return next((value[name] for name in _LISTS if isinstance(value.get(name), list)), None)


def _held_records(path: Path) -> list[Json] | None:
    """Return the records of a file that is one JSON object over several lines, None if it is JSON lines after all."""
    text = "".join(lines_of(path))
    try:
        whole = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno} is not JSON: {error.msg} (character {error.colno})") from None
    held = _list_in(whole)
    return [whole] if held is None else held


def _items_of_array(path: Path) -> Iterator[Json]:
    with open_text(path) as file:
        yield from _array_items(file, path)


def values_of(path: Path) -> Iterator[tuple[int, Json]]:
    """Yield the values of a JSONL file with the numbers of their lines, from 1; empty lines are passed over."""
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}:{number} is not JSON: {error.msg} (character {error.pos + 1})") from None
        yield number, value


def objects_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file with the numbers of their lines, from 1."""
    for number, value in values_of(path):
        if not isinstance(value, dict):
            raise UsageError(f"{path}:{number} is no JSON object: {json.dumps(value, ensure_ascii=False)[:60]}")
        yield number, value


def items_of(path: Path) -> Iterator[Json]:
    """Yield the items of a file that holds one JSON array, or of a JSONL file.

    An array of chat messages is an item itself: such a file holds a conversation a line.
    """
    try:
        with open_text(path) as file:
            if file.read(_PIECE).lstrip().startswith("["):
                file.seek(0)
                items = _array_items(file, path)
                first = list(islice(items, 1))
                if not any(isinstance(item, dict) and "role" in item for item in first):
                    yield from chain(first, items)
                    return
            yield from (value for _, value in values_of(path))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _array_items(file: Any, path: Path) -> Iterator[Json]:
    decode = json.JSONDecoder().raw_decode
    text, count = file.read(_PIECE).lstrip("\ufeff \t\r\n")[1:], 0
    while True:
        text = text.lstrip(" \t\r\n,")
        if text.startswith("]"):
            return
        item, end, problem = None, len(text), "no comma or bracket follows it"
        try:
            item, end = decode(text)
        except json.JSONDecodeError as error:
            problem = error.msg
        if text[end:].lstrip(" \t\r\n")[:1] not in (",", "]") or end == len(text):
            # It may go on in the next piece of the file: the 1 of 1.5 is a number too.
            more = file.read(max(_PIECE, len(text)))
            if not more:
                raise UsageError(f"{path}: item {count + 1} of the array is not JSON: {problem}")
            text += more
            continue
        yield item
        text, count = text[end:], count + 1


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV or TSV file whose first line names the columns."""
    lines = lines_of(path)
    head = next(lines, "")
    csv.field_size_limit(_LONGEST_FIELD)
    delimiter = max(",;\t|", key=re.sub(r'"[^"]*"', "", head).count)
    reader = csv.DictReader(chain([head], lines), delimiter=delimiter)
    try:
        for row in reader:
            if None in row:
                raise UsageError(f"{path}:{reader.line_num} has more fields than its first line has columns")
            yield row
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}") from None


def arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, or of an Arrow stream as ``save_to_disk`` writes it."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UsageError(f"reading {path.name} needs pyarrow: pip install 'perfkit[parquet]'") from None
    try:
        if path.suffix == ".parquet":
            batches = parquet.ParquetFile(path).iter_batches(batch_size=1000)
        else:
            batches = pyarrow.ipc.open_stream(pyarrow.memory_map(str(path)))
        for batch in batches:
            yield from batch.to_pylist()
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise UsageError(f"cannot read {path}: {error}") from None
