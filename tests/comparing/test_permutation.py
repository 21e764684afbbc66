import numpy as np
import pandas as pd
import pytest

from perfkit.comparing.permutation import p_of_pairs, p_of_requests, p_of_runs, permutation_p
from perfkit.comparing.quantity import quantity


def mean(units):
    return units.mean(axis=(-2, -1))


def column(*values):
    return np.array(values, dtype=float)[:, None]


def side(values):
    return [pd.DataFrame({"latency": np.asarray(values, dtype=float), "success": True})]


def test_of_the_ten_splits_of_three_and_two_only_one_is_as_far_apart():
    # 1 2 3 | 8 9 is the most extreme split; scipy doubles the smaller tail.
    assert permutation_p(column(1, 2, 3), column(8, 9), mean) == pytest.approx(2 / 10)


def test_three_pairs_that_all_grew_are_one_of_eight_exchanges_on_each_side():
    assert permutation_p(column(1, 2, 3), column(2, 3, 4), mean, paired=True) == pytest.approx(2 / 8)


def test_pairs_are_exchanged_within_a_prompt_only():
    pairs = pd.DataFrame({"before": [1.0, 10.0, 100.0, 1000.0], "after": [1.1, 11.0, 110.0, 1100.0]})
    assert p_of_pairs(quantity("e2e_mean"), pairs) == pytest.approx(2 / 16)


def test_three_runs_a_side_cannot_fall_below_a_tenth():
    assert p_of_runs([1.0, 1.1, 1.2], [9.0, 9.1, 9.2]) == pytest.approx(0.1)


def test_the_same_rows_give_the_same_p():
    rng = np.random.default_rng(3)
    first, second = side(rng.lognormal(size=100)), side(rng.lognormal(size=100))
    assert len({p_of_requests(quantity("e2e_p95"), first, second) for _ in range(2)}) == 1


def test_neighbours_that_depend_on_each_other_are_exchanged_together():
    # Fifty stretches of twenty equal values a side: taken for 1,000 requests each, chance would look like a finding.
    rng = np.random.default_rng(11)
    before, after = (np.repeat(rng.normal(10, 1, 50), 20) for _ in range(2))
    by_request = permutation_p(before[:, None], after[:, None], mean)
    by_stretch = p_of_requests(quantity("e2e_mean"), side(before), side(after))
    assert by_stretch > 3 * by_request


def test_a_throughput_is_tested_by_its_steps():
    rows = [
        pd.DataFrame(
            {
                "start_time": np.arange(200) * step,
                "completed_time": np.arange(200) * step + 0.5,
                "completion_tokens": 10,
                "success": True,
            }
        )
        for step in (1.0, 0.5)
    ]
    p = p_of_requests(quantity("output_throughput"), rows[:1], rows[1:])
    assert p == pytest.approx(2 / 2000)


def test_a_side_without_values_has_no_p():
    assert np.isnan(p_of_requests(quantity("e2e_mean"), side([]), side([1.0, 2.0])))
