"""Each API at the socket: its events, its whole answers, and what it refuses."""

import base64
import json
from array import array
from itertools import pairwise

import pytest

from perfkit.simulator import simulate
from tests.simulator.conversation import CHAT, answer, ask, chat, names, payloads, stream, user

pytestmark = pytest.mark.processes

DASHSCOPE = "/api/v1/services/aigc/text-generation/generation"
SSE = {"X-DashScope-SSE": "enable"}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {}}}


@pytest.fixture(scope="module")
def server():
    """A server that answers at once."""
    with simulate(ttft=0.0, itl=0.0) as running:
        yield running


@pytest.fixture(scope="module")
def thinker():
    """One whose answers begin with two tokens of reasoning, in events of three tokens."""
    with simulate(ttft=0.0, itl=0.0, reasoning_tokens=2, cached_tokens=1, tokens_per_event=3) as running:
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
    assert kinds == [
        "role",
        "reasoning",
        "content",
        "content",
        "content",
    ]
    assert events[-2]["usage"]["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert events[-2]["usage"]["prompt_tokens_details"] == {"cached_tokens": 1}


def test_reasoning_is_apart_in_a_whole_answer(thinker):
    message = json.loads(chat(thinker, max_tokens=5))["choices"][0]["message"]
    assert (len(message["reasoning"].split()), len(message["content"].split())) == (2, 3)


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


def test_a_completion_stream_is_texts_finish_and_done(server):
    events = payloads(answer(server, "/v1/completions", prompt="a b", max_tokens=2, stream=True))
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, None, "length"]
    assert events[-2]["choices"][0]["text"] == ""
    assert events[-1] == "[DONE]"


def test_each_prompt_of_a_list_is_a_choice(server):
    whole = json.loads(answer(server, "/v1/completions", prompt=["a b", "c"], max_tokens=3))
    assert [len(choice["text"].split()) for choice in whole["choices"]] == [3, 3]
    assert whole["usage"] == {"prompt_tokens": 3, "total_tokens": 9, "completion_tokens": 6}


def test_token_ids_are_one_prompt(server):
    whole = json.loads(answer(server, "/v1/completions", prompt=[1, 2, 3, 4], max_tokens=1))
    assert (len(whole["choices"]), whole["usage"]["prompt_tokens"]) == (1, 4)


def ask_responses(server, **body):
    return answer(server, "/v1/responses", input="hello you", max_output_tokens=4, **body)


def test_events_are_named_numbered_and_end_with_usage(server):
    body = ask_responses(server, stream=True)
    events = payloads(body)
    assert names(body) == [event["type"] for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert names(body)[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["usage"]["output_tokens"] == 4


def test_deltas_add_up_to_the_whole_text(server):
    events = payloads(ask_responses(server, stream=True))
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) == 4
    assert "".join(deltas) == events[-1]["response"]["output"][0]["content"][0]["text"]


def test_reasoning_is_an_item_before_the_message(thinker):
    events = payloads(ask_responses(thinker, stream=True))
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    thought = "".join(each["delta"] for each in events if "reasoning_summary_text.delta" in each["type"])
    assert thought == output[0]["summary"][0]["text"]
    spoken = "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
    assert spoken == output[1]["content"][0]["text"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_a_whole_answer_counts_the_same(thinker):
    whole = json.loads(ask_responses(thinker))
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert whole["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 6,
    }


def ask_messages(server, **body):
    return answer(server, "/v1/messages", messages=[user("hello you")], **({"max_tokens": 4} | body))


def test_events_come_in_anthropics_order(server):
    body = ask_messages(server, stream=True)
    assert names(body) == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert names(body) == [event["type"] for event in payloads(body)]


def test_usage_is_at_both_ends(server):
    events = payloads(ask_messages(server, stream=True))
    assert events[0]["message"]["usage"]["input_tokens"] == 2
    assert events[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
        "usage": {"output_tokens": 4},
    }


def test_thinking_is_a_block_before_the_text(thinker):
    events = payloads(ask_messages(thinker, stream=True))
    blocks = [(each["index"], each["content_block"]["type"]) for each in events if "content_block" in each]
    assert blocks == [(0, "thinking"), (1, "text")]
    kinds = [(each["index"], each["delta"]["type"]) for each in events if each["type"] == "content_block_delta"]
    assert kinds == [(0, "thinking_delta"), (0, "signature_delta"), (1, "text_delta"), (1, "text_delta")]


def test_a_whole_message_has_its_blocks(thinker):
    whole = json.loads(ask_messages(thinker))
    assert [len(block.get("thinking", block.get("text")).split()) for block in whole["content"]] == [2, 2]
    assert (whole["usage"]["input_tokens"], whole["usage"]["cache_read_input_tokens"]) == (1, 1)


def test_max_tokens_is_required(server):
    assert json.loads(ask_messages(server, max_tokens=None))["error"]["code"] == 400


def ask_dashscope(server, headers=None, parameters=None):
    given = {"messages": [user("hello you")]}
    return answer(
        server,
        DASHSCOPE,
        headers=headers,
        model="qwen",
        input=given,
        parameters={"max_tokens": 3} | (parameters or {}),
    )


def texts_of(events):
    return [event["output"]["choices"][0]["message"]["content"] for event in events]


def test_text_is_cumulative_unless_told_otherwise(server):
    texts = texts_of(payloads(ask_dashscope(server, SSE)))
    assert [len(text.split()) for text in texts] == [1, 2, 3, 3]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_incremental_output_is_honoured(server):
    texts = texts_of(payloads(ask_dashscope(server, SSE, {"incremental_output": True})))
    assert [len(text.split()) for text in texts] == [1, 1, 1, 0]


def test_each_dashscope_event_has_usage_and_the_last_the_finish_reason(server):
    events = payloads(ask_dashscope(server, SSE))
    assert [event["usage"]["output_tokens"] for event in events] == [1, 2, 3, 3]
    assert [event["usage"]["total_tokens"] for event in events] == [3, 4, 5, 5]
    assert [event["output"]["choices"][0]["finish_reason"] for event in events] == [
        "null",
        "null",
        "null",
        "length",
    ]


def test_the_lines_of_an_event_are_dashscopes(server):
    lines = ask_dashscope(server, SSE).decode().splitlines()[:4]
    assert lines[:3] == ["id:1", "event:result", ":HTTP_STATUS/200"]
    assert lines[3].startswith("data:{")


def test_without_the_header_nothing_is_streamed(server):
    whole = json.loads(ask_dashscope(server))
    assert whole["usage"] == {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
    assert len(texts_of([whole])[0].split()) == 3


def test_the_text_format_is_older_and_still_there(server):
    whole = json.loads(ask_dashscope(server, parameters={"result_format": "text"}))
    assert len(whole["output"]["text"].split()) == 3


def test_a_body_without_input_is_refused(server):
    assert json.loads(answer(server, DASHSCOPE, model="qwen"))["error"]["code"] == 400


def test_each_input_has_its_vector(server):
    whole = json.loads(answer(server, "/v1/embeddings", input=["a b", "c"]))
    assert [len(item["embedding"]) for item in whole["data"]] == [64, 64]
    assert whole["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert whole["data"][0]["embedding"] != whole["data"][1]["embedding"]


def test_base64_holds_the_same_numbers(server):
    plain, packed = (
        json.loads(answer(server, "/v1/embeddings", input="a", dimensions=8, encoding_format=encoding))
        for encoding in ("float", "base64")
    )
    numbers = array("f", base64.b64decode(packed["data"][0]["embedding"]))
    assert numbers.tolist() == pytest.approx(plain["data"][0]["embedding"])


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank"])
def test_documents_come_back_by_descending_score(server, path):
    whole = json.loads(answer(server, path, query="a b", documents=["c", "d e", "f"]))
    scores = [result["relevance_score"] for result in whole["results"]]
    assert scores == sorted(scores, reverse=True)
    assert sorted(result["index"] for result in whole["results"]) == [0, 1, 2]
    assert whole["usage"]["prompt_tokens"] == 3 * 2 + 4


def test_top_n_limits_the_results(server):
    whole = json.loads(answer(server, "/rerank", query="a", documents=["c", "d", "e"], top_n=1))
    assert len(whole["results"]) == 1


HELLO = {"messages": [user("hi")]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": []}),
        (CHAT, HELLO | {"n": "two"}),
        (CHAT, HELLO | {"n": 0}),
        (CHAT, HELLO | {"tools": ["weather"]}),
        (CHAT, HELLO | {"stream_options": "usage"}),
        (CHAT, HELLO | {"x_fault": ["stall"]}),
        ("/v1/completions", {"prompt": ""}),
        ("/v1/completions", {"prompt": "hi", "n": -1}),
        ("/v1/responses", {"model": "m"}),
        ("/v1/messages", HELLO),
        ("/v1/embeddings", {"input": "hi", "dimensions": "many"}),
        ("/v1/embeddings", {"input": "hi", "dimensions": 10**9}),
        ("/rerank", {"query": "hi"}),
        ("/rerank", {"query": "hi", "documents": "one"}),
        ("/rerank", {"query": "hi", "documents": ["one"], "top_n": "all"}),
        (DASHSCOPE, {"input": "hi"}),
        (DASHSCOPE, {"input": {"prompt": "hi"}, "parameters": []}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_field_of_the_wrong_kind_is_refused_and_the_server_goes_on(server, path, body, stream):
    status, _, refusal = ask(server, path, stream=stream, **body)
    assert status == 400
    assert json.loads(refusal)["error"]["message"]
    assert b'"finish_reason":"length"' in chat(server, max_tokens=1)
