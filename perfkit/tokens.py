"""Counting tokens offline: a tokenizer's folder, or an estimate calibrated from the server's own counts."""

from pathlib import Path
from typing import Any, Protocol

from perfkit.errors import UsageError


class Tokenizer(Protocol):
    """What perfkit asks of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids."""

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""


class FastTokenizer:
    """A ``tokenizer.json``, read by the tokenizers library."""

    def __init__(self, file: Path) -> None:
        import tokenizers

        self._tokenizer = tokenizers.Tokenizer.from_file(str(file))

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids."""
        text: str = self._tokenizer.decode(ids)
        return text

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self.encode(text))


class SlowTokenizer:
    """Any other tokenizer's folder, read by transformers."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def decode(self, ids: list[int]) -> str:
        """Return the text of token ids."""
        return str(self._tokenizer.decode(ids))

    def count(self, text: str) -> int:
        """Return the number of tokens of a text."""
        return len(self.encode(text))


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """Load a tokenizer from its folder; nothing is ever fetched.

    Parameters
    ----------
    folder : str or Path
        Holds ``tokenizer.json``, or what transformers reads.

    Raises
    ------
    UsageError
        There is no such folder, or no tokenizer that can be read in it.
    """
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise UsageError(
            f"no tokenizer folder at {folder}; give a folder that holds tokenizer.json "
            "(the one your server loads its model from has it)"
        )
    file = folder if folder.is_file() else folder / "tokenizer.json"
    try:
        return FastTokenizer(file) if file.exists() else SlowTokenizer(folder)
    except Exception as error:  # noqa: BLE001 - both libraries raise plain Exception for a damaged file
        sentence = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"cannot read a tokenizer from {folder}: {sentence}") from None
