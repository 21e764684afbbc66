"""The judge of arrivals, on gaps whose law is known."""

import numpy as np
import pytest

from benchmarks.arrivals import LAWS, goodness

RATE, COUNT = 500.0, 10_000


def drawn(shape, seed=3):
    """Gaps of a gamma process, or equal ones."""
    if shape is None:
        return np.full(COUNT, 1 / RATE)
    return np.random.default_rng(seed).gamma(shape, 1 / (shape * RATE), COUNT)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_gaps_of_a_law_fit_it(law):
    fits, _ = goodness(law, RATE, drawn(law.shape))
    assert fits


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_gaps_of_another_law_do_not(law):
    other = drawn(2.0 if law.shape is None else 1.2 * law.shape)
    fits, _ = goodness(law, RATE, other)
    assert not fits
