"""Prompts drawn by chance: words that mean nothing, of exactly the length that was asked for."""

import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from perfkit.apis.tokenizer import Tokenizer
from perfkit.errors import UsageError
from perfkit.loadgen.datasets.base import DatasetPluginBase, Item
from perfkit.loadgen.datasets.files import lines_of
from perfkit.loadgen.datasets.text import SAMPLE
from perfkit.options.arguments import Arguments
from perfkit.registry import register_dataset

DEFAULT_LENGTH = 512
_TRIES = 60
_ENOUGH = 20


@register_dataset("random")
class Random(DatasetPluginBase):
    """Endless prompts of drawn words and drawn length.

    Lengths are in tokens with a tokenizer, exactly, else in characters. ``dataset_args`` ``length`` gives them (see
    ``lengths``); by default they lie evenly between ``min_prompt_length`` and ``max_prompt_length``, or are 512.
    ``prefix_length`` more are the same in every prompt, and come first.
    """

    options = ("length",)
    reads = ("prefix_length",)

    def __init__(self, query_parameters: Arguments) -> None:
        super().__init__(query_parameters)
        if query_parameters.number is None and query_parameters.duration is None:
            raise UsageError("the dataset 'random' never ends; give number or duration")
        bounds = ("min_prompt_length", "max_prompt_length")
        bound = next((name for name in bounds if getattr(query_parameters, name) != getattr(Arguments(), name)), None)
        if bound is not None and "length" in query_parameters.dataset_args:
            raise UsageError(f"length in dataset_args and {bound} both say how long prompts are; leave one of them out")

    def build_messages(self) -> Iterator[Item]:
        """Yield prompts for ever."""
        given = self.query_parameters
        rng = random.Random(given.prompt_seed)
        length = lengths(self.option("length") or self._between(), rng)
        words = Words.of(self.tokenizer)
        prefix = words.text(given.prefix_length, rng)
        while True:
            yield self.ask(words.text(given.prefix_length + length(), rng, prefix))

    def _between(self) -> Any:
        least, most = self.query_parameters.min_prompt_length, self.query_parameters.max_prompt_length
        return max(DEFAULT_LENGTH, least) if most >= 2**31 else [max(1, least), most]


def lengths(spec: Any, rng: random.Random) -> Callable[[], int]:
    """Return what draws lengths.

    Examples
    --------
    >>> draw = lengths([3, 5], random.Random(0))
    >>> sorted({draw() for _ in range(99)})
    [3, 4, 5]
    """
    match spec:
        case int() if not isinstance(spec, bool) and spec >= 1:
            return lambda: spec
        case [int() as least, int() as most] if 1 <= least <= most:
            return lambda: rng.randint(least, most)
        case {"mean": mean, "stdev": stdev}:
            return _within(spec, lambda: rng.gauss(mean, stdev))
        case {"median": median, "sigma": sigma}:
            return _within(spec, lambda: rng.lognormvariate(math.log(median), sigma))
        case {"values": list() as values}:
            return _within(spec, lambda: rng.choices(values, spec.get("weights"))[0])
    raise UsageError(
        "length must be a number, [least, most], a dict of mean and stdev, of median and sigma, or of values and "
        f"weights; got {spec!r}"
    )


def _within(spec: dict[str, Any], draw: Callable[[], float]) -> Callable[[], int]:
    least, most = spec.get("min", 1), spec.get("max", math.inf)
    return lambda: int(min(max(round(draw()), least), most))


@dataclass(frozen=True)
class Words:
    """Words to draw texts of.

    Parameters
    ----------
    words : sequence of str
    first : sequence of str
        Those that a text may begin with.
    tokens : float
        Tokens that one of them takes after a space, on average.
    tokenizer : Tokenizer, optional
        Counts; without one characters are counted.
    """

    words: Sequence[str]
    first: Sequence[str] = ()
    tokens: float = 1.0
    tokenizer: Tokenizer | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer | None) -> Self:
        """Choose words, those of a single token where there are enough.

        Examples
        --------
        >>> len(Words.of(None).text(100, random.Random(1)))
        100
        """
        if tokenizer is None:
            return cls(_words())
        alone = tokenizer.count("a")
        counts = {word: tokenizer.count(f"a {word}") - alone for word in _words()}
        single = [word for word, count in counts.items() if count == 1]
        first = [word for word in _words() if tokenizer.count(word) == 1] or ["a"]
        if len(single) >= _ENOUGH:
            return cls(single, first, 1.0, tokenizer)
        return cls(_words(), first, sum(counts.values()) / len(counts), tokenizer)

    def text(self, length: int, rng: random.Random, start: str = "") -> str:
        """Make a text of exactly ``length`` tokens, or characters, that begins with ``start``."""
        if self.tokenizer is None:
            return self._characters(length, rng, start)
        if length == 0:
            return ""
        words = [start or rng.choice(self.first)]
        for _ in range(_TRIES):
            text = " ".join(words)
            missing = length - self.tokenizer.count(text)
            if missing == 0:
                return text
            step = max(1, int(abs(missing) / self.tokens))
            if missing > 0:
                words += rng.choices(self.words, k=step)
            else:
                # One word more than is too much, so that other words are drawn: the same ones might never fit.
                del words[max(1, len(words) - step - 1) :]
        raise UsageError(f"found no text of exactly {length} tokens for this tokenizer; give another length")

    def _characters(self, length: int, rng: random.Random, start: str) -> str:
        text = start
        while len(text) < length:
            text = f"{text} {' '.join(rng.choices(self.words, k=(length - len(text)) // 8 + 1))}".lstrip()
        # A space at the end would be lost to whoever strips the prompt.
        text = text[:length]
        return f"{text[:-1]}a" if text.endswith(" ") else text


def _words() -> tuple[str, ...]:
    words: set[str] = set()
    for line in lines_of(SAMPLE):
        words.update(re.findall(r"\b[a-z]{2,12}\b", line))
    return tuple(sorted(words))
