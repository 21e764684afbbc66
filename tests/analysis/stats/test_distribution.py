import numpy as np
import pytest

from perfkit.analysis.stats import distribution


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
    assert distribution.percentile(values, q) == pytest.approx(expected)


def test_a_percentile_of_nothing_is_unknown():
    assert np.isnan(distribution.percentile([float("nan")], 50))


@pytest.mark.parametrize("q", [-1, 101])
def test_a_percentile_outside_0_to_100_is_an_error(q):
    with pytest.raises(ValueError, match="between 0 and 100"):
        distribution.percentile([1], q)


@pytest.mark.parametrize(("n", "q", "is_thin"), [(999, 99, True), (1000, 99, False), (199, 95, True), (200, 95, False)])
def test_ten_samples_must_lie_beyond_a_percentile(n, q, is_thin):
    assert distribution.thin(n, q) is is_thin


def test_holm_is_at_least_the_p_value_and_keeps_its_order():
    corrected = distribution.holm([0.04, float("nan"), 0.01, 0.03])
    assert corrected[2] == pytest.approx(0.03)
    assert corrected[3] == pytest.approx(0.06)
    assert corrected[0] == pytest.approx(0.06)
    assert np.isnan(corrected[1])
