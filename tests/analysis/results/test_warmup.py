import numpy as np
import pytest

import perfkit as pk
from perfkit.analysis.results.warmup import warmup_length
from perfkit.errors import UsageError
from tests.run_files import request, write_run


def test_a_transient_is_found_within_a_few_requests():
    rng = np.random.default_rng(1)
    settling = 1 + 4 * np.exp(-np.arange(400) / 15) + rng.normal(0, 0.05, 400)
    # The transient falls below the standard error of the mean, 0.05 / 20, after 15 log(1600) = 111 requests.
    assert 70 <= warmup_length(settling) <= 150


def test_a_run_that_is_steady_from_the_start_loses_little():
    rng = np.random.default_rng(2)
    lengths = [warmup_length(rng.lognormal(0, 0.5, 400)) for _ in range(50)]
    assert np.median(lengths) <= 40


def test_a_run_that_never_settles_loses_half_at_most():
    assert warmup_length(np.linspace(10, 1, 200)) == 100


@pytest.mark.parametrize("values", [[], [1.0] * 19, [float("nan")] * 50])
def test_too_few_values_have_no_transient(values):
    assert warmup_length(values) == 0


def test_auto_leaves_the_transient_out(tmp_path):
    rng = np.random.default_rng(3)
    rows = [request(i, i, ttft=float(5 if i < 20 else 0.5) + rng.normal(0, 0.01)) for i in range(200)]
    runs = pk.open(write_run(tmp_path / "t.db", rows)).trim(warmup="auto")
    assert runs.steady["seq"].min() == 20


def test_a_filter_does_not_move_the_steady_state(tmp_path):
    runs = pk.open(write_run(tmp_path / "f.db", [request(i, i) for i in range(10)]))
    assert runs.where("seq >= 2").trim(warmup=4).steady["seq"].tolist() == [4, 5, 6, 7, 8, 9]


@pytest.fixture
def ten(tmp_path):
    """Ten requests, one a second from 0 s to 9 s, each of one second."""
    return pk.open(write_run(tmp_path / "ten.db", [request(i, i) for i in range(10)]))


@pytest.mark.parametrize("share", ["50%", "50 %", " 50% ", "0.5", 0.5, np.float64(0.5)])
def test_a_share_of_the_requests_is_a_share_however_it_is_written(ten, share):
    assert ten.trim(warmup=share).steady["seq"].tolist() == [5, 6, 7, 8, 9]
    assert ten.trim(cooldown=share).steady["seq"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("count", [3, 3.0, "3", np.int64(3)])
def test_a_whole_number_is_a_count(ten, count):
    assert ten.trim(warmup=count).steady["seq"].min() == 3


@pytest.mark.parametrize("time", ["2500ms", "2.5 s", "2500000us"])
def test_a_number_with_a_unit_is_a_time(ten, time):
    assert ten.trim(warmup=time).steady["seq"].min() == 3


@pytest.mark.parametrize("nothing", [None, 0, "0", "0%", "0s"])
def test_no_warm_up_leaves_everything(ten, nothing):
    assert len(ten.trim(warmup=nothing).steady) == 10


@pytest.mark.parametrize(
    "amount", ["200%", "-10%", -1, "-1", 1.5, "1.5", "5x", "-5s", "soon", "", True, np.nan, "1e999"]
)
def test_what_is_neither_count_nor_share_nor_time_is_refused_with_what_may_be_given(ten, amount):
    said = r"is neither a count of requests such as 20, nor a share .*at most 100%.* nor a time .*ns, us, ms, s, min, h"
    with pytest.raises(UsageError, match=said):
        ten.trim(warmup=amount)


@pytest.mark.parametrize(
    "given",
    [{"warmup": 10}, {"warmup": "100%"}, {"warmup": "10s"}, {"cooldown": 10}, {"warmup": "60%", "cooldown": "5s"}],
)
def test_amounts_that_leave_nothing_say_how_long_the_run_is(ten, given):
    with pytest.raises(UsageError, match=r"leaves nothing of run, which has 10 requests in 10 s; give less"):
        ten.trim(**given)
