import numpy as np
import pytest

from perfkit.analysis.stats import marks
from perfkit.analysis.stats.estimates import estimates

RNG = np.random.default_rng
LOGNORMAL = RNG(0).lognormal(0, 0.5, 1000)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (LOGNORMAL, ""),
        (LOGNORMAL[:400], "too few: p99"),
        (LOGNORMAL[:100], "too few: mean, p95, p99"),
        (LOGNORMAL[:99], "too few: mean, p50, p95, p99"),
        # Infinite variance; one request in a hundred 20 times as long; a single stall of one request.
        (RNG(1).pareto(1.5, 1000) + 1, "few episodes: mean"),
        (LOGNORMAL * np.where(np.arange(1000) % 100 == 50, 20, 1), "few episodes: mean"),
        (np.append(LOGNORMAL, 500.0), "few episodes: mean"),
        # 25 stretches of 40 that are slow or fast as one.
        (np.repeat(RNG(2).lognormal(0, 0.5, 25), 40), "dependent: mean, p50, p95, p99"),
        (np.full(1000, 2.0), ""),
        ([], ""),
    ],
)
def test_a_mark_says_why_a_number_is_not_to_be_relied_on(values, expected):
    effective, found = marks.marks(values, [50, 95, 99])
    assert marks.by_mark(found) == expected
    assert effective <= len(values)


@pytest.mark.parametrize("n", [20, 150, 1000])
def test_marks_are_those_of_the_estimates(n):
    values = RNG(n).lognormal(0, 0.5, n)
    assert marks.marks(values, [50, 95])[1] == {name: each.mark for name, each in estimates(values, [50, 95]).items()}


def test_the_effective_number_of_stretches_is_how_many_there_are():
    # 500 stretches of 20 equal values: as many as independent ones.
    values = np.repeat(RNG(3).normal(size=500), 20)
    assert marks.effective_size(values) == pytest.approx(500, rel=0.2)


def test_a_weak_memory_that_lasts_long_is_seen():
    # A tenth of the variance changes every 100 values only: the means of blocks of 100 vary as 1/100 + 1/9 would.
    slow = np.repeat(RNG(4).normal(0, 1 / 3, 40), 100)
    size = marks.effective_size(RNG(5).normal(size=4000) + slow)
    assert 100 < size < 1000


def test_very_many_values_count_as_few_do():
    # Averaged in fours before the autocorrelations are taken: the answer is that of the whole.
    values = np.repeat(RNG(6).normal(size=20_000), 10)
    assert marks.effective_size(values) == pytest.approx(20_000, rel=0.1)
