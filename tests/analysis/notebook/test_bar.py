import threading

from perfkit.analysis.notebook.bar import Bar


def test_the_button_stops_the_job_once():
    stopped = threading.Event()
    bar = Bar(stopped.set)
    bar.button.click()
    assert stopped.wait(10)
    assert bar.button.disabled


def test_painting_moves_the_bar_and_the_end_takes_the_button():
    bar = Bar(lambda: None)
    bar.paint("5 of 10", 0.5, over=False)
    assert (bar.bar.value, bar.text.value, bar.button.layout.display) == (0.5, "5 of 10", None)
    bar.paint("done: 10 of 10", 1.0, over=True)
    assert (bar.bar.bar_style, bar.button.layout.display) == ("success", "none")


def test_a_bar_without_an_end_stays_empty():
    bar = Bar(lambda: None)
    bar.paint("5", float("nan"), over=False)
    assert bar.bar.value == 0
