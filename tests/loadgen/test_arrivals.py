import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.errors import UsageError
from perfkit.loadgen.arrivals import RAMP_FLOOR, Ramp, Steps, Warmup, offsets, user_starts
from perfkit.records import RampShape

SHAPES = ("linear", "exponential")


def first(count: int, *given: object, **named: object) -> list[float]:
    return list(itertools.islice(offsets(*given, **named), count))  # type: ignore[arg-type]


def gaps(times: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise([0.0, *times])]


def test_poisson_keeps_its_rate() -> None:
    n = 20_000
    assert n / first(n, 8, seed=1)[-1] == pytest.approx(8, rel=0.03)


def test_poisson_gaps_are_exponential() -> None:
    some = gaps(first(20_000, 8, seed=1))
    assert statistics.stdev(some) / statistics.mean(some) == pytest.approx(1, rel=0.03)
    assert sum(gap > 1 / 8 for gap in some) / len(some) == pytest.approx(math.exp(-1), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gamma_gaps_keep_the_rate_and_vary_by_one_over_the_root_of_burstiness(burstiness: float) -> None:
    some = gaps(first(20_000, 8, "gamma", seed=1, burstiness=burstiness))
    assert statistics.mean(some) == pytest.approx(1 / 8, rel=0.03)
    assert statistics.stdev(some) / statistics.mean(some) == pytest.approx(1 / math.sqrt(burstiness), rel=0.05)


def test_constant_arrivals_do_not_drift() -> None:
    assert first(100_001, 3, "constant")[-1] == 100_000 / 3


def test_a_rate_of_minus_one_makes_everything_due_at_once() -> None:
    assert first(3, -1) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("rate", [0, -2, -0.5])
def test_other_rates_below_zero_are_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="rate must be above 0 requests/s, or -1"):
        offsets(rate)


def test_equal_seeds_give_equal_times_and_others_give_others() -> None:
    assert first(50, 8, seed=3) == first(50, 8, seed=3) != first(50, 8, seed=4)


@given(st.sampled_from(["poisson", "constant", "gamma"]), st.sampled_from(SHAPES), st.floats(0, 100))
def test_times_never_fall(arrival: str, shape: RampShape, length: float) -> None:
    times = first(200, 5, arrival, seed=1, ramp=Ramp(length, shape))
    assert times == sorted(times)


# -- Ramps ---------------------------------------------------------------------------------------------------------


def rate_at(ramp: Ramp, time: float) -> float:
    """Return the share of the full rate, straight from the definition."""
    if time >= ramp.seconds:
        return 1.0
    return time / ramp.seconds if ramp.shape == "linear" else RAMP_FLOOR ** (1 - time / ramp.seconds)


def work_by(ramp: Ramp, time: float, steps: int = 20_000) -> float:
    """Integrate the rate numerically."""
    width = time / steps
    return width * sum(rate_at(ramp, (step + 0.5) * width) for step in range(steps))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("time", [0.5, 3.0, 9.9, 10.0, 14.0])
def test_a_ramp_lets_through_the_integral_of_its_rate(shape: RampShape, time: float) -> None:
    ramp = Ramp(10.0, shape)
    assert ramp.time_of(work_by(ramp, time)) == pytest.approx(time, rel=1e-3)


def test_no_ramp_changes_nothing() -> None:
    assert Ramp().time_of(3.25) == 3.25


def test_half_as_many_requests_come_during_a_linear_ramp() -> None:
    times = first(2000, 100, "constant", ramp=Ramp(10))
    assert sum(time < 10 for time in times) == pytest.approx(500, abs=1)
    assert gaps(times)[-1] == pytest.approx(0.01)


def test_each_step_has_its_own_rate_and_the_last_one_goes_on() -> None:
    times = [round(time, 6) for time in first(200, 10, "constant", ramp=Steps(((5.0, 4.0), (10.0, 2.0), (2.0, 3.0))))]
    assert [sum(begin <= time < begin + 1 for time in times) for begin in range(12)] == [5] * 4 + [10] * 2 + [2] * 6


def test_steps_of_one_rate_are_that_rate() -> None:
    assert first(50, 8, ramp=Steps(((8.0, 1.0), (8.0, 1.0)))) == pytest.approx(first(50, 8))


def test_random_arrivals_keep_the_rate_of_each_step() -> None:
    times = first(4_000, 100, seed=1, ramp=Steps(((25.0, 20.0), (100.0, 20.0))))
    assert sum(time < 20 for time in times) == pytest.approx(500, rel=0.1)
    assert sum(20 <= time < 40 for time in times) == pytest.approx(2_000, rel=0.05)


def test_users_begin_evenly_over_a_linear_ramp() -> None:
    assert user_starts(4, Ramp(8)) == [0.0, 2.0, 4.0, 6.0]


def test_users_of_an_exponential_ramp_begin_later_and_later_in_numbers_that_grow() -> None:
    starts = user_starts(100, Ramp(10, "exponential"))
    assert starts == sorted(starts)
    assert starts[0] == 0.0
    assert starts[-1] == pytest.approx(10.0)
    for time in (2.5, 5.0, 7.5):
        begun = sum(start <= time for start in starts)
        assert begun == pytest.approx(100 * RAMP_FLOOR ** (1 - time / 10), abs=1)


def test_without_a_ramp_all_users_begin_at_once() -> None:
    assert user_starts(3) == [0.0, 0.0, 0.0]


# -- Warm-up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "covered"),
    [(2, [(0, 99.0), (1, 99.0)]), ("2", [(0, 99.0)]), ("1.5s", [(7, 1.4)]), (0, []), ("0s", [])],
)
def test_warm_up_covers_a_count_or_a_time(given: str | float, covered: list[tuple[int, float]]) -> None:
    warmup = Warmup.of(given)
    assert all(warmup.covers(*each) for each in covered)
    assert not warmup.covers(2, 1.5)


@pytest.mark.parametrize("given", ["a while", "s", ""])
def test_a_warm_up_that_is_neither_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="neither a count of requests such as 20, nor a share"):
        Warmup.of(given)
