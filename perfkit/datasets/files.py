"""Files of prompts, read piece by piece: lines, JSON arrays, CSV tables, Arrow and Parquet files."""

import csv
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from perfkit.errors import UsageError
from perfkit.records import Json

_PIECE = 1 << 20


def lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file, line ends included.

    Raises
    ------
    UsageError
        It cannot be read, or a line is not UTF-8; the message gives the line.
    """
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                number += 1
                yield line
    except UnicodeDecodeError as error:
        # The decoder works ahead of the lines, by up to 8 KiB.
        raise UsageError(f"{path} is not UTF-8 in line {number + 1} or soon after: {error.reason}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def values_of(path: Path) -> Iterator[tuple[int, Json]]:
    """Yield the values of a JSONL file with the numbers of their lines, from 1; empty lines are passed over.

    Raises
    ------
    UsageError
        A line is not JSON; the message gives file and line.
    """
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}:{number} is not JSON: {error.msg} (character {error.pos + 1})") from None
        yield number, value


def objects_of(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSONL file with the numbers of their lines, from 1.

    Raises
    ------
    UsageError
        A line is no JSON object; the message gives file and line.
    """
    for number, value in values_of(path):
        if not isinstance(value, dict):
            raise UsageError(f"{path}:{number} is no JSON object: {json.dumps(value, ensure_ascii=False)[:60]}")
        yield number, value


def items_of(path: Path) -> Iterator[Json]:
    """Yield the items of a file that holds one JSON array, or of a JSONL file.

    An array of chat messages is an item itself: such a file holds a conversation a line.

    Raises
    ------
    UsageError
        It cannot be read, or the JSON breaks off.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
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
    """Yield the rows of a CSV or TSV file whose first line names the columns.

    Raises
    ------
    UsageError
        It cannot be read, or a row is malformed; the message gives the line.
    """
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.DictReader(lines_of(path), delimiter=delimiter)
    try:
        yield from reader
    except csv.Error as error:
        raise UsageError(f"{path}:{reader.line_num}: {error}") from None


def arrow_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, or of an Arrow stream as ``save_to_disk`` writes it.

    Raises
    ------
    UsageError
        pyarrow is missing, or the file is no such file.
    """
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
