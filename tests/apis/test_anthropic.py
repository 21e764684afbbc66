from perfkit.apis.anthropic import DEFAULT_MAX_TOKENS, Anthropic
from perfkit.options.arguments import Arguments


def test_the_key_goes_where_this_api_wants_it() -> None:
    headers = Anthropic(Arguments()).headers(Arguments(api_key="sk-ant-1234"))
    assert headers == {"x-api-key": "sk-ant-1234", "anthropic-version": "2023-06-01"}


def test_the_system_message_stands_beside_the_messages() -> None:
    body = Anthropic(Arguments(model="claude")).build_request(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    )
    assert body == {
        "max_tokens": DEFAULT_MAX_TOKENS,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "hi"}],
        "model": "claude",
        "stream": True,
    }


def test_only_fields_that_this_api_knows_are_sent() -> None:
    given = Arguments(max_tokens=5, temperature=0.5, stop="END", seed=1, n_choices=2)
    body = Anthropic(given).build_request("hi")
    assert (body["max_tokens"], body["temperature"], body["stop_sequences"]) == (5, 0.5, ["END"])
    assert not {"seed", "n", "stop"} & body.keys()


def test_images_become_blocks_with_a_source() -> None:
    urls = ["https://host/cat.png", "data:image/png;base64,iVBO"]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = Anthropic(Arguments()).build_request([{"role": "user", "content": parts}])
    assert [block["source"] for block in body["messages"][0]["content"]] == [
        {"type": "url", "url": "https://host/cat.png"},
        {"type": "base64", "media_type": "image/png", "data": "iVBO"},
    ]


def test_a_whole_body_keeps_its_own_longest_answer() -> None:
    body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 7}
    assert Anthropic(Arguments()).build_request(body)["max_tokens"] == 7
