"""The search for a capacity, against servers whose capacity is known."""

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import binom

from perfkit.analysis.capacity.objective import Objective
from perfkit.analysis.capacity.posterior import MeanAgainst, ShareBeyond, find_crossing
from perfkit.analysis.capacity.search import Belief, Bracket, TriedLoad, plan_next
from perfkit.errors import UsageError

ALLOWED = 0.05


def seen(share, n=500, effective=500):
    return ShareBeyond(round(share * n), n, effective, ALLOWED)


GOOD, EDGE, BAD = seen(0), seen(ALLOWED), seen(0.6)


def searched(capacity, low, high=float("inf"), whole=False, client=float("inf"), points=12):
    """Search a server of which nobody waits up to its capacity, and most do beyond."""
    tried = []
    while (load := plan_next(tried, 0.05, points - len(tried), low, high, whole=whole)) is not None:
        tried.append(TriedLoad(load, (GOOD if load <= capacity else BAD,), counts=load < client))
    return tried


def bracket(tried, whole=False):
    return Belief.of(tried).bracket(0.05, whole=whole)


def test_loads_grow_fourfold_until_one_is_too_much_and_then_close_in():
    loads = [each.load for each in searched(100, low=2)]
    assert loads[:4] == [2, 8, 32, 128]
    assert all(32 < load < 128 for load in loads[4:])


@pytest.mark.parametrize("capacity", [13, 100, 777])
def test_a_step_is_found_within_a_few_per_cent(capacity):
    found = bracket(searched(capacity, low=10))
    assert capacity in found
    assert found.upper / found.lower < 1.2


def test_users_are_whole_and_the_answer_exact():
    assert bracket(searched(12, low=1, whole=True), whole=True) == Bracket(12, 13)


def test_a_server_that_holds_at_the_largest_load_has_no_upper_end():
    tried = searched(1000, low=10, high=50)
    assert [each.load for each in tried] == [10, 40, 50]
    assert bracket(tried) == Bracket(50, None)


def test_a_server_that_fails_at_the_least_load_is_not_searched_further():
    tried = searched(5, low=10)
    assert {each.load for each in tried} == {10}
    assert len(tried) <= 3
    assert bracket(tried) == Bracket(None, 10)


def test_a_load_that_bound_the_client_is_measured_again_and_then_a_wall():
    tried = searched(1000, low=10, client=40)
    loads = [each.load for each in tried]
    assert loads[:3] == [10, 40, 40]
    assert max(load for load in loads if load < 40) >= 20
    assert loads.count(40) == 2
    assert bracket(tried).upper is None


def test_all_points_count_together_for_what_lies_between_them():
    # No point alone tells 5 % from what was seen there; that six of them rise evenly does.
    loads, shares = [60, 70, 85, 115, 140, 165], [0.012, 0.02, 0.035, 0.07, 0.1, 0.14]
    tried = [TriedLoad(load, (seen(share),)) for load, share in zip(loads, shares, strict=True)]
    assert 100 in bracket(tried)
    assert bracket(tried).upper / bracket(tried).lower < 1.6
    assert bracket(tried[:3]).upper is None
    assert bracket(tried[3:]).lower is None


def test_runs_of_one_load_that_disagree_widen_the_bracket():
    steady = [
        TriedLoad(80, (seen(0.01),)),
        TriedLoad(100, (EDGE,)),
        TriedLoad(100, (EDGE,)),
        TriedLoad(125, (seen(0.3),)),
    ]
    moody = [*steady[:1], TriedLoad(100, (seen(0.0),)), TriedLoad(100, (seen(0.25),)), *steady[3:]]
    widths = [bracket(tried).upper / bracket(tried).lower for tried in (steady, moody)]
    assert widths[1] > widths[0]


def test_several_objectives_hold_together_or_not_at_all():
    tried = [TriedLoad(10, (GOOD, GOOD)), TriedLoad(20, (BAD, GOOD)), TriedLoad(40, (BAD, BAD))]
    belief = Belief.of(tried)
    assert [belief.holds(load, 0.05) for load in (10, 20, 40)] == ["yes", "no", "no"]
    assert belief.each(20, 0.05) == ("no", "yes")
    alone = Belief.of([TriedLoad(each.load, each.evidence[:1]) for each in tried]).bracket(0.05)
    assert belief.bracket(0.05).upper == pytest.approx(alone.upper, rel=0.02)


def test_a_mean_is_judged_by_its_distance_from_the_bound():
    tried = [TriedLoad(load, (MeanAgainst(np.log(load / 100), 0.03),)) for load in (50, 80, 95, 105, 130)]
    found = bracket(tried)
    assert 100 in found
    assert found.upper / found.lower < 1.3


def test_the_share_of_a_run_is_as_likely_as_the_binomial_says():
    # Of an unlucky share against the one allowed: what is the same for every curve is left out.
    away = np.array([0.0, logit(0.1) - logit(0.05)])
    allowed, twice = ShareBeyond(3, 100, 100, 0.05).log_likelihood(away, 1.0)
    assert twice - allowed == pytest.approx(binom.logpmf(3, 100, 0.1) - binom.logpmf(3, 100, 0.05), rel=0.02)


def test_requests_that_failed_are_beyond_every_bound():
    values = np.where(np.random.default_rng(0).random(400) < 0.2, np.inf, 0.1)
    assert Objective("ttft", 95, 0.5).evidence(values).beyond == np.isinf(values).sum()


def test_a_mean_is_that_of_requests_that_succeeded_and_far_off_where_none_did():
    objective = Objective("e2e", None, 2.0)
    assert objective.measured([1.0, 3.0, np.inf]).value == 2.0
    assert objective.evidence([np.inf, np.inf]).away > 10
    assert objective.evidence([]) is None


def test_neighbours_that_wait_in_one_queue_say_less():
    rng = np.random.default_rng(1)
    alone = rng.random(400)
    together = np.repeat(alone[::20], 20)
    objective = Objective("ttft", 50, 0.6)
    assert objective.evidence(together).effective < objective.evidence(alone).effective / 5


def test_the_curve_crosses_larger_levels_at_larger_loads():
    loads, shares = [50, 100, 200], [seen(0.01), seen(0.05), seen(0.2)]
    found = [find_crossing(loads, [each.at(level) for each in shares]).quantile(0.5) for level in (0.5, 1, 3)]
    assert found == sorted(found)
    assert found[1] == pytest.approx(100, rel=0.15)


@pytest.mark.parametrize(
    ("metric", "q", "reason"),
    [
        ("itl", 95, "one latency a request, such as ttft, tpot or itl_p95"),
        ("decode_rate", 95, "one latency a request"),
        ("ttft", 100, "between 0"),
        ("failures", 95, "bounds their share"),
    ],
)
def test_an_objective_bounds_a_latency_or_failures(metric, q, reason):
    with pytest.raises(UsageError, match=reason):
        Objective(metric, q, 0.5)
