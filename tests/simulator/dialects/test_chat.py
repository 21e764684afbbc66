import json

import pytest

from perfkit.simulator import simulate
from tests.simulator.conversation import chat, stream, user

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {}}}


@pytest.fixture(scope="module")
def thinker():
    with simulate(ttft=0.0, itl=0.0, reasoning_tokens=3, cached_tokens=1) as running:
        yield running


def deltas(events):
    return [event["choices"][0]["delta"] for event in events if event != "[DONE]" and event["choices"]]


def test_a_stream_is_role_contents_finish_and_done(server):
    *events, done = stream(server, max_tokens=2)
    role, first, second, finish = deltas(events)
    assert role == {"role": "assistant", "content": ""}
    assert finish == {"content": ""}
    assert all(delta["content"].startswith(" ") for delta in (first, second))
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, None, "length"]
    assert done == "[DONE]"


def test_usage_comes_last_with_no_choices_when_it_is_asked_for(server):
    usage = stream(server, max_tokens=2, stream_options={"include_usage": True})[-2]
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 2, "total_tokens": 4, "completion_tokens": 2}
    assert all("usage" not in event for event in stream(server))


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_length_asked_for_is_honoured(server, field):
    answer = json.loads(chat(server, **{field: 7}))
    assert answer["usage"]["completion_tokens"] == len(answer["choices"][0]["message"]["content"].split()) == 7
    assert answer["choices"][0]["finish_reason"] == "length"


def test_without_a_limit_an_answer_stops_by_itself_at_64_tokens(server):
    answer = json.loads(chat(server))
    assert (answer["usage"]["completion_tokens"], answer["choices"][0]["finish_reason"]) == (64, "stop")


@pytest.mark.parametrize("limit", [0, -3, "many", 1.5])
def test_a_limit_that_is_no_length_is_refused(server, limit):
    assert json.loads(chat(server, max_tokens=limit or -1))["error"]["code"] == 400


def test_several_choices_are_streamed_side_by_side(server):
    events = stream(server, n=3, max_tokens=2)[:-1]
    assert [event["choices"][0]["index"] for event in events] == [0, 1, 2] * 4
    texts = [
        "".join(event["choices"][0]["delta"]["content"] for event in events if event["choices"][0]["index"] == index)
        for index in range(3)
    ]
    assert len(set(texts)) == 3


def test_reasoning_comes_first_and_is_counted(thinker):
    events = stream(thinker, max_tokens=5, stream_options={"include_usage": True})
    kinds = [next(iter(delta)) for delta in deltas(events)]
    assert kinds == ["role", *["reasoning"] * 3, *["content"] * 2, "content"]
    assert events[-2]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert events[-2]["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}


def test_reasoning_is_apart_in_a_whole_answer(thinker):
    message = json.loads(chat(thinker, max_tokens=5))["choices"][0]["message"]
    assert (len(message["reasoning"].split()), len(message["content"].split())) == (3, 2)


def test_a_tool_offered_is_called_with_arguments_that_are_json(server):
    events = stream(server, max_tokens=4, tools=[WEATHER])
    calls = [delta["tool_calls"][0] for delta in deltas(events) if "tool_calls" in delta]
    assert calls[0]["function"] == {"name": "weather", "arguments": ""}
    arguments = json.loads("".join(call["function"]["arguments"] for call in calls))
    assert len(arguments["query"].split()) == 4
    assert events[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_whole_answer_calls_the_tool_too(server):
    choice = json.loads(chat(server, max_tokens=4, tools=[WEATHER]))["choices"][0]
    [call] = choice["message"]["tool_calls"]
    assert len(json.loads(call["function"]["arguments"])["query"].split()) == 4
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")


def test_a_tool_forbidden_is_not_called(server):
    assert "tool_calls" not in json.loads(chat(server, tools=[WEATHER], tool_choice="none"))["choices"][0]["message"]


def test_log_probabilities_name_the_token(server):
    event = stream(server, max_tokens=1, logprobs=True)[1]["choices"][0]
    assert event["logprobs"]["content"][0]["token"] == event["delta"]["content"]


def test_images_count_as_a_fixed_number_of_tokens(server):
    content = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert json.loads(chat(server, messages=[user(content)]))["usage"]["prompt_tokens"] == 3 + 256


@pytest.mark.parametrize(
    ("style", "last", "done", "usage"),
    [
        ("vllm", {"content": ""}, True, "chunk"),
        ("transformers", {}, False, "finish"),
        ("llama.cpp", {}, True, "none"),
    ],
)
def test_a_style_ends_its_streams_in_its_own_way(style, last, done, usage):
    with simulate(ttft=0.0, itl=0.0, style=style) as server:
        events = stream(server, max_tokens=1, stream_options={"include_usage": True})
    assert (events[-1] == "[DONE]") is done
    finish = next(event for event in events if event["choices"] and event["choices"][0]["finish_reason"])
    assert finish["choices"][0]["delta"] == last
    where = "finish" if "usage" in finish else "chunk" if any("usage" in event for event in events[:-1]) else "none"
    assert where == usage


@pytest.mark.parametrize("text", ["chinese", "emoji"])
def test_text_outside_ascii_is_valid_utf8(text):
    with simulate(ttft=0.0, itl=0.0, text=text, output_tokens=256) as server:
        content = json.loads(chat(server))["choices"][0]["message"]["content"]
        streamed = "".join(delta["content"] for delta in deltas(stream(server)))
    assert not content.isascii()
    assert not streamed.isascii()


def test_role_and_done_can_be_left_out():
    with simulate(ttft=0.0, itl=0.0, role_chunk=False, done=False, crlf=True, usage="always") as server:
        body = chat(server, stream=True, max_tokens=1)
        assert len(stream(server, max_tokens=1)) == 3
    assert body.count(b"\r\n") == body.count(b"\n") == 6
