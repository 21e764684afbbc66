"""``perfkit merge``: every run once, removed ones with their mark, and nothing on a mistake."""

import json

import pytest

import perfkit as pk
from perfkit.cli import main
from tests.cli.commands import carried_out as run
from tests.run_files import request, write_run

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path):
    for name in "abc":
        write_run(tmp_path / f"{name}.db", [request(i, i) for i in range(3)], name=name, run_id=f"01{name:0>24}")
    return tmp_path


def test_every_run_is_in_the_new_file_and_the_old_ones_stay(files, capsys):
    assert run("merge", str(files / "a.db"), str(files / "b.db"), "--to", str(files / "new.db")) == 0
    assert capsys.readouterr().out == f"{files / 'new.db'}\n2 runs\n"
    assert sorted(pk.open(files / "new.db").labels) == ["a", "b"]
    assert len(pk.open(files / "new.db").requests) == 6
    assert (files / "a.db").exists()


def test_a_run_that_two_files_hold_is_written_once_under_its_own_name(files, capsys):
    run("merge", str(files / "a.db"), str(files / "b.db"), "--to", str(files / "ab.db"))
    capsys.readouterr()
    run("merge", str(files), "--to", str(files / "all.db"), "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["runs"], said["left_out"], said["removed"]) == (3, 2, 0)
    assert sorted(pk.open(files / "all.db").labels) == ["a", "b", "c"]


def test_a_removed_run_is_kept_as_removed(files):
    pk.open(files / "a.db").annotate(removed=True)
    run("merge", str(files / "a.db"), str(files / "b.db"), "--to", str(files / "new.db"))
    new = pk.open(files / "new.db")
    assert (new.labels, new.removed) == (["b"], ["a"])


def test_nothing_is_merged_when_a_file_cannot_be_read(files, capsys):
    (files / "a.db").write_bytes(b"SQLite format 3\0 cut")
    assert main(["merge", str(files / "a.db"), str(files / "b.db"), "--to", str(files / "new.db")]) == 2
    assert "nothing was merged: " in capsys.readouterr().err
    assert not (files / "new.db").exists()
