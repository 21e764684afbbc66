import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.compare.pairing import LOAD
from perfkit.analysis.compare.work import WORK, is_alike
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from tests.analysis.compare.test_comparing import file, only, rows
from tests.run_files import request

QUANTITY = {"quantities": ["ttft_p50"]}


def answers(tokens, n=100):
    """Answers of so many tokens, 10 ms apart, a second between requests."""
    return [request(i, float(i), ttft=0.1, gaps=[0.01] * (tokens - 1), completion_tokens=tokens) for i in range(n)]


def test_work_is_named_by_arguments_that_exist():
    known = {name for name in Arguments.__dataclass_fields__}
    assert set(WORK) <= known
    assert not set(WORK) & set(LOAD)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"max_tokens": 16}, "max_tokens 16, not 32"),
        ({}, "max_tokens none, not 32"),
        ({"max_tokens": 32, "stream": False}, "stream false, not true"),
        ({"max_tokens": 32, "temperature": 0.7}, "temperature 0.7, not none"),
        ({"max_tokens": 32, "extra_args": {"ignore_eos": True}}, "extra_args"),
        ({"max_tokens": 32, "think_time": 1}, "think_time 1, not 0"),
    ],
)
def test_runs_that_were_asked_for_different_work_are_not_held_against_each_other(tmp_path, asked, reason):
    runs = file(tmp_path, a=(rows(1), {"arguments": {"max_tokens": 32}}), b=(rows(2), {"arguments": asked}))
    with pytest.raises(UsageError, match=rf"no run is comparable with 'a': b \({reason}.*match="):
        runs.compare("a", **QUANTITY)
    assert only(runs.compare("a", match=["model", "parallel"], **QUANTITY)).pairing.other == "b"


@pytest.mark.slow
def test_of_several_runs_those_of_different_work_are_left_out_and_say_why(tmp_path):
    sides = {"a": 32, "b": 32, "c": 16}
    runs = file(tmp_path, **{name: (rows(1), {"arguments": {"max_tokens": n}}) for name, n in sides.items()})
    comparison = runs.compare("a", **QUANTITY)
    assert [result.pairing.other for result in comparison.results] == ["b"]
    assert comparison.unmatched == ("c (max_tokens 16, not 32)",)
    assert "c (max_tokens 16, not 32)" in str(comparison)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"stream": True}, {}),
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"seed": 1, "number": 100, "read_timeout": 5}, {"seed": 2, "number": 200}),
        ({"stop": []}, {}),
    ],
)
def test_what_was_said_differently_or_changes_no_work_is_matched(tmp_path, one, other):
    runs = file(tmp_path, a=(rows(1), {"arguments": one}), b=(rows(2), {"arguments": other}))
    assert only(runs.compare("a", **QUANTITY)).pairing.other == "b"


@pytest.mark.slow
def test_what_another_tool_does_not_tell_is_no_difference(tmp_path):
    old = {"source": "vllm", "arguments": {}}
    runs = file(tmp_path, a=(rows(1), old), b=(rows(2), {"arguments": {"max_tokens": 32}}))
    assert only(runs.compare("a", **QUANTITY)).pairing.other == "b"
    assert is_alike({}, {"max_tokens": "32"})


@pytest.mark.slow
def test_a_default_that_another_tool_changed_between_versions_is_no_difference(tmp_path):
    sides = {
        name: (rows(1), {"source": "evalscope", "arguments": {"max_tokens": 64, "max_prompt_length": most}})
        for name, most in (("a", 2**63 - 1), ("b", 131_072))
    }
    assert only(file(tmp_path, **sides).compare("a", **QUANTITY)).pairing.other == "b"


@pytest.mark.slow
def test_groups_told_apart_by_a_setting_may_differ_in_it(tmp_path):
    sides = {str(n): (answers(n), {"arguments": {"max_tokens": n}}) for n in (32, 16)}
    comparison = file(tmp_path, **sides).compare("32", by="max_tokens", **QUANTITY)
    assert only(comparison).pairing.other == "16"
    assert "the work differs: 16's answers have 16.0 tokens on average, 32's 32.0 at 1 user" in comparison.conclusion


def test_answers_of_other_lengths_are_told_where_no_setting_is_known(tmp_path):
    old = {"source": "vllm", "arguments": {}}
    runs = file(tmp_path, a=(answers(20), old), b=(answers(15), old), c=(answers(20), old))
    said = runs.compare("a", **QUANTITY).conclusion
    assert "Keep in mind: the work differs: b's answers have 15.0 tokens on average, a's 20.0 at 1 user;" in said
    assert "c's answers" not in said


@pytest.mark.slow
def test_prompts_of_other_lengths_are_told_too(tmp_path):
    sides = {
        name: ([request(i, float(i), prompt_tokens=n) for i in range(50)], {}) for name, n in (("a", 10), ("b", 40))
    }
    assert "b's prompts have 40.0 tokens on average, a's 10.0" in file(tmp_path, **sides).compare("a").conclusion


def test_a_setting_to_match_that_nothing_has_is_refused(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2), {}))
    with pytest.raises(UsageError, match="no setting or tag 'paralel'; did you mean 'parallel'"):
        runs.compare("a", match=["paralel"])
    with pytest.raises(UsageError, match="no setting or tag 'gqu'"):
        runs.compare("a", by="gqu")


@pytest.mark.slow
def test_a_group_without_the_tag_is_called_so(tmp_path):
    runs = file(tmp_path, a=(rows(1), {"tags": {"gpu": "H100"}}), b=(rows(2), {}))
    comparison = runs.compare("H100", by="gpu", **QUANTITY)
    assert comparison.sentences[0].startswith("without gpu's p50 TTFT")
    assert only(runs.compare("without gpu", by="gpu", **QUANTITY)).pairing.other == "H100"


@pytest.mark.slow
def test_a_closed_load_has_no_rate_whatever_its_arguments_say(tmp_path):
    old = {"source": "evalscope", "arguments": {"rate": -1, "parallel": 8}, "parallel": 8}
    runs = file(tmp_path, a=(rows(1), old), b=(rows(2), {"parallel": 8}))
    (sentence,) = runs.compare("a", **QUANTITY).sentences
    assert "at 8 users is" in sentence


@pytest.mark.slow
def test_an_open_load_of_all_at_once_is_no_rate_either(tmp_path):
    once = {"load": "open", "parallel": None, "rate": -1.0}
    (sentence,) = file(tmp_path, a=(rows(1), once), b=(rows(2), once)).compare("a", **QUANTITY).sentences
    assert "at an unlimited rate is" in sentence


def test_frames_of_ones_own_are_compared_as_before():
    frame = pd.DataFrame({"ttft": [0.1, 0.2] * 20, "who": ["a", "b"] * 20})
    assert pk.from_frame(frame, run="who").compare("a", **QUANTITY).sentences
