import numpy as np
import pytest
from scipy.stats import norm

from perfkit import stats


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([10, 20, 30, 40, 50], 50, 30),
        ([10, 20, 30, 40], 50, 25),
        ([0, 100], 95, 95),
        ([7], 99, 7),
        ([1, float("nan"), 3], 50, 2),
    ],
)
def test_percentiles_are_interpolated_as_hyndman_and_fan_7(values, q, expected):
    assert stats.percentile(values, q) == pytest.approx(expected)


def test_a_percentile_of_nothing_is_unknown():
    assert np.isnan(stats.percentile([float("nan")], 50))


@pytest.mark.parametrize("q", [-1, 101])
def test_a_percentile_outside_0_to_100_is_an_error(q):
    with pytest.raises(ValueError, match="within 0 and 100"):
        stats.percentile([1], q)


@pytest.mark.parametrize(("n", "q", "is_thin"), [(999, 99, True), (1000, 99, False), (199, 95, True), (200, 95, False)])
def test_ten_samples_must_lie_beyond_a_percentile(n, q, is_thin):
    assert stats.thin(n, q) is is_thin


def test_the_interval_of_a_median_has_the_ranks_of_the_sign_test():
    # David & Nagaraja: for n = 20 the 6th and 15th order statistics hold the median with 95.9 %.
    assert stats.percentile_interval(range(1, 21), 50) == (6, 15)


def test_too_few_samples_have_no_interval():
    assert np.isnan(stats.percentile_interval(range(5), 50)).all()
    assert np.isnan(stats.percentile_interval(range(200), 99)).all()


@pytest.mark.parametrize("q", [50, 95])
def test_intervals_of_percentiles_cover_the_truth_as_often_as_they_say(q):
    rng = np.random.default_rng(1)
    truth = np.exp(norm.ppf(q / 100))
    hits = sum(
        low <= truth <= high
        for low, high in (stats.percentile_interval(rng.lognormal(size=500), q) for _ in range(600))
    )
    assert 0.93 <= hits / 600 <= 0.98


def test_a_bootstrap_of_a_mean_covers_the_truth():
    rng = np.random.default_rng(2)
    intervals = [stats.bootstrap(rng.normal(size=80), np.mean, draws=300, seed=at) for at in range(200)]
    assert 0.90 <= sum(low <= 0 <= high for low, high in intervals) / 200 <= 0.985


def correlated(rng, n, r):
    noise = rng.normal(size=n)
    values = np.empty(n)
    values[0] = noise[0]
    for at in range(1, n):
        values[at] = r * values[at - 1] + (1 - r**2) ** 0.5 * noise[at]
    return values


def test_blocks_grow_with_dependence_and_not_with_noise():
    rng = np.random.default_rng(3)
    assert stats.block_length(correlated(rng, 2000, 0.9)) > 20
    assert stats.block_length(rng.permutation(2000).astype(float)) <= 3


def test_blocks_make_the_interval_of_dependent_values_wide_enough():
    rng = np.random.default_rng(4)
    experiments = [correlated(rng, 1000, 0.7) for _ in range(100)]

    def coverage(block):
        intervals = [stats.bootstrap(each, np.mean, draws=200, block=block(each)) for each in experiments]
        return sum(low <= 0 <= high for low, high in intervals) / 100

    assert coverage(lambda each: 1) < 0.75
    assert coverage(stats.block_length) > 0.87


def test_holm_is_at_least_the_p_value_and_keeps_its_order():
    corrected = stats.holm([0.04, float("nan"), 0.01, 0.03])
    assert corrected[2] == pytest.approx(0.03)
    assert corrected[3] == pytest.approx(0.06)
    assert corrected[0] == pytest.approx(0.06)
    assert np.isnan(corrected[1])
