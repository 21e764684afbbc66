import random
import shutil
import sys
from pathlib import Path

import pytest

from perfkit.apis.tokenizer import Calibration, SlowTokenizer, load_tokenizer
from perfkit.errors import UsageError

FOLDER = "sample_data/tokenizer"
TEXTS = ["The ferry left the island at six.", "城东的老茶馆每天清晨五点开门。", "☕ café", "", " a  b\n"]


def test_a_folder_with_tokenizer_json_needs_no_transformers() -> None:
    tokenizer = load_tokenizer(FOLDER)
    assert type(tokenizer).__name__ == "FastTokenizer"
    assert tokenizer.decode(tokenizer.encode(TEXTS[0])) == TEXTS[0]


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_both_libraries_count_the_same(text: str) -> None:
    assert SlowTokenizer(Path(FOLDER)).count(text) == load_tokenizer(FOLDER).count(text)


@pytest.mark.skipif(sys.platform == "win32", reason="the sentence is the system's")
def test_a_missing_folder_says_what_to_give() -> None:
    with pytest.raises(UsageError, match=r"no tokenizer folder at /nowhere; give a folder that holds tokenizer\.json"):
        load_tokenizer("/nowhere")


def test_a_damaged_tokenizer_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{broken")
    with pytest.raises(UsageError, match="cannot read a tokenizer from"):
        load_tokenizer(tmp_path)


def test_a_folder_without_any_tokenizer_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"holds no tokenizer: no tokenizer\.json, nor any of"):
        load_tokenizer(tmp_path)


def test_the_file_itself_may_be_given(tmp_path: Path) -> None:
    shutil.copy(f"{FOLDER}/tokenizer.json", tmp_path / "mine.json")
    assert load_tokenizer(tmp_path / "mine.json").count("a") == 1


def test_an_estimate_needs_five_texts() -> None:
    calibration = Calibration()
    for _ in range(4):
        calibration.learn("word " * 10, 10)
    assert calibration.estimate("word") is None
    calibration.learn("word " * 10, 10)
    assert calibration.estimate("word " * 7) == 7


def test_estimates_of_mixed_scripts_are_within_a_tenth_of_the_tokenizer() -> None:
    tokenizer, rng, calibration = load_tokenizer(FOLDER), random.Random(1), Calibration()

    def text() -> str:
        parts = [rng.choice([TEXTS[0], TEXTS[1]]) for _ in range(rng.randint(5, 40))]
        return " ".join(parts)

    for sample in (text() for _ in range(50)):
        calibration.learn(sample, tokenizer.count(sample))
    for sample in (text() for _ in range(20)):
        assert calibration.estimate(sample) == pytest.approx(tokenizer.count(sample), rel=0.1)


def test_one_script_alone_gives_one_rate_for_both() -> None:
    calibration = Calibration()
    for words in range(1, 7):
        calibration.learn("ab" * words, words)
    assert calibration.estimate("字" * 10) == 5


def test_what_is_empty_teaches_nothing() -> None:
    calibration = Calibration()
    for _ in range(9):
        calibration.learn("", 5)
        calibration.learn("text", 0)
    assert calibration.texts == 0
