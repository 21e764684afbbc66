import sqlite3
from contextlib import closing

import numpy as np
import pytest

from tests.run_files import request, write_run


def test_the_view_gives_the_metrics_of_each_request_in_plain_sql(tmp_path):
    gaps = [0.01 * (1 + (7 * n) % 100) for n in range(100)]
    path = write_run(tmp_path / "a.db", [request(0, ttft=0.5, gaps=gaps, scheduled_time=1_749_999_999.75)])
    with closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        (row,) = file.execute("SELECT * FROM request_metrics").fetchall()
    assert (row["ttft"], row["lag"], row["success"]) == (0.5, 0.25, 1)
    assert row["itl_mean"] == pytest.approx(np.mean(gaps))
    assert row["itl_max"] == pytest.approx(1.0)
    assert [row[f"itl_p{percent}"] for percent in (50, 95, 99)] == [pytest.approx(p) for p in (0.505, 0.9505, 0.9901)]


def test_the_view_has_nothing_to_say_of_an_answer_without_gaps(tmp_path):
    path = write_run(tmp_path / "a.db", [request(0, gaps=())])
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT itl_mean, itl_p50, itl_p99 FROM request_metrics").fetchall() == [(None, None, None)]
