"""Images and audio as the content parts of a chat message."""

import base64
import mimetypes
from pathlib import Path
from typing import Any

from perfkit.errors import UsageError
from perfkit.records import Json


def image_part(given: Any, beside: Path) -> dict[str, Json]:
    """Return the content part of an image.

    Parameters
    ----------
    given : str, bytes or dict
        A URL (``data:`` too), a file relative to ``beside``, bytes, or the ``bytes`` and ``path`` that hubs store.
    beside : Path
        Folder that relative paths start from.

    Raises
    ------
    UsageError
        The file cannot be read.

    Examples
    --------
    >>> image_part("https://host/cat.png", Path())
    {'type': 'image_url', 'image_url': {'url': 'https://host/cat.png'}}
    """
    if isinstance(given, str) and given.startswith(("http://", "https://", "data:")):
        return {"type": "image_url", "image_url": {"url": given}}
    data, name = _data(given, beside)
    kind = mimetypes.guess_type(name)[0] or "image/png"
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}}


def audio_part(given: Any, beside: Path) -> dict[str, Json]:
    """Return the content part of a recording; its format is the ending of its name, ``wav`` without one.

    Raises
    ------
    UsageError
        The file cannot be read.
    """
    data, name = _data(given, beside)
    ending = Path(name).suffix.removeprefix(".").lower() or "wav"
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": ending}}


def _data(given: Any, beside: Path) -> tuple[bytes, str]:
    if isinstance(given, bytes):
        return given, ""
    if isinstance(given, dict) and isinstance(given.get("bytes"), bytes):
        return given["bytes"], given.get("path") or ""
    path = beside / str(given.get("path") if isinstance(given, dict) else given)
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
