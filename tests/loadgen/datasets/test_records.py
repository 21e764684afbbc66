import json
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import UsageError
from perfkit.loadgen.datasets import prompts
from perfkit.options.arguments import Arguments
from perfkit.records import Prompt

CHAT = [{"role": "user", "content": "hi"}]


def read(path: Path | str, dataset: str | None = None, **more: Any) -> list[Prompt]:
    path = str(path)
    where = {"dataset": path} if dataset is None else {"dataset": dataset, "dataset_path": path}
    return list(prompts(Arguments(**where, **more)))


def jsonl(tmp_path: Path, *records: Any) -> Path:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return tmp_path / "a.jsonl"


@pytest.mark.parametrize(
    ("record", "content"),
    [
        ({"prompt": "hi"}, CHAT),
        ({"question": "hi", "answer": "no"}, CHAT),
        ({"instruction": "hi"}, CHAT),
        ({"messages": CHAT, "id": 7}, CHAT),
        ({"messages": CHAT, "id": 7, "max_tokens": 5}, {"messages": CHAT, "max_tokens": 5}),
        ({"model": "m", "prompt": "hi", "odd": 1}, {"model": "m", "prompt": "hi", "odd": 1}),
        (CHAT, CHAT),
    ],
)
def test_a_record_asks_by_the_column_it_has(tmp_path: Path, record: Any, content: Any) -> None:
    assert [prompt.content for prompt in read(jsonl(tmp_path, record))] == [content]


def test_a_column_may_be_named(tmp_path: Path) -> None:
    file = jsonl(tmp_path, {"prompt": "no", "mine": "hi"})
    assert read(file, dataset_args={"column": "mine"})[0].content == CHAT


def test_ids_sessions_and_turns_go_with_the_request_and_not_into_the_body(tmp_path: Path) -> None:
    record = {"model": "m", "messages": CHAT, "request_id": "r1", "session_id": 5, "turn": 2}
    (prompt,) = read(jsonl(tmp_path, record))
    assert (prompt.request_id, prompt.session_id, prompt.turn) == ("r1", "5", 2)
    assert prompt.content == {"model": "m", "messages": CHAT}


def test_images_become_content_parts(tmp_path: Path) -> None:
    (prompt,) = read(jsonl(tmp_path, {"prompt": "hi", "image": "https://host/cat.png"}))
    assert prompt.content[0]["content"][1]["image_url"] == {"url": "https://host/cat.png"}  # type: ignore[index]


def test_pictures_and_recordings_beside_the_file_are_sent_in_the_message(tmp_path: Path) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / "say.mp3").write_bytes(b"ID3")
    (prompt,) = read(jsonl(tmp_path, {"prompt": "hi", "images": ["cat.jpg"], "audio": "say.mp3"}))
    _, image, audio = prompt.content[0]["content"]  # type: ignore[index]
    assert image["image_url"]["url"] == "data:image/jpeg;base64,/9g="
    assert audio["input_audio"] == {"data": "SUQz", "format": "mp3"}


def test_a_picture_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read \S*cat\.jpg: No such file"):
        read(jsonl(tmp_path, {"prompt": "hi", "image": "cat.jpg"}))


def test_pictures_as_hubs_store_them_are_sent(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"question": "hi", "image": {"bytes": b"\x89PNG", "path": "cat.png"}}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "train.parquet")
    (prompt,) = read(tmp_path)
    assert prompt.content[0]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw=="  # type: ignore[index]


@pytest.mark.parametrize(
    ("record", "told"),
    [({"answer": "x"}, r"a\.jsonl:1 has no prompt or .*; it has answer"), (5, "neither a JSON object nor a list")],
)
def test_a_record_that_asks_nothing_is_told_with_its_line(tmp_path: Path, record: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read(jsonl(tmp_path, record))


def test_a_table_is_read_by_its_suffix() -> None:
    assert len(read("sample_data/prompts.csv")) == 10


def test_a_folder_gives_the_split_that_was_asked_for(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps({"prompt": split}) + "\n")
    (tmp_path / "dataset_info.json").write_text("{}")
    assert [prompt.content[0]["content"] for prompt in read(tmp_path)] == ["train"]  # type: ignore[index]
    other = read(tmp_path, dataset_args={"split": "test"})
    assert [prompt.content[0]["content"] for prompt in other] == ["test"]  # type: ignore[index]


def test_a_folder_without_data_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.jsonl, \.json, \.csv, \.parquet, \.arrow file"):
        read(tmp_path)


def test_texts_to_embed_are_plain_and_may_be_batched(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\nb\nc\n")
    file, more = tmp_path / "a.txt", {"api": "embeddings"}
    assert [prompt.content for prompt in read(file, "embedding", **more)] == ["a", "b", "c"]
    batched = read(file, "embedding", dataset_args={"batch": 2}, **more)
    assert [prompt.content for prompt in batched] == [{"input": ["a", "b"]}, {"input": ["c"]}]


def test_without_a_file_the_sample_is_embedded_and_reranked() -> None:
    assert len(list(prompts(Arguments(dataset="embedding")))) == 60
    first = next(prompts(Arguments(dataset="rerank"))).content
    assert isinstance(first, dict)
    assert len(first["documents"]) == 10


def test_queries_come_with_their_documents() -> None:
    assert len(read("sample_data/rerank.jsonl", "rerank")) == 8


def test_a_query_without_documents_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no query and documents"):
        read(jsonl(tmp_path, {"query": "a"}), "rerank")
