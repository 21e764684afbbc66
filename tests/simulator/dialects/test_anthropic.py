import json

from tests.simulator.conversation import answer, names, payloads, user


def said(server, **body):
    return answer(server, "/v1/messages", messages=[user("hello you")], **({"max_tokens": 4} | body))


def test_events_come_in_anthropics_order(server):
    body = said(server, stream=True)
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
    events = payloads(said(server, stream=True))
    assert events[0]["message"]["usage"]["input_tokens"] == 2
    assert events[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "stop_sequence": None},
        "usage": {"output_tokens": 4},
    }


def test_thinking_is_a_block_before_the_text(thinker):
    events = payloads(said(thinker, stream=True))
    blocks = [(each["index"], each["content_block"]["type"]) for each in events if "content_block" in each]
    assert blocks == [(0, "thinking"), (1, "text")]
    kinds = [(each["index"], each["delta"]["type"]) for each in events if each["type"] == "content_block_delta"]
    assert kinds == [(0, "thinking_delta"), (0, "signature_delta"), (1, "text_delta"), (1, "text_delta")]


def test_a_whole_answer_is_a_message(thinker):
    whole = json.loads(said(thinker))
    assert [len(block.get("thinking", block.get("text")).split()) for block in whole["content"]] == [2, 2]
    assert (whole["usage"]["input_tokens"], whole["usage"]["cache_read_input_tokens"]) == (1, 1)


def test_max_tokens_is_required(server):
    assert json.loads(said(server, max_tokens=None))["error"]["code"] == 400
