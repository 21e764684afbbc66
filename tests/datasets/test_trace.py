import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from perfkit.arguments import Arguments
from perfkit.datasets import prompts
from perfkit.errors import UsageError
from perfkit.records import Prompt
from perfkit.tokens import load_tokenizer

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
