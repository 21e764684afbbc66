"""Jobs that outlive their driver: real drivers, killed; found again, watched, stopped."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.errors import NothingSucceeded, UsageError
from perfkit.runner.attach import attach
from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate
from tests.cli.commands import perfkit
from tests.loadgen.workers.processes import lives, until
from tests.measured import stored
from tests.run_files import request, write_run

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
    pytest.mark.processes,
]

DRIVER = """
import sys
import perfkit as pk
given = dict(parallel=eval(sys.argv[2]), number=int(sys.argv[3]), max_tokens=4, prompt="hi", db="run.db")
given["workers"] = int(sys.argv[6]) if sys.argv[6:] else 1
job = pk.start(sys.argv[1], **given, detach=sys.argv[4] == "detached")
if sys.argv[5] == "wait":
    job.wait()
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.01, itl=0.005, output_tokens=4) as simulated:
        yield simulated


def driver(folder: Path, server: Simulated, *words: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", DRIVER, server.url, *map(str, words)], cwd=folder)


def rows(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            count: int = db.execute("SELECT count(*) FROM result").fetchone()[0]
    except sqlite3.OperationalError:  # there is no file yet, or its tables are being made
        return 0
    return count


def begun(folder: Path, server: Simulated, *words: object) -> tuple["subprocess.Popen[bytes]", Path]:
    """Start a driver and wait until rows are stored."""
    process, path = driver(folder, server, *words), folder / "run.db"
    until(lambda: rows(path) > 10)
    return process, path


def test_a_detached_job_outlives_its_killed_driver_and_is_stopped_through_its_file(
    server: Simulated, tmp_path: Path
) -> None:
    process, path = begun(tmp_path, server, 4, 10**6, "detached", "wait")
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    job, before = attach(path), rows(path)
    until(lambda: rows(path) > before + 20)
    assert not job.done()
    assert job.progress.done > before
    assert job.progress.expected == 10**6
    runs = job.stop()
    assert job.done()
    assert job.interrupted
    assert len(runs.requests) == job.progress.sent == rows(path)
    assert (job.progress.failed, job.progress.done) == (0, runs.requests["success"].sum())
    assert not lives(int(stored(path, "SELECT pid FROM run")[0]["pid"]))
    assert not path.with_name("run.db-wal").exists()


def test_a_detached_job_comes_to_its_end_after_its_driver_has_left(server: Simulated, tmp_path: Path) -> None:
    process = driver(tmp_path, server, [2, 4], 30, "detached", "leave")
    assert process.wait(30) == 0
    path = tmp_path / "run.db"
    until(lambda: rows(path) > 0)
    job = attach(path)
    runs = job.wait(30)
    assert [len(runs.pick(label).requests) for label in runs.labels] == [30, 30]
    assert not job.interrupted
    assert (job.progress.point, job.progress.points) == (1, 2)


def test_several_detached_workers_outlive_their_driver_and_are_stopped_through_their_file(
    server: Simulated, tmp_path: Path
) -> None:
    process, path = begun(tmp_path, server, 4, 10**6, "detached", "leave", 2)
    assert process.wait(30) == 0
    before = rows(path)
    until(lambda: rows(path) > before + 20)
    job = attach(path)
    job.stop()
    assert job.interrupted
    assert stored(path, "SELECT DISTINCT worker FROM result ORDER BY worker") == [{"worker": 0}, {"worker": 1}]
    until(lambda: not path.with_name("run.db-wal").exists())


def test_several_detached_workers_carry_a_sweep_to_its_end(server: Simulated, tmp_path: Path) -> None:
    process = driver(tmp_path, server, [2, 4], 30, "detached", "leave", 3)
    assert process.wait(30) == 0
    path = tmp_path / "run.db"
    until(lambda: rows(path) > 0)
    attach(path).wait(30)
    found = stored(path, "SELECT status, sent, succeeded FROM run ORDER BY point")
    assert found == [{"status": "finished", "sent": 30, "succeeded": 30}] * 2


def test_a_run_of_several_workers_is_done_when_the_last_of_them_is(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with simulate(ttft=0.7, output_tokens=1) as slow:  # worker 1 has one request of three
        started = start(slow.url, parallel=2, number=3, prompt="hi", preflight=False, workers=2, db=str(path))
        until(lambda: rows(path) > 0)
        runs = attach(path).wait(30)
        assert len(runs.requests) == 3
        started.wait(30)


def test_one_that_is_not_detached_can_be_attached_to_and_still_ends_with_its_driver(
    server: Simulated, tmp_path: Path
) -> None:
    process, path = begun(tmp_path, server, 4, 10**6, "attached", "wait")
    job = attach(path)
    assert not job.done()
    process.kill()
    process.wait(10)
    until(job.done)
    assert job.interrupted


def killed(folder: Path, server: Simulated, *words: object) -> Path:
    """Start a detached job, and kill every process that measures."""
    process, path = begun(folder, server, *words, "detached", "leave")
    process.wait(30)
    kill_all(path)
    return path


def kill_all(path: Path) -> None:
    writer = int(stored(path, "SELECT pid FROM run ORDER BY rowid")[-1]["pid"])
    os.killpg(os.getpgid(writer), signal.SIGKILL)
    until(lambda: not lives(writer))


def test_a_run_whose_every_process_was_killed_is_shown_interrupted_and_its_file_left_as_it_is(
    server: Simulated, tmp_path: Path
) -> None:
    path = killed(tmp_path, server, 4, 10**6)
    log = path.with_name("run.db-wal")
    before = (path.read_bytes(), log.read_bytes())
    job, runs = attach(path), pk.open(path)
    assert job.done()
    assert job.interrupted
    assert (job.progress.in_flight, job.progress.done) == (0, rows(path))
    (record,) = runs.table.to_dict("records")
    # With the answers that had come and were not committed yet, which the file itself does not hold.
    assert (record["status"], record["sent"], record["failed"]) == ("interrupted", len(runs.requests), 0)
    assert len(runs.requests) >= rows(path)
    (verdict,) = runs.verdicts.values()
    assert verdict.level != "VALID"
    assert any("the run was killed" in reason for reason in verdict.reasons)
    assert "was interrupted" in perfkit("show", path, folder=tmp_path).stdout
    assert "interrupted" in perfkit("ls", path, folder=tmp_path).stdout
    assert "nothing is under way" in perfkit("stop", path, folder=tmp_path).stderr
    assert (path.read_bytes(), log.read_bytes()) == before
    assert stored(path, "SELECT status FROM run")[0]["status"] == "running"


def test_a_killed_sweep_goes_on_and_a_living_one_is_not_measured_twice(server: Simulated, tmp_path: Path) -> None:
    process, path = begun(tmp_path, server, [4, 2], 200, "detached", "leave")
    process.wait(30)
    with pytest.raises(UsageError, match="is still under way"):
        pk.resume(path)
    kill_all(path)
    resumed = pk.resume(path).wait(60)
    assert sorted(resumed.table["parallel"]) == [2, 4]
    assert set(resumed.table["status"]) == {"finished"}


def test_a_stopped_sweep_goes_to_no_further_point(server: Simulated, tmp_path: Path) -> None:
    process, path = begun(tmp_path, server, [4, 2, 1], 10**6, "detached", "leave")
    process.wait(30)
    assert len(attach(path).stop()) == 1


def test_perfkit_stop_ends_it(server: Simulated, tmp_path: Path) -> None:
    process, path = begun(tmp_path, server, 4, 10**6, "detached", "leave")
    process.wait(30)
    told = perfkit("stop", path, folder=tmp_path)
    assert (told.returncode, told.stdout.split()[0]) == (0, "stopped:")
    assert attach(path).done()
    again = perfkit("stop", path, folder=tmp_path)
    assert (again.returncode, again.stderr) == (2, f"perfkit: nothing is under way in {path}\n")


def test_a_process_that_has_a_dead_workers_number_is_not_taken_for_it(tmp_path: Path) -> None:
    host = f'{{"name": "{os.uname().nodename}"}}'
    path = write_run(tmp_path / "a.db", [request(0)], status="running", pid=os.getpid(), pid_time=1.0, host=host)
    assert attach(path).done()


def test_a_run_of_another_machine_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    record = {"status": "running", "pid": 1, "pid_time": 1.0, "host": '{"name": "elsewhere"}'}
    assert attach(write_run(tmp_path / "a.db", [request(0)], heartbeat=1.0, **record)).done()
    assert not attach(write_run(tmp_path / "b.db", [request(0)], heartbeat=4e9, **record)).done()


def test_nothing_to_attach_to_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run file at"):
        attach(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("not a database, though long enough to be read as the head of one" * 9)
    with pytest.raises(UsageError, match="is not a run file"):
        attach(tmp_path / "text.db")
    write_run(tmp_path / "other.db", [request(0)], source="evalscope")
    with pytest.raises(UsageError, match="no run that perfkit measured"):
        attach(tmp_path / "other.db")


def test_a_job_is_found_as_the_newest_as_the_newest_of_a_folder_and_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no run that perfkit measured in this folder or in outputs/"):
        attach()
    Path("outputs/old").mkdir(parents=True)
    for place, name, begun in (
        ("here.db", "first", 100.0),
        ("outputs/a.db", "second", 300.0),
        ("outputs/old/b.db", "third", 200.0),
    ):
        write_run(Path(place), [request(0)], name=name, start_time=begun, end_time=begun + 1)
    write_run(Path("outputs/foreign.db"), [request(0)], source="evalscope", start_time=900.0)
    for beside in ("outputs/a.db-wal", "outputs/a.db-shm", "outputs/notes.txt"):
        Path(beside).write_text("")
    Path("outputs/broken.db").write_text("not a database")
    found = {
        place: str(attach(place).path)
        for place in (None, "outputs/", Path("outputs/old"), "first", "third", "b", "here.db", "outputs/a.db-wal")
    }
    assert found == {
        None: "outputs/a.db",
        "outputs/": "outputs/a.db",
        Path("outputs/old"): "outputs/old/b.db",
        "first": "here.db",
        "third": "outputs/old/b.db",
        "b": "outputs/old/b.db",
        "here.db": "here.db",
        "outputs/a.db-wal": "outputs/a.db",
    }
    assert repr(attach()).endswith("in outputs/a.db>")
    with pytest.raises(UsageError, match="no run file at fourth, and no run of that name in this folder or"):
        attach("fourth")


def test_waiting_for_a_job_that_failed_raises_why(tmp_path: Path) -> None:
    with simulate(fail_every=1, fail_status=503) as failing:
        job = start(failing.url, number=3, prompt="hi", preflight=False, db=f"{tmp_path}/a.db", detach=True)
        until(job.done)
    with pytest.raises(NothingSucceeded, match="503"):
        pk.attach(tmp_path / "a.db").wait(10)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"workers": 0}, "needs worker processes of this machine"),
        ({"workers": "tcp://127.0.0.1:9"}, "needs worker processes of this machine"),
        ({"dataset": ["a", "b"]}, "cannot take prompts from this process"),
    ],
)
def test_what_needs_its_driver_cannot_be_detached(given: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        start("http://localhost:1", **given, detach=True)


@pytest.mark.parametrize("detached", [False, True])
def test_a_load_with_a_duration_is_extended_from_here_and_from_another_process(
    server: Simulated, tmp_path: Path, detached: bool
) -> None:
    job = pk.start(server.url, rate=50, duration=4, max_tokens=2, db=f"{tmp_path}/a.db", detach=detached)
    with pytest.raises(UsageError, match="the load has not begun"):
        job.extend(1)
    until(lambda: job.progress.sent > 0)
    (attach(job.path) if detached else job).extend(5 / 3)
    runs = job.wait()
    rows = runs.requests["start_time"]
    assert rows.max() - rows.min() > 5
    assert runs.table["duration"].item() == pytest.approx(4 + 5 / 3)
    assert any("extended while it ran, by 1.66667 s in all" in remark for remark in runs.members[0].record.remarks)
    with pytest.raises(UsageError, match="already at its end"):
        job.extend(1)


def test_a_load_of_a_number_of_requests_cannot_be_extended(server: Simulated, tmp_path: Path) -> None:
    job = pk.start(server.url, number=2, max_tokens=2, db=f"{tmp_path}/a.db", workers=0)
    with pytest.raises(UsageError, match="only a load that was given a duration"):
        job.extend(1)
    with pytest.raises(UsageError, match="above 0"):
        job.extend(-1)
    job.wait()


def test_a_load_that_drains_is_not_extended(tmp_path: Path) -> None:
    with simulate(ttft=0.01, itl=0.2) as slow:  # answers of four seconds, a load of one
        job = pk.start(slow.url, parallel=2, duration=1, max_tokens=20, db=f"{tmp_path}/a.db")
        until(lambda: job.progress.elapsed > 1.1)
        with pytest.raises(UsageError, match="already at its end"):
            job.extend(30)
        runs = job.wait()
    assert runs.table["duration"].item() == 1
    assert len(runs.requests) == 2
