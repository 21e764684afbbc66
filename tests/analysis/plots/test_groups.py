import pandas as pd
import pytest
from matplotlib.figure import Figure

from perfkit.analysis.plots import ecdf, style
from perfkit.analysis.plots.groups import NAMED, REST, groups


def frame(names, **columns):
    return pd.DataFrame({"run": names, "success": 1, "ttft": 0.1, **columns})


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_names_stand_in_order_of_appearance_and_numbers_in_order():
    assert [group.name for group in groups(frame(["b", "a", "b"]))] == ["b", "a"]
    assert [group.name for group in groups(frame(["x"] * 3, parallel=[64, 1, 8]), "parallel")] == ["1", "8", "64"]


def test_a_category_keeps_its_colour_where_the_others_are_absent():
    both = frame(pd.Categorical(["a", "b"], categories=["a", "b"]))
    alone = groups(both[both["run"] == "b"])
    assert [group.colour for group in alone] == [groups(both)[1].colour]


def test_groups_differ_by_colour_and_by_line_style():
    six = groups(frame(list("abcdef")))
    assert len({group.colour for group in six}) == len({str(group.dash) for group in six}) == 6


def test_a_second_round_of_colours_meets_other_line_styles():
    eight = groups(frame(list("abcdefgh")))
    assert len({(group.colour, str(group.dash)) for group in eight}) == 8


def test_groups_too_many_to_tell_apart_are_grey_and_thin():
    many = groups(frame([f"run {i}" for i in range(12)]))
    assert [group.colour == REST for group in many] == [False] * NAMED + [True] * 4


def test_many_numbers_go_from_dark_to_light():
    many = groups(frame(["x"] * 12, parallel=range(12)), "parallel")
    brightness = [sum(group.colour[:3]) for group in many]
    assert brightness == sorted(brightness)


@pytest.mark.slow
def test_a_legend_names_eight_groups_and_counts_the_others():
    ax = ecdf(frame([f"run {i}" for i in range(30)]))
    assert len(texts(ax)) == NAMED + 1
    assert "22 more" in texts(ax)


@pytest.mark.slow
def test_a_legend_of_many_numbers_says_how_many_it_leaves_out():
    style("paper")
    ax = ecdf(frame(["x"] * 24, parallel=range(24)), by="parallel")
    assert texts(ax)[-1].startswith("… and ")
    ax.figure.draw_without_rendering()
    assert ax.get_window_extent().height > 0.4 * ax.figure.bbox.height


def test_groups_far_down_the_palette_have_colours_when_they_are_few():
    runs = [f"run {i}" for i in range(60)]
    last = frame(pd.Categorical(["run 1", "run 58", "run 59"], categories=runs))
    colours = [group.colour for group in groups(last)]
    assert REST not in colours
    assert len(set(colours)) == 3
    assert colours[0] == groups(frame(runs))[1].colour


def test_a_name_that_begins_with_an_underscore_is_in_the_legend():
    assert texts(ecdf(frame(["_a"]))) == [" _a (n=1)"]


def test_numbers_of_many_values_are_cut_into_quarters():
    parts = groups(frame(["x"] * 100, prompt_tokens=range(100)), "prompt_tokens")
    assert [len(group.rows) for group in parts] == [25, 25, 25, 25]


def test_a_missing_value_is_a_group_of_its_own():
    assert [group.name for group in groups(frame(["x"] * 2, gpu=["H100", None]), "gpu")] == ["H100", "without gpu"]


def test_dollars_in_a_name_are_no_mathematics():
    ax = ecdf(frame(["$a_b$"]))
    assert texts(ax) == [r"\$a_b\$ (n=1)"]


def test_a_long_name_keeps_its_ends():
    (group,) = groups(frame(["meta-llama/Meta-Llama-3.1-70B-Instruct, tensor parallel 8"]))
    assert group.name.startswith("meta-llama/")
    assert group.name.endswith("parallel 8")
    assert 36 <= len(group.name) <= 40


def test_names_that_would_become_equal_stay_whole():
    names = ["a" * 30 + middle + "z" * 30 for middle in "xy"]
    assert [group.name for group in groups(frame(names))] == names


@pytest.mark.slow
@pytest.mark.parametrize("size", ["notebook", "paper"])
@pytest.mark.parametrize("name", ["run {} of a model with a name", "20261120_{}/meta-llama-3.1-70b-instruct/benchmark"])
def test_the_legend_stays_within_the_picture(size, name):
    style(size)
    ax = ecdf(frame([name.format(i) for i in range(12)]))
    figure = ax.figure
    figure.draw_without_rendering()
    assert ax.get_legend().get_window_extent().x1 <= figure.bbox.x1


@pytest.mark.slow
def test_beside_another_chart_a_legend_has_half_the_room():
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, _ = figure.subplots(1, 2)
    ecdf(frame([f"run {i} of a model" for i in range(4)]), ax=left)
    figure.draw_without_rendering()
    assert left.get_legend().get_window_extent().x1 <= figure.bbox.x1 / 2


@pytest.mark.slow
def test_entries_of_a_legend_are_read_line_by_line():
    names = [f"{letter}, a name of some length" for letter in "abcde"]
    legend = ecdf(frame(names)).get_legend()
    legend.figure.draw_without_rendering()
    boxes = {text.get_text().split(" (")[0]: text.get_window_extent() for text in legend.get_texts()}
    assert len({round(box.y0) for box in boxes.values()}) > 1
    assert sorted(boxes, key=lambda name: (-round(boxes[name].y0), boxes[name].x0)) == names


def test_of_many_groups_the_first_the_lowest_and_the_highest_are_named():
    names = [f"run {i:02}" for i in range(20)]
    values = [0.5, *(0.01 * i for i in range(1, 20))]
    parts = groups(frame(names, latency=values), typical=lambda rows: rows["latency"].median())
    assert [part.name[-2:] for part in parts if not part.rest] == ["00", "01", "02", "03", "04", "17", "18", "19"]


def test_a_legend_of_many_lines_takes_nothing_from_the_plot():
    few, many = ecdf(frame(["a"])), ecdf(frame([f"run {i} of a model with a very long name" for i in range(8)]))
    for ax in (few, many):
        ax.figure.draw_without_rendering()
    heights = [ax.get_window_extent().height for ax in (few, many)]
    assert heights[1] == pytest.approx(heights[0], rel=0.05)
