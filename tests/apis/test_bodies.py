import pytest

from perfkit.apis.bodies import from_template, messages_text, prompt_columns, prompt_of, unsent
from perfkit.apis.custom import Custom
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.registry import api_class


def test_placeholders_are_replaced_at_any_depth_and_nothing_is_parsed_again() -> None:
    body, placed = from_template('{"a": [{"b": "<%p>"}], "c": "%m"}', 'quote " and \\ and %m', "qwen")
    assert placed
    assert body["a"][0]["b"] == '<quote " and \\ and %m>'
    assert body["c"] == "qwen"


def test_a_template_is_a_fresh_body_each_time() -> None:
    first, _ = from_template('{"a": []}', "x", None)
    first["a"].append(1)
    assert from_template('{"a": []}', "x", None)[0] == {"a": []}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{not json", "query_template is not JSON"),
        ("[1, 2]", "must be a JSON object"),
        ("@/nowhere/template.json", "cannot read the query template /nowhere/template.json"),
    ],
)
def test_a_template_that_cannot_be_used_is_told_in_a_sentence(template: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        from_template(template, "x", None)


def test_a_custom_api_sends_the_template_and_nothing_else() -> None:
    given = Arguments(model="m", max_tokens=5, query_template='{"q": "%p"}', extra_args={"k": 1})
    assert Custom(given).build_request([{"role": "user", "content": "hi"}]) == {"q": "hi", "k": 1}


def test_a_custom_api_without_a_template_sends_messages_or_input_text() -> None:
    assert "messages" in Custom(Arguments()).build_request([{"role": "user", "content": "hi"}])
    assert Custom(Arguments(stream=False)).build_request("hi") == {"input_text": "hi", "stream": False}


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "hi"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"prompt": "hi"},
        {"input": "hi"},
        {"input": [{"role": "user", "content": "hi"}]},
        {"input": {"prompt": "hi"}},
        {"input": {"messages": [{"role": "user", "content": "hi"}]}},
        {"input_text": "hi"},
        {"input": ["hi"]},
        {"query": "hi", "documents": ["a"]},
    ],
)
def test_the_asked_text_is_found_wherever_a_body_holds_it(body: dict[str, object]) -> None:
    assert prompt_of(body) == "hi"


def test_the_text_of_messages_has_a_blank_line_between_two() -> None:
    assert messages_text([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}]) == "a\n\n"


def test_prompts_that_differ_before_the_last_turn_only_have_other_hashes_and_the_same_text() -> None:
    bodies = [{"messages": [{"role": "system", "content": rule}, {"role": "user", "content": "hi"}]} for rule in "ab"]
    first, second = map(prompt_columns, bodies)
    assert first["prompt_hash"] != second["prompt_hash"]
    assert first["prompt_text"] == second["prompt_text"] == "hi"


TEMPLATE = '{"model": "%m", "extra": "const", "stream": null}'
SAMPLING = {"temperature": 0.3, "max_tokens": 7, "min_p": 0.1, "stop": ["x", "y"], "logprobs": True, "n_choices": 2}


@pytest.mark.parametrize(
    "api", ["openai", "completions", "responses", "gemini", "tgi", "ollama", "llama_cpp", "dashscope", "custom"]
)
def test_what_an_api_sends_under_a_name_of_its_own_is_not_called_unsent(api: str) -> None:
    given = Arguments(model="m", query_template=TEMPLATE, **SAMPLING)
    assert unsent(given, api_class(api)(given).build_request("hi", given)) == []


@pytest.mark.parametrize("api", ["embeddings", "tei", "rerank", "verbatim"])
def test_what_an_api_has_no_field_for_is_found(api: str) -> None:
    given = Arguments(model="m", query_template=TEMPLATE, **SAMPLING, extra_args={"truncate": True})
    body = api_class(api)(given).build_request({"query": "a", "documents": ["b"]}, given)
    assert sorted(unsent(given, body)) == sorted([*SAMPLING, "query_template"])


def test_a_template_that_is_the_whole_body_leaves_options_out() -> None:
    given = Arguments(model="m", query_template='{"ask": "%p", "limit": 7}', temperature=0.3, max_tokens=7)
    assert unsent(given, Custom(given).build_request("hi", given)) == ["temperature"]
