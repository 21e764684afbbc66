"""Notices of several runs, said once."""

import pytest

import perfkit as pk
from perfkit.analysis.results.notices import once
from tests.run_files import failure, request, write_run

RUNS = [f"load={number}" for number in range(1, 13)]


def test_what_is_said_of_every_run_is_said_once():
    assert once([f"{run}: the clock is not exact" for run in RUNS], RUNS) == ["12 of 12 runs: the clock is not exact"]


def test_numbers_that_differ_become_a_range_and_runs_are_named():
    said = [f"load={number}: {number * 500:,} of 9,000 answers were late" for number in (3, 1, 2)]
    assert once(said, RUNS) == [
        "3 of 12 runs (load=3, load=1 and load=2): 500 to 1,500 of 9,000 answers were late",
    ]


def test_a_label_that_begins_another_is_not_taken_for_it():
    assert once(["a: late", "a b: late"], ["a", "a b"]) == ["2 of 2 runs: late"]


def test_versions_and_addresses_are_no_numbers():
    said = ["a: server 1.2.3 at 10.0.0.1", "b: server 1.2.4 at 10.0.0.1"]
    assert once(said, ["a", "b"]) == said


def test_words_of_servers_are_joined_only_where_they_are_equal():
    said = ["a: 2 failed: HTTP 503", "b: 2 failed: HTTP 500", "c: 2 failed: HTTP 503"]
    assert once(said, ["a", "b", "c"], alike=False) == ["2 of 3 runs (a and c): 2 failed: HTTP 503", said[1]]


def test_two_notices_of_one_run_that_differ_in_a_number_stay_one_of_one_run():
    assert once(["a: 3 rows, unread", "a: 5 rows, unread"], ["a", "b"]) == ["1 of 2 runs (a): 3 to 5 rows, unread"]


@pytest.mark.slow
def test_summary_and_report_of_twelve_runs_say_the_same_failure_once(tmp_path):
    for number in range(12):
        rows = [*(request(i, i) for i in range(3)), failure(3, 3)]
        write_run(tmp_path / "a.db", rows, name=f"load {number}", parallel=number + 1, sent=4, failed=1)
    runs = pk.open(tmp_path / "a.db")
    runs.report(tmp_path / "a.md")
    for text in (str(runs.summary()), (tmp_path / "a.md").read_text(encoding="utf-8")):
        said = [line for line in text.splitlines() if "1 failed" in line]
        assert len(said) == 1
        assert "12 of 12 runs: 1 failed" in said[0]
