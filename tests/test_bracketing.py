"""The search for a capacity, against servers whose capacity is known."""

import numpy as np
import pytest
from scipy.stats import binom

from perfkit.bracketing import Bracket, Objective, Tried, plan_next
from perfkit.errors import UsageError

YES, NO = (1.0,), (0.0,)


def searched(capacity, low, high=float("inf"), whole=False, client=float("inf")):
    """The loads that a search tries against a server that holds its objectives exactly up to its capacity."""
    tried = []
    while (load := plan_next(tried, 0.01, 30 - len(tried), low, high, whole=whole)) is not None:
        tried.append(Tried(load, YES if load <= capacity else NO, counts=load < client))
    return tried


def test_loads_double_until_one_is_too_much_and_then_the_gap_is_halved_and_the_ends_repeated():
    loads = [each.load for each in searched(100, low=10)]
    assert loads[:7] == [10, 20, 40, 80, 160, 113.0, 95.1]
    assert sorted(loads[-2:]) == [99.5, 104.0]
    assert len(loads) == 11


@pytest.mark.parametrize("capacity", [13, 100, 777])
def test_a_search_ends_within_five_per_cent(capacity):
    bracket = Bracket.of(searched(capacity, low=10), 0.01)
    assert capacity in bracket
    assert bracket.upper / bracket.lower < 1.06


def test_users_are_whole_and_the_answer_exact():
    assert Bracket.of(searched(12, low=1, whole=True), 0.01) == Bracket(12, 13)


def test_a_server_that_holds_at_the_largest_load_has_no_upper_end():
    assert [each.load for each in searched(1000, low=10, high=50)] == [10, 20, 40, 50, 50]
    assert Bracket.of(searched(1000, low=10, high=50), 0.01) == Bracket(50, None)


def test_a_server_that_fails_at_the_least_load_is_not_searched_further():
    assert [each.load for each in searched(5, low=10)] == [10, 10]
    assert Bracket.of(searched(5, low=10), 0.01) == Bracket(None, 10)


def test_a_load_that_bound_the_client_is_measured_again_and_then_a_wall():
    tried = searched(1000, low=10, client=40)
    loads = [each.load for each in tried]
    assert loads[:4] == [10, 20, 40, 40]
    assert max(loads) == 40
    assert Bracket.of(tried, 0.01).upper is None


def test_where_points_are_unsure_their_edges_are_looked_at():
    tried = [Tried(10, YES), Tried(20, (0.5,)), Tried(40, NO)]
    assert plan_next(tried, 0.01, 9, 10) == 28.3
    tried += [Tried(28.3, NO)]
    assert plan_next(tried, 0.01, 9, 10) == 14.1


def test_loads_grow_until_one_is_too_much_whatever_is_unsure_below():
    assert plan_next([Tried(10, YES), Tried(20, (0.2,))], 0.01, 9, 10) == 40


def test_the_least_load_is_measured_until_it_is_known():
    tried = [Tried(10, (0.9,)), Tried(20, NO)]
    assert plan_next(tried, 0.01, 9, 10) == 10
    assert plan_next([*tried, Tried(10, YES)], 0.01, 9, 10) == 14.1


def test_points_that_contradict_each_other_widen_the_bracket():
    tried = [Tried(10, YES), Tried(10, YES), Tried(20, NO), Tried(20, NO), Tried(30, YES), Tried(30, YES)]
    assert Bracket.of(tried, 0.01) == Bracket(10, None)
    assert Bracket.of([*tried, Tried(40, NO), Tried(40, NO)], 0.01) == Bracket(10, 40)


def test_several_runs_that_are_almost_sure_say_as_much_as_two_that_are():
    almost = [Tried(10, (0.98,)) for _ in range(3)]
    assert Bracket.of(almost[:2], 0.01).lower is None
    assert Bracket.of(almost, 0.01).lower == 10


def test_a_run_that_says_the_opposite_takes_back_what_another_said():
    tried = [Tried(10, YES), Tried(10, YES), Tried(10, (0.2,))]
    assert Bracket.of(tried, 0.01).lower is None


def test_runs_at_larger_loads_count_for_smaller_ones():
    assert Bracket.of([Tried(10, YES), Tried(20, YES), Tried(30, NO), Tried(60, NO)], 0.01) == Bracket(10, 60)


def test_one_lucky_run_moves_no_end():
    tried = [Tried(10, YES), Tried(20, YES), Tried(20, (0.5,)), Tried(40, NO), Tried(80, NO)]
    assert Bracket.of(tried, 0.01) == Bracket(10, 80)


def test_the_last_runs_are_kept_for_the_ends():
    tried = [Tried(10, YES), Tried(40, NO)]
    assert [plan_next(tried, 0.01, left, 10) for left in (4, 3, 2, 1)] == [20, 40, 40, 40]
    assert plan_next([*tried, Tried(40, NO)], 0.01, 2, 10) == 10


def test_several_objectives_hold_together_or_not_at_all():
    assert Tried(1, (0.999, 0.2)).holds(0.01) == "unsure"
    assert Tried(1, (0.999, 0.002)).holds(0.01) == "no"


def test_each_objective_is_judged_by_itself_and_their_answers_agree_with_the_joint_one():
    assert Tried(1, (0.999, 0.2, 0.001)).each(0.01) == ("yes", "unsure", "no")
    # 0.004 of one objective is little enough for a "no" at 1 %; of three, each may take a third of that: 0.0033.
    assert (Tried(1, (0.004,)).each(0.01), Tried(1, (0.004, 1.0, 1.0)).each(0.01)[0]) == (("no",), "unsure")
    assert Tried(1, (0.004, 1.0, 1.0)).holds(0.01) == "unsure"


def test_the_chance_agrees_with_the_binomial():
    # 3 of 100 independent requests beyond a bound that 5 % may exceed; the posterior lies between both tails.
    values = np.random.default_rng(3).permutation(100)
    chance = Objective("ttft", 95, 96.5).chance(values)
    assert binom.sf(3, 100, 0.05) < chance < binom.sf(2, 100, 0.05)


def test_requests_that_failed_are_beyond_every_bound():
    values = np.where(np.random.default_rng(0).random(400) < 0.2, np.inf, 0.1)
    assert Objective("ttft", 95, 0.5).chance(values) < 1e-6


def test_neighbours_that_wait_in_one_queue_say_less():
    rng = np.random.default_rng(1)
    alone = rng.random(400)
    together = np.repeat(alone[::20], 20)
    objective = Objective("ttft", 50, 0.6)
    assert 0.5 < objective.chance(together) < objective.chance(alone)


def test_points_at_the_capacity_itself_are_wrongly_judged_as_rarely_as_stated():
    rng = np.random.default_rng(7)
    objective = Objective("ttft", 95, 0.95)  # of uniform values: exactly the 95th percentile
    chances = [objective.chance(rng.random(300)) for _ in range(2_000)]
    # 2 % each side were asked for; 2,000 experiments tell 2 % from 3.5 %.
    assert np.mean([Tried(1, (chance,)).holds(0.02) == "yes" for chance in chances]) < 0.035
    assert np.mean([Tried(1, (chance,)).holds(0.02) == "no" for chance in chances]) < 0.035


@pytest.mark.parametrize(
    ("metric", "q", "reason"),
    [("itl", 95, "one latency a request"), ("decode_rate", 95, "one latency a request"), ("ttft", 100, "between 0")],
)
def test_an_objective_bounds_a_percentile_of_a_latency(metric, q, reason):
    with pytest.raises(UsageError, match=reason):
        Objective(metric, q, 0.5)
