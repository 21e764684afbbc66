"""InferenceX's points: what its ``process_result.py`` computes of a vLLM summary, and lists of such points."""

import json

import pytest

import perfkit as pk

POINT = {
    "hw": "h100",
    "tp": 8,
    "ep": 1,
    "dp_attention": "false",
    "conc": 64,
    "model": "llama-70b",
    "framework": "vllm",
    "precision": "fp8",
    "isl": 1024,
    "osl": 1024,
    "tput_per_gpu": 900.0,
    "output_tput_per_gpu": 450.0,
    "mean_ttft": 0.3,
    "median_ttft": 0.25,
    "p99_ttft": 1.5,
    "median_tpot": 0.02,
    "median_intvty": 50.0,
    "p99_intvty": 25.0,
    "median_e2el": 20.7,
}


def opened(tmp_path, *points):
    (tmp_path / "agg_bmk.json").write_text(json.dumps(list(points) if len(points) > 1 else points[0]))
    return pk.open(tmp_path)


def test_a_point_is_a_run_with_its_tags_and_figures(tmp_path):
    runs = opened(tmp_path, POINT)
    assert runs.figures.set_index("quantity")["value"].to_dict() == {
        "throughput_per_gpu": 450,
        "total_throughput_per_gpu": 900,
        "output_throughput": 3600,
        "whole_run_output_throughput": 3600,
        "total_throughput": 7200,
        "ttft_mean": 0.3,
        "ttft_p50": 0.25,
        "ttft_p99": 1.5,
        "tpot_p50": 0.02,
        "e2e_p50": 20.7,
    }
    (row,) = runs.table.to_dict("records")
    assert (row["gpu"], row["gpus"], row["parallel"], row["model"]) == ("h100", "8", 64, "llama-70b")
    assert runs.labels == ["h100 vllm fp8 tp8 ep1 1024/1024"]
    assert runs.summary().rates["interactivity"].tolist() == [50]


def test_what_a_point_does_not_have_is_no_tag(tmp_path):
    runs = opened(tmp_path, POINT | {"spec_decoding": "none", "disagg": False, "is_multinode": False})
    assert not {"speculation", "disaggregated"} & set(runs.table.columns)


def test_the_frontier_of_a_study_is_one_line(tmp_path):
    loads = ((4, 0.008, 60.0), (16, 0.010, 200.0), (64, 0.020, 450.0), (128, 0.050, 440.0))
    points = [
        POINT | {"hw": hw, "conc": conc, "median_tpot": tpot * pace, "output_tput_per_gpu": output / pace}
        for hw, pace in (("h100", 1), ("b200", 0.5))
        for conc, tpot, output in loads
    ]
    frontier = opened(tmp_path, *points).pareto(by="gpu")
    assert frontier.groupby("group")["load"].agg(list).to_dict() == {
        "b200": ["4 users", "16 users", "64 users"],
        "h100": ["4 users", "16 users", "64 users"],
    }
    assert frontier["y"].max() == pytest.approx(900)


def test_requests_that_nobody_counted_are_unknown_and_not_none(tmp_path):
    found = opened(tmp_path, POINT).summary()
    assert found.rates["requests"].isna().all()
    assert "time to first token [ms]" in str(found)


def test_output_of_the_gpus_that_decode_is_brought_to_all(tmp_path):
    apart = {"disagg": True, "is_multinode": True, "num_prefill_gpu": 24, "num_decode_gpu": 48}
    old = opened(tmp_path, POINT | apart | {"output_tput_per_gpu": 2867.34})
    assert old.summary().rates["throughput_per_gpu"].tolist() == [pytest.approx(1911.56)]
    new = POINT | apart | {"output_tput_per_gpu": 1911.56, "output_tput_per_decode_gpu": 2867.34}
    assert opened(tmp_path, new).summary().rates["throughput_per_gpu"].tolist() == [pytest.approx(1911.56)]
    assert old.table["gpus"].tolist() == ["72"]
