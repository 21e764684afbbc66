"""llmperf's summary alone, in the shape that ``token_benchmark_ray.py`` writes."""

import json

import pytest

import perfkit as pk

SUMMARY = {
    "version": "2023-08-31",
    "name": "m_256_100_summary",
    "model": "m",
    "num_concurrent_requests": 5,
    "results_inter_token_latency_s_mean": 0.0119,
    "results_ttft_s_quantiles_p50": 0.24,
    "results_ttft_s_quantiles_p99": 0.58,
    "results_ttft_s_mean": 0.25,
    "results_ttft_s_stddev": 0.14,
    "results_end_to_end_latency_s_quantiles_p95": 1.55,
    "results_number_output_tokens_mean": 99.44,
    "results_number_output_tokens_min": "62",
    "results_num_requests_started": 52,
    "results_number_errors": 2,
    "results_mean_output_throughput_token_per_s": 335.4,
    "results_num_completed_requests": 50,
    "results_num_completed_requests_per_min": 202.2,
    "timestamp": 1789148187,
}


def test_figures_and_settings_are_those_of_the_file(tmp_path):
    (tmp_path / "m_256_100_summary.json").write_text(json.dumps(SUMMARY))
    runs = pk.open(tmp_path)
    assert runs.figures.set_index("quantity")["value"].to_dict() == pytest.approx(
        {
            "output_throughput": 335.4,
            "whole_run_output_throughput": 335.4,
            "request_throughput": 3.37,
            "whole_run_request_throughput": 3.37,
            "ttft_p50": 0.24,
            "ttft_p99": 0.58,
            "ttft_mean": 0.25,
            "e2e_p95": 1.55,
            "output_tokens_mean": 99.44,
            "success_rate": 50 / 52,
        }
    )
    (row,) = runs.table.to_dict("records")
    assert (row["parallel"], row["sent"], row["failed"], row["end_time"]) == (5, 52, 2, 1789148187)


def test_beside_the_responses_it_is_no_run_of_its_own(tmp_path):
    (tmp_path / "m_summary.json").write_text(json.dumps(SUMMARY))
    row = {"ttft_s": 0.1, "end_to_end_latency_s": 1.0, "number_output_tokens": 10, "error_code": None}
    (tmp_path / "m_individual_responses.json").write_text(json.dumps([row]))
    assert pk.open(tmp_path).summarized == []
