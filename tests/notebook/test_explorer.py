import threading
from dataclasses import replace

import pytest

import perfkit as pk
from perfkit.notebook.explorer import Selection, draw, explore
from perfkit.plots import CHARTS
from tests.run_files import failure, request, write_run


@pytest.fixture
def file(tmp_path):
    """Two runs of 20 and 21 requests; the second has a failure and a name that is HTML."""
    path = tmp_path / "runs.db"
    write_run(path, [request(i, i, ttft=0.1 + 0.01 * i) for i in range(20)], name="tp2", parallel=1)
    slow = [*(request(i, i, ttft=0.5 + 0.1 * i) for i in range(20)), failure(20, 20)]
    write_run(path, slow, name="<b>tp4</b>", parallel=8, tags={"gpu": "H100"})
    return path


@pytest.fixture
def panel(file):
    return explore(pk.open(file))


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_it_opens_with_everything_drawn(panel):
    assert bytes(panel.picture.value).startswith(b"\x89PNG")
    assert panel.selection == Selection()
    assert panel.trouble.value == ""


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_every_chart_can_be_chosen(panel, name):
    panel.controls["chart"].value = name
    assert panel.trouble.value == ""
    assert panel.selection.chart == name


def test_a_change_draws_another_picture_and_spells_it(panel):
    before = panel.picture.value
    panel.controls["runs"].value = ("tp2",)
    panel.controls["metric"].value = "e2e"
    assert panel.picture.value != before
    assert panel.line.value == "<code>runs.pick(&quot;tp2&quot;).plot.ecdf(&quot;e2e&quot;)</code>"


def test_the_spelling_draws_what_the_panel_shows(file):
    runs = pk.open(file)
    selection = Selection(runs=("tp2", "<b>tp4</b>"), where="ttft > 200ms", within=(0.8, 2.0), by="parallel")
    spelled = eval(selection.spelling(), {"runs": runs})
    assert texts(spelled) == texts(draw(selection, runs)) == ["8 (n=11)"]


def test_the_slider_filters_by_latency(panel):
    stops = [stop for _, stop in panel.controls["within"].options]
    panel.controls["within"].value = (stops[0], stops[30])
    assert panel.selection.condition == f"e2e <= {stops[30] * 1e3:.6g}ms"
    panel.controls["within"].value = (stops[0], stops[-1])
    assert panel.selection.condition == ""


def test_a_filter_that_cannot_be_read_is_one_escaped_sentence_in_place_of_the_picture(panel):
    before = panel.picture.value
    panel.controls["where"].value = "<img src=x> > 1"
    assert "<img" not in panel.trouble.value
    assert panel.trouble.value
    assert panel.picture.layout.display == "none"
    panel.controls["where"].value = ""
    assert panel.trouble.value == ""
    assert (panel.picture.layout.display, panel.picture.value) == (None, before)


def test_a_mistyped_name_is_answered_with_the_nearest_not_with_all(panel):
    panel.controls["where"].value = "tfft > 1"
    assert "did you mean" in panel.trouble.value
    assert "known" not in panel.trouble.value


def test_a_filter_that_leaves_nothing_says_so(panel):
    panel.controls["where"].value = "ttft > 9999s"
    assert "no request is left" in panel.trouble.value


def test_a_rate_after_a_filter_on_outcomes_is_refused_in_a_sentence(panel):
    panel.controls["where"].value = "ttft > 0"
    panel.controls["metric"].value = "output_throughput"
    panel.controls["chart"].value = "over_time"
    assert "no rate" in panel.trouble.value


def test_a_metric_against_itself_is_refused_in_a_sentence(panel):
    panel.controls["chart"].value = "scatter"
    panel.controls["metric"].value = "prompt_tokens"
    assert "choose another metric" in panel.trouble.value


def test_a_rate_has_no_distribution(panel):
    panel.controls["metric"].value = "output_throughput"
    assert "whole run" in panel.trouble.value


def test_names_from_files_are_escaped(panel):
    panel.controls["runs"].value = ("<b>tp4</b>",)
    assert "<b>" not in panel.line.value


def test_groupings_are_columns_of_a_few_values(panel):
    options = panel.controls["by"].options
    assert {"run", "parallel", "gpu"} <= set(options)
    assert {"start_time", "seq", "ttft"} & set(options) == set()


def test_what_was_opened_is_part_of_the_spelling(file):
    assert explore(file).line.value.startswith(f"<code>pk.open(&quot;{file}&quot;).plot.ecdf(")
    assert explore([file]).line.value.startswith(f"<code>pk.open(&quot;{file}&quot;).plot.ecdf(")


def test_files_that_could_not_be_opened_are_named(file):
    (file.parent / "<torn>.db").write_bytes(b"x" * 200)
    panel = explore([file, file.parent / "<torn>.db"])
    assert "not opened:" in panel.unread.value
    assert "&lt;torn&gt;.db is no sqlite file" in panel.unread.value
    assert panel.unread in panel.children
    assert explore(file).unread not in explore(file).children


def test_answers_in_one_piece_start_with_their_latency(tmp_path):
    path = write_run(tmp_path / "whole.db", [request(i, i, ttft=None, gaps=(), tail=1.0) for i in range(3)])
    assert explore(path).selection.metric == "e2e"


def test_changes_from_several_threads_leave_the_last_picture(panel, file):
    def change(metric):
        panel.controls["metric"].value = metric

    threads = [threading.Thread(target=change, args=(metric,)) for metric in ("tpot", "e2e", "lag", "itl")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert panel.trouble.value == ""
    expected = explore(pk.open(file))
    expected.controls["metric"].value = panel.selection.metric
    assert panel.picture.value == expected.picture.value


def test_a_selection_is_never_changed_in_place(panel):
    first = panel.selection
    panel.controls["metric"].value = "tpot"
    assert first == replace(panel.selection, metric="ttft")
