"""guidellm's csv alone: three lines of headings and a line a benchmark, as release 0.5 has it; or one, as 0.3 had."""

import csv
import json
from pathlib import Path

import pytest

import perfkit as pk

FIXTURES = Path(__file__).parents[2] / "fixtures"
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


def test_a_table_of_0_3_has_the_figures_that_its_console_showed():
    """Beside the file guidellm 0.3.1 printed these, to as many digits, in seconds and milliseconds."""
    runs = pk.open(FIXTURES / "summaries/guidellm_0.3/benchmarks.csv")
    assert runs.table[["parallel", "model", "succeeded", "failed"]].to_numpy().tolist() == [
        [1, "simulated", 8, 0],
        [3, "simulated", 8, 0],
    ]
    printed = {
        "request_throughput": (2, 9.29, 7.52),
        "concurrency": (2, 0.86, 1.38),
        "output_throughput": (1, 73.1, 59.2),
        "total_throughput": (1, 193.8, 173.9),
        "e2e_mean": (2, 0.09, 0.18),
        "e2e_p50": (2, 0.06, 0.10),
        "e2e_p99": (2, 0.26, 0.76),
        "ttft_mean": (4, 0.0760, 0.1718),
        "ttft_p50": (4, 0.0423, 0.0846),
        "ttft_p99": (4, 0.2489, 0.7524),
        "tpot_mean": (4, 0.0023, 0.0016),
        "tpot_p50": (4, 0.0022, 0.0013),
        "tpot_p99": (4, 0.0031, 0.0039),
        "prompt_tokens_mean": (1, 13.0, 15.2),
        "output_tokens_mean": (1, 8.0, 8.0),
    }
    for at, run in enumerate(runs):
        found = run.figures.set_index("quantity")["value"]
        rounded = {name: round(found[name], digits) for name, (digits, *_) in printed.items()}
        assert rounded == pytest.approx({name: values[at] for name, (_, *values) in printed.items()})


@pytest.mark.parametrize(
    ("strategy", "load"),
    [
        ("concurrent@16", [16, None]),
        ("constant@2.5", [None, 2.5]),
        ("throughput@64", [None, -1]),
        ("synchronous", [1, None]),
    ],
)
def test_the_load_stands_in_the_name_that_recent_releases_write(strategy, load, tmp_path):
    path = written(tmp_path / "benchmarks.csv", [8, 16])
    path.write_text(path.read_text().replace(",concurrent,", f",{strategy},"))
    (run,) = pk.open(path)
    assert [None if value != value else value for value in run.table[["parallel", "rate"]].iloc[0]] == load
