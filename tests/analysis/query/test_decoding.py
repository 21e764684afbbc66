import json

import pytest

import perfkit as pk
from perfkit.analysis.query.decoding import as_dicts, prompt_of, text_of
from perfkit.runfile.safe_pickle import encode_cell
from tests.run_files import request, write_run


@pytest.mark.parametrize(
    ("answer", "messages"),
    [
        (None, []),
        ([], []),
        ('{"id": 1}', [{"id": 1}]),
        ({"id": 1}, [{"id": 1}]),
        (['{"id": 1}', {"id": 2}], [{"id": 1}, {"id": 2}]),
        (['{"id": 1', "[DONE]"], [{"text": '{"id": 1'}, {"text": "[DONE]"}]),
        (['{"n": 123456789012345678901234567890}'], [{"n": 123456789012345678901234567890}]),
        ([7], [{"text": 7}]),
    ],
)
def test_messages_of_every_tool_become_dicts(answer, messages):
    assert as_dicts(answer) == messages


def test_a_message_nested_deeper_than_any_answer_stays_text():
    deep = '{"a":' * 500 + "1" + "}" * 500
    assert as_dicts([deep]) == [{"text": deep}]


def test_a_large_answer_is_read_like_a_small_one():
    large = json.dumps({"pad": "x" * (1 << 21)})
    assert as_dicts([large, '{"id": 1}'])[1] == {"id": 1}


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ({"prompt": "Once"}, "Once"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "a"),
        ({"messages": [{"role": "system", "content": "s"}]}, "s"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            "[{'type': 'text', 'text': 'x'}]",
        ),
        ({"messages": "no list"}, None),
        ({}, None),
        ("text", None),
    ],
)
def test_a_prompt_is_the_last_thing_a_user_said(body, prompt):
    assert prompt_of(body) == prompt


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([{"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"delta": {"content": None}}]}], "a"),
        ([{"choices": [{"message": {"content": "whole"}}]}], "whole"),
        ([{"choices": [{"text": "completion"}]}], "completion"),
        ([{"choices": []}, {"usage": {}}, {"choices": [None]}, {"choices": "x"}], None),
        ([], None),
    ],
)
def test_a_text_is_put_together_from_what_its_api_sends(messages, text):
    assert text_of(messages) == text


def test_raw_leaves_messages_as_the_tool_stored_them(tmp_path):
    rows = [request(0, response_messages=encode_cell(['{"id": 1}']), output_text=None)]
    runs = pk.open(write_run(tmp_path / "r.db", rows))
    assert runs.decoded(raw=True)["response_messages"].tolist() == [['{"id": 1}']]
    assert runs.decoded()["response_messages"].tolist() == [[{"id": 1}]]


def test_only_what_the_filter_kept_is_decoded(tmp_path):
    rows = [request(0, request="refused" * 9), request(1, 1)]
    decoded = pk.open(write_run(tmp_path / "f.db", rows)).where("seq = 1").decoded()
    assert decoded["refused"].isna().all()
