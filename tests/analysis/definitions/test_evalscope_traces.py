import json

import pytest

from benchmarks.formulas.evalscope import EvalscopeRun, Point, conversations, throughput, timeline
from perfkit.analysis.importers.evalscope_cells import decode
from perfkit.runfile.safe_pickle import encode_cell


def turn(start: float, said: list[str], reply: str, **columns: object) -> dict:
    roles = ["user", "assistant"] * len(said)
    messages = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    stored = {
        "request": json.dumps({"messages": messages}),
        "start_time": start,
        "success": 1,
        "response_messages": encode_cell([{"choices": [{"index": 0, "delta": {"content": reply}}]}]),
        "inter_token_latencies": "[]",
        "completed_time": start + 1.0,
        "latency": 1.0,
        "first_chunk_latency": 0.5,
        "prompt_tokens": 10,
        "completion_tokens": 6,
        "is_stream": 1,
    }
    return stored | columns


TURNS = [turn(100.0, ["hi"], "yo"), turn(103.0, ["hi", "yo", "more"], "ok", prompt_tokens=20, completion_tokens=11)]


def run(*rows: dict, **arguments: object) -> EvalscopeRun:
    return EvalscopeRun((1, 14, 1), [decode(row) for row in rows], None, arguments)


def test_the_timeline_adds_up_tokens_by_time_since_the_first_start():
    assert timeline(run(*TURNS)) == [Point(1.0, 6.0, 10.0, 0.0), Point(4.0, 17.0, 30.0, 0.0)]


def test_a_later_turn_finds_the_turn_before_in_the_cache():
    assert timeline(run(*TURNS, multi_turn=True))[-1] == Point(4.0, 17.0, 14.0, 16.0)


def test_throughput_is_overall_and_after_a_fifth_of_the_time():
    points = [Point(1.0, 10.0, 0, 0), Point(2.0, 30.0, 0, 0), Point(10.0, 110.0, 0, 0)]
    found = throughput(points, "Completion tok/s")
    assert found == {"overall": 11.0, "steady_state": (110 - 30) / 8}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Latency (s)", 4.0),
        ("First-Turn TTFT (s)", 0.5),
        ("TTFAT (s)", 3.5),
        ("Decode TPS", (5 / 0.5 + 10 / 0.5) / 2),
        ("Cache Hit Rate (%)", 100 * 16 / 30),
        ("Eligible Cache Hit Rate (%)", 100.0),
    ],
)
def test_a_conversation_as_a_whole(line, expected):
    assert conversations(run(*TURNS), line)["mean"] == pytest.approx(expected)


def test_an_answer_of_one_token_has_no_decode_rate():
    rows = [TURNS[0], TURNS[1] | {"completion_tokens": 1}]
    assert conversations(run(*rows), "Decode TPS")["mean"] == pytest.approx(10.0)
