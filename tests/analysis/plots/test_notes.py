import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import perfkit as pk
from perfkit.analysis.plots import CHARTS, ecdf


def requests(**columns):
    return pd.DataFrame({"run": ["a", "b", "c"], "success": 1, "ttft": 0.1, **columns})


def beneath(ax):
    return "".join(text.get_text().replace("\n", " ") for text in ax.texts if text.get_gid() == "notes")


def test_runs_that_are_not_valid_are_named():
    ax = ecdf(requests(verdict=["VALID", "CLIENT-BOUND", "SUSPECT"]))
    assert "CLIENT-BOUND: b" in beneath(ax)
    assert "SUSPECT: c" in beneath(ax)


def test_valid_runs_are_not_worth_a_word():
    assert "VALID" not in beneath(ecdf(requests(verdict="VALID")))


@pytest.mark.slow
def test_mixed_origins_are_said():
    ax = ecdf(requests(basis_ttft=["stamps", "stamps", "stored:evalscope-1.10"]))
    assert "not measured the same way: stamps (a and b), stored:evalscope-1.10 (c)" in beneath(ax)


def test_one_origin_is_not_worth_a_word():
    assert "same way" not in beneath(ecdf(requests(basis_ttft="stamps")))


NAMES = {
    "words": "llama 3 70b instruct on node {} of the second cluster",
    "no place to break": "meta_llama_3_1_70b_instruct_fp8_h100_sxm_node_{}",
    "capitals": "META_LLAMA_INSTRUCT_MMMWWW_FP8_H100_SXM_NODE_{}",
    "Chinese": "大模型推理服务性能测试甲乙丙丁戊己庚辛壬癸大模型推理服务性能测试{}",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("width", ["89mm", "160mm"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_of_any_letters_stay_within_the_figure(name, width):
    pk.style("paper", width=width)
    runs = [name.format(number) for number in range(4)]
    ax = ecdf(requests().iloc[[0] * 4].assign(run=runs, verdict="SUSPECT", basis_ttft=["stamps", "recomputed"] * 2))
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    (note,) = (text for text in ax.texts if text.get_gid() == "notes")
    for drawn in (note, ax.get_legend()):
        assert drawn.get_window_extent(canvas.get_renderer()).x1 <= ax.figure.bbox.width


@pytest.mark.slow
@pytest.mark.parametrize("chart", ["box", "ecdf"])
def test_notes_beneath_names_at_rows_stay_within_the_figure_and_begin_with_what_they_say(chart):
    runs = [f"llama-3-70b-instruct-{number}" for number in range(4)]
    rows = pd.DataFrame({"run": runs, "success": 1, "ttft": 0.1})
    rows["basis_ttft"] = ["stamps", "recomputed", "stored:evalscope-1.10", "stored:guidellm"]
    ax = CHARTS[chart].draw(rows)
    canvas = FigureCanvasAgg(ax.figure)
    canvas.draw()
    (note,) = (text for text in ax.texts if text.get_gid() == "notes")
    assert note.get_window_extent(canvas.get_renderer()).x1 <= ax.figure.bbox.width
    assert "not measured the same way" in beneath(ax)
    assert ax.get_position().x1 > 0.95
