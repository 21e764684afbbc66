"""Files that vLLM 0.25.1 wrote without ``--save-detailed``, and its sweep folders: every figure is the file's own."""

import json
from pathlib import Path
from shutil import copytree

import pytest

import perfkit as pk
from perfkit.errors import UnsafeFile, UsageError

SUMMARIES = Path(__file__).parents[2] / "fixtures" / "summaries"
ONE = SUMMARIES / "vllm_0.25.1.json"
SWEEP = SUMMARIES / "vllm_0.25.1_sweep"


def figures(runs):
    return runs.figures.set_index(["run", "quantity"])["value"]


def test_figures_are_those_of_the_file_in_seconds_and_tokens():
    runs = pk.open(ONE)
    told = json.loads(ONE.read_text())
    found = figures(runs)["vllm_0.25.1"]
    assert found["ttft_p50"] == told["median_ttft_ms"] / 1e3 == pytest.approx(0.0556813965)
    assert found["ttft_p99"] == told["p99_ttft_ms"] / 1e3
    assert found["tpot_mean"] == told["mean_tpot_ms"] / 1e3
    assert found["output_throughput"] == found["whole_run_output_throughput"] == told["output_throughput"]
    assert found["prompt_throughput"] == pytest.approx(256 / told["duration"])
    assert found["total_throughput"] == told["total_token_throughput"]
    assert not [name for name in found.index if "std" in name]
    assert set(runs.figures["basis"]) == {"summary:vllm"}


def test_settings_and_counts_are_those_of_the_file():
    (row,) = pk.open(ONE).table.to_dict("records")
    assert (row["model"], row["load"], row["parallel"], row["number"]) == ("facebook/opt-125m", "closed", 2, 8)
    assert (row["sent"], row["succeeded"], row["failed"], row["source"]) == (8, 8, 0, "vllm")


def test_of_a_run_in_which_all_failed_nothing_is_known_but_that():
    runs = pk.open(SUMMARIES / "vllm_0.25.1_all_failed.json")
    assert figures(runs).to_dict() == {("vllm_0.25.1_all_failed", "success_rate"): 0}
    rates = runs.summary().rates.iloc[0]
    assert (rates["requests"], rates["failed"]) == (8, 8)
    assert rates["output_throughput"] != rates["output_throughput"]


def test_folders_of_a_sweep_are_tags_of_the_server_and_repeats_of_a_point():
    runs = pk.open(SWEEP)
    assert len(runs) == 4  # and not eight: summary.json repeats the files beside it
    assert runs.table["max_num_seqs"].tolist() == ["4", "4", "8", "8"]
    assert runs.table["name"].unique().tolist() == ["max_num_seqs=4", "max_num_seqs=8"]
    with pytest.raises(UnsafeFile, match=r"the results of vllm are in run=0\.json beside it"):
        pk.open(next(SWEEP.rglob("summary.json")))


def test_the_list_of_a_sweeps_point_opens_where_it_stands_alone(tmp_path):
    point = tmp_path / "SERVE--max_num_seqs=4-dtype=half-BENCH--max_concurrency=2"
    copytree(next(SWEEP.iterdir()), point)
    for path in point.glob("run=*.json"):
        path.unlink()
    runs = pk.open(tmp_path)
    assert runs.table[["max_num_seqs", "dtype"]].to_numpy().tolist() == [["4", "half"]] * 2


def test_the_summary_of_sglang_has_its_concurrency_and_latency(tmp_path):
    line = {
        **{"backend": "sglang", "sharegpt_output_len": None, "request_rate": 4.0, "max_concurrency": None},
        **{"duration": 10.0, "completed": 40, "total_input_tokens": 4000, "output_throughput": 80.0},
        **{"mean_e2e_latency_ms": 500.0, "p99_itl_ms": 30.0, "concurrency": 2.0},
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    found = figures(pk.open(tmp_path / "a.jsonl"))["a"]
    assert found.to_dict() == {
        "output_throughput": 80.0,
        "whole_run_output_throughput": 80.0,
        "prompt_throughput": 400.0,
        "concurrency": 2.0,
        "e2e_mean": 0.5,
        "itl_p99": 0.03,
    }


def test_what_is_no_number_is_left_out(tmp_path):
    told = {**json.loads(ONE.read_text()), "mean_ttft_ms": "fast", "p99_ttft_ms": None, "output_throughput": 1e400}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(told))
    assert not {"ttft_mean", "ttft_p99", "output_throughput"} & set(figures(pk.open(path))["a"].index)


def test_what_needs_requests_is_refused_in_a_sentence():
    with pytest.raises(UsageError, match=r"^lens needs single requests, and vllm_0.25.1 has none"):
        pk.open(ONE).lens("ttft")
