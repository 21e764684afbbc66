import numpy as np
import pytest
from scipy.signal import lfilter

from perfkit import estimates
from perfkit.estimates import Estimate


def lognormal(rng, n):
    return rng.lognormal(0, 0.5, n)


def bimodal(rng, n):
    return np.where(rng.random(n) < 0.7, rng.normal(1, 0.1, n), rng.normal(3, 0.3, n))


def autocorrelated(rng, n):
    """Log-normal, each value remembering 0.6 of the one before: about a quarter of the samples count."""
    noise = rng.normal(size=n) * 0.8
    noise[0] = rng.normal()
    return np.exp(0.5 * lfilter([1], [1, -0.6], noise))


CASES = [(lognormal, 600), (bimodal, 600), (autocorrelated, 2500)]


def truth(draw, statistic):
    return statistic(draw(np.random.default_rng(99), 1_000_000))


@pytest.mark.parametrize(("draw", "n"), CASES)
@pytest.mark.parametrize("q", [50, 95])
def test_intervals_of_percentiles_cover_the_truth_for_each_kind_of_latency(draw, n, q):
    expected = truth(draw, lambda values: np.percentile(values, q))
    rng = np.random.default_rng(1)
    found = [estimates.percentile_estimate(draw(rng, n), q) for _ in range(300)]
    assert 0.92 <= sum(each.low <= expected <= each.high for each in found) / 300 <= 0.98


@pytest.mark.parametrize(("draw", "n"), CASES)
def test_ratios_of_equal_things_are_called_different_one_time_in_twenty_at_most(draw, n):
    # Over 8,000 pairs of the autocorrelated kind 5.2 % were called different; 600 pairs scatter by 0.9 %.
    rng = np.random.default_rng(11)
    ratios = [
        estimates.ratio(estimates.mean_estimate(draw(rng, n)), estimates.mean_estimate(draw(rng, n)))
        for _ in range(600)
    ]
    assert sum(estimates.p_value(each) < 0.05 for each in ratios) / 600 <= 0.075
    assert 0.925 <= sum(each.low <= 1 <= each.high for each in ratios) / 600 <= 0.98


def test_neighbours_that_remember_count_for_less():
    # An AR(1) series with r = 0.6 has tau = (1 + r) / (1 - r) = 4.
    noise = np.random.default_rng(3).normal(size=20_000)
    size = estimates.effective_size(lfilter([1], [1, -0.6], noise))
    assert size == pytest.approx(5_000, rel=0.15)


def test_independent_values_count_in_full():
    assert estimates.effective_size(np.random.default_rng(4).normal(size=5_000)) > 4_300


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50])
def test_values_without_spread_count_each(values):
    assert estimates.effective_size(values) == len(values)


def test_the_interval_of_a_percentile_that_few_samples_reach_is_unknown():
    found = estimates.percentile_estimate(np.arange(100.0), 99.9)
    assert found.value == pytest.approx(98.901)
    assert not found.known


def test_a_mean_has_students_interval():
    # t(0.975, 3) = 3.1824; s = 1.2910; so 2.5 ± 3.1824 * 1.2910 / 2.
    found = estimates.mean_estimate([1, 2, 3, 4])
    assert (found.low, found.high) == (pytest.approx(0.4457, abs=1e-3), pytest.approx(4.5543, abs=1e-3))


def test_ratio_and_difference_put_errors_together_as_the_root_of_squares():
    found = estimates.difference(Estimate(5, 4, 8), Estimate(2, 1, 6))
    assert (found.low, found.high) == (3 - 10.25**0.5, 3 + 10.25**0.5)  # half lengths 2 and 2.5


def test_what_pairs_share_narrows_the_interval():
    one, other = Estimate(2, 1.8, 2.2), Estimate(2, 1.8, 2.2)
    alone, paired = estimates.ratio(one, other), estimates.ratio(one, other, 0.9)
    assert paired.high - paired.low < 0.5 * (alone.high - alone.low)


@pytest.mark.parametrize("baseline", [Estimate(0.0), Estimate(float("nan")), Estimate(1.0), Estimate(1.0, -0.5, 2.0)])
def test_a_ratio_to_what_may_be_nothing_has_no_interval(baseline):
    assert not estimates.ratio(Estimate(1.0, 0.9, 1.1), baseline).known


def test_runs_are_compared_by_welchs_interval_on_logarithms():
    found = estimates.ratio_of_runs([1.1, 1.2, 1.3], [1.0, 1.0, 1.0])
    assert found.value == pytest.approx((1.1 * 1.2 * 1.3) ** (1 / 3))
    assert found.low < 1 < found.high  # three runs with a spread of a fifth prove nothing


def test_the_number_needed_grows_with_the_square_of_what_is_to_be_seen():
    measured = Estimate(1.0, 0.9, 1 / 0.9, n=1000)
    assert estimates.needed(measured, 0.05) / estimates.needed(measured, 0.10) == pytest.approx(3.8, rel=0.05)
    assert estimates.needed(Estimate(1.0, n=10), 0.05) is None
