"""Reads JSON files of strangers: regular, of bounded size, and never a Python traceback."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from perfkit.errors import UnsafeFile
from perfkit.evalscope import number
from perfkit.records import Json
from perfkit.secrets import shown_headers, shown_url

FILE_LIMIT: Final = 1 << 30
LINE_LIMIT: Final = 64 << 20
SMALL_LIMIT: Final = 8 << 20

_SECRET: Final = re.compile(r"api_?key|secret|passw|auth|credential|cookie", re.IGNORECASE)


def read_json(path: Path, limit: int = FILE_LIMIT) -> Json:
    """Read one JSON value.

    Raises
    ------
    UnsafeFile
        The file is too large, unreadable, or no JSON.
    """
    try:
        size = path.stat().st_size
        if size > limit:
            raise UnsafeFile(f"{path} has {size / 1e6:.0f} MB of JSON, more than {limit / 1e6:.0f}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnsafeFile(f"{path} is no JSON that can be read: {error}") from None


def json_lines(path: Path) -> Iterator[dict[str, Json]]:
    """Yield the objects of a file with one JSON object a line; a torn last line, as a crash leaves it, is left out.

    Raises
    ------
    UnsafeFile
        A line is no JSON object or too long.
    """
    with path.open("rb") as file:
        count = 0
        while line := file.readline(LINE_LIMIT):
            count += 1
            if not line.strip():
                continue
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n") and len(line) < LINE_LIMIT:
                    return
                raise UnsafeFile(f"{path}, line {count}: {error}") from None
            if not isinstance(found, dict):
                raise UnsafeFile(f"{path}, line {count}: no JSON object")
            yield found


def beside(path: Path, name: str) -> dict[str, Json]:
    """Read a small JSON object that lies beside a file; empty when it is not there or not readable."""
    try:
        found = read_json(path.with_name(name), SMALL_LIMIT)
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
