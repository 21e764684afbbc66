import pandas as pd
import pytest

from perfkit.analysis.plots import scatter
from perfkit.analysis.plots.canvas import laid_out
from perfkit.errors import UsageError
from tests.served import served, together


def test_a_dot_stands_at_the_values_of_its_request():
    frame = pd.DataFrame({"run": "a", "success": 1, "ttft": [0.1, 0.3], "prompt_tokens": [10, 30]})
    assert scatter(frame).collections[0].get_offsets().tolist() == [[10, 100], [30, 300]]


def test_groups_differ_by_marker_too():
    ax = scatter(together(served("a", parallel=4, number=20), served("b", parallel=4, number=20)))
    first, second = (dots.get_paths()[0].vertices.shape for dots in ax.collections)
    assert first != second


def test_failures_are_crosses_where_their_prompt_length_is():
    frame = pd.DataFrame({"run": "a", "success": [1, 0], "ttft": [0.1, None], "prompt_tokens": [10, 30]})
    (crosses,) = (line for line in scatter(frame).lines if line.get_gid() == "failed")
    assert crosses.get_xdata().tolist() == [30]


@pytest.mark.slow
def test_crosses_stand_above_the_axes_where_no_value_can_be():
    frame = pd.DataFrame({"run": "a", "success": [1, 0], "ttft": [0.1, None], "prompt_tokens": [10, 30]})
    ax = scatter(frame)
    (crosses,) = (line for line in ax.lines if line.get_gid() == "failed")
    laid_out(ax)
    place = crosses.get_window_extent()
    assert ax.get_window_extent().y1 < place.y0 < place.y1 < ax.get_legend().get_window_extent().y0


@pytest.mark.slow
def test_failures_of_two_groups_never_hide_each_other():
    frame = pd.DataFrame({"run": ["a", "b"], "success": 0, "ttft": None, "prompt_tokens": 30, "error_kind": "refused"})
    ax = scatter(frame)
    laid_out(ax)
    one, other = (line.get_window_extent() for line in ax.lines if line.get_gid() == "failed")
    assert one.y1 <= other.y0 < other.y1 < ax.get_legend().get_window_extent().y0


def test_failures_whose_place_is_not_known_are_counted_and_no_cross_is_promised():
    frame = pd.DataFrame(
        {"run": "a", "success": [1, 0, 0], "ttft": [0.1, None, None], "prompt_tokens": [10, None, None]}
    )
    ax = scatter(frame)
    assert not [line for line in ax.lines if line.get_gid() == "failed"]
    assert ax.texts[-1].get_text() == "not drawn: 2 failed requests without prompt length"


def test_both_axes_can_be_chosen():
    ax = scatter(served("a", parallel=4, number=20), "tpot", x="output_tokens")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("answer length [tokens]", "time per output token [ms]")


@pytest.mark.slow
def test_many_dots_are_a_picture_inside_a_vector_file():
    many = served("a", parallel=8, number=5000)
    assert scatter(many.head(4000)).collections[0].get_rasterized()


@pytest.mark.parametrize(("metric", "x"), [("ttft", "ttft"), ("prompt_tokens", "prompt_tokens")])
def test_a_metric_against_itself_is_refused(metric, x):
    with pytest.raises(UsageError, match=f"scatter draws {metric} against {x}, which is the same: choose another"):
        scatter(served("a", parallel=2, number=5), metric, x=x)


def test_a_metric_of_many_values_per_request_is_refused():
    frame = served("a", parallel=2, number=5).assign(inter_token_latencies="[0.01, 0.02]")
    with pytest.raises(UsageError, match="itl has several values per request"):
        scatter(frame, "itl")


@pytest.mark.slow
def test_beyond_five_thousand_dots_cells_say_how_many_there_are():
    ax = scatter(served("a", parallel=8, number=5100))
    (cells,) = (found for found in ax.collections if found.get_gid() == "density")
    assert cells.get_rasterized()
    assert "the fuller, the more requests" in ax.texts[-1].get_text()
