import threading

import matplotlib.pyplot as plt
import pytest

from perfkit.analysis.notebook.panel import MORE, Panel
from perfkit.analysis.results.so_far import Failures, Figures, PointSoFar
from perfkit.errors import UsageError


def shown(stop=lambda: None, extend=lambda seconds: None):
    return Panel(stop, extend)


def test_the_button_stops_the_job_once():
    stopped = threading.Event()
    panel = shown(stop=stopped.set)
    panel.button.click()
    assert stopped.wait(10)
    assert panel.button.disabled


def test_the_other_button_asks_for_more_time_as_often_as_it_is_pressed():
    asked = []
    panel = shown(extend=asked.append)
    for count in (1, 2):
        panel.more.click()
        for thread in threading.enumerate():
            if thread.name == "perfkit-order":
                thread.join(10)
        assert asked == [MORE] * count
    assert not panel.more.disabled


def test_a_load_that_cannot_be_extended_is_told_so_in_the_panel():
    said = threading.Event()

    def extend(seconds):
        raise UsageError("this one has no duration")

    panel = shown(extend=extend)
    panel.said.observe(lambda change: said.set() if change["new"] else None, "value")
    panel.more.click()
    assert said.wait(10)
    assert panel.said.value == "this one has no duration"


def test_painting_moves_the_bar_and_the_end_takes_the_buttons():
    panel = shown()
    panel.paint("5 of 10", 0.5, over=False)
    assert (panel.bar.value, panel.text.value, panel.button.layout.display) == (0.5, "5 of 10", None)
    panel.paint("done: 10 of 10", 1.0, over=True)
    assert (panel.bar.bar_style, panel.button.layout.display, panel.more.layout.display) == ("success", "none", "none")


def test_a_bar_without_an_end_stays_empty():
    panel = shown()
    panel.paint("5", float("nan"), over=False)
    assert panel.bar.value == 0


def test_the_words_of_a_server_are_shown_as_text():
    figures = Figures((), (Failures("http_status", 1, "<script>alert(1)</script>\x1b[2J"),))
    panel = shown()
    panel.look(figures, ["so far SUSPECT", "a <b>reason</b>"])
    assert "<script" not in panel.figures.value
    assert (
        "1 failed, http_status: &lt;script&gt;alert(1)&lt;/script&gt;\N{REPLACEMENT CHARACTER}[2J"
        in panel.figures.value
    )
    assert "<div>so far SUSPECT</div><div>a &lt;b&gt;reason&lt;/b&gt;</div>" in panel.figures.value


@pytest.mark.parametrize(("points", "told"), [(3, False), (20, True)])
def test_a_long_sweep_shows_its_last_points_and_says_how_many_it_leaves_out(points, told):
    each = [
        PointSoFar(f"{users} users", 1, 0, 1.0, 1.0, 1.0, (0.1, 0.2), (0.01, 0.02), "VALID") for users in range(points)
    ]
    panel = shown()
    panel.look(Figures(tuple(each)), [])
    assert panel.figures.value.count("<tr>") == 1 + min(points, 12)
    assert f"{points - 1} users" in panel.figures.value
    assert ("8 earlier points are not shown" in panel.figures.value) is told


def test_what_several_jobs_found_is_drawn_below_them():
    class Found:
        def plot(self):
            _, ax = plt.subplots()
            plt.close()
            return ax

    panel = shown()
    assert panel.chart.layout.display == "none"
    panel.draw(Found())
    assert bytes(panel.chart.value).startswith(b"\x89PNG")
    assert panel.chart.layout.display is None
