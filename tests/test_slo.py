"""``pk.capacity`` against a simulated engine, whose capacity in users is known by arithmetic."""

import sqlite3

import pytest

import perfkit as pk
from perfkit.errors import UsageError

SLOW = {"preflight": False, "workers": 0, "prompt": "hello"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two slots: a third user waits for a whole answer of about 60 ms, so up to two users see a TTFT below 50 ms."""
    db = tmp_path_factory.mktemp("capacity") / "a.db"
    with pk.simulate(slots=2, itl=0.02, slowdown=0.0, base_latency=0.0) as server:
        return pk.capacity(
            server.url, slo={"ttft": ("p50", "50ms"), "e2e": ("p75", 10.0)}, axis="parallel", high=8, number=40,
            max_tokens=3, db=str(db), **SLOW,
        )  # fmt: skip


def test_the_bracket_holds_the_number_of_slots(found):
    assert 2 in found.bracket
    assert found.bracket.upper is not None


def test_the_curve_has_a_line_per_load_and_objective(found):
    table = found.table
    assert table["load"].is_monotonic_increasing
    assert len(table) == 2 * len(found.points)
    assert set(table["objective"]) == {"ttft p50 <= 50 ms", "e2e p75 <= 10000 ms"}
    assert (table["n"] == 40).all()
    assert (table["low"].dropna() <= table["percentile"][table["low"].notna()]).all()


def test_each_point_is_a_run_of_one_sweep_in_one_file(found):
    assert len(found.runs) == len(found.points)
    with sqlite3.connect(found.path) as file:
        ((runs, sweeps),) = file.execute("SELECT count(*), count(DISTINCT sweep_id) FROM run")
    assert (runs, sweeps) == (len(found.points), 1)


def test_arrivals_differ_from_point_to_point(found):
    seeds = [run.arguments.get("arrival_seed", 0) for run in found.runs.members]
    assert len(set(seeds)) == len(seeds)


def test_the_sentence_names_objectives_bracket_and_confidence(found):
    assert found.sentence.startswith("ttft p50 <= 50 ms and e2e p75 <= 10000 ms: ")
    assert "users (95% confidence)." in found.sentence
    assert found.sentence in str(found)


def test_the_chart_has_a_line_per_objective_and_the_bound(found):
    ax = found.plot()
    assert len(ax.get_lines()) == 3
    assert ax.get_xlabel() == "load [users]"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"slo": {}}, "at least one objective"),
        ({"slo": {"ttft": ("high", 0.5)}}, "an objective is a percentile and a bound"),
        ({"slo": {"ttft": 0.5}}, r"an objective is a percentile and a bound, \('p95', 0.5\); got 0.5"),
        ({"slo": {"ttft": ("p95",)}}, "an objective is a percentile and a bound"),
        ({"slo": {"tfft": ("p95", 0.5)}}, "ttft"),
        ({"slo": {"ttft": ("p95", 0.5)}, "rate": 4}, "the search chooses rate"),
        ({"slo": {"ttft": ("p95", 0.5)}, "low": 0}, "low is above 0"),
        ({"slo": {"ttft": ("p95", 0.5)}, "axis": "parallel", "low": 1.5}, "whole for users"),
        ({"slo": {"ttft": ("p95", 0.5)}, "confidence": 1.0}, "confidence is from"),
        ({"slo": {"ttft": ("p95", 0.5)}, "axis": "speed"}, "axis is 'rate' or 'parallel'"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_sent(given, reason):
    with pytest.raises(UsageError, match=reason):
        pk.capacity("http://127.0.0.1:9", **given)
