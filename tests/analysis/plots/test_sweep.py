import numpy as np
import pandas as pd
import pytest

from perfkit.analysis.plots import sweep, tradeoff
from perfkit.analysis.plots.sweep import sweep_table
from perfkit.analysis.stats.estimates import percentile_estimate
from perfkit.errors import UsageError
from tests.served import served, together


@pytest.fixture(scope="module")
def closed():
    return together(*(served(f"u{users}", parallel=users, number=40 * users, seed=users) for users in (1, 4, 16)))


def notes(ax):
    (text,) = [text for text in ax.texts if text.get_gid() == "notes"]
    return text.get_text().replace("\n", " ")


def test_each_point_is_the_percentile_of_its_load(closed):
    table = sweep_table(closed, "ttft").set_index(["load", "what"])
    of_four = closed.loc[closed["parallel"] == 4, "first_chunk_latency"]
    assert table.loc[(4, "p95"), "time to first token [ms]"] == pytest.approx(1000 * np.percentile(of_four, 95))


def test_ticks_are_the_loads_that_were_measured(closed):
    ax = sweep(closed)
    assert list(ax.get_xticks()) == [1, 4, 16]
    assert ax.get_xlabel() == "users"


def test_percentiles_differ_by_line_style(closed):
    legend = sweep(closed).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["p50", "p95", "p99"]
    assert len({line.get_linestyle() for line in legend.get_lines()}) == 3


def test_percentiles_of_few_requests_have_hollow_markers(closed):
    ax = sweep(closed)
    marked = [line.get_xdata().tolist() for line in ax.lines if line.get_gid() == "marked"]
    assert marked[1:] == [[1, 4], [1, 4, 16]]
    assert "hollow: too few" in notes(ax)


@pytest.mark.slow
def test_a_rate_is_one_line(closed):
    ax = sweep(closed, "output_throughput")
    assert ax.get_ylabel() == "output throughput [tokens/s]"
    table = sweep_table(closed, "output_throughput")
    alone = closed[closed["parallel"] == 1]
    # One user's last request is sent as the answer before it ends, and so is the second, with which the window opens.
    window = alone["start_time"].max() - alone["start_time"].iloc[1]
    came = alone["completion_tokens"].iloc[1:-1].sum()
    assert table["output throughput [tokens/s]"].iloc[0] == pytest.approx(came / window)


@pytest.mark.slow
def test_runs_of_another_load_model_are_left_out_and_counted(closed):
    ax = sweep(together(closed, served("poisson", rate=5, number=50)))
    assert "left out: 1 run without users" in notes(ax)


@pytest.mark.slow
def test_a_sweep_over_rates_is_recognised():
    ax = sweep(together(*(served(f"r{rate}", rate=rate, number=40) for rate in (2, 4))))
    assert ax.get_xlabel() == "requested rate [requests/s]"


def test_several_sweeps_have_a_colour_each(closed):
    both = together(closed, closed.assign(model="other"))
    names = [text.get_text() for text in sweep(both, by="model", percentiles=[50]).get_legend().get_texts()]
    assert names == ["qwen2.5-7b-instruct p50", "other p50"]


def again(requests, **columns):
    """The same runs once more, under labels and ids of their own."""
    return requests.assign(run=requests["run"] + "b", run_id=requests["run_id"] + "b", **columns)


def keys(ax):
    return {text.get_text().split(" ")[0] for text in ax.get_legend().get_texts()}


@pytest.mark.slow
@pytest.mark.parametrize("chart", [sweep, tradeoff])
def test_runs_of_several_names_at_one_load_are_lines_of_their_own(closed, chart):
    ax = chart(together(closed.assign(name="tp2"), again(closed, name="tp4")))
    assert keys(ax) == {"tp2", "tp4"}
    assert "runs a point" not in notes(ax)


@pytest.mark.slow
@pytest.mark.parametrize("chart", [sweep, tradeoff])
def test_repeats_of_a_name_are_pooled_and_that_is_said(closed, chart):
    repeated = together(closed.assign(name="tp2"), again(closed, name="tp2"), again(again(closed), name="tp4"))
    ax = chart(repeated)
    assert keys(ax) == {"tp2", "tp4"}
    assert "up to 2 runs a point: `by` tells them apart" in notes(ax)


@pytest.mark.slow
@pytest.mark.parametrize("chart", [sweep, tradeoff])
def test_all_runs_are_pooled_when_that_is_asked_for(closed, chart):
    both = together(closed.assign(name="tp2"), again(closed, name="tp4", model="other"))
    assert "up to 2 runs a point: `by` tells them apart" in notes(chart(both, by=None))
    assert "runs a point" not in notes(chart(both, by="model"))


def test_names_that_never_meet_at_a_load_are_one_sweep(closed):
    each_its_own = closed.assign(name=closed["run"])
    assert sweep_table(each_its_own)["group"].unique().tolist() == ["all requests"]
    # A run without a name goes by its label.
    unnamed = together(closed.assign(name=None), again(closed, name=None))
    assert sweep_table(unnamed)["group"].unique().tolist() == ["u1", "u4", "u16", "u1b", "u4b", "u16b"]


@pytest.mark.slow
def test_a_run_without_users_is_no_name_of_a_sweep_over_users(closed):
    ax = sweep(together(closed.assign(name="tp2"), served("poisson", rate=5, number=50).assign(name="open")))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["p50", "p95", "p99"]
    assert "left out: 1 run without users" in notes(ax)


def test_requests_without_a_load_are_refused():
    with pytest.raises(UsageError, match="no request has parallel nor rate"):
        sweep(pd.DataFrame({"run": ["a"], "ttft": [0.1], "success": [1]}))


@pytest.mark.slow
def test_all_at_once_stands_apart_beyond_the_highest_load():
    burst = served("burst", rate=50, number=40).assign(rate=-1.0)
    ax = sweep(together(burst, *(served(f"r{rate}", rate=rate, number=40) for rate in (2, 4))), percentiles=[50])
    ax.figure.draw_without_rendering()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2", "4", "all at once"]
    (line,) = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert line.get_xdata().tolist() == [2, 4]


@pytest.mark.slow
def test_all_at_once_is_named_among_many_loads():
    burst = served("burst", rate=50, number=40).assign(rate=-1.0)
    ax = sweep(together(burst, *(served(f"r{rate}", rate=rate, number=2) for rate in range(1, 31))))
    ax.figure.draw_without_rendering()
    assert [tick.get_text() for tick in ax.get_xticklabels()][-2:] == ["28", "all at once"]
    assert len(ax.get_xticks()) <= 12


@pytest.mark.slow
def test_an_interval_is_that_of_a_comparison_or_none(closed):
    table = sweep_table(closed, "ttft").set_index(["load", "what"])
    four = percentile_estimate(1000 * closed.loc[closed["parallel"] == 4, "first_chunk_latency"], 50)
    assert tuple(table.loc[(4, "p50"), ["low", "high"]]) == pytest.approx((four.low, four.high))
    assert table.loc[(1, "p99"), ["low", "high"]].isna().all()
    assert "bars: 95 % intervals, where the requests are enough" in notes(sweep(closed))


@pytest.mark.slow
def test_groups_that_are_the_same_stand_beside_each_other(closed):
    ax = sweep(together(closed.assign(name="tp2"), again(closed, name="tp4")), percentiles=[50])
    ax.figure.draw_without_rendering()
    one, other = (line.get_window_extent() for line in ax.lines if line.get_gid() == "points")
    assert (one.y0, one.y1) == pytest.approx((other.y0, other.y1))
    assert other.x0 - one.x0 == pytest.approx(6 / 72 * ax.figure.dpi)


@pytest.mark.parametrize("percentiles", [[], 95, [95, 101]])
def test_percentiles_that_are_none_are_refused(closed, percentiles):
    with pytest.raises(UsageError, match=r"percentiles are one or more numbers from 0 to 100, such as \[50, 95\], got"):
        sweep(closed, percentiles=percentiles)


def test_an_axis_that_no_request_has_is_refused(closed):
    with pytest.raises(UsageError, match="no request has nodes"):
        sweep(closed, x="nodes")
