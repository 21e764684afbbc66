import json
from itertools import pairwise

from tests.simulator.conversation import answer, payloads, user

DASHSCOPE = "/api/v1/services/aigc/text-generation/generation"
SSE = {"X-DashScope-SSE": "enable"}


def said(server, headers=None, parameters=None):
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
    texts = texts_of(payloads(said(server, SSE)))
    assert [len(text.split()) for text in texts] == [1, 2, 3, 3]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


def test_incremental_output_is_honoured(server):
    texts = texts_of(payloads(said(server, SSE, {"incremental_output": True})))
    assert [len(text.split()) for text in texts] == [1, 1, 1, 0]


def test_each_event_has_usage_and_the_last_the_finish_reason(server):
    events = payloads(said(server, SSE))
    assert [event["usage"]["output_tokens"] for event in events] == [1, 2, 3, 3]
    assert [event["usage"]["total_tokens"] for event in events] == [3, 4, 5, 5]
    assert [event["output"]["choices"][0]["finish_reason"] for event in events] == [
        "null",
        "null",
        "null",
        "length",
    ]


def test_the_lines_of_an_event_are_dashscopes(server):
    lines = said(server, SSE).decode().splitlines()[:4]
    assert lines[:3] == ["id:1", "event:result", ":HTTP_STATUS/200"]
    assert lines[3].startswith("data:{")


def test_without_the_header_nothing_is_streamed(server):
    whole = json.loads(said(server))
    assert whole["usage"] == {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
    assert len(texts_of([whole])[0].split()) == 3


def test_the_text_format_is_older_and_still_there(server):
    whole = json.loads(said(server, parameters={"result_format": "text"}))
    assert len(whole["output"]["text"].split()) == 3


def test_a_body_without_input_is_refused(server):
    assert json.loads(answer(server, DASHSCOPE, model="qwen"))["error"]["code"] == 400
