"""Whatever shape a record has, importing it ends in rows or in UnsafeFile, never in another exception."""

import base64
import json
import pickle
import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfkit.analysis.importers import open_imported
from perfkit.analysis.importers.evalscope import readings
from perfkit.analysis.importers.evalscope_cells import canonical, decode
from perfkit.errors import UnsafeFile
from perfkit.runfile.safe_pickle import decode_cell

FIXTURES = Path(__file__).parents[2] / "fixtures"

NAMES = (
    "choices delta content text role index finish_reason usage prompt_tokens completion_tokens cached_tokens message "
    "messages prompt input model stream error code output id type object data tool_calls function reasoning_content"
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from([10**400, -(2**70), 1e308, 65536, -1])
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["user", "assistant", "null", "\ud800"])
)
shapes = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES.split()), inner, max_size=4),
    max_leaves=12,
)
numbers = leaves | st.binary(max_size=3)
choices = st.fixed_dictionaries({"choices": st.lists(shapes, max_size=2)}) | shapes
times = st.lists(leaves, max_size=4).map(json.dumps) | st.text(max_size=4)


def pickled(value: object) -> str:
    return base64.b64encode(pickle.dumps(value, 4)).decode()


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {
            "request": shapes.map(pickled) | shapes.map(json.dumps) | numbers,
            "response_messages": st.lists(choices | choices.map(json.dumps), max_size=3).map(pickled) | numbers,
            "success": st.sampled_from([1, "True", 0]),
        }
        | {name: numbers for name in ("start_time", "completed_time", "latency", "first_chunk_latency")}
        | {name: numbers for name in ("prompt_tokens", "completion_tokens", "time_per_output_token", "is_stream")},
        optional={"chunk_times": times, "inter_token_latencies": times},
    )
)
def test_a_row_of_any_shape_becomes_a_canonical_row(row):
    for messages in (True, False):
        found = canonical(decode(row, messages=messages))
        assert found["success"] in (0, 1)
        assert isinstance(found.get("latency"), float | None)


def mutated(value: object, chance: random.Random) -> object:
    """Replace some values of a JSON value by others of any type."""
    if chance.random() < 0.03:
        return chance.choice(
            [None, True, -1, 10**400, 1e308, "x", "\ud800", [], [[]], {}, {"value": {}}, [1, "x", None]]
        )
    if isinstance(value, dict):
        return {name: mutated(part, chance) for name, part in value.items() if chance.random() > 0.02}
    return [mutated(part, chance) for part in value] if isinstance(value, list) else value


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llmuses-0.4.3", "evalscope-0.17.1", "evalscope-1.1.1", "evalscope-1.14.1__doc"])
def test_messages_of_any_shape_beside_honest_times_become_a_canonical_row(name):
    chance = random.Random(5)
    for reading in readings(next((FIXTURES / "evalscope").glob(f"{name}*/**/*.db"))):
        stored = decode_cell(reading.row["response_messages"], "response_messages")
        messages = [json.loads(message) if isinstance(message, str) else message for message in stored]
        for _ in range(10):
            found = canonical(decode({**reading.row, "response_messages": pickled(mutated(messages, chance))}))
            assert found["success"] == 1


DETAILED = {
    "date": "20261120-200500",
    "model_id": "m",
    "tokenizer_id": "m",
    "num_prompts": 2,
    "request_rate": "inf",
    "duration": 1.5,
    "input_lens": [10, 20],
    "output_lens": [3, 1],
    "ttfts": [0.1, 0.2],
    "itls": [[0.01, 0.03], []],
    "start_times": [100.0, 100.5],
    "generated_texts": ["a b c", "d"],
    "errors": ["", ""],
}


def records(tool: str) -> list[object]:
    if tool == "vllm":
        return [DETAILED]
    name = {"guidellm": "report.json", "aiperf": "profile_export.jsonl", "llmeter": "responses.jsonl"}[tool]
    text = next((FIXTURES / "peers").rglob(name)).read_text()
    if tool != "guidellm":
        return [json.loads(line) for line in text.splitlines()]
    report = json.loads(text)
    del report["benchmarks"][0]["metrics"]
    return [report]


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["guidellm", "aiperf", "llmeter", "vllm"])
def test_a_record_of_any_shape_loses_at_most_its_file(tool, tmp_path):
    chance, originals = random.Random(3), records(tool)
    path, opened = tmp_path / "mutant", 0
    for _ in range(100):
        path.write_text("\n".join(json.dumps(mutated(record, chance)) for record in originals) + "\n")
        try:
            connection = open_imported(path)
        except UnsafeFile:
            continue
        opened += 1
        assert connection.execute("SELECT count(*) FROM result WHERE success NOT IN (0, 1)").fetchone() == (0,)
        connection.close()
    assert opened > 50


@pytest.mark.parametrize(
    "arguments", ["[]", "{", '{"parallel": "x", "rate": [], "url": 5, "headers": {"a": 1}}', "[" * 9999]
)
def test_settings_beside_a_database_may_be_anything(arguments, tmp_path):
    path = tmp_path / "benchmark_data.db"
    source = next((FIXTURES / "evalscope/evalscope-1.14.1__embeddings").rglob("*.db"))
    path.write_bytes(source.read_bytes())
    (tmp_path / "benchmark_args.json").write_text(arguments)
    connection = open_imported(path)
    assert connection.execute("SELECT sent FROM run").fetchone() == (40,)
    connection.close()


def test_an_odd_type_in_every_column_keeps_its_row(tmp_path):
    path = tmp_path / "odd.db"
    writer = sqlite3.connect(path)
    columns = "request, start_time, inter_token_latencies, success, response_messages, latency, request_id, is_stream"
    writer.execute(f"CREATE TABLE result ({columns})")
    for value in (b"\xff", "x", 1.5, -1, None, 2**62):
        writer.execute(f"INSERT INTO result VALUES ({', '.join('?' * 8)})", [value] * 8)
    writer.commit()
    writer.close()
    connection = open_imported(path)
    assert connection.execute("SELECT count(*) FROM result").fetchone() == (6,)
    connection.close()
