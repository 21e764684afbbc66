"""The benchmark of capacity, reduced: the method in virtual time, and that the network serves what the model says."""

import numpy as np


def test_searches_in_virtual_time_hold_the_truth_and_are_closed(program):
    true = program.truth(range(1_000_000, 1_000_030))
    found = [program.virtual_search(seed) for seed in range(40)]
    assert np.mean([true in bracket for bracket in found]) >= 0.9
    closed = [each for each in found if each.lower is not None and each.upper is not None]
    assert len(closed) >= 0.9 * len(found)
    assert np.median([each.upper / each.lower for each in closed]) < 2.5


def test_a_search_over_the_network_asks_for_what_the_truth_was_worked_out_of(program, monkeypatch):
    monkeypatch.setattr(program, "RUNS", 2)
    found = program.search(0)
    requests = found.runs.requests
    asked = [
        tuple(map(int, pair)) for pair in requests[["prompt_tokens", "completion_tokens"]].drop_duplicates().values
    ]
    assert asked == [(program.WORK.prompt_tokens, program.WORK.output_tokens)]
    assert found.points[0].load == program.LOW
    assert requests["ttft"].median() > np.median(program.latencies(program.LOW, 1)) - 0.001
