import json
from pathlib import Path
from typing import Any

import pytest

from perfkit.apis.openai import Completions, Embeddings, OpenAI, Rerank, Responses
from perfkit.options.arguments import Arguments

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
IMAGE = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "https://host/cat.png"}},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
        ],
    }
]


def test_a_stream_asks_for_usage() -> None:
    body = OpenAI(Arguments(model="qwen")).build_request(CHAT)
    assert body == {
        "messages": CHAT,
        "model": "qwen",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_without_a_stream_nothing_of_streams_is_sent() -> None:
    assert OpenAI(Arguments(stream=False)).build_request("hi") == {
        "messages": [{"role": "user", "content": "hi"}],
        "stream": False,
    }


@pytest.mark.parametrize(
    ("name", "value", "field", "sent"),
    [
        ("max_tokens", 16, "max_tokens", 16),
        ("min_tokens", 4, "min_tokens", 4),
        ("temperature", 0.0, "temperature", 0.0),
        ("top_p", 0.9, "top_p", 0.9),
        ("top_k", 40, "top_k", 40),
        ("frequency_penalty", -0.5, "frequency_penalty", -0.5),
        ("presence_penalty", 0.5, "presence_penalty", 0.5),
        ("repetition_penalty", 1.1, "repetition_penalty", 1.1),
        ("logprobs", True, "logprobs", True),
        ("n_choices", 2, "n", 2),
        ("seed", 7, "seed", 7),
        ("stop", ["a", "b"], "stop", ["a", "b"]),
        ("stop", "a", "stop", "a"),
        ("stop_token_ids", [1, 2], "stop_token_ids", [1, 2]),
    ],
)
def test_a_sampling_field_is_sent_only_when_given(name: str, value: Any, field: str, sent: Any) -> None:
    assert field not in OpenAI(Arguments()).build_request("hi")
    assert OpenAI(Arguments(**{name: value})).build_request("hi")[field] == sent


def test_parameters_win_over_extra_args_and_both_over_the_rest() -> None:
    given = Arguments(max_tokens=1, extra_args={"max_tokens": 2, "a": 1}, parameters={"max_tokens": 3})
    body = OpenAI(given).build_request("hi")
    assert (body["max_tokens"], body["a"]) == (3, 1)


def test_images_and_audio_go_as_the_content_parts_they_are() -> None:
    assert OpenAI(Arguments()).build_request(IMAGE)["messages"] == IMAGE


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("http://h", "messages"),
        ("http://h/v1", "messages"),
        ("http://h/v1/chat/completions", "messages"),
        ("http://h/v1/chat/completions?version=2", "messages"),
        ("http://h/v1/completions", "prompt"),
        ("http://h/generate", "messages"),
    ],
)
def test_the_url_decides_between_messages_and_prompt(url: str, field: str) -> None:
    assert field in OpenAI(Arguments(url=url)).build_request("hi")


def test_a_completions_prompt_is_the_text_of_the_messages() -> None:
    assert Completions(Arguments()).build_request(CHAT)["prompt"] == "Be brief.\n\nhi"


def test_token_ids_are_sent_as_they_are() -> None:
    assert Completions(Arguments()).build_request({"prompt": [1, 2, 3]})["prompt"] == [1, 2, 3]


def test_a_whole_body_keeps_its_fields_and_what_the_run_gives_wins() -> None:
    body = {"messages": CHAT, "model": "theirs", "max_tokens": 5, "tools": [], "stream": False}
    built = OpenAI(Arguments(model="ours", max_tokens=9)).build_request(body)
    assert built == {"messages": CHAT, "model": "ours", "max_tokens": 9, "tools": [], "stream": False}
    assert OpenAI(Arguments()).build_request(body)["model"] == "theirs"


def test_a_template_gives_fields_and_its_stream_stays() -> None:
    given = Arguments(model="qwen", query_template='{"model": "%m-chat", "stream": false, "top_k": 5}')
    assert OpenAI(given).build_request("hi") == {
        "model": "qwen",
        "stream": False,
        "top_k": 5,
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_a_template_that_places_the_prompt_keeps_its_own_messages() -> None:
    template = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say: %p"}]}
    body = OpenAI(Arguments(query_template=json.dumps(template))).build_request("hi")
    assert [message["content"] for message in body["messages"]] == ["Be brief.", "Say: hi"]


def test_a_template_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    file.write_text('{"top_k": 5}')
    assert OpenAI(Arguments(query_template=f"@{file}")).build_request("hi")["top_k"] == 5


def test_responses_has_its_own_names_for_input_parts_and_the_longest_answer() -> None:
    body = Responses(Arguments(model="m", max_tokens=8)).build_request(IMAGE)
    assert [part["type"] for part in body["input"][0]["content"]] == ["input_text", "input_image", "input_audio"]
    assert body["input"][0]["content"][1]["image_url"] == "https://host/cat.png"
    assert (body["max_output_tokens"], "max_tokens" in body) == (8, False)


def test_a_whole_chat_body_becomes_a_whole_responses_body() -> None:
    body = Responses(Arguments()).build_request({"messages": CHAT, "max_tokens": 5})
    assert (body["input"], body["max_output_tokens"]) == (CHAT, 5)


@pytest.mark.parametrize("given", ["text", ["a", "b"], [{"role": "user", "content": "text"}]])
def test_embeddings_take_a_text_a_list_of_texts_or_messages(given: Any) -> None:
    assert Embeddings(Arguments(model="m")).build_request(given) == {
        "input": ["a", "b"] if given == ["a", "b"] else "text",
        "model": "m",
    }


def test_rerank_refuses_what_has_no_documents() -> None:
    with pytest.raises(ValueError, match="query and documents"):
        Rerank(Arguments()).build_request("hi")
