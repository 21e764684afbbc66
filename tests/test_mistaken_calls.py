"""Calls that a notebook gets wrong: one sentence that says what is there, or what to give."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import perfkit as pk
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.options.warnings import warnings_about
from perfkit.registry import APIS


@pytest.fixture
def runs() -> pk.Runs:
    return pk.from_frame(pd.DataFrame({"ttft": [0.1]}), run="a") + pk.from_frame(pd.DataFrame({"ttft": [0.1]}), run="b")


def test_a_number_that_no_run_has_says_which_there_are(runs: pk.Runs) -> None:
    with pytest.raises(IndexError, match="no run has the number 99; there are 2, 0 to 1: a, b"):
        runs[99]
    assert runs[-1].labels == ["b"]


def test_pick_takes_labels_and_says_how_to_choose_by_number(runs: pk.Runs) -> None:
    with pytest.raises(UsageError, match=r"pick takes labels, or patterns such as 'tp\*', got 5; by number: runs\[5\]"):
        runs.pick(5)  # type: ignore[arg-type]


WRITES: dict[str, Callable[[pk.Runs, Path], object]] = {
    "report": lambda runs, place: runs.report(place / "r.html"),
    "markdown": lambda runs, place: runs.report(place / "r.md"),
    "export": lambda runs, place: runs.export(place, ["ecdf:ttft"], formats=["csv"]),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_folder_that_is_none_is_named(runs: pk.Runs, tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write .*file.*; give another place"):
        WRITES[what](runs, tmp_path / "file")


@pytest.mark.parametrize("given", [5, None, "", [], [5], len])
@pytest.mark.parametrize("decorator", [pk.register_api, pk.register_dataset, pk.chart, pk.importer])
def test_what_is_registered_needs_a_name(decorator: Callable[[Any], Any], given: Any) -> None:
    with pytest.raises(UsageError, match=r"needs a name, or a list of names, as in \(\"mine\"\); got"):
        decorator(given)


def test_replacing_what_comes_with_perfkit_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):  # a cell that is run again

        @pk.register_api("openai")
        class Mine(pk.DefaultApiPlugin):
            pass

    assert APIS["openai"] is Mine
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == [f"api 'openai' is now that of {__name__}, in place of perfkit's own"]


@pytest.mark.parametrize(
    "given",
    [
        *(
            {name: value}
            for name in ("duration", "think_time", "read_timeout", "ramp")
            for value in ("inf", float("inf"))
        ),
        {"total_timeout": float("nan")},
        {"temperature": float("inf")},
        {"rate": float("inf")},
        {"steps": "5:inf"},
    ],
    ids=str,
)
def test_a_number_without_end_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=rf"{next(iter(given))}"):
        Arguments(**given)


def test_more_users_than_requests_are_asked_about() -> None:
    (said,) = warnings_about(Arguments(parallel=200, number=2))
    assert "were the two swapped?" in said
    assert warnings_about(Arguments(parallel=2, number=200)) == warnings_about(Arguments(rate=5, number=2)) == []


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "1234567"},
        {"headers": {"Authorization": "Bearer 1234567"}},
        {"extra_args": {"api_key": "1234567"}},
        {"url": "http://me:1234567@host"},
        {"url": "http://host?api_key=1234567"},
        {"proxy": "http://1234567@host"},
        {"query_template": '{"password": "1234567"}'},
    ],
    ids=str,
)
def test_a_key_too_short_to_be_told_from_text_is_said(given: dict[str, Any]) -> None:
    (said,) = warnings_about(Arguments(**given))
    assert said.startswith(f"a key in {next(iter(given))} has fewer than 8 characters")
    longer = eval(repr(given).replace("1234567", "12345678"))
    assert warnings_about(Arguments(**longer)) == []


def test_what_arguments_show_of_themselves_holds_no_key() -> None:
    url = "http://me:sk-12345678@host/v1?api_key=sk-12345678"
    shown = repr(Arguments(url=url, api_key="sk-12345678", headers={"X-Mine": "sk-12345678"}, proxy=url, parallel=4))
    assert "12345678" not in shown
    assert "parallel=4" in shown
    assert "api_key=***" in shown
