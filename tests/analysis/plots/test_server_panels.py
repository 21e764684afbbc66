"""Beneath a chart over time: the queue and the KV cache that servers published, on the same time axis."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import perfkit as pk
from perfkit.analysis.plots.accessor import numbers
from tests.published import publish
from tests.run_files import request, write_run


def told(waiting, cache=None):
    """Return a page with a queue and, if given, the use of a cache."""
    page = f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting {waiting}\n"
    return page if cache is None else f"{page}# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc {cache}\n"


def run(tmp_path, *looks, name="a", **record):
    """Return a file with a run of four requests, a second apart and a second long, and looks at a page."""
    path = write_run(tmp_path / f"{name}.db", [request(seq, float(seq)) for seq in range(4)], name=name, **record)
    return publish(path, *looks) if looks else path


def panels(ax):
    """Return the panels beneath a chart by what they show."""
    return {panel.get_gid(): panel for panel in ax.figure.axes if panel is not ax}


def drawn(panel):
    """Return the lines of a panel as lists of points."""
    return [[tuple(map(float, point)) for point in line.get_xydata()] for line in panel.lines]


LOOKS = [(-0.5, told(1, 0.25)), (0.5, told(3, 0.5)), (1.5, told(5, 0.75)), (9.0, told(0, 0.0))]


def test_queue_and_cache_stand_beneath_on_one_time_axis(tmp_path):
    ax = pk.open(run(tmp_path, *LOOKS)).plot.over_time("ttft")
    found = panels(ax)
    assert list(found) == ["waiting", "kv_cache_use"]
    # What was known before the first request stands at its start; what was known last, to the end of the last answer.
    assert drawn(found["waiting"]) == [[(0.0, 1.0), (0.5, 3.0), (1.5, 5.0), (4.0, 5.0)]]
    assert drawn(found["kv_cache_use"]) == [[(0.0, 25.0), (0.5, 50.0), (1.5, 75.0), (4.0, 75.0)]]
    assert all(ax.get_shared_x_axes().joined(ax, panel) for panel in found.values())
    assert [panel.get_xlabel() for panel in (ax, *found.values())] == ["", "", "time since the run's start [s]"]
    ax.figure.draw_without_rendering()
    tops = [panel.get_position().y1 for panel in (ax, *found.values())]
    assert tops == sorted(tops, reverse=True)
    assert all(panel.get_position().y0 > 0 for panel in found.values())


def test_what_stands_beneath_a_chart_moves_beneath_the_panels(tmp_path):
    ax = pk.open(run(tmp_path, *LOOKS)).plot.over_time("ttft")
    texts = {panel.get_gid(): [text for text in panel.texts if text.get_gid() == "notes"] for panel in ax.figure.axes}
    assert [key for key, found in texts.items() if found] == ["kv_cache_use"]


def test_a_server_that_tells_no_cache_has_one_panel_and_a_gap_where_it_did_not_answer(tmp_path):
    ax = pk.open(run(tmp_path, (0.0, told(1)), (1.0, None), (2.0, told(2)))).plot.over_time("output_throughput")
    (panel,) = panels(ax).values()
    ((_, first), (_, gap), (_, last), _) = drawn(panel)[0]
    assert (first, np.isnan(gap), last) == (1.0, True, 2.0)


def test_runs_without_looks_have_no_panels_and_a_callers_axes_stay_alone(tmp_path):
    assert panels(pk.open(run(tmp_path)).plot.over_time("ttft")) == {}
    figure, ax = plt.subplots()
    pk.open(run(tmp_path, *LOOKS, name="b")).plot.over_time("ttft", ax=ax)
    assert figure.axes == [ax]
    plt.close(figure)


def test_each_run_has_a_line_in_the_colour_of_its_group(tmp_path):
    paths = [run(tmp_path, *LOOKS, name=name, tags={"gpu": gpu}) for name, gpu in (("a", "x"), ("b", "x"), ("c", "y"))]
    ax = pk.open(*paths).plot.over_time("ttft", by="gpu")
    colours = [line.get_color() for line in panels(ax)["waiting"].lines]
    assert colours[0] == colours[1] != colours[2]


def test_the_numbers_behind_the_panels_are_among_those_of_the_chart(tmp_path):
    table = numbers(pk.open(run(tmp_path, *LOOKS)), "over_time", "ttft")
    beneath = table[table["waiting"].notna()]
    assert beneath["waiting"].tolist() == [1, 3, 5]
    assert beneath["kv_cache_use"].tolist() == [0.25, 0.5, 0.75]
    assert beneath["time since the run's start [s]"].tolist() == [0.0, 0.5, 1.5]


@pytest.mark.slow
def test_an_export_has_them_in_picture_and_numbers(tmp_path):
    runs = pk.open(run(tmp_path, *LOOKS))
    written = runs.export(tmp_path / "out", charts=["over_time:ttft"], formats=["csv", "svg"])
    assert "kv_cache_use" in next(path for path in written if path.suffix == ".csv").read_text()
    alone = pk.open(run(tmp_path, name="b")).export(tmp_path / "alone", charts=["over_time:ttft"], formats=["svg"])
    sizes = [next(path for path in some if path.suffix == ".svg").stat().st_size for some in (written, alone)]
    assert sizes[0] > sizes[1]


def test_the_last_look_holds_no_longer_than_it_is_known(tmp_path):
    ax = pk.open(run(tmp_path, (-0.5, told(1)), (0.5, told(3)))).plot.over_time("ttft")
    (panel,) = panels(ax).values()
    # Two and a half seconds after a look nothing is known, though the last answer ended at 4 s.
    assert drawn(panel) == [[(0.0, 1.0), (0.5, 3.0), (3.0, 3.0)]]
