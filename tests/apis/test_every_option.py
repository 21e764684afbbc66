"""Each option of the request body is sent by each API, under one name or another, or refused: never left out unsaid."""

import json

import pytest

from perfkit import registry
from perfkit.apis.binding import bind_api
from perfkit.errors import UsageError
from perfkit.options.arguments import OPTIONS, WIRE, Arguments
from perfkit.records import Prompt

TEXTS = {"stop": "a rare word", "stop_token_ids": (4711, 4712)}
NUMBERS = {"max_tokens": 4713, "top_k": 4714, "n_choices": 4715, "seed": 4716, "logprobs": 4717}
ITEMS = {
    "rerank": {"query": "a", "documents": ["b"]},
    "verbatim": {"prompt": "hi"},
    "embeddings": "hi",
    "tei": "hi",
}
GENERATES_NOTHING = ("embeddings", "rerank", "tei", "verbatim")
"""APIs without sampling, or that send bodies as they are: options of sampling do not touch them."""

APIS = {registry.APIS.name_of(cls): cls for cls in registry.APIS.built_in.values()}


def value_of(name):
    """Return a value that occurs nowhere else in a body."""
    fraction = 0.4718 if OPTIONS[name].metadata.get("ge") == 0 else 4719
    return {**TEXTS, **NUMBERS}.get(name, 4720 if name == "min_tokens" else fraction)


def sent(api, **options):
    cls = APIS[api]
    arguments = Arguments(api=api, model="m", **options)
    return json.dumps(bind_api(cls, arguments).build(Prompt(ITEMS.get(api, "hi"), 0)))


@pytest.mark.parametrize("name", WIRE)
@pytest.mark.parametrize("api", [api for api in APIS if api not in GENERATES_NOTHING])
def test_an_option_of_the_body_is_sent_or_refused(api, name):
    value = value_of(name)
    takes = vars(APIS[api]).get("takes")
    if takes is not None and name not in takes:
        with pytest.raises(UsageError, match=f"{name} is not sent by this API.*extra_args"):
            sent(api, **{name: value})
        return
    assert str(list(value) if isinstance(value, tuple) else value) in sent(api, **{name: value})


@pytest.mark.parametrize("api", APIS)
def test_what_is_refused_can_be_sent_all_the_same(api):
    assert "4721" in sent(api, extra_args={"any": 4721})


def test_a_class_made_from_one_that_refuses_may_send_more():
    class Mine(APIS["anthropic"]):
        pass

    assert bind_api(Mine, Arguments(model="m", seed=5)).build(Prompt("hi", 0))["model"] == "m"
