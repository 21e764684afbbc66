"""Steps are found where they are, and not where there are none."""

import numpy as np
import pytest

from perfkit.analysis.stats.changes import changes, first_split


def series(n, *, step=1.0, at=None, scatter=0.03, seed=0):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(0, scatter, n)) * np.where(np.arange(n) < (n if at is None else at), 1, step)


@pytest.mark.slow
def test_without_a_step_one_is_shown_in_at_most_one_of_twenty_series():
    found = [bool(changes(series(n, seed=seed))) for n in (8, 15, 30) for seed in range(100)]
    assert sum(found) <= 300 * 0.05 + 3 * np.sqrt(300 * 0.05 * 0.95)


@pytest.mark.slow
def test_a_step_of_three_scatters_is_found_where_it_is():
    found = [[step.at for step in changes(series(20, step=1.1, at=12, seed=seed))] for seed in range(40)]
    assert sum(any(abs(at - 12) <= 1 for at in steps) for steps in found) >= 36
    assert sum(len(steps) > 1 for steps in found) <= 8


def test_the_p_value_is_the_share_of_orders_that_show_as_clear_a_step():
    values = np.array([1.0, 1.02, 0.99, 1.01, 1.2, 1.22, 1.19, 1.015])

    def clearest(values):
        ranks = values.argsort().argsort()
        splits = [(ranks[:k], ranks[k:]) for k in range(2, 7)]
        return max(len(a) * (a.mean() - 3.5) ** 2 + len(b) * (b.mean() - 3.5) ** 2 for a, b in splits)

    rng = np.random.default_rng(5)
    orders = [clearest(rng.permutation(values)) for _ in range(3000)]
    share = np.mean([each >= clearest(values) - 1e-12 for each in orders])
    at, p = first_split(values)
    assert at == 4
    assert p == pytest.approx(share, abs=0.03)


def test_the_ratio_is_that_of_the_geometric_means_with_welchs_interval():
    values = [1.0, 1.01, 0.99, 1.0, 1.02, 1.2, 1.21, 1.19, 1.22, 1.2]
    (step,) = changes(values)
    before, after = np.log(values[:5]), np.log(values[5:])
    assert step.ratio.value == pytest.approx(np.exp(after.mean() - before.mean()))
    assert step.ratio.low < step.ratio.value < step.ratio.high < 1.25


def test_two_steps_are_found_one_after_the_other():
    values = np.concatenate([series(12), series(12, seed=1) * 1.3, series(12, seed=2) * 0.8])
    assert [step.at for step in changes(values)] == [12, 24]


@pytest.mark.parametrize("values", [[1, 1, 1, 2, 2, 2, 2], [1.0] * 30, [], [5]])
def test_seven_points_and_a_series_that_never_moves_show_nothing(values):
    assert changes(values) == []


@pytest.mark.slow
def test_one_bad_night_is_not_claimed_as_a_step_wherever_it_is():
    found = [bool(changes(np.insert(series(20, seed=seed), seed % 21, 1.5))) for seed in range(100)]
    assert sum(found) <= 12
