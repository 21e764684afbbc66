"""Answers that wait beside a run file are read as a stranger's: whatever they say, the file opens."""

import random
from array import array
from pathlib import Path
from typing import Any

import pytest

import perfkit as pk
from perfkit.decoding.exchange import Exchange
from perfkit.decoding.pending import as_record, recover
from perfkit.decoding.rows import Request
from perfkit.runfile.pending import Record, packed, segment, segments, share_of
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Writer
from perfkit.secrets import Scrubber
from tests.run_files import request

BODY = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
EVENTS = [b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % text for text in (b"a", b"b")]
STREAM = b"".join([*EVENTS, b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n', b"data: [DONE]\n\n"])


def record(seq: int) -> Record:
    exchange = Exchange(start=10**9, written=10**9 + 5, headers=10**9 + 7, end=3 * 10**9, status=200)
    exchange.response_headers = [(b"Content-Type", b"text/event-stream")]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    exchange.wire = bytearray(b"%b%x\r\n%b\r\n0\r\n\r\n" % (head, len(STREAM), STREAM))
    first = exchange.wire.index(EVENTS[0]) + len(EVENTS[0])
    exchange.stamps, exchange.ends = [2 * 10**9, 3 * 10**9], [first, len(exchange.wire)]
    return as_record("r", 0, 5, Request(seq, None), BODY, exchange.packed())


def waiting(folder: Path, records: list[Record], **run: Any) -> Path:
    """Make a file of a run with one row, beside which records wait."""
    path = folder / "run.db"
    writer = Writer(path)
    arguments = '{"url": "http://127.0.0.1:1", "model": "m"}'
    given = {"api": "openai", "arguments": arguments, "source": "perfkit", "status": "running", "start_time": 1.0}
    writer.begin_run({"run_id": "r", "name": "run", **given, **run})
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), **request(0), "run_id": "r"}])
    writer.close()
    pieces = [piece for each in records for piece in packed(each, 1)]
    segment(path, "r", 0, 0).write_bytes(b"".join(pieces))
    return path


def test_an_answer_becomes_the_row_that_its_stamps_say(tmp_path: Path) -> None:
    rows = pk.open(waiting(tmp_path, [record(1)])).decoded()
    row = rows[rows["seq"] == 1].iloc[0]
    assert (row["output_text"], row["finish_reason"], row["model"]) == ("ab", "stop", "m")
    assert (row["ttft"], row["e2e"]) == (1.0, 2.0)
    assert row["request"]["messages"] == [{"role": "user", "content": "hi"}]


def test_an_answer_to_a_body_that_a_plugin_has_encoded_is_kept_without_it(tmp_path: Path) -> None:
    made = record(1)
    upload = made._replace(parts=[b"--part\r\nContent-Type: audio/wav\r\n\r\n\xff", *made.parts[1:]])
    rows = pk.open(waiting(tmp_path, [upload])).decoded()
    row = rows[rows["seq"] == 1].iloc[0]
    assert (row["output_text"], row["request"]) == ("ab", None)


def test_what_is_in_the_file_is_not_added_again(tmp_path: Path) -> None:
    path = waiting(tmp_path, [record(0), record(1), record(1)])
    assert sorted(pk.open(path).requests["seq"]) == [0, 1]


@pytest.mark.parametrize("run", [{"api": "theirs"}, {"arguments": '{"url": 5, "nonsense": 1}'}])
def test_a_run_that_cannot_be_read_keeps_its_answers_waiting(tmp_path: Path, run: dict[str, Any]) -> None:
    runs = pk.open(waiting(tmp_path, [record(1)], **run))
    assert runs.requests["seq"].tolist() == [0]
    assert "1 answers read by" in runs.problems[0].reason


def test_a_key_that_came_in_pieces_is_masked_though_nobody_knows_it_any_more(tmp_path: Path) -> None:
    made, traces = record(1), Scrubber(["sk-0123456789"]).traces
    pieces = [
        b'data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n' % text
        for text in (b"a sk-0123", b"456789")
    ]
    wire = bytes(made.parts[1]).replace(EVENTS[0], pieces[0]).replace(EVENTS[1], pieces[1])
    whole = sum(map(len, pieces)) - sum(map(len, EVENTS)) + len(STREAM)
    wire = wire.replace(b"%x\r\n" % len(STREAM), b"%x\r\n" % whole)
    ends = array("q", [wire.index(pieces[0]) + len(pieces[0]), len(wire)]).tobytes()
    told = {**made.told, "traces": traces}
    path = waiting(tmp_path, [Record(told, [made.parts[0], wire, made.parts[2], made.parts[3], ends, made.parts[5]])])
    rows = pk.open(path).decoded()
    assert rows[rows["seq"] == 1]["output_text"].item() == "a ***"
    assert "456789" not in str(rows["response_messages"].iloc[-1])


def test_answers_of_a_run_that_is_not_in_the_file_are_kept_and_told(tmp_path: Path) -> None:
    path = waiting(tmp_path, [record(1)])
    other = Record({**record(1).told, "run": "another"}, record(1).parts)
    segment(path, "another", 0, 0).write_bytes(b"".join(packed(other, 1)))
    assert recover(path).left == {"another": ("a run that is not in the file", 1)}
    assert [share_of(each)[0] for each in segments(path)] == ["another"]


def test_counts_of_a_run_that_was_settled_before_count_what_is_added(tmp_path: Path) -> None:
    path = waiting(tmp_path, [record(1)], status="interrupted", sent=1, succeeded=1, failed=0, end_time=9.0)
    assert pk.open(path).table[["sent", "succeeded"]].to_numpy().tolist() == [[2, 2]]


ODD = (None, -1, 0, 2**63, 2**64 - 1, 1e300, "x", "\ud800", True, [], {}, [[1, 2]], b"".hex())


def test_records_of_a_stranger_never_keep_a_file_from_opening(tmp_path: Path) -> None:
    rng = random.Random(3)
    some = []
    for seq in range(1, 400):
        made = record(seq)
        told: dict[str, Any] = {**made.told, "exchange": {**made.told["exchange"]}}  # type: ignore[dict-item]
        parts = [bytes(part) for part in made.parts]
        for _ in range(rng.randrange(1, 3)):
            where = rng.choice([told, told["exchange"]]) if isinstance(told["exchange"], dict) else told
            where = where or told
            where[rng.choice(list(where))] = rng.choice(ODD[:7] + ODD[8:])
        if rng.random() < 0.5:
            parts[rng.randrange(len(parts))] = rng.randbytes(rng.randrange(40))
        told["run"] = "r"
        some.append(Record(told, parts))
    path = waiting(tmp_path, some)
    rows = pk.open(path).decoded()
    assert len(rows) >= 1
    assert recover(path).added < len(some)
