"""genai-bench's files, shaped as its metrics collector saves them."""

import json

import pytest

import perfkit as pk

ROW = {"ttft": 0.1, "tpot": 0.02, "e2e_latency": 0.48, "output_latency": 0.38, "num_input_tokens": 100}
ROW |= {"num_output_tokens": 20, "total_tokens": 120, "error_code": None, "error_message": None}
FAILED = dict.fromkeys(ROW) | {"error_code": 500, "error_message": "boom"}
TOTALS = {"scenario": "D(100,20)", "num_concurrency": 8, "iteration_type": "num_concurrency", "run_duration": 2.0}


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000), (None, 1)])
def test_times_are_read_in_the_unit_that_the_file_names(unit, factor, tmp_path):
    row = ROW | {name: ROW[name] * factor for name in ("ttft", "tpot", "e2e_latency", "output_latency")}
    found = {"aggregated_metrics": TOTALS, "individual_request_metrics": [row, FAILED], "_time_unit": unit}
    path = tmp_path / "D100_concurrency_8.json"
    path.write_text(json.dumps({name: value for name, value in found.items() if value}, indent=4))
    (tmp_path / "experiment_metadata.json").write_text('{"model": "llama", "task": "text-to-text"}')
    runs = pk.open(tmp_path)
    good, bad = runs.requests.sort_values("seq").to_dict("records")
    assert (good["ttft"], good["tpot"], good["e2e"]) == pytest.approx((0.1, 0.02, 0.48))
    assert (good["prompt_tokens"], good["completion_tokens"]) == (100, 20)
    assert (bad["success"], bad["status_code"], bad["error"]) == (False, 500, "boom")
    (run,) = runs.table.to_dict("records")
    assert (run["model"], run["parallel"], run["dataset"], run["source"]) == ("llama", 8, "D(100,20)", "genai-bench")
