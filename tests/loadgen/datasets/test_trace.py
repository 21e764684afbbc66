import itertools
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perfkit.apis.tokenizer import load_tokenizer
from perfkit.errors import UsageError
from perfkit.loadgen.datasets import prompts
from perfkit.loadgen.datasets.trace import Trace
from perfkit.options.arguments import Arguments
from perfkit.records import Prompt
from tests.cli.commands import perfkit
from tests.recording import recording

FOLDER = "sample_data/tokenizer"


def trace(path: Path | str, count: int = 20, **more: Any) -> list[Prompt]:
    return list(itertools.islice(prompts(Arguments(dataset="trace", dataset_path=str(path), **more)), count))


def text_of(prompt: Prompt) -> str:
    assert isinstance(prompt.content, dict)
    return str(prompt.content["messages"][0]["content"])


@pytest.mark.parametrize("name", ["trace.jsonl", "trace_mooncake.jsonl", "trace_azure.csv", "trace_burstgpt.csv"])
def test_every_form_is_due_a_quarter_of_a_second_apart(name: str) -> None:
    due = [prompt.due for prompt in trace(f"sample_data/{name}")]
    assert due == [pytest.approx(number / 4) for number in range(20)]


def test_what_was_asked_is_asked_again_under_its_own_id() -> None:
    first = trace("sample_data/trace.jsonl")[0]
    recorded = json.loads(Path("sample_data/trace.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first.content == [{"role": "user", "content": recorded["prompt"]}]
    assert first.request_id == "r0"


def test_recorded_lengths_become_prompts_of_that_many_tokens_and_the_longest_answer() -> None:
    tokenizer = load_tokenizer(FOLDER)
    found = trace("sample_data/trace_burstgpt.csv", tokenizer_path=FOLDER)
    assert [tokenizer.count(text_of(prompt)) for prompt in found] == [40 + 30 * n % 200 for n in range(20)]
    assert [prompt.content["max_tokens"] for prompt in found] == [5 + n % 20 for n in range(20)]  # type: ignore[index,call-overload]


def test_equal_hashes_give_equal_beginnings() -> None:
    found = trace("sample_data/trace_mooncake.jsonl", 6, tokenizer_path=FOLDER)
    blocks = [text_of(prompt)[:600] for prompt in found]
    assert blocks[0] == blocks[3] != blocks[1] == blocks[4]
    assert len({text_of(prompt) for prompt in found}) == 6


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([{"prompt": "a"}], r"a\.jsonl:1 has no timestamp or .*; it has prompt"),
        ([{"timestamp": "soon", "prompt": "a"}], "'soon' is neither a number nor a date"),
        ([{"timestamp": 2, "prompt": "a"}, {"timestamp": 1, "prompt": "b"}], r"a\.jsonl:2 is earlier.*sort the trace"),
        ([{"timestamp": 0}], "has no prompt"),
    ],
)
def test_a_record_that_cannot_be_used_is_told_with_its_line(tmp_path: Path, records: list[Any], told: str) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(UsageError, match=told):
        trace(tmp_path / "a.jsonl")


def test_the_unit_may_be_given(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"timestamp": 500, "prompt": "a"}\n{"timestamp": 1500, "prompt": "b"}\n')
    assert [prompt.due for prompt in trace(tmp_path / "a.jsonl", dataset_args={"unit": "ms"})] == [0.0, 1.0]
    with pytest.raises(UsageError, match="unit of a trace is s or ms"):
        trace(tmp_path / "a.jsonl", dataset_args={"unit": "min"})


def test_a_recorded_body_is_sent_as_it_was(tmp_path: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
    (tmp_path / "a.jsonl").write_text(json.dumps({"timestamp": 0, "body": body, "session_id": "s"}) + "\n")
    (prompt,) = trace(tmp_path / "a.jsonl")
    assert (prompt.content, prompt.session_id) == (body, "s")


def test_a_trace_is_not_shuffled() -> None:
    with pytest.raises(UsageError, match="a trace is played in its order"):
        trace("sample_data/trace.jsonl", shuffle=True)


FIELD = Path("tests/fixtures/field")


def scale(path: Path, **options: Any) -> tuple[str, int, str]:
    """Return unit and block that are decided on, and all that is said about it."""
    found = Trace(Arguments(dataset="trace", dataset_path=str(path), dataset_args=options)).scale
    return found.unit, found.block, " ".join(found.sentences)


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_seconds_and_blocks_of_16_are_seen_in_the_file() -> None:
    unit, block, told = scale(FIELD / "trace-units/bailian.jsonl")
    assert (unit, block) == ("s", 16)
    assert "bailian.jsonl: times are in s (they have fractions): 2 requests over 0.4 s, 2.5 requests/s" in told
    assert "a hash names 16 tokens (fits 2 of 2 records)" in told
    assert [prompt.due for prompt in trace(FIELD / "trace-units/bailian.jsonl")] == [0, pytest.approx(0.4)]


def test_whole_numbers_beside_input_length_are_milliseconds() -> None:
    assert scale(FIELD / "trace-units/aiperf.jsonl")[0] == "ms"
    assert [prompt.due for prompt in trace(FIELD / "trace-units/aiperf.jsonl")] == [0, pytest.approx(0.003)]


@pytest.mark.parametrize(
    ("name", "unit", "block"),
    [("trace_mooncake.jsonl", "ms", 512), ("trace_azure.csv", "dates", 512), ("trace_burstgpt.csv", "s", 512)],
)
def test_the_samples_are_read_as_they_are_meant(name: str, unit: str, block: int) -> None:
    assert scale(Path("sample_data") / name)[:2] == (unit, block)


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ((0, 0.5, 2), "s"),
        ((1e9, 1.7e9), "s"),
        ((1_700_000_000, 1_700_000_002), "s"),
        ((1_700_000_000_000, 1_700_000_002_000), "ms"),
        ((1_700_000_000_000_000, 1_700_000_002_000_000), "us"),
        ((1_700_000_000_000_000_000, 1_700_000_002_000_000_000), "ns"),
    ],
)
@pytest.mark.parametrize("beside", [{}, {"hash_ids": [1]}])
def test_the_unit_is_decided_by_all_times_of_the_file(tmp_path: Path, times: Any, unit: str, beside: Any) -> None:
    records = [{"timestamp": time, "input_length": 5, **beside} for time in times]
    assert scale(write(tmp_path / "a.jsonl", *records))[0] == unit


def test_one_unit_holds_for_records_with_and_without_hashes(tmp_path: Path) -> None:
    records = [{"timestamp": 1000 * n, "input_length": 20, **({"hash_ids": [1]} if n % 2 else {})} for n in range(4)]
    assert [prompt.due for prompt in trace(write(tmp_path / "a.jsonl", *records))] == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize("name", ["time_unit", "unit"])
def test_unit_and_block_may_be_given(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "a.jsonl", *[{"timestamp": n, "input_length": 40, "hash_ids": [1, 2, 3]} for n in (0, 2)])
    unit, block, told = scale(path, **{name: "s"}, block=32)
    assert (unit, block) == ("s", 32)
    assert "times are in s (as asked for)" in told
    assert "a hash names 32 tokens (as asked for)" in told
    assert "16 would fit 2 of 2 records better" in told


def test_a_trace_that_would_be_played_implausibly_fast_or_slow_says_so(tmp_path: Path) -> None:
    fast = write(tmp_path / "fast.jsonl", *[{"timestamp": n, "input_length": 5} for n in range(0, 50, 2)])
    assert "0.048 s, 500 requests/s; --dataset-args time_unit=s if that is wrong" in scale(fast)[2]
    faster = write(tmp_path / "faster.jsonl", *[{"timestamp": n, "input_length": 5} for n in range(50)])
    assert "1,000 requests/s. TOO FAST? If they are in s, give --dataset-args time_unit=s" in scale(faster)[2]
    slow = write(tmp_path / "slow.jsonl", *[{"timestamp": n * 100, "prompt": "a"} for n in range(5)])
    assert "TOO SLOW? If they are in ms, give --dataset-args time_unit=ms" in scale(slow)[2]


def test_dates_and_numbers_do_not_mix(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *[{"timestamp": time, "prompt": "a"} for time in (1, "2024-01-01T00:00:00")])
    with pytest.raises(UsageError, match="some times are dates and others numbers"):
        trace(path)


def test_later_turns_of_a_session_need_no_time() -> None:
    found = trace(FIELD / "multi-turn-of-others/mooncake_sessions.jsonl")
    assert [(prompt.session_id, prompt.turn, prompt.due) for prompt in found] == [
        ("a", 1, 0.0),
        ("a", 2, None),
        ("b", 1, pytest.approx(0.05)),
    ]
    assert [prompt.content["max_tokens"] for prompt in found] == [5, 6, 5]  # type: ignore[index,call-overload]


def test_lengths_of_answers_are_read_under_any_name(tmp_path: Path) -> None:
    found = trace(FIELD / "output-length-columns/trace.jsonl")
    assert [prompt.content["max_tokens"] for prompt in found] == [5, 8]  # type: ignore[index,call-overload]
    assert [len(text_of(prompt)) for prompt in found] == [10, 20]


@pytest.mark.processes
def test_what_a_trace_is_played_as_is_the_first_line_of_output_and_kept_with_the_run(tmp_path: Path) -> None:
    path = FIELD / "trace-units/bailian.jsonl"
    with recording() as server:
        words = ["run", "--url", server.url, "--model", "m", "--dataset", "trace", "--dataset-path", path]
        done = perfkit(*words, "--db", tmp_path / "a.db", folder=Path.cwd())
        assert [received.body["max_tokens"] for received in server.received][-2:] == [8, 8]
    told = "bailian.jsonl: times are in s (they have fractions): 2 requests over 0.4 s"
    assert done.stderr.startswith(told)
    assert told in done.stdout
    with closing(sqlite3.connect(tmp_path / "a.db")) as file:
        ((kept,),) = file.execute("SELECT remarks FROM run").fetchall()
    assert any(sentence.startswith(told) for sentence in json.loads(kept))
    assert any(sentence.startswith("fields not used: chat_id, parent_chat_id, type") for sentence in json.loads(kept))
