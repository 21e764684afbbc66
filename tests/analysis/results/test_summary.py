import json

import pytest

import perfkit as pk
from tests.run_files import failure, request, write_run


def opened(tmp_path, rows, **record):
    return pk.open(write_run(tmp_path / "s.db", rows, **record))


@pytest.fixture
def summary(tmp_path):
    rows = [request(i, i, ttft=0.1 * (i + 1), gaps=[0.02, 0.04]) for i in range(10)]
    return opened(tmp_path, [request(None, -1, phase="preflight"), *rows, failure(10, 10)]).summary()


@pytest.mark.slow
def test_the_frame_has_n_mean_and_percentiles_in_seconds(summary):
    row = summary.frame.loc[("run", "ttft")]
    assert row["unit"] == "s"
    assert row["n"] == 10
    # Hyndman & Fan 7 of 0.1 ... 1.0: rank 9 q / 100, counted from 0.
    expected = [0.55, 0.55, 0.91, 0.955, 0.991]
    assert row[["mean", "p50", "p90", "p95", "p99"]].tolist() == pytest.approx(expected)


@pytest.mark.slow
def test_pooled_gaps_count_each(summary):
    row = summary.frame.loc[("run", "itl")]
    assert (row["n"], row["p50"]) == (20, pytest.approx(0.03))


def test_a_unit_is_of_durations_only(tmp_path):
    frame = opened(tmp_path, [request(0, ttft=0.5)]).summary(["ttft", "output_tokens"], unit="ms").frame
    assert frame.loc[("run", "ttft"), ["unit", "p50"]].tolist() == ["ms", 500]
    assert frame.loc[("run", "output_tokens"), ["unit", "p50"]].tolist() == ["tokens", 3]


def test_people_read_milliseconds_whatever_the_frame_is_in(tmp_path):
    runs = opened(tmp_path, [request(0, ttft=0.5)])
    assert "time to first token [ms]" in str(runs.summary())
    assert str(runs.summary(unit="ms")) == str(runs.summary())


def test_the_head_counts_what_is_left_out_and_what_failed(summary):
    assert summary.head == "1 run, 11 requests, 1 failed (left out: 1 preflight)"


def test_thin_percentiles_are_marked_and_explained(summary):
    assert "991*" in str(summary)
    assert "* too few: fewer than 10 samples" in str(summary)
    assert "color:#999" in summary._repr_html_()


def test_marks_are_in_the_frame_and_in_json(summary):
    row = summary.frame.loc[("run", "ttft")]
    assert (row["n"], row["effective"]) == (10, pytest.approx(10, abs=8))
    assert row["marks"] == "too few: mean, p50, p90, p95, p99"
    (ttft,) = (row for row in summary.to_dict()["metrics"] if row["metric"] == "ttft")
    assert ttft["marks"] == dict.fromkeys(["mean", "p50", "p90", "p95", "p99"], "too few")


def test_requests_that_are_slow_together_are_marked_with_how_many_count(tmp_path):
    # 400 requests, every other forty of them slow: as few as the ten stretches say no more.
    rows = [request(i, i, ttft=0.1 + 0.4 * (i // 40 % 2) + 0.001 * (i * 37 % 100)) for i in range(400)]
    summary = opened(tmp_path, rows).summary(["ttft"])
    row = summary.frame.loc[("run", "ttft")]
    assert row["effective"] < 40
    assert row["marks"] == "dependent: mean, p50, p90, p95; too few: p99"
    assert f"(run ttft: {row['effective']:,.0f} of 400)" in str(summary)


def test_json_holds_no_nan(tmp_path):
    runs = opened(tmp_path, [failure(0)])
    text = json.dumps(runs.where("success = 0").summary().to_dict(), allow_nan=False)
    assert json.loads(text)["rates"][0]["output_throughput"] is None


def test_groups_can_be_of_several_columns(tmp_path):
    rows = [request(i, i, worker=i % 2, turn=1 + i // 2) for i in range(4)]
    frame = opened(tmp_path, rows).summary(["ttft"], by=["worker", "turn"]).frame
    assert frame.index.names == ["worker", "turn", "metric"]
    assert len(frame) == 4


def test_a_run_that_did_not_finish_is_named(tmp_path):
    assert "run was interrupted" in str(opened(tmp_path, [request(0)], status="interrupted"))


def test_runs_without_a_request_still_print(tmp_path):
    assert "1 run, 0 requests" in str(opened(tmp_path, []))


def test_a_run_without_a_steady_request_says_so_and_what_to_do(tmp_path):
    rows = [request(0, 0, phase="preflight"), *(request(i, i, phase="warmup") for i in range(3))]
    runs = pk.open(write_run(tmp_path / "w.db", rows, name="w"))
    head, note = str(runs).splitlines()
    assert head == "1 run, 0 requests (left out: 1 preflight, 3 warm-up)"
    assert note.startswith(
        "nothing is left of w: none of its requests is of the steady state (1 preflight, 3 warm-up); "
    )
    assert "take them in with `perfkit show --warmup 0`" in note
    assert "nothing is left" not in str(runs.trim())


def test_a_condition_that_no_request_meets_is_told(tmp_path):
    runs = pk.open(write_run(tmp_path / "w.db", [request(0, 0)]))
    assert "nothing is left: no request meets the condition" in str(runs.where("ttft > 60s"))
    assert "nothing is left" not in str(runs)


def test_groups_without_the_tag_are_called_so_as_in_comparisons(tmp_path):
    write_run(tmp_path / "s.db", [request(0, ttft=0.5)], name="a", run_id="a", tags={"gpu": "H100"})
    runs = opened(tmp_path, [request(0, ttft=0.5)], name="b", run_id="b")
    shown = str(runs.summary(by=["gpu"]))
    assert "without gpu" in shown
    assert "nan" not in shown
