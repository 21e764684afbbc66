import numpy as np
import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.compare.slow_requests import in_flight
from perfkit.errors import UsageError
from tests.run_files import request, write_run


@pytest.fixture
def runs(tmp_path):
    """TTFT follows the prompt's length; every fourth answer ends at the limit; nothing else matters."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(10, 1000, 400)
    rows = [
        request(
            i,
            i * 0.01,
            ttft=float(0.05 + length * 1e-3 + rng.normal(0, 0.02)),
            prompt_tokens=int(length),
            worker=int(rng.integers(2)),
            connection_use=int(rng.integers(1, 9)),
            finish_reason="length" if i % 4 == 0 else "stop",
        )
        for i, length in enumerate(lengths)
    ]
    return pk.open(write_run(tmp_path / "w.db", rows))


@pytest.mark.slow
def test_what_makes_requests_slow_is_ranked_first_and_said(runs):
    cohorts = runs.why_slow("ttft > p90")
    assert (cohorts.slow, cohorts.rest) == (40, 360)
    assert cohorts.table["column"].iloc[0] == "prompt_tokens"
    assert cohorts.table["effect"].iloc[0] > 0.9
    assert cohorts.sentences[0].startswith("tokens of the prompt: ")


@pytest.mark.slow
def test_what_does_not_matter_is_not_accused(runs):
    table = runs.why_slow("ttft > p90").table.set_index("column")
    assert (table.loc[["connection_use", "worker", "finish_reason"], "p_holm"] > 0.05).all()


def test_a_kind_is_shown_with_its_share_on_both_sides(tmp_path):
    rows = [
        request(i, i, ttft=1.0 + i % 10 / 100 if i % 5 == 0 else 0.1 + i % 10 / 100, worker=int(i % 5 == 0))
        for i in range(200)
    ]
    cohorts = pk.open(write_run(tmp_path / "k.db", rows)).why_slow("ttft > p80")
    top = cohorts.table.set_index("column").loc["worker"]
    assert (top["slow"], top["rest"]) == ("100% 1", "0% 1")
    assert top["effect"] == pytest.approx(0.98, abs=0.02)


def test_without_cause_the_answer_is_nothing(tmp_path):
    rng = np.random.default_rng(2)
    rows = [request(i, i, ttft=float(rng.lognormal(-2, 0.5))) for i in range(300)]
    cohorts = pk.open(write_run(tmp_path / "n.db", rows)).why_slow("ttft > p90")
    assert cohorts.sentences == ["nothing recorded distinguishes these requests from the others"]


def test_requests_in_flight_at_the_start_are_counted_per_run():
    frame = pd.DataFrame(
        {"run_id": ["a", "a", "a", "b"], "start_time": [0.0, 1.0, 2.0, 1.0], "completed_time": [2.0, 5.0, 3.0, 9.0]}
    )
    assert in_flight(frame).tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("question", ["ttft", "ttft > 1s", "tfft > p95", "itl > p95", "ttft > p99.9"])
def test_a_question_that_cannot_be_answered_says_what_to_ask(runs, question):
    with pytest.raises(UsageError):
        runs.why_slow(question)
