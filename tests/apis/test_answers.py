import json
from timeit import repeat
from typing import Any

import pytest

from perfkit.apis import dialect_of
from perfkit.apis.answers import read_message
from perfkit.apis.pieces import error_text
from perfkit.records import Answer, Kind


def read(*messages: dict[str, Any], event: str = "") -> Answer:
    answer = Answer()
    for answer.message, message in enumerate(messages):
        read_message(message, answer, event)
    return answer


def kinds(answer: Answer) -> list[str]:
    return [kind.name for kind, *_ in answer.pieces]


def delta(**fields: Any) -> dict[str, Any]:
    finish = fields.pop("finish_reason", None)
    index = fields.pop("index", 0)
    return {"id": "chatcmpl-1", "choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def test_a_chat_stream_gives_role_text_finish_and_usage_in_order_of_arrival() -> None:
    answer = read(
        delta(role="assistant", content=""),
        delta(content="Hel"),
        delta(content="lo"),
        delta(content="", finish_reason="stop"),
        {"id": "chatcmpl-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}},
    )
    assert kinds(answer) == ["ROLE", "CONTENT", "CONTENT", "FINISH", "USAGE"]
    assert [index for *_, index in answer.pieces] == [0, 1, 2, 3, 4]
    assert (answer.output_text, answer.finish_reason) == ("Hello", "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (7, 2)
    assert answer.server_request_id == "chatcmpl-1"


def test_text_finish_and_usage_may_share_one_message() -> None:
    answer = read(
        {
            "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "length"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
    )
    assert kinds(answer) == ["CONTENT", "FINISH"]
    assert answer.completion_tokens == 1


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_is_told_apart_from_the_answer(name: str) -> None:
    answer = read(delta(**{name: "hmm"}), delta(content="yes"))
    assert kinds(answer) == ["REASONING", "CONTENT"]
    assert answer.output_text == "yes"


def test_reasoning_sent_under_both_of_its_names_counts_once() -> None:
    assert kinds(read(delta(reasoning="hmm", reasoning_content="hmm"))) == ["REASONING"]


def test_tool_calls_carry_their_name_and_arguments() -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "look", "arguments": '{"at'}}
    answer = read(delta(tool_calls=[call]), delta(tool_calls=[{"index": 0, "function": {"arguments": '": 1}'}}]))
    assert [(kind.name, text) for kind, _, text, _ in answer.pieces] == [("TOOL", 'look{"at'), ("TOOL", '": 1}')]


def test_each_of_several_choices_is_read_and_the_first_is_the_output_text() -> None:
    both = {"choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}]}
    answer = read(delta(content="x"), both)
    assert [(choice, text) for _, choice, text, _ in answer.pieces] == [(0, "x"), (1, "b"), (0, "a")]
    assert answer.output_text == "xa"


def test_an_answer_not_streamed_is_read_from_its_message() -> None:
    message = {"role": "assistant", "content": "Hello", "reasoning_content": "hmm"}
    answer = read({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    assert kinds(answer) == ["REASONING", "CONTENT", "FINISH"]


def test_completions_carry_their_text_in_the_choice() -> None:
    answer = read(
        {"choices": [{"index": 0, "text": "a", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "b", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]},
    )
    assert (kinds(answer), answer.output_text) == (["CONTENT", "CONTENT", "FINISH"], "ab")


def test_usage_in_every_message_hides_no_text() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 1}
    answer = read(delta(content="a") | {"usage": usage}, delta(content="b") | {"usage": usage})
    assert answer.output_text == "ab"


def test_null_fields_beside_the_text_change_nothing() -> None:
    answer = read(delta(content="a"), delta(role=None, content="b", reasoning_content=None, tool_calls=None))
    assert (kinds(answer), answer.output_text) == (["CONTENT", "CONTENT"], "ab")


@pytest.mark.parametrize(
    ("message", "event", "text"),
    [
        ({"error": {"message": "no memory", "code": 500}}, "", "no memory"),
        ({"error": "no memory"}, "", "no memory"),
        ({"object": "error", "message": "no memory"}, "", "no memory"),
        ({"message": "no memory"}, "error", "no memory"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "", "Overloaded"),
        ({"code": "Throttling", "message": "slow down", "request_id": "r"}, "error", "Throttling: slow down"),
        ({"error": {"error": {"message": "inside"}}}, "", "inside"),
    ],
)
def test_an_error_in_any_form_is_the_answers_error(message: dict[str, Any], event: str, text: str) -> None:
    answer = read(message, event=event)
    assert (answer.error, kinds(answer)) == (text, ["ERROR"])


@pytest.mark.parametrize("message", [{"choices": []}, {"error": None, "choices": []}, {"id": "x", "code": None}])
def test_what_is_no_error_is_not_taken_for_one(message: dict[str, Any]) -> None:
    assert error_text(message) is None


@pytest.mark.parametrize(
    "message",
    [
        {"choices": [None]},
        {"choices": [{"delta": "text"}]},
        {"choices": "none"},
        {"output": {"choices": [3]}},
        {"type": "message_start"},
        {"usage": [1]},
        {"type": ["list"]},
        {},
    ],
)
def test_json_of_no_known_shape_is_kept_as_other_and_raises_nothing(message: dict[str, Any]) -> None:
    answer = read(delta(content="a"), message)
    assert kinds(answer) == ["CONTENT", "OTHER"]


def test_cached_and_reasoning_tokens_are_found_in_their_details() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 16},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    answer = read({"choices": [], "usage": usage})
    assert (answer.cached_tokens, answer.reasoning_tokens) == (16, 5)


def test_a_stream_of_the_responses_api_counts_each_text_once() -> None:
    answer = read(
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
        {"type": "response.reasoning_summary_text.delta", "delta": "hmm"},
        {"type": "response.output_text.delta", "delta": "Hel"},
        {"type": "response.output_text.delta", "delta": "lo"},
        {"type": "response.output_text.done", "text": "Hello"},
        {
            "type": "response.completed",
            "response": {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 4, "output_tokens": 2}},
        },
    )
    assert kinds(answer) == ["OTHER", "OTHER", "REASONING", "CONTENT", "CONTENT", "OTHER", "FINISH"]
    assert (answer.output_text, answer.finish_reason, answer.done) == ("Hello", "completed", True)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.server_request_id) == (4, 2, "resp_1")


def test_a_response_cut_short_says_why() -> None:
    response = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert read({"type": "response.incomplete", "response": response}).finish_reason == "max_output_tokens"


def test_a_response_that_failed_is_an_error() -> None:
    response = {"status": "failed", "error": {"code": "server_error", "message": "oops"}}
    assert read({"type": "response.failed", "response": response}).error == "oops"


def test_a_response_not_streamed_is_read_from_its_output() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hmm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
        {"type": "function_call", "name": "look", "arguments": "{}"},
    ]
    answer = read({"object": "response", "id": "resp_1", "status": "completed", "output": output, "error": None})
    assert kinds(answer) == ["REASONING", "CONTENT", "TOOL", "FINISH"]


def test_a_stream_of_anthropics_messages_is_read_block_by_block() -> None:
    usage = {"input_tokens": 3, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 2, "output_tokens": 1}
    answer = read(
        {"type": "message_start", "message": {"id": "msg_1", "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hmm"}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}},
        {"type": "message_stop"},
    )
    assert kinds(answer) == ["ROLE", "OTHER", "REASONING", "OTHER", "CONTENT", "TOOL", "OTHER", "FINISH", "DONE"]
    assert (answer.finish_reason, answer.done, answer.server_request_id) == ("end_turn", True, "msg_1")
    # Anthropic's input_tokens leaves the cached ones out: 3 + 10 + 2.
    assert (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens) == (15, 12, 10)


def test_an_anthropic_answer_not_streamed_is_read_from_its_blocks() -> None:
    content = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "name": "look", "input": {"at": 1}}]
    body = {"type": "message", "role": "assistant", "id": "msg_1", "content": content, "stop_reason": "tool_use"}
    answer = read(body | {"usage": {"input_tokens": 3, "output_tokens": 5}})
    assert [(kind.name, text) for kind, _, text, _ in answer.pieces] == [
        ("CONTENT", "Hi"),
        ("TOOL", 'look{"at": 1}'),
        ("FINISH", ""),
    ]


def dashscope(text: str, finish: str = "null") -> dict[str, Any]:
    output = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}]}
    return {"output": output, "usage": {"input_tokens": 5, "output_tokens": 2}, "request_id": "r-1"}


def test_dashscope_texts_that_grow_are_taken_apart() -> None:
    answer = read(dashscope("Hel"), dashscope("Hello"), dashscope("Hello", "stop"))
    assert [text for kind, _, text, _ in answer.pieces if kind is Kind.CONTENT] == ["Hel", "lo"]
    assert (answer.finish_reason, answer.server_request_id, answer.completion_tokens) == ("stop", "r-1", 2)


def test_dashscope_texts_that_are_new_each_time_are_taken_as_they_are() -> None:
    answer = read(dashscope("ha"), dashscope("ha"), dashscope("!"), dashscope("", "stop"))
    assert answer.output_text == "haha!"


def test_dashscope_text_format_and_reasoning_are_read() -> None:
    thinking = {"choices": [{"message": {"content": "", "reasoning_content": "hmm"}, "finish_reason": "null"}]}
    answer = read({"output": thinking}, {"output": {"text": "Hello", "finish_reason": "stop"}})
    assert kinds(answer) == ["REASONING", "CONTENT", "FINISH"]


@pytest.mark.parametrize(
    "body",
    [
        {"object": "list", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 6, "total_tokens": 6}},
        {"results": [{"index": 0, "relevance_score": 0.9}], "usage": {"total_tokens": 6}},
        {"results": [{"index": 0}], "meta": {"billed_units": {"input_tokens": 6}}},
    ],
)
def test_embeddings_and_rerank_are_whole_answers_without_output_tokens(body: dict[str, Any]) -> None:
    answer = read(body)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.done) == (6, 0, True)
    assert kinds(answer) == ["CONTENT"]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"audio": {"data": "AAAA", "transcript": "hello"}}, "hello"),
        ({"content": None, "audio": {"id": "a", "transcript": "hello"}}, "hello"),
        ({"audio": {"data": "AAAA"}}, ""),
    ],
)
def test_spoken_answers_carry_something_and_their_transcript_is_the_text(part: dict[str, Any], text: str) -> None:
    for name in ("delta", "message"):
        answer = read({"choices": [{"index": 0, name: part}]})
        assert (kinds(answer), answer.output_text) == (["CONTENT"], text)


@pytest.mark.parametrize(
    "body", [{"created": 1, "data": [{"b64_json": "AAAA"}]}, {"id": "m", "results": [{"flagged": False}]}]
)
def test_lists_of_other_apis_are_taken_for_neither_embeddings_nor_a_ranking(body: dict[str, Any]) -> None:
    assert dialect_of(body) is None


def test_an_output_that_holds_a_message_is_not_dashscopes() -> None:
    converse = {"output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "end_turn"}
    assert dialect_of(converse) is None


@pytest.mark.slow
def test_reading_a_piece_of_text_costs_less_than_decoding_its_json() -> None:
    text = json.dumps(delta(content="hello") | {"model": "qwen", "created": 1, "usage": None})
    message, answer = json.loads(text), Answer(message=1)
    reading = min(repeat(lambda: read_message(message, answer), number=20_000, repeat=5))
    decoding = min(repeat(lambda: json.loads(text), number=20_000, repeat=5))
    assert reading < decoding
