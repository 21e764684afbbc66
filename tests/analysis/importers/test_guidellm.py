"""Reports of guidellm 0.2 and 0.3, shaped as their benchmark classes; those of today are in test_importers."""

import json
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import UnsafeFile

INFO = {"requested": True, "completed": True, "scheduled_time": 99.9, "process_id": 1}
GOOD = {
    **{"type_": "generative_text_response", "request_id": "r1", "request_type": "chat_completions"},
    **{"scheduler_info": INFO, "prompt": "Why?", "output": "So.", "prompt_tokens": 5, "output_tokens": 3},
    **{"start_time": 100.0, "end_time": 100.5, "first_token_time": 100.1, "last_token_time": 100.4},
    **{"request_latency": 0.5, "time_to_first_token_ms": 100.0},
}
BAD = GOOD | {"type_": "generative_text_error", "error": "boom", "start_time": 101.0, "first_token_time": None}
BENCHMARK = {
    **{"type_": "generative_benchmark", "run_id": "x", "metrics": {}, "start_time": 100.0, "end_time": 102.0},
    "args": {"strategy": {"type_": "concurrent", "streams": 4}, "max_number": 2},
    "worker": {"backend_target": "http://127.0.0.1:8000", "backend_model": "llama"},
    "requests": {"successful": [GOOD], "errored": [BAD], "incomplete": [], "total": None},
}


def opened(tmp_path: Path, benchmark: dict) -> pk.Runs:
    path = tmp_path / "benchmarks.json"
    path.write_text(json.dumps({"benchmarks": [benchmark]}, indent=4))
    return pk.open(path)


def test_older_reports_are_read_as_those_of_today_are(tmp_path):
    runs = opened(tmp_path, BENCHMARK)
    (run,) = runs.table.to_dict("records")
    assert (run["model"], run["parallel"], run["number"], run["source"]) == ("llama", 4, 2, "guidellm")
    good, bad = runs.decoded().to_dict("records")
    assert (good["ttft"], good["e2e"], good["tpot"]) == pytest.approx((0.1, 0.5, 0.15))
    assert (good["prompt"], good["output_text"], good["completion_tokens"]) == ("Why?", "So.", 3)
    assert (bad["success"], bad["error"]) == (False, "boom")


def test_reports_of_before_that_are_refused_by_name(tmp_path):
    with pytest.raises(UnsafeFile, match=r"report of guidellm that was written before guidellm 0\.2"):
        opened(tmp_path, {"mode": "synchronous", "rate": None, "results": [{"decode_times": {"data": [0.1]}}]})


def test_a_report_that_kept_no_requests_is_refused_by_name(tmp_path):
    with pytest.raises(UnsafeFile, match="report of guidellm that is without single requests"):
        opened(tmp_path, BENCHMARK | {"requests": {}})
