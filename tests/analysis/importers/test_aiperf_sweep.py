"""aiperf's aggregate of a sweep, in both forms of its metrics, without the files of its points."""

import json

import perfkit as pk


def written(tmp_path, *points):
    folder = tmp_path / "sweep_aggregate"
    folder.mkdir()
    found = {"aggregation_type": "sweep", "num_profile_runs": 2, "per_combination_metrics": list(points)}
    (folder / "profile_export_aiperf_sweep.json").write_text(json.dumps(found))
    return tmp_path


def test_points_of_one_trial_have_their_statistics(tmp_path):
    metrics = {
        "time_to_first_token": {"mean": 60.0, "std": 0, "avg": 60.0, "p50": 58.0, "p99": 140.0, "unit": "ms"},
        "output_token_throughput": {"mean": 1872.0, "avg": 1872.0, "unit": "tokens/sec"},
        "request_count": {"mean": 100.0, "unit": "requests"},
    }
    points = [{"parameters": {"concurrency": users, "isl": 512}, "metrics": metrics} for users in (10, 20)]
    runs = pk.open(written(tmp_path, *points))
    assert runs.table[["parallel", "isl", "succeeded", "source"]].to_numpy().tolist() == [
        [10, "512", 100, "aiperf"],
        [20, "512", 100, "aiperf"],
    ]
    found = runs[0].figures.set_index("quantity")["value"]
    assert found[["ttft_mean", "ttft_p50", "ttft_p99"]].tolist() == [0.06, 0.058, 0.14]
    assert found["output_throughput"] == 1872


def test_points_of_several_trials_have_the_means_of_theirs(tmp_path):
    metrics = {
        "request_throughput_avg": {"mean": 7.5, "std": 0.2, "unit": "requests/sec"},
        "time_to_first_token_p99": {"mean": 120.5, "std": 8.1, "ci_low": 111.5, "unit": "ms"},
        "inter_token_latency_avg": {"mean": 16.0, "unit": "ms"},
    }
    runs = pk.open(written(tmp_path, {"parameters": {"phases.profiling.request_rate": 5}, "metrics": metrics}))
    found = runs.figures.set_index("quantity")["value"]
    assert found[["request_throughput", "ttft_p99", "tpot_mean"]].tolist() == [7.5, 0.1205, 0.016]
    assert runs.table["rate"].tolist() == [5]


def test_beside_the_files_of_its_points_it_is_no_run_of_its_own(tmp_path):
    written(tmp_path, {"parameters": {"concurrency": 10}, "metrics": {"request_throughput_avg": {"mean": 7.5}}})
    point = tmp_path / "concurrency_10"
    point.mkdir()
    told = {"input_config": {}, "request_latency": {"unit": "ms", "avg": 100.0}, "request_count": {"avg": 3}}
    (point / "profile_export_aiperf.json").write_text(json.dumps(told))
    runs = pk.open(tmp_path)
    assert len(runs) == 1
    assert runs.figures["quantity"].tolist() == ["e2e_mean", "success_rate"]
