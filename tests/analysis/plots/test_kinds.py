"""Charts of one file each: box, shift, failures, heatmap, latency split, goodput; and rates as distributions."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from perfkit.analysis.plots import CHARTS, box, failures, goodput, heatmap, latency_split, shift
from perfkit.errors import UsageError
from tests.served import served, together


def table(name, requests, metric=None, **options):
    return CHARTS[name].table(requests, metric or CHARTS[name].metric, **options)


def requests(ttft, run="a", **columns):
    return pd.DataFrame({"run": run, "success": 1, "ttft": ttft, **columns})


@pytest.fixture(scope="module")
def closed():
    return together(*(served(f"u{users}", parallel=users, number=20 * users, seed=users) for users in (1, 4, 16)))


def test_a_box_has_its_percentiles():
    row = table("box", requests(np.linspace(0.1, 0.2, 101))).iloc[0]
    title = "time to first token [ms]"
    assert [row[f"p{q} {title}"] for q in (5, 25, 50, 95)] == pytest.approx([105, 125, 150, 195])


def test_fewer_than_twenty_values_are_dots_and_no_box():
    drawn = {line.get_gid() for line in box(requests([0.1] * 19)).lines}
    assert drawn == {"values"}
    assert "median" in {line.get_gid() for line in box(requests([0.1] * 20)).lines}


def test_forty_boxes_have_forty_names_and_a_figure_for_them():
    many = together(*(requests(np.linspace(0.1, 0.2, 30), f"run {i:02}") for i in range(40)))
    ax = box(many)
    assert len({tick.get_text() for tick in ax.get_yticklabels()}) == 40
    assert ax.figure.get_size_inches()[1] > box(requests([0.1] * 30)).figure.get_size_inches()[1] * 2


def test_an_unknown_kind_of_box_is_refused():
    with pytest.raises(UsageError, match="kind is 'box' or 'violin'"):
        box(requests([0.1]), kind="bo")


def test_a_shift_is_the_ratio_at_each_percentile():
    both = together(requests(np.linspace(0.1, 0.2, 200)), requests(np.linspace(0.3, 0.6, 200), "b"))
    found = table("shift", both).query("group == 'b'")
    assert found["ratio"].tolist() == pytest.approx([3] * 99)
    assert found["thin"].sum() == 8  # percentiles 1 to 4, 96 to 99: fewer than ten of 200 beyond
    assert shift(both).get_yscale() == "log"


def test_a_failure_stands_in_the_interval_in_which_it_ended():
    frame = pd.DataFrame(
        {
            "run": "a",
            "t": [0.0, 1.0, 50.0, 0.0],
            "start_time": [10.0, 11.0, 60.0, 10.0],
            "completed_time": [11.5, None, 70.0, 12.0],
            "success": [0, 0, 1, 0],
            "error_kind": ["http", "timeout", None, "http"],
        }
    )
    found = table("failures", frame)
    assert found[["group", "from [s]", "failed requests"]].to_numpy().tolist() == [
        ["http", 1, 1],
        ["http", 2, 1],
        ["timeout", 1, 1],
    ]
    assert "3 of 4 requests failed" in failures(frame).texts[-1].get_text()


def test_without_a_failure_the_axes_say_so():
    frame = served("a", parallel=2, number=10)
    assert "no request failed" in [text.get_text() for text in failures(frame).texts]


def test_a_cell_of_the_heat_map_is_the_percentile_of_its_load(closed):
    found = table("heatmap", closed).set_index(["load", "percentile"])
    of_four = closed.loc[closed["parallel"] == 4, "first_chunk_latency"]
    assert found.loc[(4, 90), "time to first token [ms]"] == pytest.approx(1000 * np.percentile(of_four, 90))
    names = [tick.get_text() for tick in heatmap(closed).get_yticklabels()]
    assert names == ["1 user", "4 users", "16 users"]


def test_the_parts_of_a_latency_add_up_to_its_mean(closed):
    found = table("latency_split", closed.assign(load="open")).set_index("load")
    four = closed[closed["parallel"] == 4]
    whole = 1000 * (four["completed_time"] - four["scheduled_time"]).mean()
    assert found.loc[4].filter(like="[ms]").sum() == pytest.approx(whole)
    assert [text.get_text() for text in latency_split(closed).get_legend().get_texts()][-1] == "decoding"


def test_goodput_counts_what_meets_every_objective(closed):
    everything = table("goodput", closed, slo="e2e < 1000s")
    nothing = table("goodput", closed, slo=["e2e < 1000s", "ttft < 1ms"])
    good, all_ = (name for name in everything if "requests/s" in name)
    assert everything[good].tolist() == pytest.approx(everything[all_].tolist())
    assert nothing[good].tolist() == [0, 0, 0]
    assert "twice the median under the lowest load" in goodput(closed).texts[-1].get_text().replace("\n", " ")


def test_a_rate_has_a_value_for_each_second_of_the_steady_time():
    run = served("a", parallel=8, number=600)
    found = table("ecdf", run, "concurrency")
    assert found["concurrency [requests]"].median() == pytest.approx(8, rel=0.01)
    steady = run["t"].max() - run["t"].min()
    assert len(found) == pytest.approx(steady if steady >= 30 else 10 * steady, abs=2)
    assert list(found)[-2:] == ["share of intervals", "intervals beyond"]


@pytest.mark.parametrize("name", [name for name, chart in CHARTS.items() if chart.rates != "none"])
def test_a_chart_that_says_so_draws_a_rate(name):
    metric = "concurrency"
    assert CHARTS[name].draws(metric)
    ax = CHARTS[name].draw(served("a", parallel=8, number=60), metric)
    assert "concurrency" in ax.get_xlabel() + ax.get_ylabel()
    assert ax.lines or ax.collections or ax.patches


@pytest.mark.parametrize(
    ("name", "metric"), [("ecdf", "success_rate"), ("scatter", "itl"), ("tradeoff", "concurrency")]
)
def test_a_chart_that_cannot_draw_a_metric_says_so_beforehand(name, metric, closed):
    assert not CHARTS[name].draws(metric)
    with pytest.raises(UsageError):
        CHARTS[name].draw(closed, metric)


@pytest.mark.slow
def test_what_stands_beneath_named_rows_stays_within_the_picture():
    many = together(*(served(f"a deployment of some model, run {i:02}", parallel=2, number=5) for i in range(12)))
    ax = CHARTS["timeline"].draw(many, None)
    ax.figure.draw_without_rendering()
    assert ax.texts[-1].get_window_extent().x1 <= ax.figure.bbox.x1


@pytest.fixture(scope="module")
def far_apart():
    """Runs whose times to the first token differ by a factor of more than a hundred at each percentile."""
    return together(*(served(f"{users} users", parallel=users, number=300, seed=users) for users in (1, 4, 300)))


OF_LINES = {*CHARTS.built_in} - {"failures", "heatmap", "hist", "latency_split", "raster", "sweep", "timeline"}


@pytest.mark.parametrize("name", sorted(OF_LINES))
def test_the_lines_of_a_chart_lie_within_its_axes_and_fill_them(name, far_apart):
    ax = CHARTS[name].draw(far_apart)
    lines = [line.get_xydata().astype(float) for line in ax.lines if line.get_transform() == ax.transData]
    dots = [some.get_offsets() for some in ax.collections if isinstance(some, PathCollection)]
    points = np.concatenate([*lines, *dots])
    seen = ax.transAxes.inverted().transform(ax.transData.transform(points[np.isfinite(points).all(axis=1)]))
    assert -0.01 < seen[:, 1].min() < seen[:, 1].max() < 1.01
    assert np.ptp(seen[:, 1]) > 0.5
