import numpy as np
import pytest
from scipy.signal import lfilter

from perfkit.analysis.stats import estimates
from perfkit.analysis.stats.estimates import Estimate


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


@pytest.mark.slow
@pytest.mark.parametrize(("draw", "n"), CASES)
def test_ratios_of_equal_things_are_called_different_one_time_in_twenty_at_most(draw, n):
    # Over 8,000 pairs of the autocorrelated kind 5.2 % were called different; 600 pairs scatter by 0.9 %.
    rng = np.random.default_rng(11)
    ratios = [
        estimates.ratio(estimates.mean_estimate(draw(rng, n)), estimates.mean_estimate(draw(rng, n)))
        for _ in range(600)
    ]
    assert sum(not each.low <= 1 <= each.high for each in ratios) / 600 <= 0.075
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


def test_a_ratio_puts_errors_together_as_the_root_of_squares():
    found = estimates.ratio(Estimate(5, 4, 6.25), Estimate(2, 1, 4))
    assert np.log(found.high / found.value) == pytest.approx(np.hypot(np.log(1.25), np.log(2)))


@pytest.mark.parametrize("baseline", [Estimate(0.0), Estimate(float("nan")), Estimate(1.0), Estimate(1.0, -0.5, 2.0)])
def test_a_ratio_to_what_may_be_nothing_has_no_interval(baseline):
    assert not estimates.ratio(Estimate(1.0, 0.9, 1.1), baseline).known
