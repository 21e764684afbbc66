"""What monitoring reads of a run is what its summary says: read back by Prometheus' and OpenTelemetry's own parsers."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

import perfkit as pk
from perfkit.analysis.report.monitoring import otlp, prometheus
from tests.cli.commands import perfkit
from tests.nets.golden import FIXTURES, RUNS
from tests.run_files import request, write_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs():
    return pk.open(RUNS)


def samples(page):
    """Return samples by name, as a list of labels and values."""
    found = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_prometheus_reads_every_quantile_and_rate_of_the_summary(runs):
    summary, found = runs.summary(), samples(prometheus(runs))
    told = {(labels["run"], labels["quantile"]): value for labels, value in found["perfkit_ttft_seconds"]}
    for run in runs.labels:
        row = summary.frame.loc[(run, "ttft")]
        assert [told[run, at] for at in ("0.5", "0.9", "0.95", "0.99")] == row[["p50", "p90", "p95", "p99"]].tolist()
    rates = {labels["run"]: value for labels, value in found["perfkit_output_throughput_tokens_per_second"]}
    assert rates == summary.rates["output_throughput"].to_dict()
    counts = {labels["run"]: value for labels, value in found["perfkit_failed"]}
    assert counts == {run: 2.0 if run == "faulty" else 0.0 for run in runs.labels}
    sums = {labels["run"]: value for labels, value in found["perfkit_ttft_seconds_sum"]}
    rows = runs["faulty"].requests
    assert sums["faulty"] == pytest.approx(rows.loc[rows["success"], "ttft"].sum())


def test_each_series_says_which_run_it_is_of_and_no_time_stamp(runs):
    page = prometheus(runs)
    for labels, _ in samples(page)["perfkit_concurrency_requests"]:
        assert labels["model"] == "sample-7b"
        assert labels["gpu"] in ("A100", "H100")
        assert {"parallel", "rate"} & labels.keys()
    lines = [line.rpartition("}")[2].split() for line in page.splitlines() if not line.startswith("#")]
    assert {len(each) for each in lines} == {1}


def test_numbers_not_to_be_relied_on_are_said_and_the_verdict(runs):
    found = samples(prometheus(runs))
    doubtful = {(each["run"], each["metric"], each["statistic"]) for each, _ in found["perfkit_not_to_be_relied_on"]}
    assert ("A100 parallel=1", "ttft", "p99") in doubtful
    levels = {labels["level"]: value for labels, value in found["perfkit_verdict"] if labels["run"] == "faulty"}
    assert sum(levels.values()) == 1
    assert levels[runs.summary().verdicts["faulty"].level] == 1


def test_hostile_labels_and_unknown_values_do_not_break_the_page(tmp_path):
    name = 'a"b\\c\nd\x1b'
    path = write_run(tmp_path / "a.db", [request(0, ttft=None)], name=name, tags={"9 lives": 'x"', "run": "no"})
    page = prometheus(pk.open(path))
    ((labels, value),) = samples(page)["perfkit_requests"]
    assert (labels["run"], labels["_9_lives"], value) == (pk.open(path).labels[0], 'x"', 1.0)
    assert "nan" not in page.lower().replace("failed", "")


def test_opentelemetry_reads_the_same(runs):
    protocol = pytest.importorskip("opentelemetry.proto.metrics.v1.metrics_pb2")
    parse = pytest.importorskip("google.protobuf.json_format").Parse
    text = otlp(runs)
    assert text.count("\n") == 1
    data = parse(text, protocol.MetricsData())
    summary = runs.summary()
    assert len(data.resource_metrics) == len(runs)
    for resource in data.resource_metrics:
        told = {each.key: each.value.string_value for each in resource.resource.attributes}
        run = told["perfkit.run"]
        (scope,) = resource.scope_metrics
        metrics = {metric.name: metric for metric in scope.metrics}
        (point,) = metrics["perfkit.ttft"].summary.data_points
        row = summary.frame.loc[(run, "ttft")]
        assert metrics["perfkit.ttft"].unit == "s"
        assert [each.value for each in point.quantile_values] == row[["p50", "p90", "p95", "p99"]].tolist()
        assert (point.count, point.sum) == (row["n"], pytest.approx(row["mean"] * row["n"]))
        assert point.time_unix_nano == round(runs[run].members[0].record["end_time"] * 1e9)
        (point,) = metrics["perfkit.output_throughput"].gauge.data_points
        assert point.as_double == summary.rates.loc[run, "output_throughput"]
        assert metrics["perfkit.output_throughput"].unit == "{tokens}/s"


def test_a_summary_of_another_tool_gives_what_it_knows():
    runs = pk.open(FIXTURES / "summaries" / "vllm_0.25.1.json")
    found = samples(prometheus(runs))
    assert found["perfkit_requests"]
    assert not any(math.isnan(value) for each in found.values() for _, value in each)
    assert "NaN" not in otlp(runs)


def test_the_command_writes_both_files_and_draws_nothing(tmp_path):
    done = perfkit("export", RUNS, "--format", "prometheus", "otel", "--to", "out", folder=tmp_path)
    assert (done.returncode, sorted(done.stdout.split())) == (0, ["out/perfkit.otlp.json", "out/perfkit.prom"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["perfkit.otlp.json", "perfkit.prom"]
