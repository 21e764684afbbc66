"""evalscope's summary of a run without its database, held against the same files beside it."""

import json
from pathlib import Path
from shutil import copy

import pytest

import perfkit as pk

EVALSCOPE = Path(__file__).parents[2] / "fixtures" / "evalscope"
FILES = ("benchmark_summary.json", "benchmark_percentile.json", "benchmark_args.json")


def alone(tmp_path, release):
    """Copy what lies beside a database into a folder without it; return the summary, and its folder."""
    source = next((EVALSCOPE / release).rglob("benchmark_summary.json")).parent
    folder = tmp_path / source.name
    folder.mkdir()
    for name in FILES:
        copy(source / name, folder)
    return json.loads((folder / FILES[0]).read_text()), pk.open(folder)


def values(runs):
    return runs.figures.set_index("quantity")["value"]


@pytest.mark.parametrize("release", ["evalscope-0.17.1__sweep", "evalscope-1.1.1__sweep", "evalscope-1.9.1__sweep"])
def test_figures_and_counts_are_those_of_the_files(tmp_path, release):
    told, runs = alone(tmp_path, release)
    lower = {name.lower(): value for name, value in told.items()}
    found = values(runs)
    assert found["output_throughput"] == lower.get(
        "output token throughput (tok/s)", lower.get("output throughput (tok/s)")
    )
    mean = lower["ttft (ms)"] / 1e3 if "ttft (ms)" in lower else lower["average time to first token (s)"]
    assert found["ttft_mean"] == pytest.approx(mean)
    assert found["e2e_mean"] == lower.get("average latency (s)", lower.get("avg latency (s)"))
    percentiles = json.loads((tmp_path / runs.members[0].source.path).with_name(FILES[1]).read_text())
    (p99,) = [row for row in percentiles if "99%" in row.values()]
    assert found["e2e_p99"] == p99["Latency (s)"]
    assert found["itl_p99"] == pytest.approx(p99["ITL (ms)"] / 1e3 if "ITL (ms)" in p99 else p99["ITL (s)"])
    (row,) = runs.table.to_dict("records")
    assert (row["parallel"], row["number"], row["succeeded"], row["failed"]) == (2, 20, 20, 0)
    assert (row["model"], row["source"]) == ("mock-qwen", "evalscope")


def test_the_first_releases_time_per_token_is_not_taken_for_tpot(tmp_path):
    told, runs = alone(tmp_path, "evalscope-0.10.1__doc001_dataset")
    found = values(runs)
    assert "Average time per output token (s)" in told
    assert "tpot_mean" not in found
    assert found["output_throughput"] == told["Throughput(average tokens/s)"]
    assert found["request_throughput"] == told["Average QPS"]


def test_without_percentiles_and_settings_there_are_means_and_the_load(tmp_path):
    source = next((EVALSCOPE / "evalscope-1.9.1__sweep").rglob("benchmark_summary.json"))
    copy(source, tmp_path)
    runs = pk.open(tmp_path)
    assert set(values(runs).index) & {"ttft_mean", "ttft_p99"} == {"ttft_mean"}
    assert runs.table["parallel"].tolist() == [2]


def test_beside_its_database_a_summary_is_no_run_of_its_own():
    assert pk.open(EVALSCOPE / "evalscope-1.9.1__sweep").summarized == []
