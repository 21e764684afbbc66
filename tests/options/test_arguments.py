import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments


def test_arguments_cannot_be_changed_only_replaced() -> None:
    given = Arguments(max_tokens=8)
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.max_tokens = 9  # type: ignore[misc]
    assert (given.replace(max_tokens=9).max_tokens, given.max_tokens) == (9, 8)


@pytest.mark.parametrize("field", dataclasses.fields(Arguments), ids=lambda field: field.name)
def test_every_field_says_what_it_means(field: "dataclasses.Field[Any]") -> None:
    assert field.metadata["meaning"]
    assert field.metadata["group"]


def test_keyword_arguments_a_dict_and_a_file_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text('model = "qwen"\nparallel = [1, 8]\n[parameters]\ntop_p = 0.8\n')
    words = {"model": "qwen", "parallel": [1, 8], "parameters": {"top_p": 0.8}}
    assert Arguments(**words) == Arguments.from_mapping(words) == Arguments.from_file(tmp_path / "run.toml")


def test_the_documented_constructor_calls_are_taken() -> None:
    given = Arguments(
        model="your-model-name",
        url="https://your-api-endpoint",
        api_key=None,
        api="custom",
        dataset="openqa",
        number=1,
        max_tokens=10,
        stream=True,
        debug=True,
        extra_args=None,  # type: ignore[arg-type]
    )
    assert (given.number, dict(given.extra_args)) == (1, {})
    # The documented datasets compare with these without asking whether they were given.
    assert given.min_prompt_length < 10 < given.max_prompt_length


def test_headers_are_text_split_at_the_first_equals_sign_and_shown_masked() -> None:
    given = Arguments(headers=["Authorization=Bearer a=b", "X-DashScope-SSE=enable=True"])  # type: ignore[arg-type]
    assert dict(given.headers) == {"Authorization": "Bearer a=b", "X-DashScope-SSE": "enable=True"}
    assert "Bearer" not in repr(given)
    assert Arguments(headers={"X-Num": 42}).headers == {"X-Num": "42"}  # type: ignore[dict-item]


def test_parameters_are_typed_and_extra_args_may_be_json() -> None:
    given = Arguments(parameters=["top_p=0.8", "n=2", "echo=true", "tag=v1"], extra_args='{"a": {"b": 1}}')  # type: ignore[arg-type]
    assert dict(given.parameters) == {"top_p": 0.8, "n": 2, "echo": True, "tag": "v1"}
    assert dict(given.extra_args) == {"a": {"b": 1}}


def test_a_list_of_one_is_no_sweep() -> None:
    assert Arguments(number=[5], parallel=[2]).number == 5


@pytest.mark.parametrize(
    ("given", "points"),
    [
        ({}, [(1, None)]),
        ({"parallel": [1, 8], "number": 10}, [(1, 10), (8, 10)]),
        ({"parallel": [1, 8], "number": [10, 80]}, [(1, 10), (8, 80)]),
    ],
)
def test_a_sweep_has_a_point_for_each_load(given: dict[str, Any], points: list[tuple[int, int | None]]) -> None:
    assert [(point.parallel, point.number) for point in Arguments(**given).points()] == points


def test_what_is_stored_and_shown_holds_no_secret() -> None:
    given = Arguments(
        url="https://me:secret-word@host/v1?api_key=secret-word&n=1",
        api_key="secret-word",
        wandb_api_key="secret-word",
        headers={"X-Key": "secret-word", "Accept": "text/html"},
        model="qwen",
    )
    shown = given.shown()
    assert "secret-word" not in str(shown)
    assert shown["model"] == "qwen"
    assert shown["headers"] == {"X-Key": "***", "Accept": "text/html"}


def test_a_key_is_taken_from_the_environment_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MY_KEY", "sk-from-env")
    (tmp_path / "key").write_text("sk-from-file\n")
    assert Arguments(api_key="env:MY_KEY").api_key == "sk-from-env"
    assert Arguments(api_key=f"@{tmp_path / 'key'}").api_key == "sk-from-file"


def test_a_prompt_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("hello\n")
    assert Arguments(prompt=f"@{tmp_path / 'prompt.txt'}").prompt_text() == "hello\n"
    with pytest.raises(UsageError, match="cannot read the prompt file /nowhere: No such file"):
        Arguments(prompt="@/nowhere").prompt_text()


def test_steps_say_the_highest_rate_and_when_the_run_ends() -> None:
    given = Arguments(steps=["5:2", "20:1.5"])
    assert given == Arguments(steps=[(5, 2), (20, 1.5)]) == Arguments.from_mapping(given.shown())
    assert (given.steps, given.rate, given.duration) == (((5, 2), (20, 1.5)), 20, 3.5)
    assert Arguments(steps="5:2", number=30).duration is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"rate": 0}, "rate must be above 0 requests/s, or -1 for all at once, got 0"),
        ({"steps": ["5"]}, "steps are RATE:SECONDS, both above 0, such as 5:30 20:30; got '5'"),
        ({"steps": [(5, 0)]}, "steps are RATE:SECONDS"),
        ({"steps": ["5:1", "9:1"], "rate": 3}, "steps have rates of their own, up to 9.0; leave rate out, got 3"),
        ({"steps": ["5:1"], "ramp": 3}, "steps and ramp exclude each other"),
        ({"steps": ["5:1"], "parallel": 3}, "rate and parallel exclude each other"),
        ({"rate": math.nan}, "rate must be above 0"),
        ({"rate": math.inf}, "rate must be above 0"),
        ({"rate": "fast"}, "rate must be a number, got 'fast'"),
        ({"max_concurrency": 8}, "max_concurrency caps an open model; give rate .* or parallel"),
        ({"rate": 1, "burstiness": 0.5}, "burstiness is of arrival='gamma'; got 0.5 with arrival='poisson'"),
        ({"rate": 1, "parallel": 1}, "rate and parallel exclude each other.*max_concurrency"),
        ({"parallel": 0}, "parallel must be at least 1 user, got 0"),
        ({"parallel": 1.5}, "parallel must be a whole number, got 1.5"),
        ({"parallel": True}, "parallel must be a whole number, got True"),
        ({"parallel": []}, "parallel is empty"),
        ({"number": 0}, "number must be at least 1 request, got 0"),
        ({"number": "ten"}, "number must be a whole number, got 'ten'"),
        ({"duration": 0}, "duration must be above 0, got 0"),
        ({"max_tokens": 0}, "max_tokens must be at least 1 token, got 0"),
        ({"temperature": -1}, "temperature must not be negative, got -1"),
        ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
        ({"stream": "yes"}, "stream must be true or false, got 'yes'"),
        ({"model": 5}, "model must be a text, got 5"),
        ({"arrival": "possion"}, "arrival must be one of poisson, constant, gamma; got 'possion'"),
        ({"warmup": "soon"}, "warmup soon is neither a count"),
        ({"warmup": -1}, "warmup -1 is neither a count"),
        ({"warmup": "150%"}, "warmup 150% is neither.*at most 100%"),
        ({"connect_timeout": 0}, "connect_timeout must be above 0, got 0"),
        ({"min_prompt_length": 9, "max_prompt_length": 5}, "min_prompt_length 9 is above max_prompt_length 5"),
        ({"url": "ftp://host"}, "url must look like http://host:port, got 'ftp://host'"),
        ({"url": "http://"}, "url must look like http://host:port"),
        ({"url": "http://host:port"}, "url must look like http://host:port"),
        ({"url": ""}, "url must look like http://host:port"),
        ({"extra_args": "{1}"}, "extra_args is not JSON"),
        ({"parameters": ["top_p"]}, "parameters takes KEY=VALUE, got 'top_p'"),
        ({"tags": 5}, "tags must be a mapping"),
        ({"stop": [1]}, "stop must be a text, got 1"),
        ({"stop_token_ids": ["a"]}, "stop_token_ids must be a whole number, got 'a'"),
        ({"api_key": "env:NO_SUCH_KEY"}, "set the environment variable NO_SUCH_KEY"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_at_the_door(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Arguments(**given)


def test_numbers_of_points_that_do_not_fit_are_told() -> None:
    with pytest.raises(UsageError, match="number has 2 values for 3 points of parallel"):
        Arguments(parallel=[1, 2, 3], number=[1, 2]).points()


def test_an_unknown_word_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="no argument is called 'tempreature'; did you mean 'temperature'"):
        Arguments.from_mapping({"tempreature": 1})


def test_a_trace_is_sent_at_its_own_times_unless_a_load_is_given() -> None:
    assert (Arguments(dataset="trace").load, Arguments(dataset="trace").rate) == ("open", -1)
    assert Arguments(dataset="trace", parallel=2).load == "closed"
    assert Arguments(dataset="sample").load == "closed"


def test_kernel_stamps_are_refused_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="stamps='kernel' needs Linux and no proxy"):
        Arguments(stamps="kernel", proxy="http://127.0.0.1:3128")
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(UsageError, match="stamps='kernel' needs Linux and no proxy"):
        Arguments(stamps="kernel")
    assert Arguments(stamps="kernel", workers="tcp://linux:8786").stamps == "kernel"
