"""llmperf's individual responses; the file and its summary are shaped as ``token_benchmark_ray.py`` writes them."""

import json
from pathlib import Path

import pytest

import perfkit as pk

ROW = {
    "error_code": None,
    "error_msg": "",
    "inter_token_latency_s": 0.02,
    "ttft_s": 0.1,
    "end_to_end_latency_s": 0.4,
    "request_output_throughput_token_per_s": 10.0,
    "number_total_tokens": 24,
    "number_output_tokens": 4,
    "number_input_tokens": 20,
}
FAILED = ROW | {"error_code": 429, "error_msg": "Too many", "ttft_s": 0, "end_to_end_latency_s": 0}
FAILED |= {"number_output_tokens": 0, "number_input_tokens": 0}


def write(tmp_path: Path, rows: list[dict], summary: dict | None = None) -> Path:
    path = tmp_path / "m_550_150_individual_responses.json"
    path.write_text(json.dumps(rows, indent=4))
    if summary:
        (tmp_path / "m_550_150_summary.json").write_text(json.dumps(summary))
    return path


def test_times_and_tokens_are_llmperfs_and_a_zero_of_a_failure_is_unknown(tmp_path):
    requests = pk.open(write(tmp_path, [ROW, FAILED])).requests.sort_values("seq")
    good, bad = requests.to_dict("records")
    assert (good["ttft"], good["e2e"], good["tpot"], good["completion_tokens"]) == pytest.approx((0.1, 0.4, 0.1, 4))
    assert (good["prompt_tokens"], good["token_source"]) == (20, "tokenizer")
    assert (bad["success"], bad["status_code"], bad["error"]) == (False, 429, "Too many")
    assert requests[["ttft", "e2e", "completion_tokens", "prompt_tokens"]].iloc[1].isna().all()


@pytest.mark.slow
def test_rates_are_unknown_where_no_request_is_dated_and_known_where_each_is(tmp_path):
    undated = pk.open(write(tmp_path, [ROW, ROW])).summary().rates.iloc[0]
    assert undated[["request_throughput", "concurrency"]].isna().all()
    dated = pk.open(write(tmp_path, [ROW | {"start_time": 0.0}, ROW | {"start_time": 0.6}])).summary().rates.iloc[0]
    assert dated["whole_run_request_throughput"] == pytest.approx(2 / 1.0)


def test_the_summary_beside_tells_the_settings(tmp_path):
    summary = {"version": "2023-08-31", "model": "llama", "num_concurrent_requests": 8, "results_ttft_s_mean": 0.1}
    (run,) = pk.open(write(tmp_path, [ROW], summary)).table.to_dict("records")
    assert (run["model"], run["parallel"], run["source"]) == ("llama", 8, "llmperf")
