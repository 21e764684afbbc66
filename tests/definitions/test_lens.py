import json
from pathlib import Path

import pytest

from perfkit.definitions import lens, measure
from perfkit.errors import UsageError
from perfkit.frame import Run
from perfkit.opening import open_all

FIXTURES = Path(__file__).parents[1] / "fixtures"


def opened(name: str) -> Run:
    (run,), problems = open_all(FIXTURES / name)
    assert not problems
    return run


def printed(name: str) -> dict:
    return json.loads(next((FIXTURES / name).rglob("benchmark_summary.json")).read_text())


@pytest.mark.parametrize(
    ("folder", "name", "labels", "scale", "decimals"),
    [
        (
            "evalscope/evalscope-0.17.1__sweep",
            "evalscope-1.0",
            {"ttft": "Average time to first token (s)", "itl": "Average inter-token latency (s)"},
            1,
            4,
        ),
        ("evalscope/evalscope-1.9.1__sweep", "evalscope-1.10", {"ttft": "TTFT (ms)", "itl": "ITL (ms)"}, 1000, 2),
        (
            "evalscope/evalscope-1.14.1__doc002_api_dataset",
            "evalscope",
            {"ttft": "Avg TTFT (ms)", "itl": "Avg ITL (ms)"},
            1000,
            2,
        ),
    ],
)
def test_a_tools_definition_on_the_stamps_of_its_own_file_gives_what_it_printed(folder, name, labels, scale, decimals):
    run = opened(folder)
    for metric, label in labels.items():
        mean = measure(run, metric, name)["mean"] * scale
        assert round(mean, decimals) == printed(folder)[label]


def test_tpot_and_e2e_of_a_file_with_all_chunks_are_what_the_tool_printed():
    folder = "evalscope/evalscope-0.17.1__sweep"
    means = {metric: measure(opened(folder), metric, "evalscope-1.0")["mean"] for metric in ("tpot", "e2e")}
    lines = printed(folder)
    assert round(means["e2e"], 4) == lines["Average latency (s)"]
    assert round(means["tpot"], 4) == lines["Average time per output token (s)"]


def test_aiperfs_definition_on_its_own_file_gives_its_report():
    run = opened("peers/aiperf_4")
    report = json.loads((FIXTURES / "peers/aiperf_4/profile_export_aiperf.json").read_text())
    for metric, name in (("ttft", "time_to_first_token"), ("itl", "inter_token_latency"), ("e2e", "request_latency")):
        found = measure(run, metric, "aiperf")
        for ours, theirs in (("mean", "avg"), ("p50", "p50"), ("p95", "p95"), ("p99", "p99")):
            assert found[ours] * 1000 == pytest.approx(report[name][theirs], rel=1e-6)


def test_the_lens_counts_the_requests_whose_role_chunk_came_first():
    table = lens(opened("evalscope/evalscope-0.17.1__sweep"), "ttft")
    assert table.loc["vllm", "mean"] < table.loc["perfkit", "mean"]
    assert table.loc["vllm", "changed"] == 11
    assert table.loc["perfkit", "changed"] == 0
    assert "role chunk" in table.loc["vllm", "cause"]


def test_a_definition_that_the_file_cannot_give_is_refused_with_the_reason():
    run = opened("evalscope/evalscope-1.14.1__doc002_api_dataset")
    with pytest.raises(UsageError, match="vllm's ttft needs the arrival of role and finish chunks"):
        measure(run, "ttft", "vllm")
    assert lens(run, "ttft").loc["vllm", ["n", "cause"]].tolist()[0] == 0


def test_a_file_without_stamps_is_refused_whatever_the_definition():
    with pytest.raises(UsageError, match="does not keep"):
        measure(opened("peers/guidellm_4"), "itl", "perfkit")


def test_an_unknown_metric_is_refused():
    with pytest.raises(UsageError, match="no definition has a 'ttfb'"):
        lens(opened("peers/aiperf_4"), "ttfb")
