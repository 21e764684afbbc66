import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from perfkit.apis.base import ApiPluginBase, BenchmarkData, DefaultApiPlugin, PerfPluginBase
from perfkit.apis.binding import BoundApi, bind_api, generation_of
from perfkit.apis.openai import OpenAI
from perfkit.errors import PluginFailure, UsageError
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Kind, Prompt

TOKENIZER = "sample_data/tokenizer"
ASKED = Prompt([{"role": "user", "content": "hi"}])
MESSAGES = ['{"choices": [{"delta": {"content": "a"}}]}', '{"usage": {"n": 1}}']


class Oldest(PerfPluginBase):
    def build_request(
        self, model: str, prompt: str | None = None, dataset: str | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        for text in [prompt] if prompt else self.dataset_line_by_line(dataset or ""):
            yield {"model": model, "input": text.strip(), "asked": kwargs}

    def parse_responses(self, responses: list[str], **kwargs: Any) -> tuple[int, int]:
        assert all(isinstance(text, str) for text in responses)
        return len(responses), len(kwargs["request"])


class OfGenerationA(ApiPluginBase):
    def __init__(self, model_path: str) -> None:
        self.model_path = model_path

    def build_request(self, messages: Any, param: Arguments) -> dict[str, Any] | None:
        return {"messages": messages, "model": param.model}

    def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
        assert isinstance(request, dict)
        return 10, sum(isinstance(text, str) for text in responses)


class OfGenerationB(ApiPluginBase):
    def build_request(self, messages: Any, param: Any = None) -> dict[str, Any]:
        return {"input_text": messages}

    def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
        return 1, len(responses)

    async def process_request(
        self, client_session: Any, url: str, headers: dict[str, str], body: dict[str, Any]
    ) -> AsyncIterator[tuple[bool, int, str]]:
        yield False, 200, "{}"


class OfGenerationC(DefaultApiPlugin):
    def build_request(self, messages: Any) -> dict[str, Any]:
        return {"messages": messages}

    def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
        assert isinstance(json.loads(request), dict)
        return 5, sum(isinstance(message, dict) for message in responses)


class OwnSender(ApiPluginBase):
    def build_request(self, messages: Any, param: Any = None) -> dict[str, Any]:
        return {"input_text": messages}

    async def process_request(
        self, client_session: Any, url: str, headers: dict[str, str], body: dict[str, Any]
    ) -> BenchmarkData:
        return BenchmarkData(success=True)


@pytest.mark.parametrize(
    ("cls", "generation", "sends"),
    [
        (Oldest, "llmuses", False),
        (OfGenerationA, "A", False),
        (OfGenerationB, "B", True),
        (OfGenerationC, "C", False),
        (OwnSender, "C-own", True),
        (OpenAI, "C", False),
    ],
)
def test_a_class_is_recognised_by_what_it_defines(cls: type, generation: str, sends: bool) -> None:
    assert generation_of(cls) == generation
    assert bind_api(cls, Arguments()).sends is sends


def test_generation_a_is_given_the_tokenizers_path_and_may_skip_the_base_constructor() -> None:
    bound = bind_api(OfGenerationA, Arguments(model="qwen", tokenizer_path=TOKENIZER))
    assert bound.api.model_path == TOKENIZER
    assert bound.build(ASKED) == {"messages": ASKED.content, "model": "qwen"}
    assert bound.headers == {"Content-Type": "application/json"}


def test_a_constructor_with_an_annotated_str_gets_the_path_under_any_name() -> None:
    class Annotated(OfGenerationA):
        def __init__(self, tokenizer: "str") -> None:
            self.given = tokenizer

    assert bind_api(Annotated, Arguments(tokenizer_path=TOKENIZER)).api.given == TOKENIZER


def test_a_constructor_without_parameters_is_called_without() -> None:
    class Bare(OfGenerationA):
        def __init__(self) -> None:
            pass

    assert bind_api(Bare, Arguments(model="m")).api.param.model == "m"


def test_build_request_gets_param_only_if_it_takes_it() -> None:
    assert bind_api(OfGenerationC, Arguments()).build(ASKED) == {"messages": ASKED.content}


def test_none_skips_an_item() -> None:
    class Skips(OfGenerationC):
        def build_request(self, messages: Any) -> Any:
            return None

    assert bind_api(Skips, Arguments()).build(ASKED) is None


@pytest.mark.parametrize("body", [{}, "text", 3])
def test_what_is_no_body_is_a_failure_that_names_the_method(body: Any) -> None:
    class Odd(OfGenerationC):
        def build_request(self, messages: Any) -> Any:
            return body

    with pytest.raises(PluginFailure, match=r"test_binding\.py:\d+: build_request returned"):
        bind_api(Odd, Arguments()).build(ASKED)


def test_what_a_plugin_raises_names_the_line_that_raised() -> None:
    class Broken(OfGenerationC):
        def build_request(self, messages: Any) -> Any:
            return {"x": messages[7]}

    with pytest.raises(PluginFailure, match=r"test_binding\.py:\d+: IndexError: list index out of range"):
        bind_api(Broken, Arguments()).build(ASKED)


def test_a_constructor_that_raises_is_a_plugin_failure() -> None:
    class Broken(OfGenerationC):
        def __init__(self, param: Arguments) -> None:
            raise RuntimeError("no licence")

    with pytest.raises(PluginFailure, match="RuntimeError: no licence"):
        bind_api(Broken, Arguments())


def test_a_class_without_build_request_is_refused() -> None:
    with pytest.raises(UsageError, match="no build_request"):
        bind_api(int, Arguments())


def test_the_runs_headers_win_over_the_apis_whatever_their_case() -> None:
    given = Arguments(api_key="sk-12345678", headers={"authorization": "Basic eA==", "X-Team": "42"})
    assert bind_api(OpenAI, given).headers == {
        "Content-Type": "application/json",
        "authorization": "Basic eA==",
        "X-Team": "42",
    }


@pytest.mark.parametrize(
    ("url", "full"),
    [
        ("http://h:1", "http://h:1/v1/chat/completions"),
        ("http://h:1/", "http://h:1/v1/chat/completions"),
        ("http://h:1/v1", "http://h:1/v1/chat/completions"),
        ("http://h:1/openai/v1/", "http://h:1/openai/v1/chat/completions"),
        ("http://h:1/api/generate", "http://h:1/api/generate"),
        ("http://h:1?key=1", "http://h:1/v1/chat/completions?key=1"),
    ],
)
def test_a_base_url_gains_the_apis_path_and_any_other_stays(url: str, full: str) -> None:
    assert bind_api(OpenAI, Arguments(url=url)).url == full


def counted(bound: BoundApi, answer: Answer, messages: list[Any] = MESSAGES) -> tuple[Any, Any, Any]:
    bound.count(messages, {"messages": [{"role": "user", "content": "hi"}]}, answer)
    return answer.prompt_tokens, answer.completion_tokens, answer.token_source


@pytest.mark.parametrize(
    ("cls", "usage", "expected"),
    [
        (OfGenerationA, (7, 8), (10, 2, "plugin")),
        (OfGenerationB, (7, 8), (1, 2, "plugin")),
        (Oldest, (7, 8), (2, 1, "plugin")),
        (OfGenerationC, (7, 8), (7, 8, "server")),
        (OfGenerationC, (None, None), (5, 2, "plugin")),
        (OpenAI, (7, 8), (7, 8, "server")),
        (OpenAI, (None, None), (None, None, None)),
    ],
)
def test_who_counts_the_tokens_follows_the_generation(
    cls: type, usage: tuple[int | None, int | None], expected: tuple[Any, Any, Any]
) -> None:
    answer = Answer(prompt_tokens=usage[0], completion_tokens=usage[1])
    assert counted(bind_api(cls, Arguments()), answer) == expected


def test_zero_and_zero_from_a_plugin_means_that_it_could_not_count() -> None:
    class Unsure(OfGenerationC):
        def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
            return 0, 0

    assert counted(bind_api(Unsure, Arguments()), Answer()) == (None, None, None)


def test_the_tokenizer_counts_what_nobody_else_did() -> None:
    bound = bind_api(OpenAI, Arguments(tokenizer_path=TOKENIZER))
    answer = Answer(pieces=[(Kind.CONTENT, 0, "the old ", 0), (Kind.CONTENT, 0, "bridge", 1)])
    tokens = bound.tokenizer
    assert tokens is not None
    assert counted(bound, answer) == (tokens.count("hi"), tokens.count("the old bridge"), "tokenizer")


def test_a_count_that_the_server_gave_is_kept_beside_the_tokenizers() -> None:
    bound = bind_api(OpenAI, Arguments(tokenizer_path=TOKENIZER))
    assert counted(bound, Answer(completion_tokens=99))[1:] == (99, "tokenizer")


def test_what_the_server_counted_before_gives_an_estimate_marked_as_one() -> None:
    bound = bind_api(OpenAI, Arguments())
    for words in (10, 20, 30, 40, 50):
        text = [(Kind.CONTENT, 0, "word " * words, 0)]
        counted(bound, Answer(pieces=text, prompt_tokens=1, completion_tokens=words))
    assert counted(bound, Answer(pieces=[(Kind.CONTENT, 0, "word " * 25, 0)])) == (1, 25, "estimate")


@pytest.mark.parametrize(
    ("returned", "text", "known"), [((5, 0), "word", (5, None)), ((0, 3), "word", (None, 3)), ((5, 0), "", (5, 0))]
)
def test_a_0_of_a_parser_beside_text_is_unknown(returned: Any, text: str, known: tuple[int | None, int | None]) -> None:
    class Half(OfGenerationA):
        def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> Any:
            return returned

    pieces = [(Kind.CONTENT, 0, text, 0)] if text else []
    answer = Answer(pieces=pieces)
    bind_api(Half, Arguments()).count(["{}"], {"prompt": "hi"}, answer)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.token_source) == (*known, "plugin")


def test_a_parser_that_raises_is_a_plugin_failure() -> None:
    class Broken(OfGenerationA):
        def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> tuple[int, int]:
            raise NotImplementedError

    with pytest.raises(PluginFailure, match=r"test_binding\.py:\d+: NotImplementedError"):
        counted(bind_api(Broken, Arguments()), Answer())


def test_a_parser_that_returns_no_pair_is_told_what_is_wanted() -> None:
    class Odd(OfGenerationA):
        def parse_responses(self, responses: list[Any], request: Any = None, **kwargs: Any) -> Any:
            return 5

    with pytest.raises(PluginFailure, match=r"not \(prompt tokens, completion tokens\)"):
        counted(bind_api(Odd, Arguments()), Answer())


def test_the_oldest_plugins_make_their_bodies_of_a_dataset_themselves(tmp_path: Any) -> None:
    (tmp_path / "lines.txt").write_text("a\nb\n")
    given = Arguments(model="m", dataset_path=str(tmp_path / "lines.txt"), parameters={"top_p": "0.8"})
    bodies = list(bind_api(Oldest, given).bodies(given))
    assert [body["input"] for body in bodies] == ["a", "b"]
    assert bodies[0]["asked"]["top_p"] == 0.8


def test_the_oldest_plugins_make_one_body_of_a_prompt() -> None:
    given = Arguments(model="m", prompt="hello")
    assert [body["input"] for body in bind_api(Oldest, given).bodies(given)] == ["hello"]


def test_what_the_oldest_plugins_raise_while_reading_is_a_plugin_failure() -> None:
    given = Arguments(model="m", dataset_path="/nowhere.txt")
    with pytest.raises(PluginFailure, match="FileNotFoundError"):
        list(bind_api(Oldest, given).bodies(given))


def test_a_plugins_own_reader_is_used_and_what_it_raises_is_a_plugin_failure() -> None:
    class Reads(OfGenerationC):
        def read_message(self, message: Any, answer: Answer, event: str = "") -> None:
            answer.chunk(Kind.CONTENT, message["mine"])

    bound, answer = bind_api(Reads, Arguments()), Answer()
    bound.read_message({"mine": "text"}, answer, "")
    assert answer.output_text == "text"
    with pytest.raises(PluginFailure, match="KeyError"):
        bound.read_message({}, answer, "")


def test_counts_that_a_sending_plugin_gave_stay_its_own() -> None:
    answer = Answer(prompt_tokens=7, completion_tokens=8, token_source="plugin")
    assert counted(bind_api(OwnSender, Arguments()), answer) == (7, 8, "plugin")
