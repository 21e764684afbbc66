import itertools
import math
import random
import statistics
from typing import Any

import pytest

from perfkit.apis.tokenizer import load_tokenizer
from perfkit.errors import UsageError
from perfkit.loadgen.datasets import prompts
from perfkit.loadgen.datasets.random_text import Words, lengths
from perfkit.options.arguments import Arguments

FOLDER = "sample_data/tokenizer"


def drawn(count: int = 20, **given: Any) -> list[str]:
    stream = prompts(Arguments(dataset="random", number=count, apply_chat_template=False, **given))
    return [str(prompt.content) for prompt in itertools.islice(stream, count)]


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 2, 7, 100, 1000])
def test_prompts_have_exactly_the_tokens_asked_for(length: int) -> None:
    tokenizer = load_tokenizer(FOLDER)
    texts = drawn(10, tokenizer_path=FOLDER, dataset_args={"length": length})
    assert [tokenizer.count(text) for text in texts] == [length] * 10


def test_without_a_tokenizer_lengths_are_characters() -> None:
    assert [len(text) for text in drawn(5, dataset_args={"length": 77})] == [77] * 5
    assert all(text == text.strip() for text in drawn(50, dataset_args={"length": [1, 40]}))


def test_the_prefix_is_shared_and_comes_on_top() -> None:
    tokenizer = load_tokenizer(FOLDER)
    texts = drawn(10, tokenizer_path=FOLDER, prefix_length=30, dataset_args={"length": 20})
    shared = texts[0]
    while not all(text.startswith(shared) for text in texts):
        shared = shared[:-1]
    assert tokenizer.count(shared.strip()) >= 30
    assert {tokenizer.count(text) for text in texts} == {50}


def test_the_bounds_of_prompts_are_the_default_lengths() -> None:
    sizes = {len(text) for text in drawn(200, min_prompt_length=30, max_prompt_length=33)}
    assert sizes == {30, 31, 32, 33}


def test_the_seed_decides_and_prompts_differ() -> None:
    assert drawn(prompt_seed=1) == drawn(prompt_seed=1) != drawn(prompt_seed=2)
    assert len(set(drawn(20))) == 20


def test_an_endless_dataset_wants_an_end() -> None:
    with pytest.raises(UsageError, match="never ends; give number or duration"):
        next(prompts(Arguments(dataset="random")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "mean", "stdev"),
    [
        (512, 512, 0),
        ([100, 300], 200, 201 / math.sqrt(12)),
        ({"mean": 500, "stdev": 50}, 500, 50),
        ({"median": 400, "sigma": 0.5}, 400 * math.exp(0.125), 400 * math.exp(0.125) * math.sqrt(math.exp(0.25) - 1)),
        ({"values": [100, 1100], "weights": [9, 1]}, 200, 300),
    ],
)
def test_lengths_follow_their_distribution(spec: Any, mean: float, stdev: float) -> None:
    draw = lengths(spec, random.Random(3))
    sample = [draw() for _ in range(20_000)]
    assert statistics.mean(sample) == pytest.approx(mean, rel=0.02)
    assert statistics.pstdev(sample) == pytest.approx(stdev, rel=0.04)


def test_drawn_lengths_are_kept_within_their_bounds() -> None:
    draw = lengths({"mean": 10, "stdev": 100, "min": 5, "max": 20}, random.Random(0))
    sample = [draw() for _ in range(500)]
    assert (min(sample), max(sample)) == (5, 20)


@pytest.mark.parametrize("spec", ["long", 0, True, [5, 3], [1], {"mean": 3}, None])
def test_what_is_no_length_is_told(spec: Any) -> None:
    with pytest.raises(UsageError, match="length must be a number"):
        lengths(spec, random.Random(0))


class EveryCharacter:
    """A tokenizer of four tokens a word, as one without the prompts' words has."""

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))

    def count(self, text: str) -> int:
        return len(text)


def test_words_of_many_tokens_still_give_exact_lengths() -> None:
    words = Words.of(EveryCharacter())
    assert [len(words.text(size, random.Random(size))) for size in (50, 333, 1000)] == [50, 333, 1000]
