import json
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.analysis.definitions import DEFINITIONS, lens, measure
from perfkit.analysis.query.opening import open_all
from perfkit.analysis.query.run import Run
from perfkit.errors import UsageError
from tests.run_files import failure, request, write_run

FIXTURES = Path(__file__).parents[2] / "fixtures"


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


@pytest.mark.parametrize(
    ("folder", "name", "e2e", "tpot"),
    [
        ("evalscope/evalscope-1.9.1__sweep", "evalscope-1.10", "Avg Latency (s)", "TPOT (ms)"),
        ("evalscope/evalscope-1.14.1__doc002_api_dataset", "evalscope", "Avg Latency (s)", "Avg TPOT (ms)"),
    ],
)
def test_what_a_file_keeps_only_as_its_tool_counted_it_is_that_tools_figure_and_not_perfkits(folder, name, e2e, tpot):
    run = opened(folder)
    assert round(measure(run, "e2e", name)["mean"], 4) == printed(folder)[e2e]
    assert round(measure(run, "tpot", name)["mean"] * 1000, 2) == printed(folder)[tpot]
    table = lens(run, "e2e")
    assert (table.loc["perfkit", "n"], table.loc["sglang", "n"]) == (0, 0)
    assert table.loc["perfkit", "cause"] == (
        "perfkit's e2e ends at the last byte, and this file keeps the end as evalscope counts it"
    )
    assert table["changed"].isna().all()


def test_what_a_file_of_no_chunks_stored_under_a_definition_is_shown_under_it(tmp_path):
    rows = [request(i, i, ttft=ttft, chunks=None, last_token_time=None) for i, ttft in enumerate([0.2, 0.4])]
    basis = dict.fromkeys(("ttft", "itl", "tpot"), "stored:evalscope") | {
        "e2e": "stored:evalscope",
        "chunks": "nothing",
    }
    path = write_run(tmp_path / "a.db", rows, source="evalscope", basis=json.dumps(basis))
    (run,) = pk.open(path).members
    found = {
        metric: measure(run, metric, "evalscope")[["mean", "n"]].tolist() for metric in ("ttft", "itl", "tpot", "e2e")
    }
    # TTFT of 0.2 and 0.4 s, each followed by two gaps of 0.25 s; the mean E2E is 0.3 + 0.5.
    assert found == {
        "ttft": [pytest.approx(0.3), 2],
        "itl": [0.25, 4],
        "tpot": [0.25, 2],
        "e2e": [pytest.approx(0.8), 2],
    }
    assert lens(run, "ttft").loc["perfkit", "n"] == 0


@pytest.mark.slow
def test_a_summary_says_which_metrics_are_stored_and_under_whose_definition():
    runs = pk.open(FIXTURES / "evalscope/evalscope-1.14.1__doc002_api_dataset")
    said = "e2e: stored:evalscope, as evalscope counted and stored it"
    assert said in str(runs)
    assert said not in str(runs.summary(definition="evalscope"))
    assert "stored:" not in str(runs.summary(["ttft"]))


def test_aiperfs_definition_on_its_own_file_gives_its_report():
    run = opened("peers/aiperf_4")
    report = json.loads((FIXTURES / "peers/aiperf_4/profile_export_aiperf.json").read_text())
    for metric, name in (("ttft", "time_to_first_token"), ("itl", "inter_token_latency"), ("e2e", "request_latency")):
        found = measure(run, metric, "aiperf")
        for ours, theirs in (("mean", "avg"), ("p50", "p50"), ("p95", "p95"), ("p99", "p99")):
            assert found[ours] * 1000 == pytest.approx(report[name][theirs], rel=1e-6)


def test_the_lens_counts_the_requests_whose_role_chunk_came_first():
    table = lens(opened("evalscope/evalscope-0.17.1__sweep"), "ttft")
    assert table.loc["evalscope-1.10", "mean"] < table.loc["perfkit", "mean"]
    assert table.loc["evalscope-1.10", "changed"] == 11
    assert table.loc["perfkit", "changed"] == 0
    assert "role chunk" in table.loc["evalscope-1.10", "cause"]


def test_a_definition_that_the_file_cannot_give_is_refused_with_the_reason():
    run = opened("evalscope/evalscope-1.14.1__doc002_api_dataset")
    with pytest.raises(UsageError, match=r"evalscope-1\.10's ttft needs the arrival of role and finish chunks"):
        measure(run, "ttft", "evalscope-1.10")
    assert lens(run, "ttft").loc["evalscope-1.10", ["n", "cause"]].tolist()[0] == 0


def test_a_file_without_stamps_is_refused_whatever_the_definition():
    with pytest.raises(UsageError, match="does not keep"):
        measure(opened("peers/guidellm_4"), "itl", "perfkit")


def test_guidellms_definition_on_its_own_file_gives_its_report():
    run = opened("peers/guidellm_4")
    report = json.loads((FIXTURES / "peers/guidellm_4/report.json").read_text())["benchmarks"][0]["metrics"]
    names = {"ttft": "time_to_first_token_ms", "itl": "inter_token_latency_ms", "tpot": "time_per_output_token_ms"}
    for metric, name in names.items():
        found, theirs = measure(run, metric, "guidellm"), report[name]["successful"]
        assert found["mean"] * 1000 == pytest.approx(theirs["mean"], rel=1e-6)
        for percentile in ("p50", "p95", "p99"):
            assert found[percentile] * 1000 == pytest.approx(theirs["percentiles"][percentile], rel=1e-6)


def test_llmeters_definition_on_its_own_file_gives_its_report():
    run = opened("peers/llmeter_4")
    report = json.loads((FIXTURES / "peers/llmeter_4/20261120-2005/stats.json").read_text())
    names = {"ttft": "time_to_first_token", "tpot": "time_per_output_token", "e2e": "time_to_last_token"}
    for metric, name in names.items():
        found = measure(run, metric, "llmeter")
        assert found["mean"] == pytest.approx(report[f"{name}-average"], rel=1e-5)
        assert found["p99"] == pytest.approx(report[f"{name}-p99"], rel=1e-5)


@pytest.mark.slow
def test_a_summary_under_another_definition_says_so_and_keeps_the_rates():
    runs = pk.open(FIXTURES / "evalscope/evalscope-0.17.1__sweep")
    ours, theirs = runs.summary(unit="ms"), runs.summary(unit="ms", definition="evalscope-1.0")
    line = printed("evalscope/evalscope-0.17.1__sweep")["Average time to first token (s)"]
    assert theirs.frame["mean"].xs("ttft", level="metric").iloc[0] == pytest.approx(line * 1000, abs=0.05)
    assert ours.frame["mean"].xs("ttft", level="metric").iloc[0] > line * 1000
    assert theirs.rates.equals(ours.rates)
    assert "latencies as evalscope-1.0 defines them" in str(theirs)


def test_the_lens_of_runs_has_a_line_for_every_run_and_definition():
    runs = pk.open([FIXTURES / "peers/aiperf_4", FIXTURES / "peers/guidellm_4"])
    table = runs.lens("e2e").table
    assert len(table) == 2 * len(DEFINITIONS)
    assert table.index.names == ["run", "definition"]


def test_vllms_chunks_serve_its_own_definition_only(tmp_path):
    details = {"tokenizer_id": "m", "num_prompts": 1, "input_lens": [5], "output_lens": [3], "errors": [""]}
    path = tmp_path / "vllm.json"
    path.write_text(json.dumps(details | {"ttfts": [0.1], "itls": [[0.02, 0.04]], "start_times": [1.0]}))
    run = opened(str(path))
    assert measure(run, "tpot", "vllm")["mean"] == pytest.approx(0.03)
    with pytest.raises(UsageError, match="perfkit's ttft needs the arrival of first and last output"):
        measure(run, "ttft", "perfkit")


@pytest.fixture
def own(tmp_path) -> pk.Runs:
    rows = [request(0, 0.0, ttft=0.5), request(1, 1.0, ttft=0.7, gaps=(0.1, 0.3), tail=0.2), failure(2, 2.0)]
    return pk.open(write_run(tmp_path / "run.db", rows))


@pytest.mark.parametrize("metric", ["ttft", "itl", "tpot", "e2e"])
def test_perfkits_definition_on_a_perfkit_file_is_its_own_metric(own, metric):
    ours = own.percentiles(metric).iloc[0]
    found = own.lens(metric).table.xs("perfkit", level="definition").iloc[0]
    assert found["n"] == ours["n"]
    for name in ("mean", "p50", "p95", "p99"):
        assert found[name] == pytest.approx(ours[name])


def test_a_perfkit_file_gives_every_definition_of_every_metric(own):
    for metric in ("ttft", "itl", "tpot", "e2e"):
        assert own.lens(metric).table["n"].min() > 0


def test_a_filter_holds_under_the_lens_too(own):
    table = own.where("ttft > 600ms").lens("ttft").table
    assert table.xs("vllm", level="definition")["mean"].tolist() == [0.7]


def test_a_lens_shows_itself_in_milliseconds_and_whole(own, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    # Of the two TTFT of 500 and 700 ms; pandas would have cut the last column, and said seconds.
    shown = own.lens("ttft")
    line = next(line for line in str(shown).splitlines() if "perfkit" in line)
    assert line.split()[:7] == ["run", "perfkit", "2", "600", "600", "690", "698"]
    assert all(cause in str(shown) for cause in shown.table["cause"])
    assert shown._repr_html_().startswith("<b>time to first token [ms]</b><table>")


def test_an_unknown_metric_is_refused():
    with pytest.raises(UsageError, match="no definition has a 'ttfb'"):
        lens(opened("peers/aiperf_4"), "ttfb")


def test_answers_without_a_stream_keep_their_e2e_under_every_definition():
    run = opened("evalscope/evalscope-1.7.1__nonstream")
    table = lens(run, "e2e")
    count, mean = len(stored_latencies(run)), sum(stored_latencies(run)) / len(stored_latencies(run))
    assert set(table["n"]) == {count}
    assert table["mean"].tolist() == pytest.approx([mean] * len(table))
    assert set(lens(run, "ttft")["n"]) == set(lens(run, "tpot")["n"]) == {0}


def stored_latencies(run: Run) -> list[float]:
    sql = "SELECT latency FROM result WHERE success = 1"
    return [latency for (latency,) in run.source.connection.execute(sql)]
