"""Several worker processes carry one load: the same load as one, whatever becomes of one of them."""

import os
import signal
import sqlite3

import pytest

import perfkit as pk
from perfkit.errors import NothingSucceeded, PluginFailure, UsageError

pytestmark = pytest.mark.processes


def rows_of(path, what):
    return sqlite3.connect(path).execute(f"SELECT {what} FROM result ORDER BY seq").fetchall()


def run_of(path, what):
    return sqlite3.connect(path).execute(f"SELECT {what} FROM run").fetchone()


@pytest.fixture(scope="module")
def server():
    with pk.simulate(ttft=0.01, itl=0.001, output_tokens=4) as simulated:
        yield simulated


def test_the_union_of_the_shares_is_the_load_of_one_worker(server, tmp_path):
    plans = {}
    for workers in (1, 3):
        db = tmp_path / f"{workers}.db"
        pk.start(server.url, rate=300, number=30, workers=workers, db=str(db)).wait()
        # Offsets from the first due time: the start of the load itself differs.
        rows = rows_of(db, "seq, prompt_hash, scheduled_time")
        first = min(due for *_, due in rows)
        plans[workers] = [(seq, prompt, round(due - first, 5)) for seq, prompt, due in rows]
    assert [row[:2] for row in plans[3]] == [row[:2] for row in plans[1]]
    assert [row[2] for row in plans[3]] == pytest.approx([row[2] for row in plans[1]], abs=2e-5)


def test_users_and_number_are_dealt_and_counted_together(server, tmp_path):
    db = tmp_path / "r.db"
    job = pk.start(server.url, parallel=5, number=31, workers=2, db=str(db))
    job.wait()
    counted = (
        sqlite3.connect(db).execute("SELECT worker, count(*) FROM result GROUP BY worker ORDER BY worker").fetchall()
    )
    assert counted == [(0, 16), (1, 15)]
    assert run_of(db, "status, sent, succeeded, failed") == ("finished", 31, 31, 0)
    assert (job.progress.sent, job.progress.done) == (31, 31)
    # Only the first worker sends the preflight request.
    assert sqlite3.connect(db).execute("SELECT count(*) FROM preflight").fetchone() == (1,)


def test_the_file_that_all_workers_read_is_noted_once(server, tmp_path):
    (tmp_path / "q.txt").write_text("why?\nwhere?\nwhen?\n")
    for workers in (1, 2):
        given = {"dataset": "line_by_line", "dataset_path": str(tmp_path / "q.txt"), "workers": workers}
        pk.start(server.url, number=6, parallel=2, db=str(tmp_path / f"{workers}.db"), **given).wait()
    alone, dealt = (run_of(tmp_path / f"{workers}.db", "dataset_hash, reasons") for workers in (1, 2))
    assert alone[0] is not None
    assert dealt[0] == alone[0]
    assert "different dataset files" not in dealt[1]


def test_all_workers_start_at_one_agreed_time(server, tmp_path):
    db = tmp_path / "r.db"
    pk.start(server.url, parallel=4, number=12, workers=2, db=str(db)).wait()
    firsts = sqlite3.connect(db).execute("SELECT worker, min(scheduled_time) FROM result GROUP BY worker").fetchall()
    assert len(firsts) == 2
    assert firsts[0][1] == pytest.approx(firsts[1][1], abs=0.001)


def test_a_worker_that_dies_takes_only_its_unfinished_requests_with_it(tmp_path):
    db = tmp_path / "r.db"
    with pk.simulate(ttft=0.02, itl=0.005, output_tokens=10) as slow:
        job = pk.start(slow.url, parallel=4, number=120, workers=2, db=str(db))
        killed = []

        def kill_second(progress):
            members = job._worker._members
            if progress.done >= 10 and not killed and 1 in members:
                killed.append(members[1].pid)
                os.killpg(members[1].pid, signal.SIGKILL)

        job.listen(kill_second)
        job.wait()
    assert killed
    by_worker = dict(
        sqlite3.connect(db).execute("SELECT worker, count(*) FROM result WHERE success GROUP BY worker").fetchall()
    )
    assert by_worker[0] == 60  # all of its own share
    assert 0 < by_worker[1] < 60  # what had ended before
    verdict, reasons, status = run_of(db, "verdict, reasons, status")
    assert verdict != "VALID"
    assert "worker 2 of 2 died" in reasons
    assert status == "interrupted"
    assert run_of(db, "succeeded") == (sum(by_worker.values()),)


def test_stopping_reaches_every_worker(tmp_path):
    db = tmp_path / "r.db"
    with pk.simulate(ttft=0.02, itl=0.005, output_tokens=10) as slow:
        job = pk.start(slow.url, parallel=4, duration=60, workers=2, db=str(db))
        job.listen(lambda progress: job._worker.stop() if progress.done >= 8 else None)
        job.wait(timeout=30)
    assert job.interrupted
    assert run_of(db, "status") == ("interrupted",)


def test_a_generator_cannot_be_read_by_several_workers(server, tmp_path):
    prompts = (f"question {number}" for number in range(4))
    with pytest.raises(UsageError, match="give a list, or workers=1"):
        pk.start(server.url, dataset=prompts, workers=2, db=str(tmp_path / "r.db"))


def test_a_list_of_prompts_is_dealt_like_a_file(server, tmp_path):
    db = tmp_path / "r.db"
    prompts = [f"question {number}" for number in range(9)]
    pk.start(server.url, dataset=prompts, parallel=3, workers=2, db=str(db)).wait()
    # The first prompt went with the preflight request, and comes last.
    assert [text for (text,) in rows_of(db, "prompt_text")] == [*prompts[1:], prompts[0]]


def test_a_worker_without_users_sits_a_point_out(server, tmp_path):
    db = tmp_path / "r.db"
    pk.start(server.url, parallel=[1, 4], number=8, workers=2, db=str(db)).wait()
    counted = sqlite3.connect(db).execute(
        "SELECT parallel, worker, count(*) FROM result JOIN run USING (run_id) "
        "GROUP BY parallel, worker ORDER BY parallel, worker"
    )
    assert counted.fetchall() == [(1, 0, 8), (4, 0, 4), (4, 1, 4)]


def test_a_list_is_dealt_from_its_beginning_at_each_point_whoever_sat_one_out(server, tmp_path):
    db = tmp_path / "r.db"
    given = {"parallel": [1, 3, 2], "number": [2, 5, 4], "preflight": False, "workers": 3}
    pk.start(server.url, dataset=["q0", "q1", "q2", "q3"], db=str(db), **given).wait()
    found = (
        sqlite3.connect(db)
        .execute("SELECT point, worker, prompt_text FROM result JOIN run USING (run_id) ORDER BY point, seq")
        .fetchall()
    )
    assert found == [
        *[(0, 0, "q0"), (0, 0, "q1")],
        *[(1, 0, "q0"), (1, 1, "q1"), (1, 2, "q2"), (1, 0, "q3"), (1, 1, "q0")],
        *[(2, 0, "q0"), (2, 1, "q1"), (2, 0, "q2"), (2, 1, "q3")],
    ]


def test_nobody_answers_is_told_once(tmp_path):
    with pytest.raises(NothingSucceeded, match="cannot connect"):
        pk.start("http://127.0.0.1:9", model="m", workers=2, number=4, db=str(tmp_path / "r.db")).wait()


def test_prompts_that_come_in_batches_are_all_dealt(server, tmp_path):
    db = tmp_path / "r.db"
    prompts = [f"question {number}" for number in range(701)]  # more than one batch of the pump
    given = {"parallel": 64, "workers": 2, "preflight": False, "max_tokens": 1}
    pk.start(server.url, dataset=prompts, db=str(db), **given).wait()
    assert [text for (text,) in rows_of(db, "prompt_text")] == prompts


@pytest.mark.alone
def test_too_many_errors_of_all_shares_together_end_the_load_and_are_told(tmp_path):
    with pk.simulate(ttft=0.02, itl=0.001, output_tokens=2, fail_every=1) as failing:
        given = {"rate": 200, "number": 390, "prompt": "hi", "preflight": False, "workers": 4}  # 98 requests a share
        job = pk.start(failing.url, **given, db=f"{tmp_path}/r.db")
        with pytest.raises(NothingSucceeded, match=r"ended early: \d+ of \d+ requests failed, .*; the last: HTTP 500"):
            job.wait(60)
    status, problem, sent, failed = run_of(tmp_path / "r.db", "status, problem, sent, failed")
    assert (status, problem) == ("interrupted", job.problem)
    assert 100 <= sent == failed < 390  # what was in flight was waited for, in every worker


HALF = """
import perfkit as pk


class Half(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        if "bad" in str(messages):
            raise ValueError("bad")
        return {"model": "m", "messages": messages, "stream": True}

    def parse_responses(self, responses, request=None, **kwargs):
        return 1, 2
"""


def test_a_share_that_fails_does_not_end_a_load_of_which_as_much_may_fail(server, tmp_path):
    (tmp_path / "half.py").write_text(HALF)
    given = {"parser": str(tmp_path / "half.py"), "dataset": ["bad", "good"] * 120, "preflight": False}
    pk.start(server.url, **given, rate=400, max_error_rate=0.9, workers=2, db=str(tmp_path / "r.db")).wait(60)
    assert run_of(tmp_path / "r.db", "status, problem, sent, failed") == ("finished", None, 240, 120)
    assert sqlite3.connect(tmp_path / "r.db").execute(
        "SELECT DISTINCT worker FROM result WHERE success = 0"
    ).fetchall() == [(0,)]


def test_a_sweep_that_is_ended_early_has_no_further_run(tmp_path):
    with pk.simulate(ttft=0.005, itl=0.001, output_tokens=2, fail_every=3) as failing:
        given = {"parallel": [8, 4], "number": 100_000, "prompt": "hi", "max_error_rate": 0.1, "workers": 2}
        job = pk.start(failing.url, **given, db=f"{tmp_path}/r.db")
        runs = job.wait(60)
    assert job.problem.startswith("ended early: ")
    assert "ended early: " in str(runs.summary())
    assert list(runs.table["status"]) == ["interrupted"]  # and no second point


ONCE = """
import os
import perfkit as pk

{at_import}

@pk.register_dataset("once")
class Once(pk.DatasetPluginBase):
    def build_messages(self):
        {at_reading}
        yield "hi"
"""


@pytest.mark.parametrize("place", ["at_import", "at_reading"])
def test_a_mistake_that_only_one_worker_meets_leaves_no_run_behind(server, tmp_path, place):
    wrong = {"at_import": "", "at_reading": "", place: f"os.mkdir({str(tmp_path / 'once')!r})"}
    (tmp_path / "plugin.py").write_text(ONCE.format(**wrong))
    given = {"plugins": [str(tmp_path / "plugin.py")], "dataset": "once", "number": 20, "parallel": 4, "workers": 2}
    with pytest.raises(pk.PerfkitError, match=r"plugin\.py:.*FileExistsError"):
        pk.start(server.url, **given, db=str(tmp_path / "r.db")).wait(60)
    assert not (tmp_path / "r.db").exists()


@pytest.mark.parametrize("workers", [2, 3])
def test_a_mistake_that_every_worker_meets_leaves_other_runs_of_the_file_alone(server, tmp_path, workers):
    db = tmp_path / "r.db"
    pk.start(server.url, number=2, db=str(db), workers=0).wait()
    with pytest.raises(UsageError, match="no dataset file"):
        pk.start(server.url, dataset="line_by_line", dataset_path="nowhere", workers=workers, db=str(db)).wait(60)
    assert run_of(db, "count(*), min(status)") == (1, "finished")
    assert run_of(db, "(SELECT count(*) FROM sample WHERE run_id NOT IN (SELECT run_id FROM run))") == (0,)


def test_a_list_that_breaks_ends_the_run_of_all_workers_and_keeps_what_came(server, tmp_path):
    class Breaking:
        def __iter__(self):
            yield from (f"question {number}" for number in range(3000))
            raise OSError("the share has gone")

    db = tmp_path / "r.db"
    with pytest.raises(PluginFailure, match=r"the dataset raised at .*: OSError: the share has gone") as raised:
        pk.start(server.url, dataset=Breaking(), parallel=8, workers=2, db=str(db)).wait(60)
    assert run_of(db, "status, problem") == ("interrupted", str(raised.value))
    assert run_of(db, "succeeded")[0] > 0
