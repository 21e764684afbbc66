import asyncio
import contextlib
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import perfkit as pk
from perfkit.analysis.notebook.live import sentence
from perfkit.analysis.results.evidence import evidence
from perfkit.analysis.results.runs import Runs
from perfkit.cli import main
from perfkit.errors import NothingSucceeded, StorageError, UsageError
from perfkit.loadgen import early_end
from perfkit.records import Prompt
from perfkit.runfile.safe_pickle import decode_cell
from perfkit.runner.job import Job, Progress
from perfkit.runner.start import check, run, start
from perfkit.simulator import Simulated, simulate
from perfkit.simulator.truth import read_requests
from tests.analysis.notebook.test_live import Screen
from tests.measured import Row, stored
from tests.scripted import BODY, HANG, READ, RESET, scripted, whole
from tests.simulator.logs import read_received

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.02, itl=0.002, output_tokens=5) as simulated:
        yield simulated


def rows(path: Path, phase: str = "steady") -> list[Row]:
    table = "preflight" if phase == "preflight" else "result"
    return stored(path, f"SELECT * FROM {table} WHERE phase = '{phase}' ORDER BY start_time")


def measured(server: Simulated, path: Path, **given: Any) -> list[Row]:
    """Measure on a thread of this process and return the rows of the load."""
    start(server.url, db=str(path), workers=0, **given).wait(60)
    return rows(path)


# -- The load --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_sends_its_number_after_one_preflight_request(server: Simulated, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "run.db"
    runs = start(server.url, parallel=3, number=10, max_tokens=5, db=str(path), workers=workers).wait(60)
    assert [(row["seq"], row["success"]) for row in rows(path, "preflight")] == [(None, 1)]
    assert sorted(row["seq"] for row in rows(path)) == list(range(10))
    assert {row["completion_tokens"] for row in rows(path)} == {5}
    (record,) = stored(path, "SELECT status, sent, succeeded, failed, parallel, model FROM run")
    assert record == {
        "status": "finished",
        "sent": 10,
        "succeeded": 10,
        "failed": 0,
        "parallel": 3,
        "model": "simulated",
    }
    assert len(runs.requests) == 10


def test_users_of_a_closed_model_send_one_after_the_other(server: Simulated, tmp_path: Path) -> None:
    found = measured(server, tmp_path / "run.db", parallel=2, number=8)
    spans = [(row["start_time"], row["completed_time"]) for row in found]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 2


def test_a_user_is_due_when_its_last_answer_ended_and_it_has_thought(server: Simulated, tmp_path: Path) -> None:
    found = measured(server, tmp_path / "run.db", parallel=1, number=4, think_time=0.05, stamps="user")
    for previous, following in pairwise(found):
        # Free when the loop saw the end of the last answer; completed when the kernel had it.
        assert -1e-6 < following["scheduled_time"] - previous["completed_time"] - 0.05 < 0.1
        assert following["start_time"] >= following["scheduled_time"]


def test_users_begin_over_the_ramp_and_rows_say_so(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    steady = measured(server, path, parallel=4, number=40, ramp=0.2)
    ramp = rows(path, "ramp")
    (began,) = stored(path, "SELECT start_time FROM run")
    firsts = sorted(row["scheduled_time"] - began["start_time"] for row in ramp + steady)[:1]
    assert firsts == pytest.approx([0.0], abs=1e-6)
    assert all(row["start_time"] - began["start_time"] < 0.2 for row in ramp)
    assert all(row["start_time"] - began["start_time"] >= 0.2 for row in steady)
    dues = {round(row["scheduled_time"] - began["start_time"], 3) for row in ramp + steady}
    assert {0.0, 0.05, 0.1, 0.15} <= dues


def test_an_open_model_sends_at_its_times_whatever_has_come_back(tmp_path: Path) -> None:
    with simulate(ttft=0.5, itl=0.001, output_tokens=2) as slow:
        found = measured(slow, tmp_path / "run.db", rate=100, arrival="constant", number=10)
    dues = [row["scheduled_time"] for row in found]
    assert [later - earlier for earlier, later in pairwise(dues)] == pytest.approx([0.01] * 9, abs=1e-5)
    assert all(row["start_time"] < found[0]["completed_time"] for row in found)


def test_a_rate_goes_up_and_down_in_steps(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    found = measured(server, path, steps=["20:0.5", "80:0.25", "20:0.5"], arrival="constant")
    (run,) = stored(path, "SELECT start_time, rate FROM run")
    dues = [row["scheduled_time"] - run["start_time"] for row in found]
    ends = (0, 0.499, 0.749, 1.249)
    assert [sum(begin <= due < end for due in dues) for begin, end in pairwise(ends)] == [10, 20, 10]
    assert run["rate"] == 80


def test_equal_arrival_seeds_give_equal_times(server: Simulated, tmp_path: Path) -> None:
    gaps = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        found = measured(server, tmp_path / name, rate=200, number=8, arrival_seed=seed)
        gaps.append([later["scheduled_time"] - earlier["scheduled_time"] for earlier, later in pairwise(found)])
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-5)
    assert gaps[0] != pytest.approx(gaps[2], abs=1e-5)


def test_a_rate_of_minus_one_makes_everything_due_at_once(server: Simulated, tmp_path: Path) -> None:
    found = measured(server, tmp_path / "run.db", rate=-1, number=12)
    assert len({row["scheduled_time"] for row in found}) == 1


def test_what_a_cap_holds_back_shows_as_lag(server: Simulated, tmp_path: Path) -> None:
    found = measured(server, tmp_path / "run.db", rate=-1, number=6, max_concurrency=2)
    spans = [(row["start_time"], row["completed_time"]) for row in found]
    assert max(sum(begin <= at < end for begin, end in spans) for at, _ in spans) == 2
    assert found[-1]["start_time"] - found[-1]["scheduled_time"] > 0.04  # two answers of 28 ms went before it


@pytest.mark.parametrize("load", [{"parallel": 2}, {"rate": 50.0}])
def test_a_duration_ends_sending_and_not_the_answers(server: Simulated, tmp_path: Path, load: dict[str, Any]) -> None:
    path = tmp_path / "run.db"
    found = measured(server, path, duration=0.3, **load)
    (record,) = stored(path, "SELECT status, start_time, sent FROM run")
    assert record["status"] == "finished"
    assert record["sent"] == len(found) > 3
    assert all(row["success"] for row in found)
    assert all(row["scheduled_time"] - record["start_time"] < 0.3 for row in found)


@pytest.mark.parametrize(("warmup", "expected"), [(3, 3), ("0.08s", None), ("80ms", None)])
def test_the_first_requests_are_labelled_warm_up(
    server: Simulated, tmp_path: Path, warmup: Any, expected: int | None
) -> None:
    path = tmp_path / "run.db"
    steady = measured(server, path, parallel=1, number=8, warmup=warmup)
    warm = rows(path, "warmup")
    assert len(warm) + len(steady) == 8
    (record,) = stored(path, "SELECT start_time FROM run")
    if expected is not None:
        assert sorted(row["seq"] for row in warm) == [0, 1, 2]
    else:
        assert all(row["start_time"] - record["start_time"] < 0.08 for row in warm)
        assert all(row["start_time"] - record["start_time"] >= 0.08 for row in steady)


@pytest.mark.parametrize(("warmup", "expected"), [("25%", 2), (0.25, 2), ("auto", 0), ("100%", 0)])
def test_a_warm_up_that_only_the_rows_tell_is_found_when_the_run_is_opened(
    server: Simulated, tmp_path: Path, warmup: Any, expected: int
) -> None:
    path = tmp_path / "run.db"
    runs = start(server.url, parallel=1, number=8, warmup=warmup, max_tokens=2, workers=0, db=str(path)).wait(60)
    for opened in (runs, pk.open(path)):
        phases = opened.requests.sort_values("start_time")["phase"].tolist()
        assert phases == ["warmup"] * expected + ["steady"] * (8 - expected)
    assert not rows(path, "warmup")


def test_a_sweep_is_one_run_for_each_point(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    runs = start(server.url, parallel=[1, 3], number=[2, 6], db=str(path), workers=0, tags={"gpu": "none"}).wait(60)
    found = stored(path, "SELECT parallel, number, sent, point, sweep_id, tags FROM run ORDER BY run_id")
    assert [(row["parallel"], row["number"], row["sent"], row["point"]) for row in found] == [
        (1, 2, 2, 0),
        (3, 6, 6, 1),
    ]
    assert found[0]["sweep_id"] == found[1]["sweep_id"] is not None
    assert len(runs) == 2


def test_a_dataset_shorter_than_the_number_goes_round_and_says_so(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    start(server.url, dataset=["one", "two"], number=5, preflight=False, db=str(path), workers=0).wait(60)
    found = stored(path, "SELECT prompt_text, flags FROM result ORDER BY seq")
    assert [row["prompt_text"] for row in found] == ["one", "two", "one", "two", "one"]
    assert ["cycled" in (row["flags"] or "") for row in found] == [False, False, True, True, True]


def test_the_record_tells_files_of_the_same_name_apart(server: Simulated, tmp_path: Path) -> None:
    path, file = tmp_path / "run.db", tmp_path / "prompts.txt"
    for text in ("one\n", "two\n", "one\n"):
        file.write_text(text)
        start(server.url, dataset=str(file), db=str(path), workers=0).wait(60)
    first, second, third = (row["dataset_hash"] for row in stored(path, "SELECT dataset_hash FROM run ORDER BY run_id"))
    assert first == third != second
    assert len(second) == 16


# -- Prompts from a person's own session ---------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_a_generator_is_pumped_to_the_worker_as_it_is_needed(server: Simulated, tmp_path: Path, workers: int) -> None:
    drawn: list[int] = []

    def prompts() -> Iterator[str]:
        for index in range(10**9):
            drawn.append(index)
            yield f"prompt {index}"

    path = tmp_path / "run.db"
    start(server.url, dataset=prompts(), parallel=4, number=20, db=str(path), workers=workers).wait(60)
    assert sorted(row["prompt_text"] for row in rows(path)) == sorted(f"prompt {index}" for index in range(1, 21))
    assert len(drawn) < 3000


def prompts_of_points(path: Path) -> list[list[str]]:
    """Return the prompts of the load that each point of a sweep sent, in the order of the plan."""
    found = stored(
        path, "SELECT point, prompt_text FROM result JOIN run USING (run_id) WHERE seq >= 0 ORDER BY point, seq"
    )
    return [[row["prompt_text"] for row in found if row["point"] == point] for point in range(found[-1]["point"] + 1)]


@pytest.mark.parametrize("workers", [0, 1])
def test_each_point_of_a_sweep_begins_a_list_anew(server: Simulated, tmp_path: Path, workers: int) -> None:
    path = tmp_path / "run.db"
    given = {"parallel": [1, 2, 3], "number": [2, 3, 4], "preflight": False, "workers": workers}
    start(server.url, dataset=["q0", "q1", "q2"], db=str(path), **given).wait(60)
    assert prompts_of_points(path) == [["q0", "q1"], ["q0", "q1", "q2"], ["q0", "q1", "q2", "q0"]]


def test_each_point_of_a_sweep_sends_all_of_a_list_once(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    given = {"parallel": [1, 2], "dataset_offset": 1, "preflight": True, "workers": 0}
    start(server.url, dataset=["q0", "q1", "q2", "q3"], db=str(path), **given).wait(60)
    assert prompts_of_points(path) == [["q2", "q3", "q1"]] * 2  # the first goes with the preflight request, then last


@pytest.mark.parametrize("workers", [0, 1])
def test_a_point_goes_on_in_a_generator_where_the_one_before_it_ended(
    server: Simulated, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "run.db"
    given = {"parallel": [1, 2, 3], "number": [3, 1, 4], "preflight": False, "workers": workers}
    start(server.url, dataset=(f"q{index}" for index in range(100)), db=str(path), **given).wait(60)
    assert prompts_of_points(path) == [["q0", "q1", "q2"], ["q3"], ["q4", "q5", "q6", "q7"]]


@pytest.mark.parametrize("load", [{"parallel": [2, 3]}, {"rate": [20, 40]}], ids=["closed", "open"])
def test_no_prompt_of_a_generator_is_lost_when_time_ends_a_point(
    server: Simulated, tmp_path: Path, load: dict[str, Any]
) -> None:
    path = tmp_path / "run.db"
    prompts = (f"q{index}" for index in range(10**9))
    start(server.url, dataset=prompts, duration=0.3, preflight=False, db=str(path), workers=0, **load).wait(60)
    first, second = prompts_of_points(path)
    assert first
    assert second
    assert first + second == [f"q{index}" for index in range(len(first) + len(second))]


def test_conversations_of_a_generator_stay_whole_from_point_to_point(server: Simulated, tmp_path: Path) -> None:
    def turns() -> Iterator[Prompt]:
        for talk in "abcde":
            for turn in (1, 2):
                yield Prompt([{"role": "user", "content": f"{talk}{turn}"}], session_id=talk, turn=turn)

    path = tmp_path / "run.db"
    given = {"parallel": [1, 2], "number": [4, 6], "preflight": False, "workers": 0}
    start(server.url, dataset=turns(), db=str(path), **given).wait(60)
    assert prompts_of_points(path) == [["a1", "a2", "b1", "b2"], ["c1", "c2", "d1", "d2", "e1", "e2"]]


def test_a_sweep_over_a_generator_wants_to_know_how_much_of_it_a_point_takes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="read only once needs number; or give a list"):
        start("http://127.0.0.1:1", dataset=iter(["q0"]), parallel=[1, 2], db=str(tmp_path / "run.db"))


# -- How it can fail -----------------------------------------------------------------------------------------------


def test_nobody_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with scripted([HANG]) as gone:
        url = gone.url
    with pytest.raises(NothingSucceeded, match=r"cannot connect to http://127.0.0.1:[0-9]+: Connection refused"):
        start(url, model="m", workers=0, db=str(tmp_path / "run.db")).wait(30)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_preflight_request_that_is_refused_ends_the_run_with_its_reason(tmp_path: Path, workers: int) -> None:
    answer = whole(b'{"error":{"message":"no such model"}}', status="404 Not Found")
    path = tmp_path / "run.db"
    with scripted([READ, answer, READ, answer, HANG]) as server:
        job = start(server.url, model="m", number=9, workers=workers, db=str(path))
        with pytest.raises(NothingSucceeded, match="the preflight request failed: HTTP 404: no such model"):
            job.wait(30)
        assert len(server.requests) == 1
    assert [row["error_kind"] for row in rows(path, "preflight")] == ["http_status"]


def test_a_silent_server_that_is_asked_for_its_model_is_given_up(tmp_path: Path) -> None:
    with scripted([HANG]) as server:
        job = start(server.url, read_timeout=0.3, workers=0, db=str(tmp_path / "run.db"))
        with pytest.raises(NothingSucceeded, match=r"nothing came for 0\.3 s"):
            job.wait(10)


def test_an_order_to_stop_is_heard_while_the_server_is_asked_for_its_model(tmp_path: Path) -> None:
    with scripted([HANG]) as server:
        job = start(server.url, workers=0, db=str(tmp_path / "run.db"))
        assert len(job.stop()) == 0
        assert job.done()
        assert job.interrupted


def test_connections_that_cannot_all_be_opened_do_not_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    one = [READ, whole(BODY), READ, whole(BODY), HANG]
    with scripted(one, [READ, whole(BODY), HANG], [READ, RESET]) as server:
        start(server.url, model="m", prompt="hi", parallel=3, number=3, workers=0, db=str(path)).wait(30)
    assert sorted(str(row["error_kind"]) for row in rows(path)) == ["None", "None", "reset"]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_written_is_told_before_anything_is_sent(tmp_path: Path, workers: int) -> None:
    path = tmp_path / "run.db"
    path.write_bytes(b"this is somebody's letter\n" * 100)
    with scripted([HANG]) as server:
        with pytest.raises(StorageError, match=r"run\.db.*give another file with db"):
            start(server.url, model="m", workers=workers, db=str(path)).wait(30)
        assert server.requests == []


def test_an_api_that_nobody_has_registered_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="opnai"):
        start("http://127.0.0.1:1", api="opnai", workers=0, db=str(tmp_path / "run.db")).wait(30)


# -- A job ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stopped_job_keeps_what_has_come_and_sends_nothing_more(tmp_path: Path, workers: int) -> None:
    path, log = tmp_path / "run.db", tmp_path / "log.csv"
    with simulate(ttft=0.02, itl=0.02, output_tokens=4, log=str(log)) as server:
        job = start(server.url, parallel=4, number=100_000, db=str(path), workers=workers)
        heard = asyncio.run(until_done(job, 12))
        runs = job.stop()
        assert job.done()
        assert job.interrupted
    found = stored(path, "SELECT * FROM result WHERE seq IS NOT NULL")
    assert sum(row["success"] for row in found) >= heard
    assert {row["error_kind"] for row in found if not row["success"]} <= {"interrupted"}
    assert {row["phase"] for row in found if not row["success"]} <= {"cooldown"}
    assert stored(path, "SELECT status FROM run") == [{"status": "interrupted"}]
    stopped = min(row["completed_time"] for row in found if not row["success"])
    assert max(row["start_time"] for row in found) <= stopped
    # What the server read, maybe after the client had left, is what has a row; one more was the preflight request.
    assert sum(truth.recv_done_ns > 0 for truth in read_requests(log)) <= len(found) + 1
    assert len(runs.requests) == len(found)


def test_what_a_stop_cuts_off_is_told_apart_from_what_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "run.db"
    with simulate(ttft=0.01, itl=60) as server:
        job = start(server.url, parallel=3, number=9, preflight=False, name="cut", db=str(path), workers=0)
        asyncio.run(until_in_flight(job, 3))
        runs = job.stop()
    assert stored(path, "SELECT sent, succeeded, failed FROM run") == [{"sent": 3, "succeeded": 0, "failed": 0}]
    assert stored(path, "SELECT success, error_kind FROM result") == [{"success": 0, "error_kind": "interrupted"}] * 3
    assert str(runs.summary()).startswith("1 run, 0 requests, 3 cut off when it was stopped\n")
    assert runs.table["cut_off"].tolist() == [3]
    assert runs.trim().summary().rates[["requests", "failed", "cut_off"]].to_numpy().tolist() == [[3, 0, 3]]
    assert runs.failures()[["outcome", "error_kind", "count"]].to_numpy().tolist() == [["cut off", "interrupted", 3]]
    assert str(runs.show("failed")) == "none"
    assert str(runs.show("first", 1)).startswith("cut #0: cut off")
    assert "0 of 9 requests · 3 cut off" in sentence(job.progress, over=True)
    assert main(["ls", str(path)]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split()[3:7] == ["requests", "failed", "cut", "off"]
    assert line.split()[4:7] == ["3", "0", "3"]


async def until_in_flight(job: Job, count: int) -> None:
    """Wait until so many requests are under way."""
    async with asyncio.timeout(20):
        while job.progress.in_flight < count:
            await asyncio.sleep(0.01)


async def until_done(job: Job, count: int) -> int:
    """Wait until so many requests are done."""
    async with asyncio.timeout(20):
        while job.progress.done < count:
            await asyncio.sleep(0.01)
    return job.progress.done


@pytest.mark.parametrize("workers", [0, 1])
def test_a_job_stopped_before_it_has_begun_ends_at_once(server: Simulated, tmp_path: Path, workers: int) -> None:
    job = start(server.url, parallel=2, number=10**6, db=str(tmp_path / "run.db"), workers=workers)
    for runs in (job.stop(), job.wait(10), asyncio.run(awaited(job)), job.runs):
        assert len(runs.requests) == 0
    assert job.done()
    assert job.interrupted


async def awaited(job: Job) -> Runs:
    return await job


def test_a_job_that_has_stored_nothing_yet_shows_no_run_of_others_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with simulate(ttft=0.01, itl=0.001) as quick:
        start(quick.url, number=2, db=str(path), workers=0).wait(30)
    with scripted([HANG]) as server:
        job = start(server.url, db=str(path), workers=0)
        assert len(job.runs) == len(job.stop()) == 0


def test_two_jobs_may_write_one_file_at_once(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    jobs = [start(server.url, parallel=4, number=80, name=name, db=str(path), workers=1) for name in ("a", "b")]
    for job in jobs:
        assert len(job.wait(60)) == 1
    counted = stored(path, "SELECT name, status, count(*) AS n FROM result JOIN run USING (run_id) GROUP BY name")
    assert counted == [{"name": name, "status": "finished", "n": 80} for name in ("a", "b")]


def test_a_server_that_dies_is_not_asked_ten_thousand_times_a_second(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with simulate(ttft=0.01, itl=0.001, output_tokens=2) as dying:
        job = start(dying.url, parallel=4, duration=1.5, db=str(path), workers=0)
        asyncio.run(until_done(job, 8))
    (run,) = job.wait(30).members
    kinds = Counter(row["error_kind"] for row in rows(path))
    assert kinds[None] >= 8
    assert 4 <= kinds["connect"] <= 4 * 15  # each user waits at least 0.1 s after a refusal
    found = evidence(run)
    assert found.turnaround is not None
    assert found.turnaround < 0.1  # and that is no wait for the client


def test_a_run_whose_server_dies_for_good_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_end, "SECONDS", 0.5)
    with simulate(ttft=0.01, itl=0.001, output_tokens=2) as dying:
        job = start(dying.url, parallel=64, number=10**6, db=str(tmp_path / "run.db"), workers=0)
        asyncio.run(until_done(job, 300))
    (run,) = job.wait(30).members
    assert re.match(r"ended early: \d+ requests failed and none succeeded for \d s", job.problem or "")
    assert run.record["problem"] == job.problem
    assert run.record["status"] == "interrupted"
    assert run.record["succeeded"] >= 300
    assert 100 <= run.record["failed"] < run.record["succeeded"] * 99


def test_a_job_can_be_awaited(server: Simulated, tmp_path: Path) -> None:
    async def measure() -> int:
        return len((await start(server.url, number=3, db=str(tmp_path / "run.db"), workers=0)).requests)

    assert asyncio.run(measure()) == 3


def test_progress_counts_what_is_stored(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    job = start(server.url, parallel=2, number=200, db=str(path), workers=1)
    seen: list[tuple[int, int]] = []

    def count(progress: Progress) -> None:
        if progress.path and progress.done:
            with contextlib.closing(sqlite3.connect(path)) as db:
                seen.append((progress.done, db.execute("SELECT count(*) FROM result WHERE seq >= 0").fetchone()[0]))

    job.listen(count)
    job.wait(60)
    assert job.progress.done == 200
    assert len(seen) > 1
    assert all(shown <= on_disk for shown, on_disk in seen)


def test_a_finished_file_holds_all_rows_by_itself_even_while_it_is_looked_at(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    job = start(server.url, parallel=2, number=60, db=str(path), workers=0)
    asyncio.run(until_done(job, 5))
    seen = job.runs
    assert 5 <= len(seen.requests) <= 60
    repr(seen.summary())
    job.wait(60)
    alone = tmp_path / "mailed" / "run.db"
    alone.parent.mkdir()
    alone.write_bytes(path.read_bytes())
    assert len(rows(alone)) == 60
    assert len(seen.where("success = 1").requests) >= 5


def test_a_listener_that_raises_does_not_end_the_job(server: Simulated, tmp_path: Path) -> None:
    job = start(server.url, number=3, db=str(tmp_path / "run.db"), workers=1)
    job.listen(lambda progress: 1 // 0)
    assert len(job.wait(30).requests) == 3


def test_check_sends_one_request(server: Simulated) -> None:
    runs = check(server.url)
    assert len(runs.requests) == 1
    assert runs.requests["ttft"].iloc[0] > 0.02


def test_run_shows_its_progress_on_the_error_stream_only(
    server: Simulated, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    run(server.url, number=3, db=str(tmp_path / "run.db"), workers=0)
    assert re.search(r"\r100% .*\n.* output tokens/s .*\n$", screen.getvalue())
    assert capsys.readouterr().out == ""


def test_bodies_are_those_the_server_got(server: Simulated, tmp_path: Path) -> None:
    path, log = tmp_path / "run.db", tmp_path / "received.jsonl"
    with simulate(ttft=0.001, itl=0.001, request_log=str(log)) as recording:
        start(
            recording.url, prompt="Grüße 世界", number=3, max_tokens=2, preflight=False, db=str(path), workers=0
        ).wait(30)
    received = [entry["body"] for entry in read_received(log) if "completions" in str(entry["path"])]
    assert [decode_cell(row["request"], "request") for row in stored(path)] == received
