import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.analysis.definitions.percentile import RULES, exclusive, nearest_rank, truncated

samples = st.lists(st.floats(0, 1e6), min_size=2, max_size=50).map(sorted)


@given(samples, st.integers(1, 99))
def test_exclusive_is_that_of_statistics_quantiles(values, percent):
    expected = statistics.quantiles(values, n=100)[percent - 1]
    assert exclusive(values, percent) == pytest.approx(expected, abs=1e-6)


@given(samples, st.integers(1, 100))
def test_nearest_rank_covers_its_share_and_no_smaller_value_does(values, percent):
    found = nearest_rank(values, percent)
    assert sum(value <= found for value in values) >= len(values) * percent / 100
    assert sum(value < found for value in values) < len(values) * percent / 100


def test_evalscopes_old_rule_takes_the_51st_of_100_as_median():
    values = [float(value) for value in range(1, 101)]
    assert (truncated(values, 50), nearest_rank(values, 50), RULES["linear"](values, 50)) == (51, 50, 50.5)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_values_have_no_percentile(rule):
    assert math.isnan(rule([], 50))
