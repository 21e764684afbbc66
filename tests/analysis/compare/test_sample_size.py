"""Plans: how many runs a comparison takes, by repeats or a noise."""

import re

import numpy as np
import pytest
from scipy.stats import ttest_ind, ttest_rel

from perfkit.analysis.compare.sample_size import Scatter, plan_estimates
from perfkit.analysis.metrics.quantity import QUANTITIES, quantity
from perfkit.analysis.results.plan import plan
from perfkit.analysis.stats.estimates import Estimate
from perfkit.analysis.stats.power import power_of, runs_needed
from perfkit.errors import UsageError
from tests.analysis.compare.test_comparing import file, repeats, rows

EXACT = [Estimate(1.0, 1.0, 1.0, n=400)]


@pytest.mark.parametrize(("rounds", "test"), [(False, ttest_ind), (True, ttest_rel)])
def test_the_power_is_that_of_simulated_tests(rounds, test):
    rng = np.random.default_rng(0)
    before, after = (rng.normal(shift, 1, (4_000, 4)) for shift in (0, 2.5))
    given = {} if rounds else {"equal_var": False}
    found = test(after, before, axis=1, **given)
    assert power_of(4, 2.5, level=0.02, rounds=rounds) == pytest.approx(np.mean(found.pvalue < 0.02), abs=0.03)


def test_a_family_takes_more_runs_and_so_does_a_scatter_known_from_few_repeats():
    assert runs_needed(0.05, 0.1) < runs_needed(0.05, 0.1, family=6)
    assert runs_needed(0.05, 0.1) < runs_needed(0.05, 0.1, freedom=8) < runs_needed(0.05, 0.1, freedom=2)
    assert runs_needed(0.0, 0.1) == 2
    assert runs_needed(float("nan"), 0.1) is None


def test_half_the_effect_takes_about_four_times_the_runs():
    assert runs_needed(0.05, 0.025) / runs_needed(0.05, 0.05) == pytest.approx(3.9, rel=0.1)


def test_repeats_tell_the_scatter_and_longer_runs_lessen_only_the_luck():
    lucky = [Estimate(value, value / 1.0198, value * 1.0198) for value in np.exp([0.0, 0.05, 0.1])]
    alike = Scatter.of([lucky], None)
    assert (round(alike.luck, 3), round(alike.between, 3), alike.freedom) == (0.01, 0.05, 2)
    longer = Scatter.of([lucky], None, longer=4)
    assert longer.between**2 == pytest.approx(0.05**2 - 0.01**2 * 3 / 4, rel=0.01)
    assert Scatter.of([lucky[:1]], None).between != Scatter.of([lucky[:1]], None).between  # nan: one run cannot tell


def test_what_is_compared_beside_it_is_corrected_for_at_every_load():
    alone = plan_estimates({quantity("ttft_p95"): [EXACT]}, 0.1, noise=0.05)
    family = {quantity(name): [EXACT] for name in QUANTITIES}
    asked = [plan_estimates(family, 0.1, noise=0.05, loads=loads)[1].runs for loads in (1, 3)]
    assert (alone[0].runs, *asked) == (6, 9, 11)


def test_a_plan_after_one_run_promises_no_number_of_runs(tmp_path):
    found = plan(like=file(tmp_path, a=(rows(1), {})), quantities="p95 ttft")
    assert found.runs is None
    assert found.rounds is None
    assert "One run does not show how much runs of one server differ" in found.sentence
    assert found.needs[0].assumed[0] < found.needs[0].assumed[2]


def test_a_plan_after_repeats_says_runs_requests_and_what_it_rests_on(tmp_path):
    runs = file(tmp_path, **{f"a__{number}": run for number, run in enumerate(repeats(scatter=0.05))})
    found = plan(like=runs, effect="10%", quantities="ttft_p50")
    assert found.requests == 300
    assert re.search(rf"{found.runs} runs a side of 300 requests each .* rounds of perfkit ab", found.sentence)
    assert "2 degrees of freedom" in found.sentence
    assert "So few repeats" in found.sentence
    assert found.table["runs"].tolist() == [found.runs]
    assert found.sentence in str(found)


def test_longer_runs_are_proposed_where_luck_is_what_differs(tmp_path):
    found = plan(like=file(tmp_path, a=(rows(1, n=40), {})), effect="10%", quantities="ttft_p50", noise="1%")
    assert found.longer < found.runs
    assert "With 160 requests each" in found.sentence


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"effect": 0}, "share above 0"),
        ({"power": 0.01}, "the power is a chance above 5 %"),
        ({"number": 0}, "1 or more, got 0"),
        ({"noise": "soon"}, "the noise is a share"),
        ({"quantities": "tfft_p95"}, "no quantity is called"),
    ],
)
def test_what_cannot_be_planned_is_refused(tmp_path, given, reason):
    runs = file(tmp_path, a=(rows(1, n=30), {}))
    with pytest.raises(UsageError, match=reason):
        plan(like=runs, **given)


def test_a_run_too_short_to_judge_by_is_refused(tmp_path):
    with pytest.raises(UsageError, match="5 requests are too few to judge p95 TTFT by; measure a longer"):
        plan(like=file(tmp_path, a=(rows(1, n=5), {})), quantities="ttft_p95")
