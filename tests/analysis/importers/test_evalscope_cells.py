import json
from pathlib import Path

import pytest

from perfkit.analysis.importers.evalscope import readings
from perfkit.analysis.importers.evalscope_cells import canonical, decode, generation
from perfkit.records import Kind
from perfkit.runfile.chunks import unpack
from perfkit.runfile.safe_pickle import encode_cell

FIXTURES = Path(__file__).parents[2] / "fixtures" / "evalscope"


def fixture(name: str) -> list:
    return readings(next(FIXTURES.glob(f"{name}*/**/*.db")))


def chat(text: str | None = None, **more: object) -> dict:
    delta = {"content": text} if text is not None else {}
    return {"choices": [{"index": 0, "delta": delta | more, "finish_reason": None}]}


ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
FINISH = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}}
REQUEST = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}

ROW = {
    "request": encode_cell(REQUEST),
    "start_time": 100.0,
    "chunk_times": "[100.1, 100.2, 100.3, 100.5, 100.6]",
    "success": "True",
    "response_messages": encode_cell([json.dumps(m) for m in (ROLE, chat("a"), chat("b c"), FINISH, USAGE)]),
    "completed_time": 100.7,
    "latency": 0.7,
    "first_chunk_latency": 0.1,
    "prompt_tokens": 5,
    "completion_tokens": 3,
}


def test_times_of_old_rows_are_recomputed_without_role_finish_and_usage_chunks():
    row = canonical(decode(ROW))
    assert row["first_chunk_latency"] == pytest.approx(0.2)
    assert json.loads(row["inter_token_latencies"]) == pytest.approx([0.1])
    assert row["time_per_output_token"] == pytest.approx(0.1 / 2)
    assert row["last_token_time"] == pytest.approx(100.3)
    assert row["latency"] == 0.7
    assert row["success"] == row["is_stream"] == 1
    assert row["output_text"] == "ab c"
    assert row["prompt_text"] == "hi"
    assert row["flags"] is None


def test_the_chunks_of_old_rows_keep_what_each_message_carried():
    chunks = unpack(canonical(decode(ROW))["chunks"])
    kinds = [Kind(kind) for kind in chunks.kind]
    assert kinds == [Kind.ROLE, Kind.CONTENT, Kind.CONTENT, Kind.FINISH, Kind.USAGE]
    assert list(chunks.arrival) == [100_000_000, 200_000_000, 300_000_000, 500_000_000, 600_000_000]


def newer(messages: list, gaps: list[float], ttft: float) -> dict:
    row = {name: value for name, value in ROW.items() if name != "chunk_times"}
    row |= {"request": json.dumps(REQUEST), "success": 1, "inter_token_latencies": json.dumps(gaps), "is_stream": 1}
    return row | {"response_messages": encode_cell(messages), "first_chunk_latency": ttft, "time_per_output_token": 9.0}


@pytest.mark.parametrize(
    ("gaps", "ttft", "claim"),
    [([0.1, 0.1, 0.2], 0.1, "a gap for every message"), ([0.1], 0.2, "a gap for every visible message")],
)
def test_newer_gaps_belong_to_all_messages_or_to_the_visible_ones_and_the_count_tells(gaps, ttft, claim):
    row = canonical(decode(newer([ROLE, chat("a"), chat("b"), FINISH], gaps, ttft)))
    assert row["first_chunk_latency"] == pytest.approx(0.2), claim
    assert json.loads(row["inter_token_latencies"]) == pytest.approx([0.1]), claim


def test_gaps_that_fit_neither_count_stay_as_stored_and_are_flagged():
    row = canonical(decode(newer([chat("a"), chat("b")], [0.1] * 7, 0.2)))
    assert (row["flags"], row["first_chunk_latency"], row["time_per_output_token"]) == ("stored_times", 0.2, 9.0)


@pytest.mark.parametrize("row", [ROW, newer([ROLE, chat("a"), chat("b"), FINISH], [0.1, 0.1, 0.2], 0.1)])
def test_an_answer_that_is_not_decoded_keeps_the_tools_own_times(row):
    found = canonical(decode(row, messages=False))
    assert (found["flags"], found["first_chunk_latency"], found["is_stream"]) == ("stored_times", 0.1, 1)
    assert json.loads(found["inter_token_latencies"])[:2] == pytest.approx([0.1, 0.1])
    assert found["prompt_text"] == "hi"


def test_a_hostile_answer_is_refused_and_its_numbers_stay():
    row = canonical(decode(ROW | {"response_messages": "Y29zCnN5c3RlbQou"}))
    assert row["flags"] == "refused:response_messages stored_times"
    assert row["latency"] == 0.7


def test_a_failed_row_has_no_numbers():
    row = canonical(decode(ROW | {"success": "False", "completed_time": 0.0, "latency": None}))
    assert row["success"] == 0
    assert row["completed_time"] is None
    assert "latency" not in row


def test_a_success_without_messages_is_flagged_empty_and_has_no_ttft():
    row = canonical(decode(newer([], [], 0.0) | {"latency": 0.0, "completion_tokens": 0}))
    assert (row["flags"], row.get("first_chunk_latency"), row["latency"]) == ("empty", None, None)


@pytest.mark.parametrize("value", ["text", float("inf"), float("nan"), b"blob", None, -1.0])
def test_what_is_no_number_in_a_column_of_numbers_is_missing(value):
    row = canonical(decode(ROW | {"latency": value, "prompt_tokens": value}))
    assert (row["latency"], row["prompt_tokens"]) == (None, None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llmuses-0.4.3", "S0"),
        ("evalscope-0.10.1", "S1"),
        ("evalscope-0.17.1", "S2"),
        ("evalscope-1.1.1", "S3"),
        ("evalscope-1.9.1", "S4"),
        ("evalscope-1.14.1__doc", "S5"),
    ],
)
def test_each_generation_is_told_by_its_columns(name, expected):
    assert generation(fixture(name)[0].row) == expected


@pytest.mark.parametrize("name", ["llmuses-0.4.3", "evalscope-0.10.1", "evalscope-0.17.1", "evalscope-1.1.1"])
def test_stored_ttft_is_the_first_chunk_and_the_recomputed_the_first_text(name):
    for reading in fixture(name):
        kinds = {message: kind for kind, _, _, message in reversed(reading.answer.pieces)}
        role_first = kinds[0] is Kind.ROLE
        ours, theirs = canonical(reading)["first_chunk_latency"], reading.row["first_chunk_latency"]
        assert reading.arrivals[0] == pytest.approx(theirs)
        assert (ours > theirs) if role_first else (ours == pytest.approx(theirs))
