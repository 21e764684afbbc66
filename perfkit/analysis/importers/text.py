"""Reads JSON files of strangers: regular, of bounded size, and never a Python traceback."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import number
from perfkit.analysis.importers.json_outline import open_at_end
from perfkit.errors import UnsafeFile
from perfkit.records import Json
from perfkit.secrets import shown_headers, shown_url

FILE_LIMIT: Final = 1 << 30
LINE_LIMIT: Final = 64 << 20
SMALL_LIMIT: Final = 8 << 20

_BETWEEN: Final = re.compile(r"[\s,]*")
_INSIDE: Final = {"{": "an object", "[": "a list", '"': "a text"}
_SECRET: Final = re.compile(r"api_?key|secret|passw|auth|credential|cookie", re.IGNORECASE)


def read_json(path: Path, tool: str, limit: int = FILE_LIMIT) -> Json:
    """Read one JSON value."""
    text = _read(path, limit)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnsafeFile(_refusal(path, tool, text, error)) from None


def json_objects(path: Path, tool: str) -> Iterator[dict[str, Json]]:
    """Yield the objects of a file that holds one, a list of them, or one after the other, on any number of lines."""
    encoded = _read(path, FILE_LIMIT)
    decoder = json.JSONDecoder()
    try:
        text = encoded.decode(json.detect_encoding(encoded))
        at = _next(text, 0)
        while at < len(text):
            found, at = decoder.raw_decode(text, at)
            for each in found if isinstance(found, list) else [found]:
                if not isinstance(each, dict):
                    raise UnsafeFile(f"{path} is not a result file of {tool}: it holds {each!r:.40} among its objects")
                yield each
            at = _next(text, at)
    except (ValueError, RecursionError) as error:
        raise UnsafeFile(_refusal(path, tool, encoded, error)) from None


def _next(text: str, at: int) -> int:
    """Return where the next value starts."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _read(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise UnsafeFile(f"{path} has {size / 1e6:.0f} MB of JSON, more than {limit / 1e6:.0f}")
        return path.read_bytes()
    except OSError as error:
        raise UnsafeFile(f"cannot read {path}: {error.strerror}") from None


def _refusal(path: Path, tool: str, text: bytes, error: Exception) -> str:
    """Say why a text does not decode: it was cut, which the brackets tell, or something in it is wrong."""
    cut = open_at_end(text)
    if isinstance(error, RecursionError):
        return f"{path} is not JSON that can be read as a result file of {tool}: {error}"
    if cut:
        line = text.count(b"\n") + (not text.endswith(b"\n"))
        return (
            f"{path} is a result file of {tool} that is cut short: it ends at byte {len(text)}, in line {line}, "
            f"inside {_INSIDE[cut]}; copy the whole file"
        )
    return f"{path} is not JSON that can be read as a result file of {tool}: {error}"


def json_lines(path: Path, tool: str) -> Iterator[dict[str, Json]]:
    """Yield the objects of a file with one JSON object a line; a torn last line, as a crash leaves it, is left out."""
    with path.open("rb") as file:
        count = whole = 0
        while line := file.readline(LINE_LIMIT):
            count += 1
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not whole:
                    raise UnsafeFile(_refusal(path, tool, line, error)) from None
                if not line.endswith(b"\n") and len(line) < LINE_LIMIT:
                    return
                raise UnsafeFile(f"{path}, line {count} is not a result of {tool}: {error}") from None
            if not isinstance(found, dict):
                raise UnsafeFile(f"{path}, line {count} is not a result of {tool}: it holds no JSON object")
            whole += 1
            yield found


def beside(path: Path, name: str) -> dict[str, Json]:
    """Read a small JSON object that lies beside a file; empty when it is not there or not readable."""
    try:
        found = read_json(path.with_name(name), name, SMALL_LIMIT)
    except UnsafeFile:
        return {}
    return found if isinstance(found, dict) else {}


def without_secrets(arguments: dict[str, Json]) -> dict[str, Json]:
    """Return settings as they may be stored: keys and header values masked, URLs without their secrets.

    Examples
    --------
    >>> without_secrets({"api_key": "sk-1", "url": "http://me:pw@host/v1", "headers": {"X-Auth": "sk-2"}, "n": 1})
    {'api_key': None, 'url': 'http://host/v1', 'headers': {'X-Auth': '***'}, 'n': 1}
    """
    return {name: _shown(name, value) for name, value in arguments.items()}


def _shown(name: str, value: Json) -> Json:
    if isinstance(value, dict):
        if name == "headers":
            return shown_headers({str(key): str(text) for key, text in value.items()})
        return without_secrets(value)
    if isinstance(value, list):
        return [_shown(name, item) for item in value]
    if _SECRET.search(name):
        return None
    return shown_url(value) if isinstance(value, str) and "://" in value else value


def seconds(value: Json, per_second: float = 1.0) -> float | None:
    """Return a duration in seconds from a number of milliseconds, nanoseconds, ...; None when it is none."""
    found = number(value)
    return None if found is None else found / per_second


def unix(text: Json) -> float | None:
    """Return the Unix time of an ISO date, None when it is none.

    Examples
    --------
    >>> unix("2026-01-01T00:00:01Z")
    1767225601.0
    """
    try:
        return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def section(value: Json, *names: str) -> dict[str, Json]:
    """Return a nested object, empty when any step to it is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
