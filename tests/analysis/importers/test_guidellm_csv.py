"""guidellm's csv alone: three lines of headings and a line a benchmark, as release 0.5 writes them."""

import csv
import json

import pytest

import perfkit as pk

PERCENTILES = "[0.1, 0.11, 0.12, 0.13, 0.14, 0.15, 0.25, 0.3, 0.4, 0.5, 0.6]"


def columns(streams):
    profile = json.dumps({"type_": "concurrent", "streams": streams})
    yield ("Run Info", "Run ID", ""), "1"
    yield ("Run Info", "Profile", ""), profile
    yield (
        ("Run Info", "Backend", ""),
        json.dumps({"target": "http://key@host:8000", "model": "llama", "api_key": "sk-1"}),
    )
    yield ("Benchmark", "Strategy", ""), "concurrent"
    yield ("Timings", "Duration", "Sec"), "60.0"
    for name, count in (("Successful", 90), ("Incomplete", 3), ("Errored", 10), ("Total", 103)):
        yield ("Request Counts", name, ""), count
    for group, unit, per_unit in (
        ("Request Latency", "Sec", 1),
        ("Time to First Token", "ms", 1e3),
        ("Time per Output Token", "ms", 1e3),
        ("Inter Token Latency", "ms", 1e3),
    ):
        yield (group, f"Successful {unit}", "Mean"), 0.2 * per_unit
        yield (group, f"Successful {unit}", "Median"), 0.18 * per_unit
        yield (group, f"Successful {unit}", "Std Dev"), 1
        scaled = [float(text) * per_unit for text in PERCENTILES.strip("[]").split(",")]
        yield (group, f"Successful {unit}", "Percentiles"), str(scaled)
        yield (group, f"Errored {unit}", "Mean"), 77
    for field, value in (("Requests/Sec", 1.5), ("Concurrency", 7.5)):
        yield ("Server Throughput", f"Successful {field}", "Mean"), value
    yield ("Token Throughput", "Successful Output Tokens/Sec", "Mean"), 96.0


def written(path, *streams):
    lines = [list(zip(*columns(each), strict=True)) for each in streams]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([*zip(*lines[0][0], strict=True), *(values for _, values in lines)])
    return path


def test_each_line_is_a_run_with_the_statistics_of_successful_requests(tmp_path):
    runs = pk.open(written(tmp_path / "benchmarks.csv", [8], [16]))
    assert runs.table[["parallel", "model", "succeeded", "failed", "source"]].to_numpy().tolist() == [
        [8, "llama", 90, 10, "guidellm"],
        [16, "llama", 90, 10, "guidellm"],
    ]
    found = runs[0].figures.set_index("quantity")["value"]
    assert found[["ttft_mean", "ttft_p50", "ttft_p95", "tpot_p99", "e2e_p10"]].tolist() == pytest.approx(
        [0.2, 0.18, 0.4, 0.5, 0.14]
    )
    assert found[["request_throughput", "concurrency", "output_throughput"]].tolist() == [1.5, 7.5, 96]
    assert "whole_run_output_throughput" not in found  # its rates are of the time measured, without warm-up


def test_of_a_profile_of_several_levels_the_level_of_a_line_is_unknown(tmp_path):
    runs = pk.open(written(tmp_path / "benchmarks.csv", [8, 16]))
    assert runs.table["parallel"].isna().all()


def test_no_key_of_the_settings_is_kept(tmp_path):
    runs = pk.open(written(tmp_path / "benchmarks.csv", [8]))
    assert "sk-1" not in str(runs.table.to_dict())
    assert "key@" not in str(runs.table.to_dict())


def test_beside_the_report_it_is_no_run_of_its_own(tmp_path):
    path = written(tmp_path / "benchmarks.csv", [8])
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(pk.PerfkitError):
        pk.open(path)
