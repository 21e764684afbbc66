"""No JSON that a server or a dataset may hold makes the readers raise."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.apis.answers import read_message
from perfkit.apis.binding import bind_api
from perfkit.apis.bodies import prompt_of
from perfkit.apis.openai import OpenAI
from perfkit.errors import UsageError
from perfkit.loadgen.datasets.shapes import talk_of
from perfkit.loadgen.datasets.text import held_in
from perfkit.options.arguments import Arguments
from perfkit.records import Answer

# The words that the readers look for, so that chance gets beyond the first look-up.
WORDS = st.sampled_from(
    """choices delta message content text usage error type output data results finish_reason index role reasoning
    tool_calls function name arguments prompt_tokens input_tokens cache_read_input_tokens response id code object
    messages prompt input conversations from value stop null response.output_text.delta message_start""".split()  # noqa: SIM905
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | WORDS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)
CHOICES = st.fixed_dictionaries({"choices": st.lists(st.dictionaries(WORDS, JSON, max_size=4), max_size=2)})
OBJECTS = st.dictionaries(WORDS, JSON, max_size=5) | CHOICES


@pytest.mark.slow
@given(st.lists(OBJECTS, max_size=4), WORDS)
def test_any_messages_are_read_without_raising(messages: list[dict[str, Any]], event: str) -> None:
    answer = Answer()
    for answer.message, message in enumerate(messages):
        read_message(message, answer, event)
    assert {index for *_, index in answer.pieces} == set(range(len(messages)))
    for _, choice, text, _ in answer.pieces:
        assert isinstance(choice, int)
        assert choice >= 0
        assert isinstance(text, str)
    told = (answer.error, answer.finish_reason, answer.server_request_id)
    assert all(text is None or isinstance(text, str) for text in told)
    counts = (answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens)
    assert all(count is None or (isinstance(count, int) and count >= 0) for count in counts)


@given(OBJECTS)
def test_any_body_asks_some_text(body: dict[str, Any]) -> None:
    assert isinstance(prompt_of(body), str)


@given(st.lists(OBJECTS, max_size=3), OBJECTS)
def test_any_answer_is_counted_or_left_unknown(messages: list[dict[str, Any]], body: dict[str, Any]) -> None:
    bound, answer = bind_api(OpenAI, Arguments()), Answer()
    for answer.message, message in enumerate(messages):
        read_message(message, answer)
    bound.count([json.dumps(message) for message in messages], body, answer)
    assert answer.token_source in (None, "server")


RECORDS = JSON | st.dictionaries(st.sampled_from(["messages", "conversations"]), st.lists(JSON, max_size=3))


@given(RECORDS)
def test_any_line_and_record_is_taken_as_something_or_refused(value: Any) -> None:
    line = json.dumps(value)
    assert held_in(line) in (line, value)
    with suppress(UsageError):
        turns = talk_of(value, "a.jsonl:1")
        assert turns is None or isinstance(turns, list)
