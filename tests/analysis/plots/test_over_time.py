import numpy as np
import pandas as pd
import pytest

from perfkit.analysis.plots import over_time
from perfkit.analysis.plots.over_time import over_time_table
from tests.served import served


def answers(*rows):
    """Rows of (start, first token, end, tokens), seconds since the run's start; no tokens: failed."""
    frame = pd.DataFrame(rows, columns=["t", "first", "end", "completion_tokens"])
    return pd.DataFrame(
        {
            "run": "a",
            "t": frame["t"],
            "start_time": 50 + frame["t"],
            "completed_time": 50 + frame["end"],
            "last_token_time": 50 + frame["end"],
            "first_chunk_latency": frame["first"] - frame["t"],
            "latency": frame["end"] - frame["t"],
            "completion_tokens": frame["completion_tokens"],
            "success": frame["completion_tokens"].notna(),
        }
    )


def test_tokens_are_spread_from_the_first_to_the_last():
    table = over_time_table(answers((0, 6, 12, 600)), "output_throughput")
    values = table["output throughput [tokens/s]"].to_numpy()
    middle = len(values) // 2
    assert values[: middle - 1] == pytest.approx(0)
    assert values[middle + 1 :] == pytest.approx(100)


def test_the_area_under_the_throughput_is_the_number_of_tokens():
    requests = served("a", parallel=16, number=200, failing=0.1)
    table = over_time_table(requests, "output_throughput")
    at, rate = table.iloc[:, 2].to_numpy(), table.iloc[:, 3].to_numpy()
    assert (np.diff(at) * rate[:-1]).sum() == pytest.approx(requests["completion_tokens"].sum())


def test_the_area_under_the_total_throughput_is_all_tokens():
    requests = served("a", parallel=16, number=200, failing=0.1)
    table = over_time_table(requests, "total_throughput")
    at, rate = table.iloc[:, 2].to_numpy(), table.iloc[:, 3].to_numpy()
    good = requests[requests["success"]]
    assert (np.diff(at) * rate[:-1]).sum() == pytest.approx(
        good["completion_tokens"].sum() + good["prompt_tokens"].sum()
    )


def test_concurrency_counts_requests_in_flight_failed_ones_too():
    table = over_time_table(answers((0, 1, 12, 10), (0, 1, 6, None)), "concurrency")
    values = table["concurrency [requests]"].to_numpy()
    assert values[0] == pytest.approx(2)
    assert values[-1] == pytest.approx(1)


def test_the_closed_model_keeps_its_users_busy():
    table = over_time_table(served("a", parallel=8, number=300), "concurrency")
    values = table["concurrency [requests]"].to_numpy()
    assert values[5 : len(values) // 2] == pytest.approx(8, rel=0.01)


def test_requests_are_counted_when_they_end():
    table = over_time_table(answers((0, 0.5, 1, 5), (0, 0.5, 60, 5)), "request_throughput")
    at, rate = table.iloc[:, 2].to_numpy(), table.iloc[:, 3].to_numpy()
    assert (np.diff(at) * rate[:-1]).sum() == pytest.approx(2)


def test_failures_are_crosses_at_their_end():
    ax = over_time(answers((0, 1, 10, 10), (2, 3, 6, None)))
    (crosses,) = (line for line in ax.lines if line.get_gid() == "failed")
    assert crosses.get_xdata().tolist() == [6]
    assert "crosses: failed requests" in ax.texts[-1].get_text()


def test_a_failure_without_an_end_is_a_cross_at_its_start():
    ax = over_time(answers((0, 1, 10, 10), (2, None, None, None)), "ttft")
    (crosses,) = (line for line in ax.lines if line.get_gid() == "failed")
    assert crosses.get_xdata().tolist() == [2]


def test_where_all_failed_the_time_of_the_failures_can_still_be_read():
    ax = over_time(answers((2, None, 4, None), (2, None, 6, None)), "ttft")
    assert len(ax.get_xticks()) > 1
    assert len(ax.get_yticks()) == 0


@pytest.mark.parametrize("metric", ["latency", "concurrency"])
def test_there_is_room_above_values_that_are_nearly_the_same(metric):
    ax = over_time(answers(*((start, start + 1, start + 100 + start / 100, 10) for start in range(10))), metric)
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] == pytest.approx(1.08 * ax.dataLim.y1)


def test_a_metric_is_a_dot_per_request_and_a_line_of_medians():
    ax = over_time(served("a", parallel=4, number=100), "ttft")
    assert len(ax.collections[0].get_offsets()) == 100
    assert ax.get_ylabel() == "time to first token [ms]"
    assert "lines: medians of" in ax.texts[-1].get_text()


def test_warm_up_is_drawn_and_shaded():
    requests = served("a", parallel=4, number=100)
    requests.loc[requests["t"] < 5, "phase"] = "warmup"
    ax = over_time(requests)
    (shade,) = (patch for patch in ax.patches if patch.get_gid() == "outside")
    assert shade.get_x() == pytest.approx(0, abs=1e-3)
    assert "shaded: not in the summary" in ax.texts[-1].get_text()
    assert shade.get_x() + shade.get_width() == pytest.approx(requests.loc[requests["phase"] == "steady", "t"].min())


def test_the_preflight_request_is_not_drawn():
    requests = served("a", parallel=4, number=20)
    requests.loc[0, "phase"] = "preflight"
    ax = over_time(requests, "ttft")
    assert len(ax.collections[0].get_offsets()) == 19


def test_a_run_much_shorter_than_the_others_is_one_interval():
    long, short = answers((0, 1, 600, 10)), answers((0, 0.1, 0.5, 10)).assign(run="b")
    table = over_time_table(pd.concat([long, short], ignore_index=True), "concurrency")
    values = table[table["group"] == "b"]["concurrency [requests]"]
    assert values.tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("metric", ["concurrency", "output_throughput"])
def test_runs_that_followed_each_other_are_not_added_up_to_a_rate_that_never_was(metric):
    runs = [served("a", parallel=2, number=100), served("b", parallel=8, number=100)]
    both = over_time_table(pd.concat(runs, ignore_index=True).assign(gpu="H100"), metric, by="gpu")
    apart = over_time_table(pd.concat(runs, ignore_index=True), metric, by="run")
    assert both.iloc[:, 1:].equals(apart.iloc[:, 1:])
    assert (both["group"].unique(), both["run"].unique().tolist()) == (["H100"], ["a", "b"])


def test_the_runs_of_a_group_share_one_entry_of_the_legend():
    runs = pd.concat([served("a", parallel=2, number=50), served("b", parallel=8, number=50)], ignore_index=True)
    ax = over_time(runs.assign(gpu="H100"), "concurrency", by="gpu")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["H100 (n=100)"]
    assert len({line.get_color() for line in ax.lines if line.get_xdata().size}) == 1
