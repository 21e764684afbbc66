"""The benchmark of capacity, reduced: the method in virtual time, and that the network serves what the model says."""

import numpy as np
import pytest

pytestmark = pytest.mark.processes


@pytest.mark.slow
@pytest.mark.parametrize(("number", "narrow"), [(1, 0.9), (3, 0.5), (4, 0.4)])
def test_searches_in_virtual_time_hold_the_truth_and_are_narrow(program, number, narrow):
    kind = program.KINDS[number]
    true = program.truth(kind, 300)
    found = [program.search(kind, seed, true) for seed in range(4)]
    assert np.mean([true in bracket for bracket, _ in found]) >= 0.75
    assert np.mean([program.ratio(bracket, kind) <= program.NARROW for bracket, _ in found]) >= narrow
    assert max(points for _, points in found) <= program.POINTS


def test_a_search_over_the_network_asks_for_what_the_truth_was_worked_out_of(program, monkeypatch):
    monkeypatch.setattr(program, "REQUESTS", 100)
    found = program.network_search(0, points=1)
    requests = found.runs.requests
    asked = [
        tuple(map(int, pair)) for pair in requests[["prompt_tokens", "completion_tokens"]].drop_duplicates().values
    ]
    assert asked == [(program.WORK.prompt_tokens, program.WORK.output_tokens)]
    assert requests["ttft"].median() > np.median(program.engine(50, 1)) - 0.001
