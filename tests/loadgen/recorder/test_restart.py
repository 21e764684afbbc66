"""A recorder that is killed while the load runs: another one takes its place, and nothing is missing or there twice."""

import json
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import perfkit as pk
from perfkit.errors import WorkerLost
from perfkit.records import Prompt
from perfkit.runfile.safe_pickle import decode_cell
from perfkit.runner.job import Job
from perfkit.simulator.truth import read_requests
from tests.loadgen.workers.processes import children, family, until
from tests.measured import stored
from tests.simulator.logs import read_received

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
    pytest.mark.processes,
]

NUMBER = 900


class Measured:
    """A run whose recorders are killed, and what the server knows of it."""

    def __init__(self, folder: Path, **given: Any) -> None:
        self.path, self._log, self._received = folder / "run.db", folder / "log.csv", folder / "received.jsonl"
        self.before = set(children(os.getpid()))
        logs = {"log": str(self._log), "request_log": str(self._received)}
        self._server = pk.simulate(ttft=0.01, itl=0.002, jitter=0.3, output_tokens=5, **logs)
        self._simulated = self._server.__enter__()
        self.before |= set(children(os.getpid()))
        try:
            self.job: Job = pk.start(self._simulated.url, db=str(self.path), model="m", **given)
        except BaseException:
            self._server.__exit__(None, None, None)
            raise

    def kill(self, after: int, run: int = 0) -> None:
        """Kill every recorder once so many rows of a run, counted from 0, are stored, and wait for the next one."""
        until(lambda: self.rows(run) >= after or self.job.done())
        for worker in set(children(os.getpid())) - self.before:
            recorders = family(worker)[1:]
            for recorder in recorders:
                os.kill(recorder, signal.SIGKILL)
            until(lambda worker=worker, old=recorders: set(children(worker)) - set(old) or self.job.done())

    def rows(self, run: int = 0) -> int:
        """Return how many rows of a run are committed."""
        if not self.path.exists():
            return 0
        ids = "SELECT run_id FROM run ORDER BY run_id LIMIT 1 OFFSET ?"
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as db:
            try:
                (count,) = db.execute(f"SELECT count(*) FROM result WHERE run_id = ({ids})", (run,)).fetchone()
            except sqlite3.OperationalError:  # its tables are being made
                return 0
        return int(count)

    def end(self) -> None:
        """Wait for the run's end, and stop the server, which writes its logs then."""
        try:
            until(self.job.done)
        finally:
            self._server.__exit__(None, None, None)

    def complete(self) -> list[dict[str, Any]]:
        """Return the rows, once they were found to be what the server has sent: each answer once, with its stamps."""
        self.end()
        self.job.raise_failure()
        rows = stored(self.path) + stored(self.path, "SELECT * FROM preflight")
        offsets = {row["run_id"]: row["clock_offset"] for row in stored(self.path, "SELECT * FROM run")}
        rows = [row for row in rows if row["error_kind"] != "interrupted"]
        by_number = {int(row["server_request_id"].rpartition("-")[2]): row for row in rows}
        truth = {each.req: each for each in read_requests(self._log) if each.outcome == "ok" and each.events}
        assert len(by_number) == len(rows)
        # What was cut off by an order to stop has come to its end at the server, all the same.
        assert by_number.keys() == truth.keys() or (self.job.interrupted and by_number.keys() <= truth.keys())
        for number, row in by_number.items():
            received = (truth[number].recv_start_ns + offsets[row["run_id"]]) / 1e9
            assert row["start_time"] <= received <= row["completed_time"]
            assert (row["success"], row["completion_tokens"]) == (1, 5)
        return stored(self.path)

    def asked(self) -> list[Any]:
        """Return the messages that the server received."""
        return [entry["body"]["messages"] for entry in read_received(self._received) if entry["body"]]

    @property
    def remarks(self) -> str:
        """What is said of the runs."""
        return " ".join(str(row["remarks"]) for row in stored(self.path, "SELECT remarks FROM run"))


def questions(folder: Path, number: int = NUMBER) -> str:
    """Write a dataset in which every prompt is another one."""
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"question {index}"}) + "\n" for index in range(number)))
    return str(path)


@pytest.mark.parametrize(
    "load",
    [
        {"parallel": 4},
        {"rate": 200},
        {"parallel": 4, "texts": False},
        {"parallel": 4, "workers": 2},
        {"rate": 200, "cancel": 0, "warmup": 100, "preflight": False},
    ],
    ids=["closed", "open", "no texts", "two workers", "warm-up"],
)
def test_a_killed_recorder_costs_no_answer_and_no_request(tmp_path: Path, load: dict[str, Any]) -> None:
    measured = Measured(tmp_path, dataset=questions(tmp_path), number=NUMBER, **load)
    measured.kill(after=30)
    measured.kill(after=NUMBER // 3)
    rows = measured.complete()
    assert sorted(row["seq"] for row in rows) == list(range(NUMBER))
    # A preflight request asks the first prompt, which comes last then, and is asked again.
    asked = Counter(messages[0]["content"] for messages in measured.asked())
    assert asked.keys() == {f"question {index}" for index in range(NUMBER)}
    assert sum(asked.values()) == NUMBER + load.get("preflight", True)
    assert "was started again" in measured.remarks
    (run,) = stored(measured.path, "SELECT status, sent, succeeded, failed, verdict FROM run")
    assert (run["status"], run["sent"], run["succeeded"], run["failed"]) == ("finished", NUMBER, NUMBER, 0)
    if load.get("texts", True):
        received = {entry["req"]: entry["body"] for entry in read_received(tmp_path / "received.jsonl")}
        for row in rows:
            number = int(row["server_request_id"].rpartition("-")[2])
            assert decode_cell(row["request"], "request") == received[number]
    assert sorted(path.name for path in tmp_path.glob("run.db*")) == ["run.db"]


def turns(talks: int, each: int) -> Iterator[Prompt]:
    for talk in range(talks):
        for turn in range(1, each + 1):
            yield Prompt([{"role": "user", "content": f"{talk}.{turn}?"}], session_id=f"s{talk}", turn=turn)


@pytest.mark.parametrize("load", [{"parallel": 8}, {"rate": 40}], ids=["closed", "open"])
def test_conversations_go_on_with_what_was_answered(tmp_path: Path, load: dict[str, Any]) -> None:
    talks, each = 100, 6
    measured = Measured(tmp_path, dataset=list(turns(talks, each)), **load)
    measured.kill(after=40)
    measured.kill(after=200)
    rows = measured.complete()
    assert sorted(row["seq"] for row in rows) == list(range(talks * each))
    assert {(row["session_id"], row["turn"]) for row in rows} == {
        (f"s{talk}", turn) for talk in range(talks) for turn in range(1, each + 1)
    }
    answers = {(row["session_id"], row["turn"]): row["output_text"] for row in rows}
    for row in rows:
        said = decode_cell(row["request"], "request")["messages"]
        assert [message["content"] for message in said[1::2]] == [
            answers[row["session_id"], turn] for turn in range(1, row["turn"])
        ]


@pytest.mark.parametrize("read_once", [False, True], ids=["a list", "a generator"])
def test_prompts_of_the_session_are_asked_once_each(tmp_path: Path, read_once: bool) -> None:
    number = 2500  # several batches of the driver, and more than are made ahead
    prompts: Iterable[str] = [f"question {index}" for index in range(number)]
    measured = Measured(tmp_path, dataset=iter(prompts) if read_once else prompts, parallel=8)
    measured.kill(after=30)
    measured.kill(after=900)
    rows = measured.complete()
    assert sorted(row["seq"] for row in rows) == list(range(number))
    asked = Counter(messages[0]["content"] for messages in measured.asked())
    assert asked.keys() == set(prompts)
    assert sum(asked.values()) == number + 1


def test_each_run_of_a_sweep_survives_its_own_recorder(tmp_path: Path) -> None:
    number = 500
    measured = Measured(tmp_path, dataset=questions(tmp_path, number), number=number, parallel=[2, 4])
    measured.kill(after=100)
    measured.kill(after=100, run=1)
    rows = measured.complete()
    assert len({(row["run_id"], row["seq"]) for row in rows}) == len(rows) == 2 * number
    assert [row["succeeded"] for row in stored(measured.path, "SELECT succeeded FROM run")] == [number] * 2


@pytest.mark.parametrize("texts", [True, False])
def test_answers_that_a_recorder_had_no_time_for_go_to_the_next_one(tmp_path: Path, texts: bool) -> None:
    measured = Measured(tmp_path, prompt="hi", parallel=4, number=10**6, texts=texts)
    until(lambda: measured.rows() > 20)
    (worker,) = set(children(os.getpid())) - measured.before
    (recorder,) = children(worker)
    os.kill(recorder, signal.SIGSTOP)
    sent = measured.job.progress.sent
    until(lambda: measured.job.progress.sent > sent + 100)
    stored_by_then = measured.rows()
    os.kill(recorder, signal.SIGKILL)
    until(lambda: measured.rows() > stored_by_then + 100)
    measured.job.stop()
    rows = measured.complete()
    assert sorted(row["seq"] for row in rows) == list(range(len(rows)))


def test_a_recorder_that_took_over_hears_of_orders(tmp_path: Path) -> None:
    measured = Measured(tmp_path, prompt="hi", parallel=4, number=10**6)
    measured.kill(after=30)
    before = measured.rows()
    until(lambda: measured.rows() > before + 30)
    with closing(sqlite3.connect(measured.path)) as db, db:
        db.execute("INSERT INTO control VALUES (0, NULL, 'stop')")
    measured.end()
    assert measured.job.interrupted
    (run,) = stored(measured.path, "SELECT status, problem, succeeded, sent FROM run")
    assert (run["status"], run["problem"]) == ("interrupted", None)
    assert run["succeeded"] == len([row for row in stored(measured.path) if row["success"]])


DEADLY = """
import os
import signal
import perfkit as pk


@pk.register_api("deadly")
class Deadly(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        self._end("BUILDING", messages)
        return {"model": "m", "messages": messages, "stream": True}

    def parse_responses(self, responses, request=None, **kwargs):
        self._end("READING", request["messages"])
        return 1, 5

    def _end(self, doing, messages):
        if doing == "PLACE" and "1500" in messages[0]["content"]:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("place", ["BUILDING", "READING"])
def test_a_plugin_that_kills_every_recorder_ends_the_run_with_one_sentence(tmp_path: Path, place: str) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(DEADLY.replace("PLACE", place))
    given = {"dataset": questions(tmp_path, 3000), "number": 3000, "parallel": 8, "preflight": False}
    measured = Measured(tmp_path, api="deadly", plugins=[str(plugin)], **given)
    measured.end()
    with pytest.raises(WorkerLost, match=r"3 times in a row without getting on \(SIGKILL\): something in this run"):
        measured.job.raise_failure()
    (run,) = stored(measured.path, "SELECT status, problem, succeeded FROM run")
    rows = stored(measured.path)
    assert run["status"] == "interrupted"
    assert "without getting on" in run["problem"]
    assert run["succeeded"] == len(rows) == len({row["seq"] for row in rows}) > 10
