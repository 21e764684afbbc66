import json

import pytest

from tests.simulator.conversation import ask, chat, user

GENERATION = "/api/v1/services/aigc/text-generation/generation"
CHAT = {"messages": [user("hi")]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": []}),
        ("/v1/chat/completions", CHAT | {"n": "two"}),
        ("/v1/chat/completions", CHAT | {"n": 0}),
        ("/v1/chat/completions", CHAT | {"tools": ["weather"]}),
        ("/v1/chat/completions", CHAT | {"stream_options": "usage"}),
        ("/v1/chat/completions", CHAT | {"x_fault": ["stall"]}),
        ("/v1/completions", {"prompt": ""}),
        ("/v1/completions", {"prompt": "hi", "n": -1}),
        ("/v1/responses", {"model": "m"}),
        ("/v1/messages", CHAT),
        ("/v1/embeddings", {"input": "hi", "dimensions": "many"}),
        ("/v1/embeddings", {"input": "hi", "dimensions": 10**9}),
        ("/rerank", {"query": "hi"}),
        ("/rerank", {"query": "hi", "documents": "one"}),
        ("/rerank", {"query": "hi", "documents": ["one"], "top_n": "all"}),
        (GENERATION, {"input": "hi"}),
        (GENERATION, {"input": {"prompt": "hi"}, "parameters": []}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_field_of_the_wrong_kind_is_refused_and_the_server_goes_on(server, path, body, stream):
    status, _, answer = ask(server, path, stream=stream, **body)
    assert status == 400
    assert json.loads(answer)["error"]["message"]
    assert b'"finish_reason":"length"' in chat(server, max_tokens=1)
