"""What the recorder keeps, whatever a body, an answer or a disk is like."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.openai import OpenAI
from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.arrivals import Share
from perfkit.loadgen.recorder.process import Recorder
from perfkit.options.arguments import Arguments
from perfkit.registry import APIS
from perfkit.simulator import simulate
from perfkit.simulator.truth import read_requests
from tests.measured import rows_of, stored
from tests.scripted import ANSWER, BODY, HANG, LAST, READ, STREAM, chunk, scripted, whole

pytestmark = pytest.mark.processes


class Said:
    """A channel whose loop has said everything beforehand; keeps what the recorder answers, and hangs up."""

    def __init__(self, *messages: tuple[Any, ...]) -> None:
        self.messages, self.then, self.answers = list(messages), [], []

    def receive(self, wait: float | None) -> tuple[Any, ...] | None:
        if not self.messages and wait != 0.0:
            if not self.then:
                raise EOFError
            self.messages, self.then = self.then, []
        return self.messages.pop(0) if self.messages else None

    def send(self, message: tuple[Any, ...]) -> None:
        self.answers.append(message)


def test_orders_for_requests_overtake_answers_that_wait_to_be_read(tmp_path: Path) -> None:
    arguments = Arguments(url="http://localhost:1", model="m", number=3000, preflight=False)
    answer = Exchange(start=1, written=2, end=3, status=500, body=bytearray(b"no")).packed()
    answers = [("done", ticket, "steady", 1, answer) for ticket in range(25)]
    said = Said(("open", str(tmp_path / "r.db")), ("begin", arguments, "R", 0, Share(), {}))
    # What comes in one go, once the first requests are there: a heap of answers, and behind it the order for more.
    said.then = [*answers, *[("samples", [])] * 200, ("more", 500)]
    recorder = Recorder(said, OpenAI)
    recorder.work()
    assert sum(len(message[1]) for message in said.answers if message[0] == "requests") == 1500
    words = [message[0] for message in said.answers]
    of_more = len([word for word in words[: words.index("stored")] if word == "requests"]) - 1000 // 25
    assert of_more > 0  # made before the answers that were said earlier were all read and stored
    assert [message[1] for message in said.answers if message[0] == "stored"][-1] == 25


ODD_BODIES: list[Any] = [
    {"messages": 5},
    {"messages": [{"role": "user", "content": 5}]},
    {"messages": [{"role": "user", "content": None}]},
    {"messages": [{"role": "user"}]},
    {"messages": ["hello"]},
    {"messages": [["nested"]]},
    {"messages": [{"role": "user", "content": [{"type": "text"}, "b", 3, {"type": "image_url"}]}]},
    {"prompt": [1, 2, 3]},
    {"prompt": {"a": 1}},
    {"input": [["a", "b"]]},
    {"number": 2**70, "text": "half a pair \ud800"},
    {"deep": json.loads("[" * 90 + "]" * 90)},
]


@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: str(body)[:40])
def test_a_body_of_any_shape_is_sent_and_kept(body: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(DefaultApiPlugin):
        def build_request(self, messages: Any, param: Any = None) -> Any:
            return body

    monkeypatch.setitem(APIS.own, "odd", Odd)
    with scripted([READ, STREAM, chunk(ANSWER), LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path, api="odd")
        assert json.loads(server.requests[0].partition(b"\r\n\r\n")[2]) == body
    assert (row["success"], row["error"]) == (1, None)


ODD_ANSWERS = [
    b'{"id":["not","text"],"choices":[{"index":0,"message":{"content":"x"},"finish_reason":{"a":1}}]}',
    b'{"id":7,"choices":[{"index":"0","message":{"content":["x"]},"finish_reason":true}]}',
    b'{"choices":[{"index":70000,"message":{"content":"x"}}],"usage":[]}',
    b'{"choices":[{"index":-5,"message":{"content":"x"}}],"usage":{"completion_tokens":[1]}}',
    b'{"choices":[null],"usage":{"completion_tokens":1}}',
    b'{"choices":[{"index":0,"text":"\\ud800 half a pair"}],"usage":{"completion_tokens":1}}',
    b'{"type":"message","id":{"a":1},"content":[{"type":"text","text":"x"}],"usage":{"output_tokens":1}}',
    b'{"output":{"text":5},"usage":{"output_tokens":1e300},"request_id":[1]}',
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("answer", ODD_ANSWERS, ids=lambda answer: answer[:40].decode())
def test_an_answer_of_any_shape_is_kept_with_those_around_it(answer: bytes, streamed: bool, tmp_path: Path) -> None:
    odd = STREAM + chunk(b"data: " + answer + b"\n\ndata: [DONE]\n\n") + LAST if streamed else whole(answer)
    with scripted([READ, whole(BODY), READ, odd, READ, whole(BODY), HANG]) as server:
        rows = rows_of(server.url, tmp_path, number=3)
    assert [rows[index]["success"] for index in (0, 2)] == [1, 1]
    assert [row["seq"] for row in rows] == [0, 1, 2]
    assert rows[1]["success"] == 1 or rows[1]["error"]
    assert rows[1]["response_messages"]


def test_half_a_surrogate_pair_is_text_with_a_remark(tmp_path: Path) -> None:
    answer = ANSWER.replace(b"Hel", b"\\ud83d Hel")
    with scripted([READ, STREAM, chunk(answer), LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["success"] == 1
    assert row["output_text"] == "\ufffd Hello"
    assert "unstorable" in row["flags"].split()


FULL = """
    import resource, sys
    import perfkit as pk

    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
    job = pk.start(sys.argv[1], parallel=2, number=10**6, max_tokens=2, prompt="x" * 4000, model="m", db="full/run.db")
    try:
        job.wait()
    except pk.PerfkitError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of file sizes here")
@pytest.mark.alone
def test_a_full_disk_ends_the_run_and_loses_nothing_that_had_ended(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    (tmp_path / "full").mkdir()
    with simulate(ttft=0.02, itl=0.01, log=str(log)) as server:
        words = [sys.executable, "-c", textwrap.dedent(FULL), server.url]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("StorageError cannot write full/run.db"), done.stdout + done.stderr
    assert "unsaved rows are in" in done.stdout
    spilled = [json.loads(line) for line in (tmp_path / "run.db.unsaved.jsonl").read_text().splitlines()]
    file = tmp_path / "full" / "run.db"
    kept = stored(file) + stored(file, "SELECT * FROM preflight") + spilled
    numbers = [int(row["server_request_id"].rpartition("-")[2]) for row in kept if row["success"]]
    assert spilled
    assert len(numbers) == len(set(numbers))
    stopped = max(row["completed_time"] for row in kept)
    (run,) = stored(tmp_path / "full" / "run.db", "SELECT clock_offset FROM run")
    missing = [each for each in read_requests(log) if each.outcome == "ok" and each.events and each.req not in numbers]
    # What the server sent in the moment of the stop was still on its way.
    assert [each.req for each in missing if (each.end_ns + run["clock_offset"]) / 1e9 < stopped - 0.05] == []
