import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from perfkit.analysis.plots import ecdf
from perfkit.analysis.plots.ecdf import ecdf_table
from perfkit.errors import UsageError


def requests(**columns):
    return pd.DataFrame({"run": "a", "success": 1, **columns})


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_a_line_rises_by_one_share_at_each_value():
    ax = ecdf(requests(ttft=[0.3, 0.1, 0.2] * 10))
    x, y = ax.lines[0].get_xdata(), ax.lines[0].get_ydata()
    assert x[0] == pytest.approx(100)
    assert y[0] == 0
    assert y[1] == pytest.approx(1 / 30)


def test_where_fewer_than_ten_requests_lie_beyond_the_line_is_thin_in_its_own_colour():
    ax = ecdf(requests(ttft=np.linspace(0.1, 0.2, 100)))
    body, tail = ax.lines
    assert tail.get_gid() == "tail"
    assert tail.get_linewidth() < body.get_linewidth() / 2
    assert (tail.get_alpha(), tail.get_color()) == (None, body.get_color())
    assert tail.get_ydata()[0] == pytest.approx(0.90)
    assert tail.get_ydata()[-1] == 1


def test_the_axis_says_name_and_unit():
    ax = ecdf(requests(ttft=[0.1]))
    assert ax.get_xlabel() == "time to first token [ms]"


def test_the_legend_counts_requests_and_failures():
    ax = ecdf(requests(ttft=[0.1, 0.2, np.nan]).assign(success=[1, 1, 0]))
    assert labels(ax) == ["a (n=2, 1 failed)"]


def test_a_group_whose_requests_all_failed_is_still_named():
    frame = requests(ttft=[0.1, np.nan]).assign(run=["a", "b"], success=[1, 0])
    assert labels(ecdf(frame)) == ["a (n=1)", "b (n=0, 1 failed)"]


def test_without_a_value_the_axes_say_why_they_are_empty():
    ax = ecdf(requests(ttft=[np.nan, np.nan]).assign(success=0))
    assert [text.get_text() for text in ax.texts if text.get_gid() == "empty"] == [
        "no request has a time to first token (2 failed)"
    ]


def test_empty_axes_are_said_to_lack_an_end_to_end_latency():
    frame = requests(ttft=[0.1]).assign(e2e=np.nan, latency=np.nan)
    assert "no request has an end-to-end latency" in [text.get_text() for text in ecdf(frame, "e2e").texts]


def test_the_axis_is_logarithmic_when_the_99th_percentile_is_above_ten_medians():
    wide = requests(ttft=[0.1] * 95 + [5.0] * 5)
    narrow = requests(ttft=[0.1] * 95 + [0.9] * 5)
    assert (ecdf(wide).get_xscale(), ecdf(narrow).get_xscale()) == ("log", "linear")


def test_the_axis_is_logarithmic_when_a_group_lies_far_below_another():
    frame = requests(ttft=[0.02] * 50 + [0.8] * 50).assign(run=["a"] * 50 + ["b"] * 50)
    assert ecdf(frame).get_xscale() == "log"


def test_values_at_zero_stay_on_a_logarithmic_axis():
    ax = ecdf(requests(lag=[0.0] * 5 + [0.001] * 90 + [1.0] * 5), "lag")
    assert ax.get_xscale() == "symlog"


def test_requests_outside_the_steady_state_are_left_out():
    frame = requests(ttft=[0.1, 0.2, 0.3]).assign(phase=["preflight", "warmup", "steady"])
    assert labels(ecdf(frame)) == ["a (n=1)"]


def test_given_axes_are_drawn_on_and_their_figure_left_alone():
    figure = Figure(figsize=(3, 2))
    ax = figure.add_subplot()
    assert ecdf(requests(ttft=[0.1, 0.2]), ax=ax) is ax
    assert tuple(figure.get_size_inches()) == (3, 2)


def test_an_unknown_metric_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'ttft'"):
        ecdf(requests(ttft=[0.1]), "ttfd")


def test_an_unknown_group_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'gpu'"):
        ecdf(requests(ttft=[0.1], gpu="H100"), by="gqu")


def test_the_table_holds_the_steps_in_the_unit_shown():
    table = ecdf_table(requests(ttft=[0.2, 0.1]))
    assert table.to_dict("list") == {
        "group": ["a", "a"],
        "time to first token [ms]": [100.0, 200.0],
        "share of requests": [0.5, 1.0],
        "requests beyond": [1, 0],
    }


def test_a_line_of_many_requests_has_few_vertices():
    ax = ecdf(requests(ttft=np.linspace(0.1, 0.2, 50_000)))
    assert len(ax.lines[0].get_xdata()) <= 2000
    assert ax.lines[0].get_ydata()[0] == 0
