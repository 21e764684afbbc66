"""Names of options: as a file spells them, and as other tools call them."""

from pathlib import Path

import pytest

from perfkit.cli.parser import Parser, add_options
from perfkit.errors import UsageError
from perfkit.options.arguments import OPTIONS, Arguments
from perfkit.options.names import ELSEWHERE, as_fields

YAML = "max-tokens: 8\nno-stream: true\ntag: {gpu: H100}\nn: 3\n"


def test_a_file_may_spell_names_as_the_help_does(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(YAML)
    expected = Arguments(max_tokens=8, stream=False, tags={"gpu": "H100"}, number=3)
    assert Arguments.from_file(tmp_path / "run.yaml") == expected


def test_every_name_of_the_help_is_one_of_a_file() -> None:
    parser = Parser()
    add_options(parser)
    flags = [flag for action in parser._actions if action.dest != "help" for flag in action.option_strings]
    assert {
        flag: next(iter(as_fields({flag.lstrip("-"): True}, OPTIONS))) in OPTIONS for flag in flags
    } == dict.fromkeys(flags, True)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="max_tokens is given twice, once as 'max-tokens'; leave one out"):
        as_fields({"max_tokens": 1, "max-tokens": 2}, OPTIONS)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_a_name_of_another_tool_is_here_exists_and_the_name_does_not(name: str) -> None:
    parser = Parser()
    add_options(parser)
    words = [word for word in ELSEWHERE[name].split() if word.startswith("--")]
    assert set(words) <= set(parser._option_string_actions)
    assert name not in OPTIONS


def test_a_keyword_of_another_tool_is_told_as_an_option_is() -> None:
    with pytest.raises(UsageError, match="no argument is called 'num_prompts'; here it is --number N"):
        Arguments.from_mapping({"num_prompts": 3})
