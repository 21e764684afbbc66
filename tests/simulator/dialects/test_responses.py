import json

from tests.simulator.conversation import answer, names, payloads


def said(server, **body):
    return answer(server, "/v1/responses", input="hello you", max_output_tokens=4, **body)


def test_events_are_named_numbered_and_end_with_usage(server):
    body = said(server, stream=True)
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
    events = payloads(said(server, stream=True))
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) == 4
    assert "".join(deltas) == events[-1]["response"]["output"][0]["content"][0]["text"]


def test_reasoning_is_an_item_before_the_message(thinker):
    events = payloads(said(thinker, stream=True))
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["reasoning", "message"]
    thought = "".join(each["delta"] for each in events if "reasoning_summary_text.delta" in each["type"])
    assert thought == output[0]["summary"][0]["text"]
    spoken = "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
    assert spoken == output[1]["content"][0]["text"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_a_whole_answer_counts_the_same(thinker):
    whole = json.loads(said(thinker))
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert whole["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 1},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 6,
    }
