"""Writes the files that a person asks for: charts, reports, tables."""

from pathlib import Path

from perfkit.errors import UsageError


def written(path: str | Path, content: str | bytes) -> Path:
    """Write a file, its folder with it, and return where it is; half a character of a text becomes a question mark.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    path = Path(path).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}: {error.filename}; give another place") from None
    return path
