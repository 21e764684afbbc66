"""Points of a sweep of aiperf 0.11, shortened, and a summary of genai-perf: settings, units and definitions."""

import json
from pathlib import Path
from shutil import copy

import pytest

import perfkit as pk
from perfkit.errors import UnsafeFile

AIPERF = Path(__file__).parents[2] / "fixtures" / "summaries" / "aiperf_0.11"
PEER = Path(__file__).parents[2] / "fixtures" / "peers" / "aiperf_4"


def test_each_point_is_a_run_at_its_load():
    runs = pk.open(AIPERF)
    assert runs.table[["parallel", "model", "source", "succeeded"]].to_numpy().tolist() == [
        [32, "qwen3-4b", "aiperf", 2107],
        [128, "qwen3-4b", "aiperf", 5429],
    ]
    assert runs.table["duration"].tolist() == [300, 300]
    assert runs.table.loc["concurrency_32", "end_time"] - runs.table.loc["concurrency_32", "start_time"] > 300


def test_its_inter_token_latency_is_perfkits_tpot():
    found = pk.open(AIPERF).percentiles(["ttft", "tpot", "itl"], [50, 99])
    numbers = found.loc[("concurrency_32", "tpot"), ["mean", "p50", "p99"]]
    assert numbers.tolist() == pytest.approx([0.01671, 0.0166, 0.0194])
    assert found.loc[("concurrency_32", "tpot"), "n"] == 2106
    assert found.loc[("concurrency_32", "itl"), "n"] == 0
    assert found.loc[("concurrency_32", "ttft"), "marks"] == "summary: mean, p50, p99"


def test_interactivity_and_cost_follow_from_its_figures():
    rates = pk.open(AIPERF).tag(gpus="2", price="3").summary().rates.loc["concurrency_32"]
    assert rates["interactivity"] == pytest.approx(1 / 0.0166)
    assert rates["throughput_per_gpu"] == pytest.approx(936)
    assert rates["cost_per_million_output_tokens"] == pytest.approx(6 / 3600 / 1872 * 1e6)


def test_beside_its_records_a_summary_is_no_run_of_its_own(tmp_path):
    assert len(pk.open(PEER)) == 1
    assert pk.open(PEER).summarized == []
    copy(PEER / "profile_export_aiperf.json", tmp_path)
    (alone,) = pk.open(tmp_path)
    full = pk.open(PEER).percentiles(["ttft", "tpot", "e2e"], [50, 95])
    told = alone.percentiles(["ttft", "tpot", "e2e"], [50, 95])
    assert told[["mean", "p50", "p95"]].to_numpy() == pytest.approx(full[["mean", "p50", "p95"]].to_numpy(), rel=1e-6)


def test_what_a_sweep_varies_beside_the_load_is_a_tag(tmp_path):
    told = json.loads((AIPERF / "concurrency_32" / "profile_export_aiperf.json").read_text())
    told["run_info"]["variation_values"] = {"phases.profiling.concurrency": 32, "endpoint.max_num_seqs": 64}
    (tmp_path / "profile_export_aiperf.json").write_text(json.dumps(told))
    (row,) = pk.open(tmp_path).table.to_dict("records")
    assert (row["parallel"], row["max_num_seqs"]) == (32, "64")


def test_genai_perf_names_its_load_elsewhere(tmp_path):
    told = {
        "request_throughput": {"unit": "requests/sec", "avg": 2.5},
        "request_latency": {"unit": "ms", "avg": 400.0, "p99": 800.0},
        "time_to_first_token": {"unit": "ms", "avg": 50.0},
        "inter_token_latency": {"unit": "ms", "avg": 10.0, "p50": 9.0},
        "output_token_throughput": {"unit": "tokens/sec", "avg": 90.0},
        "output_sequence_length": {"unit": "tokens", "avg": 36.0},
        "request_count": {"unit": "count", "avg": 100.0},
        "input_config": {
            "model_names": ["llama"],
            "endpoint": {"type": "chat", "streaming": True},
            "perf_analyzer": {"stimulus": {"concurrency": 1}},
        },
    }
    (tmp_path / "profile_export_genai_perf.json").write_text(json.dumps(told))
    runs = pk.open(tmp_path)
    (row,) = runs.table.to_dict("records")
    assert (row["source"], row["model"], row["parallel"], row["succeeded"]) == ("genai-perf", "llama", 1, 100)
    found = runs.figures.set_index("quantity")["value"]
    assert (found["e2e_p99"], found["tpot_p50"], found["output_tokens_mean"]) == (0.8, 0.009, 36)


@pytest.mark.parametrize(
    ("given", "load"), [({"concurrency": 10, "request_rate": None}, (10, None)), ({"request_rate": 2.5}, (None, 2.5))]
)
def test_older_releases_keep_all_settings_on_one_level(tmp_path, given, load):
    settings = {"model": ["llama"], "formatted_model_name": "llama", "endpoint_type": "chat", **given}
    told = {"request_latency": {"unit": "ns", "avg": 4e8}, "input_config": settings, "request_count": {"avg": 7.0}}
    (tmp_path / "profile_export_genai_perf.json").write_text(json.dumps(told))
    runs = pk.open(tmp_path)
    (row,) = runs.table.to_dict("records")
    assert (row["model"], row["api"], row["succeeded"]) == ("llama", "chat", 7)
    assert (row["parallel"], row["rate"]) == load
    assert runs.figures.set_index("quantity")["value"]["e2e_mean"] == pytest.approx(0.4)


def test_a_torn_file_is_refused(tmp_path):
    text = (AIPERF / "concurrency_32" / "profile_export_aiperf.json").read_text()
    (tmp_path / "a.json").write_text(text[: len(text) // 2])
    with pytest.raises(UnsafeFile, match="cut short"):
        pk.open(tmp_path / "a.json")
