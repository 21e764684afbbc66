import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import PerfkitError, UnsafeFile, UsageError
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Writer
from tests.run_files import failure, request, write_run

FIXTURES = Path(__file__).parents[2] / "fixtures" / "peers"


@pytest.fixture
def folder(tmp_path):
    write_run(tmp_path / "one.db", [request(0)], name=None)
    (tmp_path / "deep").mkdir()
    write_run(tmp_path / "deep" / "two.db", [request(0)], name=None)
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


def test_a_folder_is_searched_at_every_depth(folder):
    assert sorted(pk.open(folder).labels) == ["one", "two"]


def test_a_pattern_a_path_and_several_of_them_open_alike(folder):
    assert pk.open(f"{folder}/**/t*.db").labels == ["two"]
    assert pk.open([folder / "one.db", str(folder / "deep" / "two.db"), folder]).labels == ["one", "two"]


@pytest.mark.parametrize("place", ["nowhere", "nowhere/*.db"])
def test_a_place_without_files_says_what_to_give(folder, place):
    with pytest.raises(UsageError, match="give a file, a folder or a pattern"):
        pk.open(folder / place)


def test_a_database_of_another_program_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE photos (id)")
    with pytest.raises(UnsafeFile, match="not a result file that perfkit knows"):
        pk.open(tmp_path / "other.db")


def test_a_view_called_result_is_not_run(folder):
    with sqlite3.connect(folder / "one.db") as connection:
        connection.execute("DROP VIEW request_metrics")
        connection.execute("ALTER TABLE result RENAME TO hidden")
        connection.execute("CREATE VIEW result AS SELECT * FROM hidden")
    with pytest.raises(UnsafeFile, match="not a plain table"):
        pk.open(folder / "one.db")


def test_a_file_of_a_newer_perfkit_asks_for_an_update(folder):
    with sqlite3.connect(folder / "one.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(UnsafeFile, match="newer perfkit"):
        pk.open(folder / "one.db")


def test_a_file_that_is_being_written_is_read_as_far_as_it_was_committed(tmp_path):
    path = write_run(tmp_path / "live.db", [request(0)], run_id="R")
    writer = Writer(path)
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), **request(1, 1), "run_id": "R"}])
    assert len(pk.open(path).requests) == 2
    writer.close()


@pytest.mark.slow
def test_a_garbled_record_does_not_hide_its_rows(tmp_path):
    path = write_run(tmp_path / "g.db", [request(0)])
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE run SET tags = '{oops', arguments = '[1]', basis = 'x', reasons = '{', verdict = 'SUSPECT'"
        )
    runs = pk.open(path)
    assert len(runs.requests) == 1
    assert "SUSPECT" in str(runs)


@pytest.mark.slow
def test_opening_changes_neither_file_nor_folder(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    str(pk.open(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_tags_are_read_from_the_parts_of_a_path(tmp_path):
    for gpu in ("A100", "H100"):
        (tmp_path / gpu / "run-1").mkdir(parents=True)
        write_run(tmp_path / gpu / "run-1" / "r.db", [request(0)], name=None, tags={"lab": "north"})
    runs = pk.open(tmp_path, tags="{gpu}/run-{number}")
    assert runs.table["gpu"].tolist() == ["A100", "H100"]
    assert runs.requests["number"].unique().tolist() == ["1"]
    assert runs.requests["lab"].unique().tolist() == ["north"]
    assert pk.open(tmp_path, tags="{gpu}/*.sqlite").table.get("gpu") is None


@pytest.mark.parametrize("pattern", ["gpu", "{}", "{a b}", "{a}/{a}"])
def test_a_pattern_without_plain_names_is_an_error(folder, pattern):
    with pytest.raises(UsageError, match="tags is a pattern"):
        pk.open(folder, tags=pattern)


@pytest.mark.parametrize(
    ("tool", "results", "side"),
    [
        ("aiperf", "aiperf_4/profile_export.jsonl", "inputs.json"),
        ("llmeter", "llmeter_4/20261120-2005/responses.jsonl", "payload.jsonl"),
    ],
)
def test_a_tools_side_file_says_where_its_results_are(tmp_path, tool, results, side):
    source = FIXTURES / results
    (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / side).write_text('{"messages": []}')
    with pytest.raises(UnsafeFile, match=f"the results of {tool} are in {source.name} beside it"):
        pk.open(tmp_path / side)


@pytest.mark.slow
@pytest.mark.parametrize("failed", [3, 1], ids=["older", "newer"])
def test_what_a_stop_cut_off_is_no_failure_in_files_of_any_age(tmp_path, failed):
    # Older files counted the two that were under way when the run was stopped among the failures.
    cut_off = [failure(3 + i, 3, kind="interrupted") for i in range(2)]
    rows = [request(0), request(1, 1), failure(2, 2), *cut_off]
    counts = {"sent": 5, "succeeded": 2, "failed": failed}
    runs = pk.open(write_run(tmp_path / "stopped.db", rows, status="interrupted", **counts))
    (run,) = runs.table.to_dict("records")
    assert (run["sent"], run["succeeded"], run["failed"], run["cut_off"]) == (5, 2, 1, 2)
    rates = runs.summary().rates.iloc[0]
    assert (rates["requests"], rates["failed"], rates["cut_off"]) == (5, 1, 2)


@pytest.mark.parametrize(("name", "said"), [("benchmark_summary.json", True), ("llmperf.json", False)])
def test_a_tool_is_named_for_what_lies_beside_only_if_it_wrote_the_file(tmp_path, name, said):
    (source,) = (FIXTURES.parent / "evalscope" / "evalscope-1.14.1__embeddings").rglob("*.db")
    (tmp_path / "beside.db").write_bytes(source.read_bytes())
    (tmp_path / name).write_text('{"not": "results"}')
    with pytest.raises(UnsafeFile) as raised:
        pk.open(tmp_path / name)
    assert ("the results of evalscope are in beside.db beside it" in str(raised.value)) is said
    assert ("known: aiperf, evalscope, genai-bench" in str(raised.value)) is not said


@pytest.mark.parametrize("places", [("one.db", "deep/two.db"), (["one.db", "deep/two.db"],), (["one.db"], "deep")])
def test_several_places_open_alike_one_by_one_and_in_a_list(folder, places, monkeypatch):
    monkeypatch.chdir(folder)
    assert sorted(pk.open(*places).labels) == ["one", "two"]


@pytest.mark.parametrize("given", [(), (3,), (None,), ("one.db", 3), ([3],), ([],), (b"one.db",)])
def test_what_is_no_place_is_told_in_one_sentence(given):
    with pytest.raises(UsageError, match=r"open takes files, folders or patterns, such as open\('a.db', 'b.db'\)"):
        pk.open(*given)


@pytest.mark.slow
def test_a_damaged_file_is_named_wherever_the_damage_shows(tmp_path):
    whole = write_run(tmp_path / "whole.db", [request(i, i) for i in range(20)]).read_bytes()
    pages = len(whole) // 4096
    said = set()
    for page in range(2, pages, 3):  # of all, an opening each takes too long
        path = tmp_path / "torn.db"
        path.write_bytes(whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :])
        try:
            str(pk.open(path))
            pk.open(path).decoded()
        except PerfkitError as error:
            said.add(str(error))
    assert said
    assert [sentence for sentence in said if "torn.db" not in sentence] == []


@pytest.mark.processes
@pytest.mark.slow
def test_a_file_without_the_columns_of_today_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with pk.simulate(ttft=0.001, itl=0.001) as server:
        asked = {"number": 2, "max_tokens": 2, "preflight": False, "workers": 0, "db": str(path)}
        pk.run(server.url, **asked, name="old")
        with closing(sqlite3.connect(path)) as file:
            file.execute("DROP INDEX result_narrow")
            file.execute("ALTER TABLE result DROP COLUMN first_answer_latency")
        old = pk.open(path)
        assert old.requests["ttfat"].isna().tolist() == [True, True]
        assert old.requests["ttft"].notna().all()
        assert len(old.where("ttfat > 0").requests) == 0
        assert old.lens("ttfat").table.xs("perfkit", level="definition")["n"].item() == 2
        pk.run(server.url, **asked, name="new")
    assert pk.open(path).requests["ttfat"].notna().tolist() == [False, False, True, True]
