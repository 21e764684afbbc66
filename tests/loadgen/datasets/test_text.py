import json
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import UsageError
from perfkit.loadgen.datasets.text import LineByLine, LongAlpaca, OpenQA
from perfkit.options.arguments import Arguments

CHAT = [{"role": "user", "content": "hi"}]


def given(path: Path, **more: Any) -> Arguments:
    return Arguments(dataset_path=str(path), apply_chat_template=True, **more)


@pytest.mark.parametrize(
    ("line", "item"),
    [
        ("hi", CHAT),
        ("  hi  ", CHAT),
        (json.dumps(CHAT), CHAT),
        (json.dumps({"messages": CHAT, "max_tokens": 5}), {"messages": CHAT, "max_tokens": 5}),
        ("[1] see below", [{"role": "user", "content": "[1] see below"}]),
        ('{"note": 1}', [{"role": "user", "content": '{"note": 1}'}]),
        ("[]", [{"role": "user", "content": "[]"}]),
    ],
)
def test_a_line_is_a_prompt_messages_or_a_body(tmp_path: Path, line: str, item: Any) -> None:
    (tmp_path / "a.txt").write_text(f"\n{line}\n\n")
    assert list(LineByLine(given(tmp_path / "a.txt")).build_messages()) == [item]


def test_questions_are_read_from_their_file() -> None:
    items = list(OpenQA(given(Path("sample_data/openqa.jsonl"))).build_messages())
    first = json.loads(Path("sample_data/openqa.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert items[0] == [{"role": "user", "content": first["question"]}]
    assert len(items) == 20


def test_a_record_without_a_question_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question": "a"}\n{"answer": "b", "id": 1}\n')
    read = OpenQA(given(tmp_path / "a.jsonl")).build_messages()
    next(read)
    with pytest.raises(UsageError, match=r"a\.jsonl:2 has no question; it has answer, id"):
        next(read)


def test_long_documents_come_whole() -> None:
    sizes = [
        len(item[0]["content"]) for item in LongAlpaca(given(Path("sample_data/longalpaca.json"))).build_messages()
    ]
    assert min(sizes) > 1500


def test_long_documents_can_be_bounded() -> None:
    bounded = given(Path("sample_data/longalpaca.json"), max_prompt_length=2500)
    assert 0 < len(list(LongAlpaca(bounded).build_messages())) < 7
