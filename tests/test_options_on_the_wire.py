"""What each option does to the request that the server receives."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perfkit.measure import start
from tests.recording import ANSWER, Received, Recording, recording

Ask = Callable[..., Received]


@pytest.fixture(scope="module")
def server() -> Iterator[Recording]:
    with recording() as running:
        yield running


@pytest.fixture
def ask(server: Recording, tmp_path: Path) -> Ask:
    """Send one request with the given options and return what arrived."""

    def send(**options: Any) -> Received:
        defaults = {"prompt": "hi", "number": 1, "model": "m", "preflight": False, "workers": 0}
        if "dataset" in options or "dataset_path" in options:
            del defaults["prompt"]
        server.received.clear()
        start(options.pop("url", server.url), **{**defaults, **options}, db=str(tmp_path / "runs.db")).wait()
        return server.received[-1]

    return send


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({"model": "qwen"}, "model", "qwen"),
        ({"prompt": "why?"}, "messages", [{"role": "user", "content": "why?"}]),
        ({}, "stream", True),
        ({}, "stream_options", {"include_usage": True}),
        ({"stream": False}, "stream", False),
        ({"max_tokens": 16}, "max_tokens", 16),
        ({"min_tokens": 4}, "min_tokens", 4),
        ({"temperature": 0.0}, "temperature", 0.0),
        ({"top_p": 0.9}, "top_p", 0.9),
        ({"top_k": 40}, "top_k", 40),
        ({"frequency_penalty": 0.5}, "frequency_penalty", 0.5),
        ({"presence_penalty": -0.5}, "presence_penalty", -0.5),
        ({"repetition_penalty": 1.1}, "repetition_penalty", 1.1),
        ({"logprobs": True}, "logprobs", True),
        ({"n_choices": 2}, "n", 2),
        ({"seed": 7}, "seed", 7),
        ({"stop": ["a", "b"]}, "stop", ["a", "b"]),
        ({"stop_token_ids": [1, 2]}, "stop_token_ids", [1, 2]),
        ({"extra_args": {"ignore_eos": True}}, "ignore_eos", True),
        ({"parameters": ["top_p=0.8"]}, "top_p", 0.8),
        ({"parameters": ["echo=true"]}, "echo", True),
        ({"parameters": ["tag=v1.2"]}, "tag", "v1.2"),
        ({"query_template": '{"top_k": 3}'}, "top_k", 3),
        ({"system": "Be brief."}, "messages", [{"role": "system", "content": "Be brief."}, "hi"]),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_an_option_of_the_body_arrives_in_it(ask: Ask, options: dict[str, Any], field: str, value: Any) -> None:
    found = ask(**options).body[field]
    if field == "messages" and value[-1] == "hi":
        value = [*value[:-1], {"role": "user", "content": "hi"}]
    assert found == value


def test_nothing_that_was_not_given_is_sent(ask: Ask) -> None:
    assert ask(stream=False).body.keys() == {"model", "messages", "stream"}


def test_the_key_arrives_as_a_bearer_token(ask: Ask) -> None:
    assert ask(api_key="sk-12345678").headers["authorization"] == "Bearer sk-12345678"
    assert "authorization" not in ask().headers


def test_headers_arrive_split_at_the_first_equals_sign(ask: Ask) -> None:
    headers = ask(headers=["Authorization=Bearer a=b", "X-Count=42"]).headers
    assert (headers["authorization"], headers["x-count"]) == ("Bearer a=b", "42")


@pytest.mark.parametrize(
    ("api", "path"),
    [
        ("openai", "/v1/chat/completions"),
        ("completions", "/v1/completions"),
        ("responses", "/v1/responses"),
        ("anthropic", "/v1/messages"),
        ("dashscope", "/api/v1/services/aigc/text-generation/generation"),
        ("custom", "/"),
    ],
)
def test_a_base_url_gains_the_path_of_the_api(ask: Ask, api: str, path: str) -> None:
    assert ask(api=api).path == path


def test_any_other_url_is_asked_as_it_is(ask: Ask, server: Recording) -> None:
    assert ask(url=f"{server.url}/my/generate?version=2").path == "/my/generate?version=2"


def test_a_parser_file_makes_the_body(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from perfkit import *\n"
        "class Mine(DefaultApiPlugin):\n"
        "    path = '/mine'\n"
        "    def build_request(self, messages, param=None):\n"
        "        return {'ask': messages[0]['content'], 'of': param.model}\n"
    )
    received = ask(parser=str(tmp_path / "mine.py"), apply_chat_template=True)
    assert (received.path, received.body) == ("/mine", {"ask": "hi", "of": "m"})


def test_a_plugin_file_registers_an_api_and_a_dataset(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from perfkit import *\n"
        "@register_api('wire_api')\n"
        "class Api(ApiPluginBase):\n"
        "    def build_request(self, messages, param=None):\n"
        "        return {'ask': messages}\n"
        "    def parse_responses(self, responses, request=None, **kwargs):\n"
        "        return 1, 1\n"
        "@register_dataset('wire_dataset')\n"
        "class Dataset(DatasetPluginBase):\n"
        "    def build_messages(self):\n"
        "        yield 'from a plugin'\n"
    )
    received = ask(plugins=[str(tmp_path)], api="wire_api", dataset="wire_dataset")
    assert received.body == {"ask": "from a plugin"}


def asked(server: Recording) -> list[str]:
    return [received.body["messages"][-1]["content"] for received in server.received]


def test_a_dataset_file_gives_the_prompts_in_order(ask: Ask, server: Recording, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\nthree\n")
    ask(dataset=str(tmp_path / "a.txt"), number=None)
    assert asked(server) == ["one", "two", "three"]


def test_a_dataset_shorter_than_the_number_is_read_again(ask: Ask, server: Recording, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    ask(dataset="line_by_line", dataset_path=str(tmp_path / "a.txt"), number=5)
    assert asked(server) == ["one", "two", "one", "two", "one"]


def test_an_offset_skips_and_bounds_filter(ask: Ask, server: Recording, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no\n1234\n123456\n12345\n123\n")
    options = {"min_prompt_length": 4, "max_prompt_length": 5, "dataset_offset": 1}
    ask(dataset=str(tmp_path / "a.txt"), number=None, **options)
    assert asked(server) == ["12345"]


def test_a_list_from_the_notebook_is_read_again_when_it_is_too_short(ask: Ask, server: Recording) -> None:
    ask(dataset=["one", "two"], number=5)
    assert asked(server) == ["one", "two", "one", "two", "one"]


def test_each_point_of_a_sweep_gets_all_of_a_list(ask: Ask, server: Recording) -> None:
    ask(dataset=["one", "two", "three"], number=None, parallel=[1, 1])
    assert [sorted(asked(server)[:3]), sorted(asked(server)[3:])] == [["one", "three", "two"]] * 2


def test_plain_prompts_go_where_the_url_takes_them(ask: Ask, server: Recording) -> None:
    assert ask(url=f"{server.url}/v1/completions").body["prompt"] == "hi"


def test_images_arrive_as_content_parts(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "what?", "images": ["data:image/png;base64,iVBO"]}))
    parts = ask(dataset=str(tmp_path / "a.jsonl")).body["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]


def test_random_prompts_arrive_with_their_exact_length(ask: Ask, server: Recording) -> None:
    from perfkit.tokens import load_tokenizer

    folder = "sample_data/tokenizer"
    ask(dataset="random", number=5, tokenizer_path=folder, prefix_length=8, dataset_args={"length": [30, 40]})
    counts = [load_tokenizer(folder).count(text) for text in asked(server)]
    assert all(38 <= count <= 48 for count in counts)


def test_without_usage_the_tokenizer_counts_and_says_so(ask: Ask, server: Recording, tmp_path: Path) -> None:
    import perfkit

    server.answer = {"choices": ANSWER["choices"]}
    try:
        ask(tokenizer_path="sample_data/tokenizer", stream=False)
    finally:
        server.answer = ANSWER
    row = perfkit.open(str(tmp_path / "runs.db")).requests.iloc[0]
    assert row["token_source"] == "tokenizer"
    assert row["prompt_tokens"] == 2
    assert row["completion_tokens"] >= 1
