"""Prompts drawn by chance: words that mean nothing, of exactly the length that was asked for."""

import itertools
import math
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from perfkit.apis.tokenizer import Tokenizer
from perfkit.errors import UsageError
from perfkit.loadgen.datasets.base import Content, DatasetPluginBase, Item
from perfkit.loadgen.datasets.files import lines_of
from perfkit.loadgen.datasets.text import SAMPLE
from perfkit.options.arguments import Arguments
from perfkit.records import Message, Prompt
from perfkit.registry import register_dataset

DEFAULT_LENGTH = 512
_TRIES = 60
_ENOUGH = 20


@register_dataset("random")
class Random(DatasetPluginBase):
    """Endless prompts of drawn words and drawn length.

    Lengths are in tokens with a tokenizer, exactly, else in characters. ``dataset_args`` ``length`` gives them (see
    ``lengths``); by default they lie evenly between ``min_prompt_length`` and ``max_prompt_length``, or are 512.
    ``prefix_length`` more are the same in every prompt, and come first. Drawn in the same way: ``output``, the longest
    answer of each request (``max_tokens``, where that is not given), ``turns`` of a conversation, in which the prefix
    stands before the first, and ``think_time``, seconds between them.
    """

    options = ("length", "output", "turns", "think_time", "characters_per_token")
    reads = ("prefix_length", "think_time")

    def __init__(self, query_parameters: Arguments) -> None:
        super().__init__(query_parameters)
        given = query_parameters
        if given.number is None and given.duration is None:
            raise UsageError("the dataset 'random' never ends; give number or duration")
        bounds = ("min_prompt_length", "max_prompt_length")
        bound = next((name for name in bounds if getattr(given, name) != getattr(Arguments(), name)), None)
        if bound is not None and "length" in given.dataset_args:
            raise UsageError(f"length in dataset_args and {bound} both say how long prompts are; leave one of them out")
        timed = given.think_time and given.load == "open"
        if (timed or "think_time" in given.dataset_args) and "turns" not in given.dataset_args:
            raise UsageError(
                "think_time is between the turns of a conversation: give turns in dataset_args with it; for users who "
                "think between prompts give parallel and think_time"
            )
        if given.think_time and "think_time" in given.dataset_args:
            raise UsageError("think_time and think_time in dataset_args say the same; leave one of them out")
        if given.max_tokens and "output" in given.dataset_args:
            raise UsageError(
                "max_tokens and output in dataset_args both say how long answers are; leave one of them out"
            )

    def build_messages(self) -> Iterator[Item]:
        """Yield prompts for ever."""
        given = self.query_parameters
        rng = random.Random(given.prompt_seed)
        length = lengths(self.option("length") or self._between(), rng)
        words = Words.of(self.tokenizer)
        prefix = words.text(self._units(given.prefix_length), rng)
        extent = self._units if self.option("length") else int
        output, turns, pause = (self._drawn(name) for name in ("output", "turns", "think_time"))
        for number in itertools.count():
            text = words.text(self._units(given.prefix_length) + extent(length()), rng, prefix)
            if turns is None:
                yield self._asking(self.ask(text), output)
                continue
            session = f"session-{number}"
            yield Prompt(self._asking([self.create_message(text)], output), session_id=session)
            for turn in range(2, int(turns()) + 1):
                new = [self.create_message(words.text(extent(length()), rng))]
                delay = None if pause is None else pause()
                yield Prompt(self._asking(new, output), session_id=session, turn=turn, delay=delay)

    def _between(self) -> Any:
        least, most = self.query_parameters.min_prompt_length, self.query_parameters.max_prompt_length
        return max(DEFAULT_LENGTH, least) if most >= 2**31 else [max(1, least), most]

    def _units(self, length: int) -> int:
        """Return how long a text is in what is counted: tokens, or so many characters for each."""
        ratio = self.option("characters_per_token", 1)
        if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio < math.inf:
            raise UsageError(f"characters_per_token in dataset_args must be a number above 0, got {ratio!r}")
        if self.tokenizer is None and ratio != 1:
            self.remarks.say(f"without tokenizer_path {ratio:g} characters stand for a token of the prompts")
        return length if self.tokenizer is not None else round(length * ratio)

    def _drawn(self, name: str) -> Callable[[], float] | None:
        """Return what draws another figure, by a seed of its own, so that the prompts are the same without it."""
        spec = self.option(name)
        if spec is None:
            return None
        rng = random.Random(f"{self.query_parameters.prompt_seed}/{name}")
        return times(spec, rng) if name == "think_time" else lengths(spec, rng, name)

    def _asking(self, asked: list[Message] | str, output: Callable[[], float] | None) -> Content:
        if output is None:
            return asked
        return {"messages" if isinstance(asked, list) else "prompt": asked, "max_tokens": int(output())}


def lengths(spec: Any, rng: random.Random, name: str = "length") -> Callable[[], int]:
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
    draw = _law(spec, rng, least=1)
    if draw is None:
        raise _unreadable(name, "a number", spec)
    return lambda: round(draw())


def times(spec: Any, rng: random.Random) -> Callable[[], float]:
    """Return what draws times, in seconds.

    Examples
    --------
    >>> draw = times([0.5, 2], random.Random(0))
    >>> all(0.5 <= draw() <= 2 for _ in range(99))
    True
    """
    match spec:
        case int() | float() if not isinstance(spec, bool) and 0 <= spec < math.inf:
            return lambda: spec
        case [int() | float() as least, int() | float() as most] if 0 <= least <= most < math.inf:
            return lambda: rng.uniform(least, most)
    draw = _law(spec, rng, least=0)
    if draw is None:
        raise _unreadable("think_time", "seconds", spec)
    return draw


def _law(spec: Any, rng: random.Random, least: int) -> Callable[[], float] | None:
    """Return what draws by a distribution, within its bounds; None for what is none."""
    match spec:
        case {"mean": mean, "stdev": stdev}:
            return _within(spec, lambda: rng.gauss(mean, stdev), least)
        case {"median": median, "sigma": sigma}:
            return _within(spec, lambda: rng.lognormvariate(math.log(median), sigma), least)
        case {"values": list() as values}:
            return _within(spec, lambda: rng.choices(values, spec.get("weights"))[0], least)
    return None


def _within(spec: dict[str, Any], draw: Callable[[], float], least: int) -> Callable[[], float]:
    low, high = spec.get("min", least), spec.get("max", math.inf)
    return lambda: min(max(draw(), low), high)


def _unreadable(name: str, single: str, spec: Any) -> UsageError:
    return UsageError(
        f"{name} must be {single}, [least, most], a dict of mean and stdev, of median and sigma, or of values and "
        f"weights; got {spec!r}"
    )


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
