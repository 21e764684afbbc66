import numpy as np
import pytest

import perfkit as pk
from perfkit.steady import warmup_length
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
