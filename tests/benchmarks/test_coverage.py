"""The benchmark of intervals, reduced: intervals without a mark hold the truth."""

import pytest


@pytest.mark.parametrize("name", ["log-normal", "Pareto 1.5", "1 % outliers", "AR 0.95", "bursts"])
def test_intervals_without_a_mark_hold_the_truth(program, monkeypatch, name):
    monkeypatch.setattr(program, "TRUTH", 200_000)
    found, _ = program.count(program.KINDS[name], 500, 40)
    for count in found.values():
        assert count.unmarked - count.held <= 0.15 * count.all
    if name == "log-normal":
        assert all(count.marked <= 0.1 for statistic, count in found.items() if statistic != "p99")
    if name in ("AR 0.95", "Pareto 1.5"):
        assert found["mean"].marked >= 0.95


def test_intervals_of_rates_hold_the_truth(program, monkeypatch):
    monkeypatch.setattr(program, "SIZES", (50, 200))
    monkeypatch.setattr(program, "REPORTED", ("output_throughput",))
    monkeypatch.setattr(program, "LEAST", 0.8)  # of 2 times 12 runs
    assert program.rates(12, 1) == []
