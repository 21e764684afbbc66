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
    """Load a tokenizer from its folder; nothing is ever fetched."""
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise UsageError(
            f"no tokenizer folder at {folder}; give a folder that holds tokenizer.json "
            "(the one your server loads its model from has it)"
        )
    file = folder if folder.is_file() else folder / "tokenizer.json"
    if not file.exists() and not any(next(folder.glob(name), None) for name in _OTHERS):
        raise UsageError(f"{folder} holds no tokenizer: no tokenizer.json, nor any of {', '.join(_OTHERS)}")
    try:
        return FastTokenizer(file) if file.exists() else SlowTokenizer(folder)
    except Exception as error:  # noqa: BLE001 - both libraries raise plain Exception for a damaged file
        sentence = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"cannot read a tokenizer from {folder}: {sentence}") from None


_OTHERS = ("tokenizer_config.json", "*.model", "vocab.json", "vocab.txt", "*.tiktoken")
"""What transformers may make a tokenizer of."""


class Calibration:
    """Tokens per character, learnt from texts whose tokens the server has counted.

    A least-squares fit through the origin with two rates, one for ASCII and one for all other characters: scripts
    differ by more than models do. What it says is an estimate and must be marked as one.

    Examples
    --------
    >>> calibration = Calibration()
    >>> for text, tokens in (("a" * 40, 10), ("a" * 80, 20), ("b" * 12, 3), ("字" * 10, 10), ("a" * 4 + "字", 2)):
    ...     calibration.learn(text, tokens)
    >>> calibration.estimate("a" * 20 + "字" * 5)
    10
    """

    ENOUGH = 5

    def __init__(self) -> None:
        self.texts = 0
        self._aa = self._ao = self._oo = self._at = self._ot = 0.0

    def learn(self, text: str, tokens: int) -> None:
        """Note a text and its tokens; one without text or tokens teaches nothing."""
        if not text or tokens <= 0:
            return
        ascii_count, other = _characters(text)
        self.texts += 1
        self._aa += ascii_count * ascii_count
        self._ao += ascii_count * other
        self._oo += other * other
        self._at += ascii_count * tokens
        self._ot += other * tokens

    def estimate(self, text: str) -> int | None:
        """Return the tokens that a text probably has, None until five texts were learnt."""
        if self.texts < self.ENOUGH:
            return None
        ascii_rate, other_rate = self._rates()
        ascii_count, other = _characters(text)
        return max(1, round(ascii_rate * ascii_count + other_rate * other)) if text else 0

    def _rates(self) -> tuple[float, float]:
        determinant = self._aa * self._oo - self._ao**2
        if determinant > 1e-9 * self._aa * self._oo:
            ascii_rate = (self._at * self._oo - self._ot * self._ao) / determinant
            other_rate = (self._ot * self._aa - self._at * self._ao) / determinant
            if ascii_rate >= 0 and other_rate >= 0:
                return ascii_rate, other_rate
        # One script only, or always in the same mixture: one rate for both.
        both = (self._at + self._ot) / (self._aa + 2 * self._ao + self._oo)
        return both, both


def _characters(text: str) -> tuple[int, int]:
    ascii_count = len(text.encode("ascii", "ignore"))
    return ascii_count, len(text) - ascii_count
