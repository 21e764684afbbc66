import sqlite3

import numpy as np
import pytest

from perfkit.analysis.notebook.figures import curve
from perfkit.analysis.results.so_far import Failures, SoFar
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Writer
from tests.run_files import START, failure, request

RUN = {"run_id": "r", "parallel": 2, "start_time": START, "heartbeat": START + 3, "status": "running"}


@pytest.fixture
def writer(tmp_path):
    writer = Writer(tmp_path / "run.db")
    writer.begin_run(RUN)
    yield writer
    writer.close()


def add(writer, *rows, run_id="r"):
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), **row, "run_id": run_id} for row in rows])


def test_the_figures_of_a_point_are_those_of_its_rows(writer):
    # Three tokens each; the last ends 4 s after the start, a second after the writer was last seen alive.
    add(writer, request(0, 0.0, ttft=0.5), request(1, 1.0, ttft=1.5), request(2, 3.0, ttft=0.5), failure(3, 1.0))
    figures = SoFar(writer.path).look(["r"])
    (point,) = figures.points
    assert (point.load, point.done, point.failed, point.seconds) == ("2 users", 4, 1, 4.0)
    assert (point.request_rate, point.token_rate) == (3 / 4, 9 / 4)
    assert point.ttft == pytest.approx((0.5, 1.4))
    assert point.tpot == pytest.approx((0.25, 0.25))
    assert figures.failures == (Failures("http_status", 1, "boom"),)


def test_rows_that_come_later_are_added_and_none_is_read_twice(writer):
    so_far = SoFar(writer.path)
    add(writer, request(0), failure(1))
    assert so_far.look(["r"]).points[0].done == 2
    add(writer, request(2, ttft=0.7), failure(3, error="later words"), failure(4, kind="interrupted"))
    with sqlite3.connect(writer.path) as db:
        db.execute("UPDATE result SET first_chunk_latency = 99 WHERE seq = 0")
    figures = so_far.look(["r"])
    assert (figures.points[0].done, figures.points[0].ttft[0]) == (4, pytest.approx(0.6))
    assert figures.failures == (Failures("http_status", 2, "later words"),)


def test_the_points_of_a_sweep_stand_apart_in_their_order(writer):
    writer.begin_run({**RUN, "run_id": "s", "parallel": None, "rate": 12.5})
    add(writer, request(0, ttft=0.1))
    add(writer, request(0, ttft=0.2), request(1, ttft=0.4), run_id="s")
    add(writer, request(0), run_id="somebody else's")
    points = SoFar(writer.path).look(["r", "s", "not begun"]).points
    assert [(point.load, point.done, point.ttft[0]) for point in points] == [
        ("2 users", 1, pytest.approx(0.1)),
        ("12.5 requests/s", 2, pytest.approx(0.3)),
    ]


def test_the_curves_have_what_ended_in_each_second(writer):
    # Each ends a second after its start: two in the second from 1 s, none from 2 s on, one from 3 s on.
    add(writer, request(0, 0.1, ttft=0.5), request(1, 0.2, ttft=0.3), request(2, 2.5, ttft=0.5))
    curves = SoFar(writer.path).look(["r"]).curves
    assert curves.time.tolist() == [0.5, 1.5, 2.5]
    assert curves.request_rate.tolist() == [0.0, 2.0, 0.0]
    assert curves.ttft_p50[1] == pytest.approx(0.4)
    assert curves.ttft_p95[1] == pytest.approx(0.49)
    assert np.isnan(curves.ttft_p50[[0, 2]]).all()


def test_a_point_of_which_nothing_is_known_yet_has_no_number(writer):
    (point,) = SoFar(writer.path).look(["r"]).points
    assert (point.done, point.request_rate) == (0, 0.0)
    assert np.isnan([point.token_rate, *point.ttft, *point.tpot]).all()


def test_cells_that_hold_no_numbers_are_unknown(writer):
    add(writer, request(0, ttft=0.5))
    with sqlite3.connect(writer.path) as db:
        db.execute("UPDATE result SET time_per_output_token = 'x', completion_tokens = x'00'")
        db.execute("UPDATE run SET heartbeat = 'soon'")
    (point,) = SoFar(writer.path).look(["r"]).points
    assert point.ttft[0] == 0.5
    assert np.isnan([point.tpot[0], point.token_rate]).all()


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(sqlite3.Error):
        SoFar(tmp_path / "gone.db").look(["r"])


def test_a_curve_is_parted_where_nothing_is_known_and_names_its_largest_value():
    line = np.array([1.0, 4.0, np.nan, 2.0])
    drawn = curve("TTFT <p50>", np.array([0.5, 1.5, 2.5, 3.5]), [line, line / 2])
    assert drawn.count("<polyline") == 4
    assert drawn.count("stroke-dasharray") == 2
    assert "TTFT &lt;p50&gt;: up to 4, 4 s" in drawn
    assert curve("nothing", np.array([0.5]), [np.array([np.nan])]) == ""
