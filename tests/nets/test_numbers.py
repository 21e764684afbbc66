"""What ``pk.open`` and the methods of runs say of files that never change."""

import warnings

import pandas as pd
import pytest

import perfkit as pk
from tests.nets.golden import FIXTURES, FOREIGN, RUNS, agrees, plain
from tests.served import served

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs():
    return pk.open(RUNS)


def columns(frame):
    """Return of each column: its kind, how many values are known and differ, and what they add up to."""
    found = {}
    for name in frame.columns:
        values = frame[name]
        kind = values.dtype.kind if values.dtype.kind in "iufb" else "text"
        total = float(values.sum()) if kind in "iuf" else None
        found[name] = [kind, int(values.notna().sum()), int(values.map(str).nunique()), total]
    return plain(found)


def described(opened):
    """Return what is said of opened files: their runs, rows, percentiles and verdicts."""
    said = {
        "labels": list(opened.labels),
        "problems": len(opened.problems),
        "table": {name: plain(opened.table[name].tolist(), wording=False) for name in opened.table.columns},
        "requests": columns(opened.requests),
        "chunks": columns(opened.chunks),
        "preflight": len(opened.preflight),
        "failures": len(opened.failures()),
        "summary": plain(opened.summary().to_dict(), wording=False),
        "verdicts": {
            label: verdict and {"level": verdict.level, "checks": len(verdict.checks)}
            for label, verdict in opened.verdicts.items()
        },
        "lens": {},
    }
    for metric in ("ttft", "itl", "tpot", "e2e"):
        try:
            said["lens"][metric] = plain(opened.lens(metric).table, wording=False)
        except pk.PerfkitError as error:
            said["lens"][metric] = type(error).__name__
    return said


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOREIGN, ids=lambda folder: folder.name)
def test_a_file_of_another_tool_reads_as_it_did(folder):
    said = described(pk.open(folder))
    for name in ("run_id", "path", "file"):  # made of the place of the file
        said["table"].pop(name, None)
        said["requests"].pop(name, None)
    agrees("foreign", folder.name, plain(said, folder=FIXTURES))


def test_a_run_file_reads_as_it_did(runs):
    agrees("numbers", "described", plain(described(runs), folder=RUNS.parent))


def test_filters_and_groups_choose_the_rows_they_chose(runs):
    asked = {
        "where": runs.where("ttft > 50ms and completion_tokens >= 9"),
        "where text": runs.where("gpu = 'H100'"),
        "where failed": runs.where("success = 0"),
        "pick": runs.pick("H100*"),
        "pick setting": runs.pick(parallel=8),
        "trim count": runs.trim(2, 1),
        "trim share": runs.trim("10%"),
        "trim time": runs.trim("100ms", "50ms"),
        "tag": runs.tag(side="a"),
        "rename": runs.rename(faulty="broken"),
        "first": runs[0],
        "added": runs[0] + runs[4],
    }
    agrees(
        "numbers",
        "chosen",
        {
            name: {"labels": list(each.labels), "rows": len(each.requests), "seqs": int(each.requests["seq"].sum())}
            for name, each in asked.items()
        },
    )


def test_summaries_by_groups_definitions_and_objectives(runs):
    agrees(
        "numbers",
        "summaries",
        {
            "by gpu": plain(runs.summary(by="gpu").to_dict(), wording=False),
            "by gpu and parallel": plain(runs.summary(by=["gpu", "parallel"]).to_dict(), wording=False),
            "chosen metrics": plain(runs.summary(metrics=["ttft", "itl"]).to_dict(), wording=False),
            "objectives": plain(runs.summary(slo={"ttft": "50ms", "tpot": 0.02}).to_dict(), wording=False),
            "goodput": plain(runs.goodput({"ttft": "50ms"})),
            **{
                f"as {name}": plain(runs[1].summary(definition=name).to_dict(), wording=False)
                for name in sorted(pk.DEFINITIONS)
            },
        },
    )


def test_every_metric_has_its_percentiles(runs):
    found = {}
    for name in sorted(pk.METRICS):
        try:
            found[name] = plain(runs.percentiles(name))
        except pk.PerfkitError as error:
            found[name] = type(error).__name__
    agrees("numbers", "metrics", found)


@pytest.mark.parametrize("test", ["interval", "permutation"])
def test_a_comparison_has_the_ratios_it_had(runs, test):
    found = runs.compare("A100", by="gpu", test=test)
    said = {"table": found.table, "all": found.to_dict(), "levels": found.levels, "sentences": len(found.sentences)}
    agrees("numbers", f"compare {test}", plain(said, wording=False))


def test_a_comparison_with_other_runs_and_chosen_quantities(runs):
    found = runs.pick("H100*").compare(
        runs.pick("A100*"), match=["parallel"], quantities=["ttft_p90", "itl_mean", "request_throughput"]
    )
    agrees("numbers", "compare runs", plain(found.to_dict(), wording=False))


def test_a_gate_passes_and_fails_as_it_did(runs):
    runs.pick("H100*", "A100*").assert_not_slower("A100", by="gpu", unsure="pass", tpot_mean="5%")
    with pytest.raises(AssertionError):
        runs.pick("H100*", "A100*").assert_not_slower("H100", by="gpu", tpot_mean="5%")


@pytest.fixture(scope="module")
def long():
    """400 requests of numbers drawn with a seed: enough to plan by and to ask why some are slow."""
    kept = ["run", "start_time", "completed_time", "first_chunk_latency", "latency", "time_per_output_token"]
    frame = served("long", parallel=8)[[*kept, "prompt_tokens", "completion_tokens", "success"]]
    return pk.from_frame(frame, run="run", parallel=8, load="closed", model="m")


def test_a_plan_asks_for_as_many_runs(long):
    asked = {
        "all": pk.plan(like=long, noise="4%"),
        "tpot mean": pk.plan(like=long, effect="10%", quantities="tpot", noise="4%", number=100),
        "throughput": pk.plan(like=long, quantities="output_throughput"),
    }
    agrees("numbers", "plan", {name: [each.requests, each.runs, each.rounds] for name, each in asked.items()})


def test_what_people_ask_of_answers_and_slow_requests(runs, long):
    eight = runs.pick("*parallel=8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agrees(
            "numbers",
            "answers",
            {
                "answers": columns(eight.answers()),
                "decoded": columns(eight.decoded()),
                "shown": columns(eight.show("slowest", 2).frame),
                "columns": plain(eight.column("ttft", "itl_p95", "gpu").describe()),
                "batches": sum(len(batch) for batch in eight.batches("ttft")),
                "why slow": plain(long.why_slow().table, wording=False),
            },
        )


def test_a_saved_file_holds_the_chosen_rows(runs, tmp_path):
    saved = pk.open(runs.pick("H100*").where("ttft < 100ms").save(tmp_path / "new.db"))
    agrees("numbers", "saved", plain(described(saved), folder=tmp_path))


def test_a_frame_of_ones_own_reads_as_runs():
    frame = pd.DataFrame({"who": ["a", "a", "b"], "first": [120.0, 80.0, 60.0], "e2e": [900.0, 700.0, 500.0]})
    found = pk.from_frame(frame, run="who", columns={"first": "ttft"}, unit="ms", tags={"gpu": "x"}, parallel=2)
    agrees("numbers", "frame", plain(described(found)))
