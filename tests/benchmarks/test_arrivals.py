"""The judge of arrivals, on processes whose law is known, and on what a server saw."""

import numpy as np
import pytest

RATE, SECONDS = 500.0, 4.0


def drawn(program, shape, seed=3):
    if shape is None:
        return np.arange(int(RATE * SECONDS)) / RATE
    return program.drawn(np.random.default_rng(seed), shape, RATE, SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("place", range(4))
def test_arrivals_of_a_law_fit_it_and_no_other(program, place):
    times = drawn(program, program.LAWS[place].shape)
    fits = [program.fit(times, law, RATE, SECONDS).fits for law in program.LAWS]
    assert fits == [at == place for at in range(4)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", [0.7, 1.45])
def test_a_shape_half_as_large_again_or_less_is_refused(program, shape):
    assert not program.fit(drawn(program, shape), program.LAWS[0], RATE, SECONDS).fits


@pytest.mark.slow
def test_delays_well_below_the_resolution_are_not_the_clients_fault_and_waits_above_it_are(program):
    times = drawn(program, 1.0)
    late = np.random.default_rng(5).exponential(0.0001, len(times))
    assert program.fit(np.sort(times + late), program.LAWS[0], RATE, SECONDS).fits
    assert not program.fit(np.ceil(times / 0.005) * 0.005, program.LAWS[0], RATE, SECONDS).fits


@pytest.mark.slow
def test_right_processes_are_refused_as_rarely_as_stated(program):
    random = np.random.default_rng(11)
    times = [program.drawn(random, 1.0, RATE, SECONDS) for _ in range(300)]
    assert np.mean([not program.fit(each, program.LAWS[0], RATE, SECONDS).fits for each in times]) < 0.03


def test_constant_arrivals_that_drift_are_refused(program):
    times = drawn(program, None)
    assert program.fit(times, program.LAWS[3], RATE, SECONDS).fits
    assert not program.fit(times * 1.01, program.LAWS[3], RATE, SECONDS).fits


@pytest.mark.alone
@pytest.mark.parametrize("place", [0, 3])
def test_a_server_sees_every_request_at_the_rate_of_the_schedule(program, place):
    law = program.LAWS[place]
    times, sent, _ = program.measured(law, 100.0, 2.0, 1)
    due = [offset for offset, _ in zip(program.schedule(law, 100.0, 1), range(1_000), strict=False) if offset <= 2]
    assert len(times) == len(sent) == len(due)
    # A stall of the machine may hold one request up, at an end even; it does not change what came between.
    assert times[-1] - times[0] == pytest.approx(due[-1] - due[0], abs=0.2)
