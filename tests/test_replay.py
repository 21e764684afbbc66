"""Replaying a run, and going on with a sweep that was interrupted."""

import json
import sqlite3
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import UsageError
from tests.simulator.logs import read_received

pytestmark = pytest.mark.processes

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module")
def server():
    with pk.simulate(ttft=0.005, itl=0.001) as simulated:
        yield simulated


def bodies_of(path):
    """The bodies that a server received, the connection's preflight and look-ups left out."""
    return [told["body"] for told in read_received(path) if told["path"].startswith("/v1/chat")]


def test_a_replay_sends_the_same_bodies_at_the_same_times_in_the_same_order(server, tmp_path):
    first = pk.start(server.url, rate=40, number=12, max_tokens=4, workers=0, db=str(tmp_path / "a.db")).wait()
    log = tmp_path / "received.jsonl"
    with pk.simulate(ttft=0.005, itl=0.001, request_log=str(log)) as server:
        again = pk.replay(first, server.url, speed=2.0, workers=0, db=str(tmp_path / "b.db")).wait()
    sent = first.decoded().sort_values("start_time")["request"].tolist()
    assert bodies_of(log) == sent
    before, after = (runs.requests.sort_values("start_time") for runs in (first, again))
    due = after["scheduled_time"].to_numpy() - after["scheduled_time"].min()
    assert due * 2 == pytest.approx(before["start_time"].to_numpy() - before["start_time"].min(), abs=1e-5)


def test_a_replay_keeps_the_path_of_the_recorded_target(server, tmp_path):
    given = {"api": "completions", "number": 2, "max_tokens": 2, "workers": 0}
    first = pk.start(server.url, db=str(tmp_path / "a.db"), **given).wait()
    again = pk.replay(first, server.url, workers=0, db=str(tmp_path / "b.db")).wait()
    assert again.requests["success"].tolist() == [1, 1]
    assert again.members[0].record["target"].endswith("/v1/completions")


def test_prompts_of_another_tools_file_pair_with_ours(server, tmp_path):
    theirs = pk.open(FIXTURES / "evalscope/evalscope-1.14.1__doc002_api_dataset")
    ours = pk.replay(theirs, server.url, speed=100.0, workers=0, db=str(tmp_path / "ours.db")).wait()
    hashes = [sorted(runs.column("prompt_hash")["prompt_hash"]) for runs in (theirs, ours)]
    assert len(hashes[0]) == 20
    assert hashes[0] == hashes[1]


def test_a_replay_takes_the_path_of_a_file_with_one_run(server, tmp_path):
    path = tmp_path / "a.db"
    pk.start(server.url, rate=100, number=3, max_tokens=2, workers=0, db=str(path)).wait()
    again = pk.replay(path, workers=0, db=str(tmp_path / "b.db")).wait()
    assert again.requests["success"].tolist() == [1, 1, 1]


def test_several_workers_replay_together_what_one_would(tmp_path):
    log = tmp_path / "received.jsonl"
    with pk.simulate(ttft=0.005, itl=0.001, request_log=str(log)) as server:
        first = pk.start(server.url, rate=40, number=12, max_tokens=4, workers=0, db=str(tmp_path / "a.db")).wait()
        again = pk.replay(first, workers=2, db=str(tmp_path / "b.db")).wait()
    before, after = (runs.requests.sort_values("scheduled_time") for runs in (first, again))
    assert set(after["worker"]) == {0, 1}
    assert after["prompt_hash"].tolist() == before["prompt_hash"].tolist()
    due = after["scheduled_time"].to_numpy() - after["scheduled_time"].min()
    assert due == pytest.approx(before["start_time"].to_numpy() - before["start_time"].min(), abs=1e-5)


def test_replay_takes_one_run(server, tmp_path):
    given = {"number": 2, "max_tokens": 2, "workers": 0, "db": str(tmp_path / "a.db")}
    two = pk.start(server.url, parallel=[1, 2], **given).wait()
    with pytest.raises(UsageError, match="replay takes one run, got 2"):
        pk.replay(two)


def test_resume_measures_only_what_is_missing(server, tmp_path):
    db = tmp_path / "sweep.db"
    given = {"number": 3, "max_tokens": 2, "workers": 0, "db": str(db)}
    pk.start(server.url, parallel=[1, 2, 3], **given).wait()
    # As a kill during the second point leaves it: that one interrupted, the third never begun.
    with sqlite3.connect(db) as file:
        third = file.execute("SELECT run_id FROM run WHERE point = 2").fetchone()
        file.execute("UPDATE run SET status = 'interrupted' WHERE point = 1")
        file.execute("DELETE FROM result WHERE run_id = ?", third)
        file.execute("DELETE FROM run WHERE run_id = ?", third)
    again = pk.resume(db, workers=0).wait()
    assert [run.settings["parallel"] for run in again.members] == [2, 3]
    table = [(run.record["point"], run.record["status"]) for run in pk.open(db).members]
    assert sorted(table) == [(0, "finished"), (1, "finished"), (1, "interrupted"), (2, "finished")]
    sweeps = {run.record["sweep_id"] for run in pk.open(db).members}
    assert len(sweeps) == 1


def test_a_removed_point_counts_as_measured_when_a_sweep_goes_on(server, tmp_path):
    db = tmp_path / "sweep.db"
    pk.start(server.url, parallel=[1, 2, 3], number=3, max_tokens=2, workers=0, db=str(db)).wait()
    with sqlite3.connect(db) as file:
        file.execute("UPDATE run SET status = 'interrupted' WHERE point = 1")
    first = pk.open(db)
    first.annotate(first.labels[0], removed=True)
    again = pk.resume(db, workers=0)
    assert again.resumed.left == "parallel=1; parallel=3"
    assert [run.settings["parallel"] for run in again.wait().members] == [2]


def test_a_sweep_whose_every_run_was_removed_is_still_a_complete_sweep(server, tmp_path):
    db = tmp_path / "sweep.db"
    pk.start(server.url, parallel=[1, 2], number=2, max_tokens=2, workers=0, db=str(db)).wait()
    pk.open(db).annotate(removed=True)
    with pytest.raises(UsageError, match="nothing is missing: all 2 points of the sweep finished"):
        pk.resume(db)


def test_a_resumed_sweep_numbers_its_points_as_the_sweep_does(server, tmp_path):
    db = tmp_path / "sweep.db"
    pk.start(server.url, parallel=[1, 2, 3], number=3, max_tokens=2, workers=0, db=str(db)).wait()
    with sqlite3.connect(db) as file:
        file.execute("UPDATE run SET status = 'interrupted' WHERE point = 1")
    job = pk.resume(db, workers=0)
    job.wait()
    assert (job.progress.point, job.progress.points) == (1, 3)
    attached = pk.attach(db)
    assert (attached.progress.point, attached.progress.points, attached.interrupted) == (1, 3, False)


def test_a_sweep_over_a_list_is_resumed_with_that_list_and_nothing_else(server, tmp_path):
    db, prompts = tmp_path / "sweep.db", ["q0", "q1"]
    pk.start(server.url, dataset=prompts, parallel=[1, 2], max_tokens=2, workers=0, db=str(db)).wait()
    with sqlite3.connect(db) as file:
        file.execute("UPDATE run SET status = 'interrupted' WHERE point = 1")
    with pytest.raises(UsageError, match="its prompts were a list in memory"):
        pk.resume(db)
    again = pk.resume(db, dataset=prompts, workers=0).wait()
    (run,) = again.members
    assert run.record["dataset"] == "<list>"
    assert sorted(again.decoded()["prompt"]) == prompts


def test_a_key_never_stands_in_the_plan_of_a_sweep(server, tmp_path):
    db = tmp_path / "sweep.db"
    given = {"number": 1, "max_tokens": 2, "workers": 0, "api_key": "sk-very-secret-1", "db": str(db)}
    pk.start(server.url, parallel=[1, 2], **given).wait()
    assert b"sk-very-secret-1" not in db.read_bytes()
    plan = json.loads(pk.open(db).members[0].record["plan"])
    assert plan["points"] == 2
