"""Every option: those of the body reach the wire, each is validated, ``compare`` knows those that change the work."""

import dataclasses
from typing import Any

import pandas as pd
import pytest

import perfkit as pk
from tests.recording import recording

SENT: dict[str, tuple[Any, str, Any]] = {
    "model": ("qwen", "model", "qwen"),
    "stream": (False, "stream", False),
    "max_tokens": (16, "max_tokens", 16),
    "min_tokens": (4, "min_tokens", 4),
    "temperature": (0.5, "temperature", 0.5),
    "top_p": (0.9, "top_p", 0.9),
    "top_k": (40, "top_k", 40),
    "min_p": (0.05, "min_p", 0.05),
    "frequency_penalty": (0.5, "frequency_penalty", 0.5),
    "presence_penalty": (-0.5, "presence_penalty", -0.5),
    "repetition_penalty": (1.1, "repetition_penalty", 1.1),
    "logprobs": (True, "logprobs", True),
    "n_choices": (2, "n", 2),
    "seed": (7, "seed", 7),
    "stop": (["a", "b"], "stop", ["a", "b"]),
    "stop_token_ids": ([1, 2], "stop_token_ids", [1, 2]),
    "query_template": ('{"min_p": 0.1}', "min_p", 0.1),
    "extra_args": ({"ignore_eos": True}, "ignore_eos", True),
    "parameters": ({"echo": True}, "echo", True),
    "include_usage": (False, "stream_options", None),
    "server_timings": (True, "include_metrics", True),
}
"""A value of each field of the body, and the field of the JSON that it becomes."""

SAME_WORK = {"seed", "include_usage", "server_timings"}
"""Fields of the body that do not change how much a server has to do."""

WRONG: dict[str, Any] = {
    "stream": "maybe",
    "max_tokens": "many",
    "min_tokens": 0.5,
    "temperature": "hot",
    "top_p": [1],
    "top_k": 1.5,
    "min_p": 1.5,
    "frequency_penalty": "x",
    "presence_penalty": {},
    "repetition_penalty": "x",
    "logprobs": "x",
    "n_choices": 0,
    "seed": "x",
    "stop": 5,
    "stop_token_ids": ["a"],
    "query_template": 5,
    "extra_args": "x",
    "parameters": 5,
    "include_usage": "x",
    "server_timings": "x",
}
"""A value of the wrong type for each field of the body."""

OTHER_WRONG: dict[str, Any] = {
    "url": 5,
    "balance": "x",
    "model": 5,
    "api": 5,
    "api_key": 5,
    "headers": 5,
    "parser": 5,
    "plugins": 5,
    "number": 1.5,
    "duration": "x",
    "parallel": 0,
    "rate": "x",
    "arrival": "x",
    "burstiness": "x",
    "max_concurrency": 0,
    "think_time": -1,
    "ramp": "x",
    "ramp_shape": "x",
    "steps": 5,
    "cancel": 2,
    "cancel_after": 0,
    "max_error_rate": 2,
    "warmup": "x",
    "preflight": "x",
    "prompt_seed": "x",
    "arrival_seed": 1.5,
    "speed": 0,
    "dataset": 5,
    "preset": 5,
    "mix": 5,
    "dataset_path": 5,
    "dataset_offset": -1,
    "dataset_args": 5,
    "prompt": 5,
    "system": 5,
    "min_prompt_length": "x",
    "max_prompt_length": "x",
    "prefix_length": "x",
    "apply_chat_template": "x",
    "tokenizer_path": 5,
    "salt": "x",
    "shuffle": "x",
    "connect_timeout": 0,
    "read_timeout": "x",
    "total_timeout": -1,
    "verify": "x",
    "ca_file": "no/such/file",
    "cert": "no/such/file",
    "key_file": "no/such/file",
    "unix_socket": 5,
    "proxy": "x",
    "stamps": "x",
    "workers": "x",
    "name": 5,
    "db": 5,
    "tags": 5,
    "note": 5,
    "scrape": 5,
    "log_every_n_query": "x",
    "debug": "x",
    "texts": "x",
    "wandb_api_key": 5,
    "mlflow": 5,
}
"""A wrong value for each other field."""

WORK_VALUES: dict[str, tuple[Any, Any]] = {
    **{name: (None, value) for name, (value, _, _) in SENT.items() if name not in ("model", "stream", *SAME_WORK)},
    "stream": (True, False),
    "dataset_path": ("a.txt", "b.txt"),
    "mix": (("a", "b=2"), ("a", "b=3")),
    "dataset_offset": (0, 5),
    "dataset_args": ({}, {"length": 5}),
    "prompt": ("a", "b"),
    "system": (None, "Be brief."),
    "prefix_length": (0, 8),
    "salt": ("none", "run"),
    "shuffle": (False, True),
    "min_prompt_length": (0, 8),
    "max_prompt_length": (100, 200),
    "apply_chat_template": (None, True),
    "tokenizer_path": ("a", "b"),
    "arrival": ("poisson", "constant"),
    "burstiness": (1.0, 0.5),
    "max_concurrency": (None, 8),
    "think_time": (0.0, 1.0),
    "ramp": (0.0, 5.0),
    "cancel": (0.0, 0.05),
    "cancel_after": (None, 2.0),
    "ramp_shape": ("linear", "exponential"),
    "speed": (1.0, 2.0),
    "prompt_seed": (0, 1),
    "preset": ("chat", "rag"),
    "warmup": (0, 10),
    "api": ("openai", "completions"),
}
"""Two values of each option that changes what a server is asked, or when."""

FIELDS = {field.name: field for field in dataclasses.fields(pk.Arguments)}
BODY = [name for name, field in FIELDS.items() if field.metadata.get("group") == "body"]


def test_every_field_is_walked():
    assert set(BODY) <= set(SENT)
    assert set(FIELDS) <= {*WRONG, *OTHER_WRONG}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Return the bodies that a server got: one for each field of the body, and one without any."""
    found = {}
    with recording() as server:
        for name, given in {"nothing": {}, **{name: {name: value} for name, (value, _, _) in SENT.items()}}.items():
            options = {"model": "m", "prompt": "hi", "number": 1, "preflight": False, "workers": 0, **given}
            pk.start(server.url, db=str(tmp_path_factory.mktemp("db") / "a.db"), **options).wait()
            found[name] = server.received[-1].body
    return found


@pytest.mark.processes
@pytest.mark.parametrize("name", SENT)
def test_a_field_of_the_body_reaches_the_wire(asked, name):
    _, key, value = SENT[name]
    assert asked[name].get(key) == value
    assert asked["nothing"].get(key) != value


@pytest.mark.parametrize("name", [*WRONG, *OTHER_WRONG])
def test_a_wrong_value_is_refused_in_one_sentence_that_names_the_field(name):
    with pytest.raises(pk.PerfkitError) as refused:
        pk.Arguments(**{name: {**WRONG, **OTHER_WRONG}[name]})
    assert len(str(refused.value).splitlines()) == 1
    assert name in str(refused.value)


def two_runs(**settings):
    """Return two runs of one load that were asked with two values of an option."""
    (name, (one, other)) = next(iter(settings.items()))
    runs: list[pk.Runs] = []
    for run, value, slow in (("a", one, 1.0), ("b", other, 1.1)):
        times = [slow * (0.5 + 0.01 * (each % 7)) for each in range(40)]
        frame = pd.DataFrame({"ttft": times, "e2e": [2 * each for each in times]})
        given = {} if value is None else {name: value}
        runs.append(pk.from_frame(frame, run=run, parallel=1, load="closed", model="m", source="perfkit", **given))
    return runs[0] + runs[1]


def comparison(name):
    """Compare two runs that were asked with two values of an option."""
    return two_runs(**{name: WORK_VALUES[name]}).compare("a", quantities=["ttft_p50"]).to_dict()


@pytest.mark.parametrize("name", WORK_VALUES)
def test_an_option_that_changes_the_work_is_compared(name):
    try:
        said = str(comparison(name))
    except pk.PerfkitError as refused:
        said = str(refused)
    assert name in said
