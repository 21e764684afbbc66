import pytest

import perfkit as pk
from tests.run_files import failure, request, write_run

PROSE = "The quick brown fox jumps over the lazy dog, then rests beside a calm river until dusk."


def answer(seq, text, **columns):
    return request(seq, seq, output_text=text, **columns)


@pytest.fixture
def described(tmp_path):
    """Five answers and a failure: an empty, a truncated, a looping one, and two alike to different prompts."""
    rows = [
        answer(0, ""),
        answer(1, PROSE, finish_reason="length"),
        answer(2, "I am sorry. " * 100),
        answer(3, "no"),
        answer(4, "no"),
        failure(5, 5),
    ]
    return pk.open(write_run(tmp_path / "a.db", rows)).answers().loc["run"]


@pytest.mark.parametrize(
    ("share", "value"),
    [
        ("n", 5),
        ("empty", 0.2),
        ("truncated", 0.2),
        ("stopped", 0.8),
        ("looping", 0.2),
        ("identical", 0.4),
        ("tokens", 3),
    ],
)
def test_answers_are_counted_by_what_is_wrong_with_them(described, share, value):
    assert described[share] == pytest.approx(value)


def test_the_same_answer_to_the_same_prompt_is_no_surprise(tmp_path):
    rows = [answer(i, "no", prompt_text="same") for i in range(4)]
    assert pk.open(write_run(tmp_path / "s.db", rows)).answers()["identical"].tolist() == [0]


def test_a_server_that_says_less_under_load_is_seen(tmp_path):
    for users, tokens in ((64, 50), (1, 100)):
        rows = [answer(i, PROSE, completion_tokens=tokens + i % 5) for i in range(100)]
        write_run(tmp_path / "d.db", rows, name=f"c{users}", run_id=f"R{users}", parallel=users)
    table = pk.open(tmp_path / "d.db").answers()
    assert table.loc["c1", "length_ratio"] == 1
    assert table.loc["c64", "length_ratio"] == pytest.approx(52 / 102)
    assert table.loc["c64", "high"] < 0.6


def test_texts_that_were_not_kept_are_unknown(tmp_path):
    table = pk.open(write_run(tmp_path / "u.db", [request(0, output_text=None)])).answers()
    assert table[["empty", "looping", "identical"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("stopped", "truncated"),
    [("end_turn", "max_tokens"), ("STOP", "MAX_TOKENS"), ("eos", "limit"), ("eos_token", "length")],
    ids=["Anthropic", "Gemini", "llama.cpp", "TGI"],
)
def test_the_words_of_each_dialect_say_how_an_answer_ended(tmp_path, stopped, truncated):
    rows = [answer(seq, PROSE, finish_reason=reason) for seq, reason in enumerate([stopped, stopped, truncated])]
    found = pk.open(write_run(tmp_path / "a.db", rows)).answers().loc["run"]
    assert (found["stopped"], found["truncated"]) == pytest.approx((2 / 3, 1 / 3))
