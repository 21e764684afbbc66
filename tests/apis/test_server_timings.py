"""What servers say of their own times, in every shape that is known of them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.plots.latency_split import latency_split_table
from perfkit.apis.answers import read_message
from perfkit.records import Answer

USAGE = {"prompt_tokens": 42, "completion_tokens": 11}


@pytest.mark.parametrize(
    ("message", "told"),
    [
        # vLLM: 12.3 ms in the queue, its first token after 85.3, gaps of 9 ms between 11 tokens.
        (
            {"usage": USAGE, "metrics": {"queue_time_ms": 12.3, "time_to_first_token_ms": 85.3, "mean_itl_ms": 9.0}},
            {
                "server_queue_time": 0.0123,
                "server_ttft": 0.0853,
                "server_prefill_time": 0.073,
                "server_decode_time": 0.09,
            },
        ),
        # llama.cpp, with a draft model.
        (
            {"timings": {"prompt_ms": 43.2, "predicted_ms": 238.7, "draft_n": 8, "draft_n_accepted": 6}},
            {
                "server_prefill_time": 0.0432,
                "server_decode_time": 0.2387,
                "draft_tokens": 8,
                "accepted_tokens": 6,
            },
        ),
        # Groq, in the usage of its own field.
        (
            {"x_groq": {"usage": {**USAGE, "queue_time": 0.01, "prompt_time": 0.002, "completion_time": 0.3}}},
            {"server_queue_time": 0.01, "server_prefill_time": 0.002, "server_decode_time": 0.3},
        ),
        # Qualcomm's stack.
        (
            {"usage": {**USAGE, "queue_wait_time_in_ms": 5, "ttft_in_ms": "40"}},
            {"server_queue_time": 0.005, "server_ttft": 0.04},
        ),
        # OpenAI's predicted outputs.
        (
            {
                "usage": {
                    **USAGE,
                    "completion_tokens_details": {"accepted_prediction_tokens": 3, "rejected_prediction_tokens": 1},
                }
            },
            {"draft_tokens": 4, "accepted_tokens": 3},
        ),
        ({"metrics": {"queue_time_ms": None, "time_to_first_token_ms": -1}}, {}),
        ({"metrics": [1], "timings": "fast", "usage": USAGE}, {}),
        ({"metrics": {"queue_time_ms": True, "time_to_first_token_ms": 1e300}}, {}),
    ],
    ids=["vLLM", "llama.cpp", "Groq", "Qualcomm", "predictions", "null", "other shapes", "no times"],
)
def test_the_times_of_each_server_are_read(message: dict[str, Any], told: dict[str, float]) -> None:
    answer = Answer()
    read_message({"choices": [], **message}, answer)
    assert answer.timings == pytest.approx(told)


def test_ollamas_nanoseconds_are_seconds() -> None:
    answer = Answer()
    last = {
        "message": {"content": ""},
        "done": True,
        "prompt_eval_duration": 30_000_000,
        "eval_duration": 2_000_000_000,
    }
    read_message(last, answer)
    assert answer.timings == pytest.approx({"server_prefill_time": 0.03, "server_decode_time": 2.0})


def measured(folder: Path, name: str, **server: Any) -> pk.Runs:
    options = {"model": "m", "prompt": "hello " * 50, "preflight": False, "workers": 0, "server_timings": True}
    with pk.simulate(itl=0.01, output_tokens=5, **server) as simulated:
        return pk.start(simulated.url, parallel=3, number=9, name=name, db=str(folder / f"{name}.db"), **options).wait()


@pytest.mark.processes
def test_the_parts_of_ttft_add_up_and_tell_a_queue_from_a_prefill(tmp_path: Path) -> None:
    # 50 tokens are 5 ms of prefill and a step of 10: with one slot the third of three users waits for two answers.
    queueing = measured(tmp_path, "queueing", slots=1, prefill_rate=10_000)
    # 50 tokens are 100 ms; all three users have a slot, and share the steps.
    prefilling = measured(tmp_path, "prefilling", slots=3, prefill_rate=500)
    for runs in (queueing, prefilling):
        rows = runs.requests
        parts = rows["front_end"] + rows["server_queue"] + rows["server_prefill"]
        assert (parts - rows["ttft"]).abs().max() < 1e-9
        assert (rows["server_ttft"] - rows["server_queue"] - rows["server_prefill"]).abs().max() < 1e-9
        assert rows["front_end"].min() > 0
    rows = queueing.requests
    assert rows["server_prefill"].round(4).eq(0.015).all()
    # At most two answers of 15 + 4 x 10 ms are before it, after the 5 ms that a request takes to be queued.
    assert 2 * 0.015 < rows["server_queue"].max() < 2 * 0.055 + 0.0051
    assert rows["server_decode"].round(4).eq(0.04).all()
    table = latency_split_table(pd.concat([queueing.requests, prefilling.requests])).set_index("group")
    assert table.loc["queueing", "server's queue [ms]"] > 2 * table.loc["queueing", "prefill [ms]"]
    assert table.loc["prefilling", "prefill [ms]"] > 2 * table.loc["prefilling", "server's queue [ms]"]
    assert "to the first token [ms]" not in table


@pytest.mark.processes
def test_times_are_asked_for_by_an_option_alone(tmp_path: Path) -> None:
    with pk.simulate(ttft=0.01, itl=0.001, output_tokens=2) as server:
        runs = pk.start(server.url, model="m", prompt="hi", number=1, workers=0, db=str(tmp_path / "a.db")).wait()
    assert runs.requests[["server_queue", "server_prefill", "server_ttft", "front_end"]].isna().all(axis=None)
