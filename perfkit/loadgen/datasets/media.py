"""Images and audio as the content parts of a chat message."""

import base64
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from perfkit.errors import UsageError
from perfkit.records import Json


def image_part(given: Any, beside: Path) -> dict[str, Json]:
    """Return the content part of an image.

    Examples
    --------
    >>> image_part("https://host/cat.png", Path())
    {'type': 'image_url', 'image_url': {'url': 'https://host/cat.png'}}
    """
    if isinstance(given, str) and given.lower().startswith(("http://", "https://", "data:")):
        return {"type": "image_url", "image_url": {"url": given}}
    data, name = _data(given, beside)
    import mimetypes  # late: reads the tables of the system

    kind = mimetypes.guess_type(name)[0] or "image/png"
    return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{base64.b64encode(data).decode()}"}}


def audio_part(given: Any, beside: Path) -> dict[str, Json]:
    """Return the content part of a recording; its format is the ending of its name, ``wav`` without one."""
    data, name = _data(given, beside)
    ending = Path(name).suffix.removeprefix(".").lower() or "wav"
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": ending}}


def _data(given: Any, beside: Path) -> tuple[bytes, str]:
    if isinstance(given, bytes):
        return given, ""
    if isinstance(given, dict) and isinstance(given.get("bytes"), bytes):
        return given["bytes"], given.get("path") or ""
    name = str(given.get("path") if isinstance(given, dict) else given)
    path = beside / (unquote(name[len("file://") :]) if name.lower().startswith("file://") else name)
    try:
        return path.read_bytes(), path.name
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
