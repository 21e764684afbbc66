import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit as pk
from perfkit.analysis.stats.distribution import percentile as analysis_percentile
from perfkit.runfile.percentile import percentile, percentile_sql
from perfkit.runfile.writer import Writer
from tests.run_files import request, write_run

DEMO = Path(__file__).parents[2] / "sample_data/runs.db"
ITL = ("itl_p50", "itl_p95", "itl_p99")
OLD_VIEW = "CREATE VIEW request_metrics AS SELECT run_id, seq, 0.0 AS itl_p50, 1.0 AS itl_p95 FROM result"


@given(st.lists(st.floats(-1e6, 1e6), max_size=50), st.integers(0, 100))
def test_sql_python_and_the_analysis_agree_to_the_last_bit(values, percent):
    expected = analysis_percentile(values, percent)
    assert percentile(sorted(values), percent) == pytest.approx(expected, rel=0, abs=0, nan_ok=True)
    with closing(sqlite3.connect(":memory:")) as db:
        query = f"SELECT {percentile_sql('x', percent)} FROM (SELECT ? AS x)"
        (found,) = db.execute(query, [json.dumps(values)]).fetchone()
    assert found == (expected if values else None)


@pytest.mark.parametrize("percent", [50, 95, 99])
@pytest.mark.parametrize("count", [1, 2, 3, 20, 21, 100, 101, 2000])
def test_ranks_that_are_nearly_whole_are_taken_alike(count, percent):
    values = np.random.default_rng(count).exponential(size=count)
    assert percentile(sorted(values), percent) == np.percentile(values, percent, method="linear")


@pytest.mark.slow
def test_the_view_and_the_metrics_agree_in_every_row_of_a_file(tmp_path):
    rng = np.random.default_rng(7)
    path = write_run(tmp_path / "a.db", [request(n, n, gaps=rng.exponential(size=n % 37).tolist()) for n in range(200)])
    with closing(sqlite3.connect(path)) as file:
        view = file.execute(f"SELECT seq, {', '.join(ITL)} FROM request_metrics ORDER BY seq").fetchall()
    loaded = pk.open(path).column("seq", *ITL)
    python = loaded.astype(object).where(loaded.notna(), None).sort_values("seq")
    assert view == [tuple(row) for row in python.itertuples(index=False)]


def test_opening_an_old_file_for_writing_replaces_its_view(tmp_path):
    path = tmp_path / "old.db"
    shutil.copyfile(DEMO, path)
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP VIEW request_metrics")
        file.execute(OLD_VIEW)
    Writer(path).close()
    with closing(sqlite3.connect(path)) as file:
        view = dict(file.execute("SELECT run_id || '/' || seq, itl_p95 FROM request_metrics"))
    loaded = pk.open(path).column("run_id", "seq", "itl_p95")
    python = {f"{row.run_id}/{row.seq}": row.itl_p95 for row in loaded.itertuples()}
    assert len(view) > 50
    assert all(view[key] == value or value != value for key, value in python.items())


def test_a_second_opening_leaves_the_view_alone(tmp_path):
    path = write_run(tmp_path / "a.db", [request(0)])
    with closing(sqlite3.connect(path)) as file:
        before = file.execute("PRAGMA schema_version").fetchone()
    write_run(path, [request(0)], run_id="2")
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA schema_version").fetchone() == before
