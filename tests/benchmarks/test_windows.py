"""The benchmark of windows, reduced: virtual runs of a constant server, whose rates are known without luck."""

import numpy as np
import pytest


@pytest.mark.parametrize("n", [50, 200])
def test_rates_of_a_constant_server_are_the_truth_whatever_the_length(program, n):
    off, _ = program.virtual("constant", n, 2)
    assert np.abs(off).max() < program.LIMIT


@pytest.mark.parametrize("name", ["log-normal", "ramped", "stopped", "schedule", "capped"])
def test_rates_are_the_truth_on_average(program, name):
    off, error = program.virtual(name, 200, 6)
    assert np.all(np.abs(off) <= program.LIMIT + 3 * error)
