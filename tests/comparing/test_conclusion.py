"""What a comparison says as a whole, of rows made by hand."""

import math

import pytest

import perfkit as pk
from perfkit.comparing import quantity
from perfkit.comparing.conclusion import conclusions, doubts
from perfkit.comparing.judging import Result
from perfkit.comparing.pairing import Pairing
from perfkit.estimates import Estimate
from tests.comparing.test_comparing import rows
from tests.run_files import failure, request, write_run

AT = {users: Pairing("b", {"parallel": users}, (), ()) for users in (1, 8, 64)}


def row(name, ratio, low, high, *, users=8, p=0.01, method="runs", noise=math.nan, effective=1000.0, other="b"):
    """One row: the ratio of b to a, judged clear at p below 0.05."""
    sides = Estimate(0.1, 0.09, 0.11, 1000, effective)
    quotient = Estimate(ratio, low, high, 1000, effective)
    pairing = AT[users] if other == "b" else Pairing(other, {"parallel": users}, (), ())
    return Result(pairing, quantity(name), sides, sides, quotient, sides, method, noise, p, p)


def one(*results):
    (sentence,) = conclusions("a", results, {})
    return sentence


def test_faster_at_every_load_says_so_with_the_ends_of_all_intervals():
    found = one(
        row("ttft_p50", 0.85, 0.82, 0.88, users=1),
        row("ttft_p50", 0.86, 0.80, 0.91, users=8),
        row("ttft_p50", 0.84, 0.83, 0.85, users=64),
    )
    assert found == (
        "b is faster than a at each of the 3 loads that both measured: p50 TTFT -20 % to -9.0 % (95 % intervals)."
    )


def test_one_load_is_named_and_what_is_unclear_there_too():
    found = one(
        row("ttft_p50", 1.50, 1.25, 1.75),
        row("output_throughput", 0.80, 0.70, 0.90),
        row("tpot_mean", 1.00, 0.90, 1.10, p=0.9),
    )
    assert found == (
        "b is slower than a at 8 users: p50 TTFT +25 % to +75 %, output throughput -30 % to -10 %; "
        "no clear difference in mean TPOT (95 % intervals)."
    )


def test_faster_at_some_loads_says_at_which_and_by_how_much_there():
    found = one(
        row("ttft_p50", 0.98, 0.90, 1.07, users=1, p=0.6),
        row("ttft_p50", 0.80, 0.75, 0.85, users=8),
        row("ttft_p50", 0.70, 0.60, 0.80, users=64),
    )
    assert found == (
        "b is faster than a at 2 of 3 loads (8 users, 64 users): p50 TTFT -40 % to -15 %; unclear at 1 (1 user) "
        "(95 % intervals, each load judged by itself)."
    )


def test_faster_here_and_slower_there_are_told_apart():
    found = one(row("ttft_p50", 0.80, 0.75, 0.85, users=1), row("ttft_p50", 1.50, 1.25, 1.75, users=64))
    assert found == (
        "b is faster than a at 1 of 2 loads (1 user): p50 TTFT -25 % to -15 %; slower at 1 (64 users): p50 TTFT +25 % "
        "to +75 % (95 % intervals, each load judged by itself)."
    )


def test_a_range_holds_the_loads_at_which_its_number_alone_is_unclear():
    found = one(
        row("ttft_p50", 0.98, 0.90, 1.07, users=1, p=0.6),
        row("tpot_mean", 0.90, 0.85, 0.95, users=1),
        row("ttft_p50", 0.80, 0.75, 0.85, users=8),
        row("tpot_mean", 0.90, 0.88, 0.92, users=8),
    )
    assert found == (
        "b is faster than a at each of the 2 loads that both measured: mean TPOT -15 % to -5.0 %, "
        "p50 TTFT -25 % to +7.0 % (95 % intervals)."
    )


def test_what_is_faster_in_one_number_and_slower_in_another_is_called_neither():
    found = one(row("ttft_p50", 0.5, 0.4, 0.6), row("tpot_mean", 1.5, 1.4, 1.6))
    assert found == (
        "b is faster than a in some numbers and slower in others at 8 users: p50 TTFT -60 % to -40 %, "
        "mean TPOT +40 % to +60 % (95 % intervals)."
    )


def test_no_clear_difference_is_not_called_equal_but_says_what_is_still_possible():
    found = one(row("ttft_p50", 1.05, 0.90, 1.20, p=0.4))
    assert found == (
        "No difference between b and a can be told at 8 users; still possible: p50 TTFT -10 % to +20 % "
        "(95 % intervals)."
    )
    assert one(row("ttft_p50", 2.0, math.nan, math.nan)) == (
        "No difference between b and a can be told at 8 users: too few requests."
    )


def test_a_difference_that_repeats_show_too_is_not_claimed():
    same = row("ttft_p50", 0.90, 0.85, 0.95, method="requests", noise=0.12)
    assert same.judgement == "faster"
    assert one(same).startswith("No difference between b and a can be told")


def test_throughput_alone_makes_nothing_faster_only_better():
    # At a given rate more tokens a second may be nothing but longer answers.
    assert one(row("output_throughput", 1.2, 1.1, 1.3)).startswith("b is better than a at 8 users: output throughput")


def test_each_group_has_a_sentence():
    found = conclusions("a", [row("ttft_p50", 0.5, 0.4, 0.6), row("ttft_p50", 2, 1.9, 2.1, other="c")], {})
    assert [sentence[:21] for sentence in found] == ["b is faster than a at", "c is slower than a at"]


def test_intervals_of_requests_or_of_few_are_doubted():
    clear = row("ttft_p50", 0.5, 0.4, 0.6, method="requests", effective=80.0)
    assert doubts([clear], {}, {}) == [
        "Keep in mind: with fewer than 3 runs a side, the intervals leave out what changes from run to run; "
        "intervals on few independent samples are rough."
    ]
    assert doubts([row("ttft_p50", 0.5, 0.4, 0.6)], {}, {"a": 0.005, "b": 0.0}) == []


def runs_of(path, **sides):
    for name, (content, record) in sides.items():
        write_run(path, content, name=name.split("__")[0], run_id=name, **record)
    return pk.open(path)


def test_a_load_at_which_the_client_was_the_limit_does_not_count(tmp_path):
    busy = {"samples": {"cpu_share": [0.99] * 3}}
    runs = runs_of(
        tmp_path / "c.db",
        a__1=(rows(1), {"parallel": 1}),
        a__8=(rows(2), {"parallel": 8}),
        b__1=(rows(3, 0.5), {"parallel": 1}),
        b__8=(rows(4, 0.5), {"parallel": 8, **busy}),
    )
    both = runs.compare("a", quantities=["ttft_p50"])
    assert both.conclusion.startswith("b is faster than a at 1 of 2 loads (1 user): p50 TTFT -")
    assert "; CLIENT-BOUND and not counted at 1 (8 users) (95 % intervals)." in both.conclusion
    assert "Keep in mind: 1 of 4 runs is CLIENT-BOUND; " in both.conclusion
    eight = runs.where("parallel = 8").compare("a", quantities=["ttft_p50"]).conclusion
    assert eight.startswith(
        "The client was the limit (CLIENT-BOUND), so nothing can be said of b against a at 8 users."
    )


def test_what_fails_is_not_called_faster_without_a_word(tmp_path):
    # 40 of b's 200 requests failed; those that a stop cut off were asked in vain, but did not fail.
    quick = [request(i, i * 0.5, ttft=0.05 + i % 7 / 1000) for i in range(160)]
    failed = [failure(160 + i, 100.0 + i / 10) for i in range(40)]
    cut_off = [failure(200 + i, 110.0, kind="interrupted") for i in range(100)]
    runs = runs_of(tmp_path / "c.db", a=(rows(1), {}), b=([*quick, *failed, *cut_off], {}))
    assert "20% of b's requests failed, and only answers are timed" in runs.compare("a").conclusion


@pytest.mark.parametrize("shown", [str, lambda comparison: comparison._repr_html_()])
def test_the_conclusion_stands_above_the_table(tmp_path, shown):
    comparison = runs_of(tmp_path / "c.db", a=(rows(1), {}), b=(rows(2, 1.5), {})).compare("a", quantities=["ttft_p50"])
    text = shown(comparison)
    assert text.index("b is slower than a at 1 user: p50 TTFT") < text.index("against a")
    assert comparison.to_dict()["conclusion"] == comparison.conclusion
