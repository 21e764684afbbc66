import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.formulas.evalscope import EvalscopeRun, percentiles, summary
from perfkit.analysis.importers.evalscope_cells import decode
from perfkit.runfile.safe_pickle import encode_cell

ROOT = Path(__file__).parents[3]


@pytest.mark.processes
def test_every_figure_that_the_tools_printed_beside_the_fixtures_is_recomputed():
    command = [sys.executable, str(ROOT / "benchmarks/fixtures.py"), str(ROOT / "tests/fixtures/evalscope")]
    command.append(str(ROOT / "tests/fixtures/peers"))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    equal, close, explained, different = map(int, re.search(r"^all +(.*)$", ended.stdout, re.MULTILINE)[1].split())
    # sglang's TPOT and E2E end at the last byte, which its file does not keep.
    assert (different, explained) == (0, 12)
    assert equal > 950
    assert close < 20


def chunk(text: str) -> dict:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


def row(start: float, **columns: object) -> dict:
    stored = {
        "request": json.dumps({"messages": [{"role": "user", "content": f"{start}"}]}),
        "start_time": start,
        "success": 1,
        "response_messages": encode_cell([chunk("a"), chunk("b"), chunk("c")]),
        "inter_token_latencies": "[0.1, 0.3]",
        "completed_time": start + 1.0,
        "latency": 1.0,
        "first_chunk_latency": 0.5,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "time_per_output_token": 0.125,
        "is_stream": 1,
    }
    return stored | columns


def run(version: str, *rows: dict, duration: float | None = None, **arguments: object) -> EvalscopeRun:
    numbers = tuple(map(int, version.split(".")))
    return EvalscopeRun(numbers, [decode(stored) for stored in rows], duration, arguments)


def old(start: float, **columns: object) -> dict:
    """Return a row with chunk times: n_chunks leaves out two, chunk_time ends before the last."""
    stored = row(start, chunk_times=json.dumps([start + 0.5, start + 0.6, start + 0.9]), n_chunks=2, chunk_time=0.1)
    return stored | columns


@pytest.mark.parametrize(
    ("version", "expected", "definition"),
    [
        ("0.10.1", 0.4, "wall time over all output tokens"),
        ("0.13.2", 0.2, "latency over tokens"),
        ("0.15.1", 0.02, "chunk time over tokens"),
        ("0.16.3", 0.05, "chunk time over chunks"),
        ("1.0.2", 0.125, "without the first token"),
    ],
)
def test_time_per_output_token_has_five_definitions(version, expected, definition):
    found = summary(run(version, old(100.0), duration=2.0), "Average time per output token (s)")
    assert found == pytest.approx(expected), definition


def test_rates_up_to_1_3_leave_the_last_rows_time_out():
    rows = [row(100.0), row(101.0)]
    assert summary(run("1.1.1", *rows), "Request throughput (req/s)") == 2 / 1.0
    assert summary(run("1.4.2", *rows), "Request throughput (req/s)") == 2 / 2.0


def test_rows_that_never_started_count_in_wall_time_until_1_11_1():
    rows = [row(100.0), row(0.0, completed_time=0.0, success=0)]
    assert summary(run("1.10.0", *rows), "Test Duration (s)") == 101.0
    assert summary(run("1.12.0", *rows), "Test Duration (s)") == 1.0


def test_ttft_of_mixed_runs_is_of_streams_from_1_10_on():
    rows = [row(100.0), row(100.0, is_stream=0, first_chunk_latency=1.0)]
    assert summary(run("1.10.0", *rows), "Avg TTFT (ms)") == 500.0
    assert summary(run("1.9.1", *rows), "TTFT (ms)") == 750.0


def test_nothing_succeeded_is_minus_one_thousand_milliseconds():
    failed = row(100.0, success=0)
    assert summary(run("1.14.1", failed), "Avg TTFT (ms)") == -1000.0
    assert summary(run("1.14.1", failed), "Avg Latency (s)") == -1.0


def test_percentiles_change_rule_and_decimals():
    rows = [row(100.0, first_chunk_latency=value / 1000) for value in (1.0, 2.0, 3.0, 4.00004)]
    assert percentiles(run("1.10.0", *rows), "TTFT (ms)", ["min", "50%", "max"]) == [1.0, 3.0, 4.0]
    assert percentiles(run("1.14.1", *rows), "TTFT (ms)", ["min", "50%", "max"]) == [1.0, 2.0, 4.0]


def test_an_answer_of_one_token_has_no_tpot_from_1_13_on():
    rows = [row(100.0), row(100.0, completion_tokens=1, time_per_output_token=0.0)]
    assert percentiles(run("1.14.1", *rows), "TPOT (ms)", ["min"]) == [125.0]
    assert percentiles(run("1.12.0", *rows), "TPOT (ms)", ["min"]) == [0.0]
    assert summary(run("1.14.1", *rows), "Avg TPOT (ms)") == 125.0
    assert summary(run("1.12.0", *rows), "Avg TPOT (ms)") == 62.5


def test_a_column_without_values_is_nan_as_in_the_file():
    (found,) = percentiles(run("1.14.1", row(100.0, success=0)), "Latency (s)", ["50%"])
    assert math.isnan(found)


def test_embeddings_carry_the_lines_of_chats_as_zero():
    embedding = run("1.14.1", row(100.0, is_stream=0), api="openai_embedding")
    assert summary(embedding, "Avg TTFT (ms)") == 0.0
    assert summary(embedding, "Input Throughput (tok/s)") == 10 / 0.5


def test_the_estimated_cache_is_the_whole_turn_before_and_is_not_capped():
    first = row(100.0)
    asked = [
        {"role": "user", "content": "100.0"},
        {"role": "assistant", "content": "abc"},
        {"role": "user", "content": "?"},
    ]
    second = row(102.0, request=json.dumps({"messages": asked}), prompt_tokens=12)
    assert summary(run("1.6.1", first, second), "Average approx KV cache hit rate (%)") == pytest.approx(125.0)
    assert summary(run("1.9.1", first, second), "KV Cache Hit Rate (%)") == pytest.approx(100 * 15 / 22, abs=1e-4)
