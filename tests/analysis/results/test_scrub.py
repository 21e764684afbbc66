import json
import sqlite3
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.analysis.results.scrub import scrub
from perfkit.errors import UnsafeFile, UsageError
from perfkit.runfile.safe_pickle import decode_cell, encode_cell
from tests.run_files import request, write_run

FIXTURES = Path(__file__).parents[2] / "fixtures" / "evalscope"
CORPUS = Path(__file__).parents[2] / "corpus" / "files"
KEY = "canary-77aa88bb"


def every_byte(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


@pytest.fixture
def old_run(tmp_path) -> Path:
    """An evalscope folder with a key in settings and log, echoed by the server inside a pickled answer."""
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "benchmark_args.json").write_text(json.dumps({"api_key": KEY, "headers": {"api-key": "azure-12345678"}}))
    (folder / "benchmark.log").write_text(f"INFO key={KEY} azure-12345678 sk-abcdefghijklmnop1234 done")
    writer = sqlite3.connect(folder / "benchmark_data.db")
    writer.execute("CREATE TABLE result (request TEXT, start_time REAL, success INTEGER, response_messages TEXT)")
    answer = encode_cell([{"error": f"bad key {KEY}", "n": [1, f"x{KEY}"]}])
    for cells in ((json.dumps({"user": KEY}), answer), ("{}", encode_cell(["fine"])), ("{}", "Y29zCnN5c3RlbQou")):
        writer.execute("INSERT INTO result VALUES (?, 1.5, 1, ?)", cells)
    writer.commit()
    writer.execute("DELETE FROM result WHERE start_time > 2")
    writer.close()
    return folder


def test_no_secret_is_left_in_any_byte_of_the_copy_nor_inside_its_pickles(old_run, tmp_path):
    done = scrub(old_run, tmp_path / "new")
    content = every_byte(tmp_path / "new")
    for secret in (KEY, "azure-12345678", "sk-abcdefghijklmnop1234"):
        assert secret.encode() not in content
    rows = sqlite3.connect(tmp_path / "new/benchmark_data.db").execute("SELECT * FROM result").fetchall()
    assert json.loads(rows[0][0]) == {"user": "***"}
    assert decode_cell(rows[0][3], "response_messages") == [{"error": "bad key ***", "n": [1, "x***"]}]
    assert decode_cell(rows[1][3], "response_messages") == ["fine"]
    assert [row[1:3] for row in rows] == [(1.5, 1)] * 3
    assert (done.masked, done.dropped) == (4, 1)


def test_a_cell_that_cannot_be_looked_into_is_empty_in_the_copy(old_run, tmp_path):
    scrub(old_run / "benchmark_data.db", tmp_path / "new.db")
    assert sqlite3.connect(tmp_path / "new.db").execute("SELECT response_messages FROM result").fetchall()[2] == (None,)


def test_the_original_is_not_changed(old_run, tmp_path):
    before = every_byte(old_run)
    scrub(old_run, tmp_path / "new")
    assert every_byte(old_run) == before


def test_settings_beside_a_single_database_are_heeded(old_run, tmp_path):
    scrub(old_run / "benchmark_data.db", tmp_path / "new.db")
    assert KEY.encode() not in every_byte(tmp_path / "new.db")


def test_secrets_can_be_named(tmp_path):
    path = write_run(tmp_path / "run.db", [request(0, output_text="my-own-secret!")])
    assert scrub(path, tmp_path / "new.db", ["my-own-secret!"]).masked == 1
    assert b"my-own-secret!" not in every_byte(tmp_path / "new.db")


def test_a_scrubbed_run_file_is_a_run_file_with_the_same_numbers(tmp_path):
    path = write_run(tmp_path / "run.db", [request(0), request(1, 1.0, ttft=0.75)])
    scrub(path, tmp_path / "new.db")
    before, after = (pk.open(file).requests["ttft"].tolist() for file in (path, tmp_path / "new.db"))
    assert before == after == [0.5, 0.75]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["evalscope-0.17.1__sweep", "evalscope-1.14.1__doc002_api_dataset"])
def test_a_scrubbed_evalscope_folder_opens_as_before(name, tmp_path):
    scrub(FIXTURES / name, tmp_path / "new")
    before, after = (pk.open(folder).requests["ttft"].tolist() for folder in (FIXTURES / name, tmp_path / "new"))
    assert before == after


def test_triggers_and_views_stay_behind(tmp_path):
    scrub(CORPUS / "db-trigger/benchmark_data.db", tmp_path / "new.db")
    kinds = sqlite3.connect(tmp_path / "new.db").execute("SELECT DISTINCT type FROM sqlite_master").fetchall()
    assert kinds == [("table",)]


def test_a_view_in_place_of_the_results_is_refused(tmp_path):
    with pytest.raises(UnsafeFile):
        scrub(CORPUS / "db-view-memory/benchmark_data.db", tmp_path / "new.db")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_left_alone(old_run, tmp_path):
    (tmp_path / "new").write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        scrub(old_run, tmp_path / "new")
    assert (tmp_path / "new").read_text() == "mine"
