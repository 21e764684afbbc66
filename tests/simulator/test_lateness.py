import math

from perfkit.simulator.lateness import Lateness


def test_nothing_counted_has_no_quantile():
    assert math.isnan(Lateness().quantile(0.5))


def test_a_tail_beyond_the_histogram_is_reported_as_it_was():
    late = Lateness()
    late.note(7_000_000_000)
    assert late.quantile(0.99) == 7.0


def test_early_is_counted_as_on_time():
    late = Lateness()
    late.note(-5)
    assert (late.count, late.quantile(0.5)) == (1, 1e-5)
