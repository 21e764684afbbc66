"""The benchmark of plans, reduced: planned runs see what they were planned for."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [1, 9])
def test_planned_runs_see_the_effect_about_four_times_in_five(program, monkeypatch, number):
    monkeypatch.setattr(program, "POOL", 40)
    rng = np.random.default_rng(3)
    counts, seen = program.power(program.CASES[number], {1: program.pool(rng, 400)}, rng, 100)
    assert min(counts) > 3
    assert 0.68 < seen < 0.95
