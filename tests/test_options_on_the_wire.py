"""What each option does to the request that the server receives."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import NothingSucceeded
from perfkit.runner.start import replay, start
from tests.recording import ANSWER, Received, Recording, recording

pytestmark = pytest.mark.processes

Ask = Callable[..., Received]


def test_options_that_are_not_sent_are_named_at_the_start(server: Recording, tmp_path: Path) -> None:
    given = {"prompt": "hi", "number": 2, "model": "m", "workers": 0, "api": "embeddings", "db": str(tmp_path / "a.db")}
    job = start(server.url, **given, temperature=0.5, stop="x", max_tokens=3)
    job.wait()
    (told,) = job.progress.remarks
    assert told.startswith("not sent by the api embeddings: max_tokens, temperature, stop; extra_args puts a field")


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
    from perfkit.apis.tokenizer import load_tokenizer

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


@pytest.mark.parametrize(
    "options",
    [
        {"include_usage": False},
        {"extra_args": '{"stream_options": null}'},
        {"parameters": ["stream_options=null"]},
        {"extra_args": ["stream=false"]},
        {"query_template": '{"stream_options": null}'},
        {"dataset": [{"messages": [{"role": "user", "content": "hi"}], "stream_options": None}]},
    ],
    ids=str,
)
def test_stream_options_can_be_left_out(ask: Ask, options: dict[str, Any]) -> None:
    assert "stream_options" not in ask(**options).body


def test_null_leaves_out_any_field_that_perfkit_adds(ask: Ask) -> None:
    body = ask(extra_args={"stream": None, "model": None, "max_tokens": None}, max_tokens=5).body
    assert body.keys() == {"messages"}


def test_a_server_that_refuses_stream_options_is_told_how_to_leave_them_out(ask: Ask, server: Recording) -> None:
    server.status, server.answer = 400, {"error": {"message": "Unsupported parameter: stream_options"}}
    try:
        with pytest.raises(NothingSucceeded, match=r"stream_options; include_usage=False \(--no-include-usage\)"):
            ask(preflight=True)
    finally:
        server.status, server.answer = 200, ANSWER


def test_extra_args_as_pairs_are_typed_and_those_given_as_json_keep_their_types(ask: Ask) -> None:
    body = ask(extra_args=["ignore_eos=true", "top_k=5", "user=ann"]).body
    assert (body["ignore_eos"], body["top_k"], body["user"]) == (True, 5, "ann")
    assert ask(extra_args='{"user": "5"}').body["user"] == "5"


def models(dataset: Any, tmp_path: Path, listed: Sequence[str] = ("base",), **options: Any) -> list[Any]:
    """Return the models that a server which lists some was asked for, in order."""
    with recording() as server:
        server.models = list(listed)
        given = {"number": 2, "preflight": False, "workers": 0, "db": str(tmp_path / "models.db"), **options}
        start(server.url, dataset=dataset, **given).wait()
        return [received.body.get("model") for received in server.received]


LORA = "tests/fixtures/field/model-per-record/lora.jsonl"


@pytest.mark.parametrize("listed", [("base",), ("base", "lora-a", "lora-b"), ()], ids=["one", "several", "none"])
@pytest.mark.parametrize("as_list", [False, True], ids=["file", "list"])
def test_bodies_keep_their_models(tmp_path: Path, listed: tuple[str, ...], as_list: bool) -> None:
    dataset: Any = LORA
    if as_list:
        dataset = [json.loads(line) for line in Path(LORA).read_text(encoding="utf-8").splitlines()]
    assert models(dataset, tmp_path, listed) == ["lora-a", "lora-b"]


def test_bodies_keep_their_models_with_two_workers(tmp_path: Path) -> None:
    assert sorted(models(LORA, tmp_path, workers=2)) == ["lora-a", "lora-b"]


def test_a_model_that_was_given_wins_over_those_of_the_bodies(tmp_path: Path) -> None:
    assert models(LORA, tmp_path, model="qwen") == ["qwen", "qwen"]


def test_the_listed_model_fills_the_gap_of_a_body_without_one(tmp_path: Path) -> None:
    bodies = [{"model": "lora-a", "prompt": "a"}, {"prompt": "b"}]
    assert models(bodies, tmp_path) == ["lora-a", "base"]


def test_a_replay_keeps_the_models_of_the_bodies(tmp_path: Path) -> None:
    with recording() as server:
        server.models = ["base"]
        first = start(server.url, dataset=LORA, preflight=False, workers=0, db=str(tmp_path / "a.db")).wait()
        server.received.clear()
        replay(first, workers=0, db=str(tmp_path / "b.db")).wait()
        assert sorted(received.body["model"] for received in server.received) == ["lora-a", "lora-b"]
