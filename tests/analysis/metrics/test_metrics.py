import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.metrics import METRICS, RATES, metric, metric_named, rates
from perfkit.errors import UsageError
from tests.run_files import START, failure, request, write_run


@pytest.fixture
def requests(tmp_path):
    """Three answers and a failure, of a run in the open model that is sent a quarter of a second late."""
    rows = [
        request(0, 0, ttft=0.5, gaps=[0.25, 0.75], tail=0.5, scheduled_time=START - 0.25),
        request(1, 1, ttft=1.0, gaps=[0.5], scheduled_time=START + 0.75),
        request(2, 2, ttft=2.0, gaps=[], scheduled_time=START + 1.75),
        failure(3, 3, lasted=1.0, scheduled_time=START + 2.75),
    ]
    return pk.open(write_run(tmp_path / "r.db", rows, load="open", rate=1.0)).requests


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ttft", [0.5, 1.0, 2.0, NAN]),
        ("e2e", [2.0, 1.5, 2.0, NAN]),  # the first ends half a second after its last token
        ("tpot", [0.5, 0.5, NAN, NAN]),  # one token has no time between tokens
        ("lag", [0.25, 0.25, 0.25, 0.25]),
        ("ttft_scheduled", [0.75, 1.25, 2.25, NAN]),
        ("e2e_scheduled", [2.25, 1.75, 2.25, NAN]),
        ("itl_mean", [0.5, 0.5, NAN, NAN]),
        ("itl_p50", [0.5, 0.5, NAN, NAN]),
        ("itl_p95", [0.25 + 0.95 * 0.5, 0.5, NAN, NAN]),
        ("itl_p99", [0.25 + 0.99 * 0.5, 0.5, NAN, NAN]),
        ("decode_rate", [2.0, 2.0, NAN, NAN]),
        ("prefill_rate", [20.0, 10.0, 5.0, NAN]),
        ("prompt_tokens", [10, 10, 10, 10]),
        ("output_tokens", [3, 2, 1, NAN]),
    ],
)
def test_a_metric_of_hand_made_requests_is_what_the_definition_says(requests, name, values):
    assert METRICS[name].compute(requests).tolist() == pytest.approx(values, nan_ok=True)
    assert requests[name].tolist() == pytest.approx(values, nan_ok=True)


def test_pooled_gaps_stand_under_the_index_of_their_request(requests):
    pooled = METRICS["itl"].compute(requests)
    assert pooled.tolist() == [0.25, 0.75, 0.5]
    assert pooled.index.tolist() == [*requests.index[[0, 0]], requests.index[1]]


@pytest.mark.parametrize("text", ["no json", '{"a": 1}', '["x"]', "null", "7", "[[1,2],[3]]"])
def test_gaps_that_another_program_garbled_are_unknown(requests, text):
    garbled = requests.assign(inter_token_latencies=[text, "[0.25]", None, None])
    assert METRICS["itl_mean"].compute(garbled).iloc[1] == 0.25


def test_latencies_from_schedule_exist_in_the_open_model_only(tmp_path):
    requests = pk.open(write_run(tmp_path / "c.db", [request(0)], load="closed")).requests
    assert requests[["ttft_scheduled", "e2e_scheduled"]].isna().all(axis=None)


@pytest.mark.slow
def test_sql_and_python_agree_on_every_metric_that_has_both(tmp_path):
    rows = [request(i, i, ttft=0.1 * (i + 1), gaps=[0.01 * (i + 1)] * 3) for i in range(5)]
    runs = pk.open(write_run(tmp_path / "s.db", rows))
    for name, each in METRICS.items():
        if each.sql:
            (value,) = runs.where("seq = 2").requests[name]
            if pd.isna(value):
                assert runs.where(f"{name} is null").requests["seq"].tolist() == [0, 1, 2, 3, 4], name
                continue
            assert runs.where(f"{value - 1e-6:.9f} < {name} < {value + 1e-6:.9f}").requests["seq"].tolist()[:1] == (
                [2] if runs.requests[name].nunique() == 5 else [0]
            ), name


# Requests are sent until 3 s and take 1.625 s on average, more than half of that: the window is from 1.5 s to 3 s. The
# tokens come at 0.5, 0.75, 1.5 (before it), 2, 2.5 (in it) and 4 s (after it).
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_throughput", 2 / 1.5),
        ("output_throughput", 2 / 1.5),
        ("prompt_throughput", 10 / 1.5),
        ("total_throughput", 12 / 1.5),
        ("concurrency", (0.5 + 1 + 1) / 1.5),
        ("peak_concurrency", 2),
        ("whole_run_request_throughput", 3 / 4),
        ("whole_run_output_throughput", 6 / 4),
        ("success_rate", 0.75),
    ],
)
def test_a_rate_of_hand_made_requests_is_what_the_definition_says(requests, name, value):
    assert RATES[name].compute(requests) == pytest.approx(value)


@pytest.mark.slow
def test_rates_of_two_runs_count_the_time_of_each(requests):
    later = requests.assign(
        run_id="other", start_time=requests["start_time"] + 1e6, completed_time=requests["completed_time"] + 1e6
    )
    both = pd.concat([requests, later])
    assert rates.seconds_of_windows(rates.with_windows(both)) == pytest.approx(3)
    assert rates.output_throughput(both) == pytest.approx(rates.output_throughput(requests))
    assert rates.peak_concurrency(both) == 2


def test_a_user_in_a_closed_loop_does_not_overlap_himself():
    rows = pd.DataFrame({"run_id": "a", "start_time": [0.0, 1.0, 2.0], "completed_time": [1.0, 2.0, 3.0]})
    assert rates.peak_concurrency(rows) == 1


def test_tokens_that_nobody_counted_are_unknown_not_zero(requests):
    assert pd.isna(rates.output_throughput(requests.assign(completion_tokens=NAN)))


def test_goodput_takes_a_lower_bound_where_higher_is_better(requests):
    assert rates.goodput(requests, {"decode_rate": 1.5, "ttft": 0.6}) == pytest.approx(1 / 1.5)


@pytest.mark.slow
def test_a_metric_of_the_users_own_appears_in_requests_summary_and_filters(tmp_path):
    @metric("bytes per token", unit="bytes", columns=("bytes_received", "completion_tokens"))
    def density(requests):
        return requests["bytes_received"] / requests["completion_tokens"]

    try:
        rows = [request(0, bytes_received=300), request(1, 1, bytes_received=600)]
        runs = pk.open(write_run(tmp_path / "own.db", rows))
        assert runs.requests["density"].tolist() == [100, 200]
        assert "bytes per token [bytes]" in str(runs.summary())
        assert runs.where("density > 150").requests["seq"].tolist() == [1]
    finally:
        METRICS.pop("density")


def test_every_metric_and_rate_says_what_it_is():
    for name, each in {**METRICS, **RATES}.items():
        assert each.definition.endswith((".", "]", "http")) or ">>>" in each.definition, name
        assert each.label
        assert each.columns


def test_an_unknown_metric_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ttft'"):
        metric_named("tftt")


def test_tokens_cannot_be_shown_in_milliseconds():
    with pytest.raises(UsageError, match="tokens"):
        METRICS["output_tokens"].scale("ms")
