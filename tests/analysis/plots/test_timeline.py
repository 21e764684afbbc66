import pandas as pd
import pytest

from perfkit.analysis.plots import timeline
from perfkit.analysis.plots.timeline import timeline_table


def requests():
    return pd.DataFrame(
        {
            "run": ["a", "a", "b"],
            "success": [1, 0, 1],
            "t": [1.0, 0.0, 0.5],
            "start_time": [11.0, 10.0, 10.5],
            "scheduled_time": [10.8, 10.0, 10.5],
            "completed_time": [13.0, 10.2, 12.5],
            "first_chunk_latency": [0.5, None, 1.0],
        }
    )


def test_a_request_is_due_then_sent_then_answering():
    table = timeline_table(requests())
    row = table[table["row"] == 1].iloc[0]
    assert [round(row[name], 6) for name in ("due", "start", "first token", "end")] == [0.8, 1.0, 1.5, 3.0]


def test_requests_stand_in_the_order_of_their_starts():
    table = timeline_table(requests())
    assert table[table["group"] == "a"]["start"].tolist() == [0.0, 1.0]


def test_a_metric_orders_them_instead():
    table = timeline_table(requests().assign(run="a"), "ttft")
    assert table["start"].tolist() == [0.0, 1.0, 0.5]


def test_each_part_of_a_request_is_a_line():
    ax = timeline(requests())
    drawn = {lines.get_gid(): len(lines.get_segments()) for lines in ax.collections[:3]}
    assert drawn == {"start": 1, "first token": 2, "end": 1}


def test_groups_stand_one_below_the_other():
    ax = timeline(requests())
    last = next(lines for lines in reversed(ax.collections) if lines.get_gid() == "end")
    assert {point[1] for segment in last.get_segments() for point in segment} == {2}
    low, high = ax.get_ylim()
    assert low > high


def test_failures_are_crossed_at_their_end():
    (crosses,) = (line for line in timeline(requests()).lines if line.get_gid() == "failed")
    assert round(crosses.get_xdata()[0], 6) == 0.2


@pytest.mark.slow
def test_of_very_many_requests_the_first_are_drawn_and_it_says_so():
    many = requests().assign(run="a").sample(4500, replace=True, random_state=1, ignore_index=True)
    ax = timeline(many)
    assert "only the first 4,000 requests" in ax.texts[-1].get_text().replace("\n", " ")
