"""What people write about runs lasts: in perfkit's own files, beside those of other tools, and on the command line."""

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import StorageError, UnsafeFile, UsageError
from perfkit.runfile import safe_file
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Writer
from tests.cli.commands import carried_out
from tests.nets.golden import FIXTURES, RUNS
from tests.run_files import request, write_run

VLLM = FIXTURES / "peers/vllm_4/result.json"
EVALSCOPE = next((FIXTURES / "evalscope/evalscope-1.1.1__sweep").rglob("benchmark_data.db"))
WRITTEN = ("name", "note", "tags", "removed")


@pytest.fixture
def path(tmp_path):
    """Five runs of a file of the first format."""
    return str(shutil.copy(RUNS, tmp_path))


@pytest.fixture
def foreign(tmp_path):
    return Path(shutil.copy(VLLM, tmp_path))


def stored(path):
    """Return everything in a run file but what people write."""
    with closing(sqlite3.connect(path)) as file:
        file.row_factory = sqlite3.Row
        tables = {name: file.execute(f"SELECT * FROM {name}").fetchall() for name in ("result", "sample", "clock")}
        runs = [dict(row) | dict.fromkeys(WRITTEN) for row in file.execute("SELECT * FROM run")]
    return {name: [tuple(row) for row in rows] for name, rows in tables.items()}, runs


# In a run file --------------------------------------------------------------------------------------------------------


def test_what_is_written_about_a_run_is_there_when_the_file_is_opened_again(path):
    before = stored(path)
    changed = pk.open(path)["A100*"].annotate(name="L40", tags={"gpu": "L40", "rack": "4"}, note="after the update")
    runs = pk.open(path)
    assert runs.labels == ["L40 parallel=1", "L40 parallel=8", "H100 parallel=1", "H100 parallel=8", "faulty"]
    assert changed.labels == runs.labels[:2]
    assert changed == runs["L40*"]
    assert runs.table["rack"].tolist()[:2] == ["4", "4"]
    assert runs.table["note"].fillna("").tolist() == ["after the update", "after the update", "", "", ""]
    assert list(runs.percentiles("ttft", by="gpu").index.get_level_values("gpu")) == ["L40", "H100"]
    assert "note on L40 parallel=1 and L40 parallel=8: after the update" in str(runs)
    assert stored(path) == before
    assert [file.name for file in Path(path).parent.iterdir()] == ["runs.db"]


def test_what_is_not_given_stays_and_none_takes_a_tag_away(path):
    runs = pk.open(path).annotate("faulty", tags={"rack": "4"}, note="first")
    runs.annotate("faulty", tags={"gpu": None})
    runs.annotate("faulty", note="")
    (run,) = pk.open(path)["faulty"].members
    assert (run.name, dict(run.tags), run.record["note"]) == ("faulty", {"rack": "4"}, None)


def test_a_removed_run_is_left_out_which_is_said_until_it_is_brought_back(path):
    rest = pk.open(path).annotate("faulty", "A100*", removed=True)
    runs = pk.open(path)
    assert rest.labels == runs.labels == ["H100 parallel=1", "H100 parallel=8"]
    assert runs.removed == ["A100 parallel=1", "A100 parallel=8", "faulty"]
    said = "3 runs are left out, which were removed: A100 parallel=1, A100 parallel=8 and faulty; bring one back with"
    assert said in str(runs)
    with pytest.raises(KeyError, match="3 runs are left out"):
        runs["faulty"]
    assert runs.annotate("A100*", removed=False).labels == [*runs.labels, "A100 parallel=1", "A100 parallel=8"]
    assert pk.open(path).removed == ["faulty"]


def test_all_runs_can_be_removed_and_come_back(path):
    assert len(pk.open(path).annotate(removed=True)) == 0
    runs = pk.open(path)
    assert repr(runs).startswith("no runs; 5 runs are left out")
    assert runs._repr_html_().startswith("no runs; 5 runs")
    assert len(runs.summary().frame) == 0
    with pytest.raises(UsageError, match="no runs to look at; 5 runs are left out"):
        runs.lens("ttft")
    assert runs.annotate("*", removed=False).labels == pk.open(path).labels == pk.open(RUNS).labels


def test_names_that_collide_are_told_apart(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / f"{name}.db", [request(0, 0)], name=name, parallel=ord(name))
    assert pk.open(tmp_path).annotate(name="same").labels == ["same parallel=97", "same parallel=98"]
    assert pk.open(tmp_path).labels == ["same parallel=97", "same parallel=98"]


def test_a_run_keeps_its_colour_under_its_new_name(path):
    runs = pk.open(path)
    assert runs.annotate("H100*", name="H200").palette[2:] == ("H200 parallel=1", "H200 parallel=8", "faulty")


def test_a_run_that_is_being_measured_goes_on_undisturbed(tmp_path):
    path = tmp_path / "live.db"
    writer = Writer(path)
    writer.begin_run({"run_id": "R", "name": "live", "tags": '{"gpu": "A"}', "status": "running"})
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), **request(0), "run_id": "R"}])
    pk.open(path).annotate(name="renamed", tags={"rack": "4"})
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), **request(1), "run_id": "R"}])
    writer.merge_run("R", {"status": "finished", "end_time": 1.0, "sent": 2, "succeeded": 2, "failed": 0})
    writer.close()
    (run,) = pk.open(path).members
    assert (run.label, dict(run.tags), run.record["sent"]) == ("renamed", {"gpu": "A", "rack": "4"}, 2)
    assert len(pk.open(path).requests) == 2


def test_a_file_that_stays_busy_is_left_as_it_is(path, monkeypatch):
    monkeypatch.setattr(safe_file, "PATIENCE", 0.01)
    runs = pk.open(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"runs.db is locked .*; nothing was written about its runs"):
            runs.annotate(note="now")
    assert pk.open(path).table["note"].isna().all()


def test_a_file_marked_as_read_only_is_left_as_it_is(path):
    os.chmod(path, 0o444)
    with pytest.raises(StorageError, match=r"runs.db is read-only; .*runs.save"):
        pk.open(path).annotate(note="x")


def test_what_a_file_brings_is_not_run(path):
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TRIGGER t AFTER UPDATE ON run BEGIN DELETE FROM result; END")
        file.commit()
    with pytest.raises(StorageError, match="has triggers"):
        pk.open(path).annotate(note="x")
    assert len(pk.open(path).requests) == len(pk.open(RUNS).requests)


def test_a_file_that_was_replaced_meanwhile_is_left_as_it_is(path, tmp_path):
    runs = pk.open(path)
    os.replace(write_run(tmp_path / "other.db", [request(0)], name="other"), path)
    with pytest.raises(StorageError, match="no longer holds run"):
        runs.annotate(name="mine")
    assert pk.open(path).labels == ["other"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "none of them was given"),
        ({"name": " "}, "a name is text on one line"),
        ({"name": "two\nlines"}, "a name is text on one line"),
        ({"name": "x" * 201}, "at most 200 characters"),
        ({"name": 5}, "a name is text"),
        ({"tags": {"gpu": 5}}, "a tag is text"),
        ({"tags": {"": "A100"}}, "a tag is text"),
        ({"tags": ["gpu=A100"]}, "tags are at most 100 names with a text each"),
        ({"note": "x" * 4001}, "at most 4,000 characters"),
        ({"note": "\x1b[2J"}, "a note is text"),
        ({"removed": "yes"}, "removed is True or False"),
        ({"removed": False}, "name the runs to bring back"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_sentence(path, given, said):
    with pytest.raises(UsageError, match=said):
        pk.open(path).annotate(**given)


def test_a_label_that_no_run_has_is_refused(path):
    with pytest.raises(UsageError, match="no run is called 'fauty'; did you mean 'faulty'"):
        pk.open(path).annotate("fauty", note="x")
    with pytest.raises(UsageError, match="no removed run is called 'faulty'"):
        pk.open(path).annotate("faulty", removed=False)


# Beside another tool's file -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [VLLM, EVALSCOPE], ids=["vllm", "evalscope"])
def test_of_another_tools_file_it_is_kept_beside_it_and_both_can_be_moved(origin, tmp_path):
    (tmp_path / "first").mkdir()
    path = shutil.copy(origin, tmp_path / "first")
    before = origin.read_bytes()
    pk.open(path).annotate(name="L40", tags={"gpu": "L40"}, note="x\nsecond line")
    pk.open(path).annotate(tags={"rack": "4", "gpu": None})
    os.rename(tmp_path / "first", tmp_path / "second")
    runs = pk.open(tmp_path / "second")
    assert (runs.labels, runs.problems) == (["L40"], ())
    assert runs.table[["rack", "note"]].to_dict("records") == [{"rack": "4", "note": "x\nsecond line"}]
    assert "gpu" not in runs.table
    assert (tmp_path / "second" / origin.name).read_bytes() == before
    assert pk.open(str(tmp_path / "second" / "*")).labels == ["L40"]
    assert runs.annotate(removed=True).labels == []
    assert pk.open(tmp_path / "second").annotate("L40", removed=False).labels == ["L40"]


def beside(path):
    return path.parent / f"{path.name}.perfkit.json"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "cannot be used"),
        ("[" * 100_000, "cannot be used"),
        ("[]", "it is not of version 1"),
        ('{"version": 2, "runs": {}}', "it is not of version 1"),
        ('{"version": 1, "runs": {"a": 5}}', "it holds 5"),
        ('{"version": 1, "runs": {"a": {"code": "x"}}}', "it holds"),
        ('{"version": 1, "runs": {"a": {"name": ["x"]}}}', "a name is text"),
        ('{"version": 1, "runs": {"a": {"note": "\\u001b[2J"}}}', "a note is text"),
        ('{"version": 1, "runs": {"a": {"tags": null}}}', "tags are at most"),
        (" " * (5 << 20), "longer than 4 MiB"),
        (None, "is not a regular file"),
    ],
)
def test_what_lies_beside_a_file_and_is_not_ours_is_left_aside_said_and_not_replaced(foreign, content, said):
    place = beside(foreign)
    if content is None:
        os.mkfifo(place)
    else:
        place.write_text(content)
    runs = pk.open(foreign)
    (problem,) = runs.problems
    assert problem.path == str(place)
    assert said in problem.reason
    assert len(runs) == 1
    with pytest.raises(UnsafeFile, match="move it away"):
        runs.annotate(name="x")
    assert content is None or place.read_text() == content


def test_words_about_a_run_that_is_not_there_are_said_and_kept(foreign):
    kept = {"0" * 16: {"name": "other", "tags": {"a": "b"}, "note": "", "removed": True}}
    beside(foreign).write_text(json.dumps({"version": 1, "runs": kept}))
    runs = pk.open(foreign)
    assert "tells of 1 run that" in runs.problems[0].reason
    assert runs.annotate(name="mine").labels == ["mine"]
    written = json.loads(beside(foreign).read_text())["runs"]
    assert written.items() >= kept.items()
    assert len(written) == 2


def test_words_that_are_html_are_shown_as_text(foreign):
    runs = pk.open(foreign).annotate(name="<i>x</i>", tags={"gpu": "<i>"}, note="<script>")
    assert "<i>" not in runs._repr_html_()
    assert "<script>" not in runs._repr_html_()


def test_a_file_of_words_opened_by_itself_says_what_to_open(foreign):
    pk.open(foreign).annotate(note="x")
    with pytest.raises(UnsafeFile, match=r"holds names, tags and notes; open .*result.json beside it"):
        pk.open(beside(foreign))


def test_a_folder_that_cannot_be_written_is_said(foreign):
    place = beside(foreign)
    place.with_name(f"{place.name}.{os.getpid()}.new").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*perfkit.json: File exists; nothing was written"):
        pk.open(foreign).annotate(note="x")


def test_runs_of_a_frame_have_no_file():
    frame = pk.open(VLLM).requests[["ttft", "e2e"]]
    with pytest.raises(UsageError, match="have no file"):
        pk.from_frame(frame, run="mine").annotate(note="x")


# On the command line --------------------------------------------------------------------------------------------------


def test_the_command_line_does_the_same(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    words = ["--name", "L40", "--tag", "gpu=L40", "rack=4", "--tag", "old=", "--note", "after the update"]
    assert carried_out("annotate", path, "--pick", "A100*", *words) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"L40 parallel={users}  gpu=L40  rack=4  note: after the update" for users in (1, 8)
    ]
    assert carried_out("annotate", path, "--pick", "faulty", "--remove") == 0
    assert capsys.readouterr().out == "faulty  gpu=H100  removed\n"
    carried_out("ls", path)
    shown = capsys.readouterr()
    assert [line.split("  ")[0] for line in shown.out.splitlines()[1:]] == pk.open(path).labels
    assert "gpu=L40 rack=4" in shown.out
    assert "after the update" in shown.out
    assert "1 run is left out, which was removed: faulty" in shown.err
    assert carried_out("annotate", path, "--pick", "faulty", "--restore") == 0
    assert capsys.readouterr().out == "faulty  gpu=H100\n"
    assert pk.open(path).removed == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "none of them was given"),
        (["--tag", "gpu"], "a tag is written gpu=A100"),
        (["--remove", "--restore"], "not allowed with"),
        (["--restore"], "name the runs to bring back"),
        (["--pick", "nobody", "--note", "x"], "no run is called 'nobody'"),
    ],
)
def test_bad_words_on_the_command_line_are_refused(path, words, said):
    with pytest.raises(UsageError, match=said):
        carried_out("annotate", path, *words)
