"""``--model`` takes several, and leaves a command's own words alone."""

import argparse

import pytest

from perfkit.cli.parser import Parser, add_options, add_url, given


def parsed(words, *own):
    parser = Parser()
    for name in own:
        parser.add_argument(name)
    if not own:
        add_url(parser)
    add_options(parser)
    return given(parser.parse_args(words))


def test_several_models_stand_behind_the_option_and_a_url_behind_them_is_the_endpoint():
    assert parsed(["--model", "a=2", "b", "http://h"]) == {"model": ["a=2", "b"], "url": "http://h"}


def test_a_command_that_takes_a_file_still_finds_it_behind_a_model():
    parser = Parser()
    parser.add_argument("file")
    add_options(parser)
    options = parser.parse_args(["--model", "a", "run.db"])
    assert (options.file, options.model) == ("run.db", ["a"])


@pytest.mark.parametrize("words", [["--model", "a", "--model", "b"], ["--model", "a", "--number", "2", "--model", "b"]])
def test_it_repeats_there(words):
    parser = Parser()
    parser.add_argument("file", nargs=argparse.OPTIONAL)
    add_options(parser)
    assert parser.parse_args(words).model == ["a", "b"]
