"""``pk.capacity`` against a simulated engine, whose capacity in users is known by arithmetic."""

import re
import sqlite3

import pytest

import perfkit as pk
from perfkit.analysis.capacity.curve import Capacity, Point, Seen
from perfkit.analysis.capacity.objective import Objective
from perfkit.analysis.capacity.posterior import ShareBeyond
from perfkit.analysis.stats.estimates import Estimate
from perfkit.errors import UsageError

pytestmark = pytest.mark.processes

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


@pytest.mark.alone
def test_the_bracket_holds_the_number_of_slots(found):
    assert 2 in found.bracket
    assert found.bracket.upper is not None


@pytest.mark.alone
def test_the_curve_has_a_line_per_load_and_objective(found):
    table = found.table
    assert table["load"].is_monotonic_increasing
    assert len(table) == 2 * len(found.points)
    assert set(table["objective"]) == {"ttft p50 <= 50 ms", "e2e p75 <= 10000 ms"}
    assert (table["n"] == 40).all()
    assert (table["low"].dropna() <= table["measured"][table["low"].notna()]).all()


@pytest.mark.alone
def test_each_point_is_a_run_of_one_sweep_in_one_file(found):
    assert len(found.runs) == len(found.points)
    with sqlite3.connect(found.path) as file:
        ((runs, sweeps),) = file.execute("SELECT count(*), count(DISTINCT sweep_id) FROM run")
    assert (runs, sweeps) == (len(found.points), 1)


@pytest.mark.alone
def test_arrivals_differ_from_point_to_point(found):
    seeds = [run.arguments.get("arrival_seed", 0) for run in found.runs.members]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.alone
def test_the_sentence_names_objectives_bracket_and_confidence(found):
    assert found.sentence.startswith("ttft p50 <= 50 ms and e2e p75 <= 10000 ms: ")
    assert re.search(r" users \((±\d+%, )?95% confidence\)\.", found.sentence)
    assert found.sentence in str(found)


@pytest.mark.alone
def test_the_chart_has_a_curve_with_points_per_objective_and_what_is_allowed(found):
    ax = found.plot()
    assert len(ax.get_lines()) == 2 * 3 + 1
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(map(str, found.objectives))
    assert ax.get_xlabel() == "load [users]"


TTFT, TPOT = Objective("ttft", 95, 5.0), Objective("tpot", 95, 0.011)
SURE = {"yes": 0, "unsure": 25, "no": 300}
"""Of 500 requests so many beyond the bound where 25 may be."""


def concluded(*answers, axis="rate", load=20, verdict="VALID"):
    """A search of two runs at one load."""
    estimate = Estimate(0.05, 0.04, 0.06)
    seen = tuple(
        Seen(objective, estimate, n=500, failed=0, evidence=ShareBeyond(SURE[answer], 500, 500, 0.05))
        for objective, answer in zip((TTFT, TPOT), answers, strict=False)
    )
    return Capacity(axis, (TTFT, TPOT)[: len(answers)], 0.95, (Point(load, seen, verdict),) * 2, pk.Runs())


def test_a_row_says_of_its_own_objective_whether_it_holds_and_the_joint_answer_stands_apart():
    table = concluded("yes", "no").table
    assert table["holds"].tolist() == ["yes", "no", "yes", "no"]
    assert table["all_hold"].tolist() == ["no"] * 4
    above, head, first, second, *_ = (line.split() for line in str(concluded("yes", "no")).splitlines())
    assert (above[0], head[:3]) == ("all", ["requests/s", "hold", "verdict"])
    assert (first[:5], first[8]) == (["20", "no", "VALID", "ttft", "p95"], "yes")
    assert (second[:2], second[5]) == (["tpot", "p95"], "no")


def test_an_objective_that_cannot_be_told_is_unsure_and_so_are_all():
    assert concluded("yes", "unsure").table[["holds", "all_hold"]].to_numpy().tolist()[:2] == [
        ["yes", "unsure"],
        ["unsure", "unsure"],
    ]


def test_one_objective_has_one_answer_and_a_client_that_was_the_limit_none():
    assert "all hold" not in str(concluded("yes"))
    assert concluded("yes", "no", verdict="CLIENT-BOUND").table["holds"].tolist() == ["not counted"] * 4


def test_a_least_load_that_is_too_much_asks_for_a_smaller_one_where_there_is_one():
    sentence = concluded("no").sentence
    assert "not met at 20 requests/s, and no load was shown to be little enough (95% confidence)." in sentence
    assert sentence.endswith("Give a smaller --low (low= in Python).")
    assert "--low" not in concluded("no", axis="parallel", load=1).sentence


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"slo": {}}, "at least one objective"),
        ({"slo": {"ttft": ("high", 0.5)}}, "an objective is a percentile and a bound"),
        ({"slo": "failures < 5"}, "the bound of failures is a share such as '5%'"),
        ({"slo": "p95 failures < 5%"}, "bounds their share, 'failures < 1%'"),
        ({"slo": {"ttft": 0.5}}, r"an objective is a percentile and a bound, \('p95', 0.5\); got 0.5"),
        ({"slo": {"ttft": ("p95",)}}, "an objective is a percentile and a bound"),
        ({"slo": {"ttft": ("p95", "-300ms")}}, "is a number above 0, .*; got '-300ms'"),
        ({"slo": {"ttft": ("p95", -0.3)}}, "is a number above 0, .*; got -0.3"),
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
