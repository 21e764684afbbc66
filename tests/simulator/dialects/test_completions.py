import json

from tests.simulator.conversation import answer, payloads


def test_a_stream_is_texts_finish_and_done(server):
    events = payloads(answer(server, "/v1/completions", prompt="a b", max_tokens=2, stream=True))
    assert [event["choices"][0]["finish_reason"] for event in events[:-1]] == [None, None, "length"]
    assert events[-2]["choices"][0]["text"] == ""
    assert events[-1] == "[DONE]"


def test_each_prompt_of_a_list_is_a_choice(server):
    whole = json.loads(answer(server, "/v1/completions", prompt=["a b", "c"], max_tokens=3))
    assert [len(choice["text"].split()) for choice in whole["choices"]] == [3, 3]
    assert whole["usage"] == {"prompt_tokens": 3, "total_tokens": 9, "completion_tokens": 6}


def test_token_ids_are_one_prompt(server):
    whole = json.loads(answer(server, "/v1/completions", prompt=[1, 2, 3, 4], max_tokens=1))
    assert (len(whole["choices"]), whole["usage"]["prompt_tokens"]) == (1, 4)
