"""What a quantity or an objective may look like, on the command line and in Python."""

import pandas as pd
import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.errors import Undecided, UsageError
from perfkit.options.objectives import read_objective, read_objectives, read_quantity


@pytest.mark.parametrize("text", ["p95 ttft", "ttft p95", "ttft_p95", "ttft:p95", " p95  ttft ", "p95:ttft"])
def test_every_spelling_of_a_percentile_is_one_quantity(text):
    assert read_quantity(text).name == "ttft_p95"


@pytest.mark.parametrize(
    "text", ["p95 ttft < 300ms", "ttft p95<=300ms", "ttft_p95 ≤ 300ms", "ttft:p95:300ms", "p95 ttft=300ms"]
)
def test_every_spelling_of_an_objective_is_one(text):
    assert read_objective(text) == ("ttft", "p95", "300ms")


def test_a_metric_whose_name_has_a_percentile_keeps_it():
    assert read_objective("itl_p95:p99:20ms") == ("itl_p95", "p99", "20ms")
    assert read_objectives({"itl_p95": ("p99", 0.02)}) == [("itl_p95", "p99", 0.02)]


@pytest.mark.parametrize("text", ["ttft", "ttft:p95", "", "< 300ms", "p95 ttft > 300ms", "p95 ttft <"])
def test_what_has_no_upper_bound_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="p95 ttft < 300ms"):
        read_objective(text)


def runs():
    found = []
    for name, slow in (("a", 1.0), ("b", 1.5)):
        times = [slow * (0.5 + 0.01 * (each % 7)) for each in range(40)]
        starts = [float(each) for each in range(40)]
        frame = pd.DataFrame({"ttft": times, "e2e": [2 * each for each in times], "start_time": starts})
        found.append(pk.from_frame(frame, run=name, parallel=1, load="closed", model="m"))
    return found[0] + found[1]


@pytest.mark.parametrize("quantities", ["p95 ttft", ["ttft p95"], ["ttft_p95"], ["ttft:p95"]])
def test_a_comparison_takes_any_spelling(quantities):
    assert [each.quantity.name for each in runs().compare("a", quantities=quantities).results] == ["ttft_p95"]


def test_a_gate_takes_any_spelling():
    with pytest.raises(Undecided, match=r"p95 TTFT.*allowed: 5%"):
        runs().assert_not_slower("a", **{"p95 ttft": "5%"})


def test_a_plan_takes_a_quantity_with_its_percentile():
    one = runs().pick("a")
    assert str(pk.plan(like=one, quantities="p50 ttft")) == str(pk.plan(like=one, quantities=["ttft_p50"]))
    mean, same = (pk.plan(like=one, quantities=text) for text in ("mean ttft", ["ttft"]))
    assert mean.sentence == same.sentence


@pytest.mark.parametrize("slo", ["ttft < 600ms", ["ttft < 600ms"], {"ttft": "600ms"}, {"ttft": 0.6}, ["ttft:600ms"]])
def test_goodput_takes_texts_and_mappings(slo):
    by_hand = runs().goodput({"ttft": 0.6})
    assert runs().goodput(slo).tolist() == by_hand.tolist()
    assert by_hand.nunique() == 2


def test_a_percentile_is_not_of_each_request():
    with pytest.raises(UsageError, match=r"got one of its p95; percentiles are objectives of perfkit capacity"):
        runs().goodput("p95 ttft < 600ms")


@pytest.mark.parametrize("slo", ["p95 ttft < 5m", "ttft:p95:5m"])
def test_minutes_that_may_be_milliseconds_are_asked_about(slo, capsys):
    assert main(["capacity", "--url", "http://127.0.0.1:9", "--slo", slo]) == 2
    assert "write '5ms' for milliseconds, or '5min' if minutes are meant" in capsys.readouterr().err


@pytest.mark.parametrize("slo", ["p95 ttft < 300", ["p95 ttft < 300"], {"p95 ttft": 300}, {"ttft": ("p95", 300)}])
def test_a_capacity_takes_every_form_and_judges_it_before_anything_is_sent(slo):
    with pytest.raises(UsageError, match="the bound of ttft would be 300 seconds"):
        pk.capacity("http://127.0.0.1:9", slo=slo)
