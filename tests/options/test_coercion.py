from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import UsageError
from perfkit.options.coercion import as_mapping, read_settings, typed


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.toml", 'model = "qwen"\nrate = [1, 2.5]\n[tags]\ngpu = "H100"\n'),
        ("run.yaml", "model: qwen\nrate: [1, 2.5]\ntags:\n  gpu: H100\n"),
        ("run.json", '{"model": "qwen", "rate": [1, 2.5], "tags": {"gpu": "H100"}}'),
    ],
)
def test_each_format_of_file_gives_the_same_settings(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_settings(tmp_path / name) == {"model": "qwen", "rate": [1, 2.5], "tags": {"gpu": "H100"}}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.toml", "model = ", "is not well formed"),
        ("a.yaml", "a: [1, 2", "is not well formed"),
        ("a.json", "{", "is not well formed"),
        ("a.yaml", "- 1\n- 2\n", "must hold a table of arguments, got a list"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=told):
        read_settings(tmp_path / name)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(UsageError, match=r"cannot read nowhere\.toml: No such file"):
        read_settings("nowhere.toml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("256", 256),
        ("-0.5", -0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("null", None),
        ('{"type": "json_object"}', {"type": "json_object"}),
        ('"256"', "256"),
        ("text", "text"),
        ("1.2.3", "1.2.3"),
        ("007", "007"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ("", ""),
        (5, 5),
    ],
)
def test_a_value_is_typed_only_where_it_spells_json(text: Any, value: Any) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@pytest.mark.parametrize(
    ("given", "mapping"),
    [
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ("a=1", {"a": "1"}),
        (["a=1", "b=x=y"], {"a": "1", "b": "x=y"}),
        ('{"a": [1]}', {"a": [1]}),
        ("a=", {"a": ""}),
    ],
)
def test_a_mapping_may_be_given_in_any_form(given: Any, mapping: dict[str, Any]) -> None:
    assert as_mapping("parameters", given) == mapping


@pytest.mark.parametrize(
    ("given", "told"),
    [("a", "takes KEY=VALUE, got 'a'"), (["=1"], "takes KEY=VALUE"), ("{1}", "not JSON"), (5, "must be a mapping")],
)
def test_what_is_no_mapping_is_told(given: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        as_mapping("parameters", given)
