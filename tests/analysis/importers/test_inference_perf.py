"""inference-perf's requests, as its older and its present reports write them."""

import json
from pathlib import Path

import pytest

import perfkit as pk

CASE = Path(__file__).parents[2] / "fixtures/field/result-files-of-others/inference_perf.json"


@pytest.mark.slow
def test_the_case_from_the_field_is_read():
    runs = pk.open(CASE)
    first, second, failed = runs.decoded().to_dict("records")
    assert (first["ttft"], first["e2e"], first["tpot"], first["completion_tokens"]) == pytest.approx((0.1, 0.5, 0.1, 3))
    assert (second["prompt_tokens"], second["prompt"]) == (2, "hi")
    assert (failed["success"], failed["error"]) == (False, "X: boom")
    assert runs.table["model"].tolist() == ["m"]
    # Three requests, two of which succeeded, from 100.0 to 103.1 s.
    assert runs.summary().rates.iloc[0]["whole_run_request_throughput"] == pytest.approx(2 / 3.1)


def test_present_reports_keep_the_answer_apart_and_the_servers_count_wins(tmp_path):
    stream = 'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\ndata: {"choices":[{"delta":{"content":"lo"}}]}\n\n'
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    answer = {
        "output_tokens": 2,
        "server_usage": usage,
        "chunk_times": [10.2, 10.6],
        "output_token_times": [10.2, 10.6],
    }
    info = {"request_metrics": {"text": {"input_tokens": 9}}, "response_metrics": answer, "input_tokens": 9}
    item = {"start_time": 10.0, "end_time": 10.7, "request": "{}", "response": stream, "info": info, "error": None}
    refused = {"error_type": "HTTP Error 429", "error_msg": "slow down"}
    items = [
        item | {"stage_id": 0},
        item | {"stage_id": 1},
        item | {"stage_id": 1, "error": refused, "info": None, "response": ""},
    ]
    path = tmp_path / "per_request_lifecycle_metrics.json"
    path.write_text(json.dumps(items))
    runs = pk.open(path)
    assert runs.table["sent"].tolist() == [1, 2]
    first = runs.decoded().iloc[0]
    assert first[["prompt_tokens", "completion_tokens", "cached_tokens"]].tolist() == [7, 5, 4]
    assert (first["tpot"], first["output_text"]) == (pytest.approx(0.4 / 4), "Hello")
    assert runs.requests["status_code"].dropna().tolist() == [429]
