"""What arrives at the server of records in all the shapes that other tools write."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import UsageError
from perfkit.loadgen.datasets import open_dataset, prompts
from perfkit.options.arguments import Arguments
from perfkit.runner.start import start
from tests.measured import stored
from tests.recording import recording

pytestmark = pytest.mark.processes

FIELD = Path("tests/fixtures/field")
ONE = [{"role": "user", "content": "one?"}]
PIXEL = b"\x89PNG"
PIXEL_URL = "data:image/png;base64,iVBORw=="
Sent = Callable[..., list[Any]]


@pytest.fixture
def sent(tmp_path: Path) -> Sent:
    """Run a dataset and return the bodies that arrived, without what perfkit adds to each."""

    def send(dataset: Any, name: str | None = None, **options: Any) -> list[Any]:
        where: dict[str, Any] = {"dataset": name or (str(dataset) if isinstance(dataset, Path) else dataset)} | (
            {"dataset_path": str(dataset)} if name else {}
        )
        given = {"model": "m", "preflight": False, "workers": 0, "db": str(tmp_path / "a.db")}
        with recording() as server:
            start(server.url, **{**given, **where, **options}).wait()
            bodies = [received.body for received in server.received]
        return [{k: v for k, v in body.items() if k not in ("model", "stream", "stream_options")} for body in bodies]

    return send


def write(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def asked(bodies: list[Any]) -> list[str]:
    return [body["messages"][-1]["content"] for body in bodies]


def remarks(path: Path, **more: Any) -> list[str]:
    """Read all of a dataset and return what is said about it."""
    arguments = Arguments(dataset=str(path), **more)
    dataset = open_dataset(arguments)
    list(prompts(arguments, dataset))
    return dataset.remarks.sentences()


# Files.


@pytest.mark.parametrize("dataset", [None, "hf", "jsonl"])
def test_a_json_path_is_read_as_json(sent: Sent, dataset: str | None) -> None:
    assert asked(sent(FIELD / "json-path-as-lines/prompts.json", dataset)) == ["one?", "two?"]


def test_the_first_questions_of_a_share_gpt_path_are_asked(sent: Sent) -> None:
    assert asked(sent(FIELD / "json-path-as-lines/sharegpt.json")) == ["h1", "h1b", "u1", "only", "hf"]


def test_what_is_left_out_of_share_gpt_is_said() -> None:
    found = remarks(FIELD / "json-path-as-lines/sharegpt.json")
    assert "the first question of each conversation is asked; multi_turn asks the others, too" in found
    assert any(sentence.startswith("fields not used: conversations[].markdown, id (first in") for sentence in found)
    assert any("records left out: 1 empty (first" in sentence and "record 3)" in sentence for sentence in found)


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt": "one?"}\n{"prompt": "two?"}\n',
        '[{"prompt": "one?"}, {"prompt": "two?"}]',
        '["one?", "two?"]',
        '{"data": [{"prompt": "one?"}, {"prompt": "two?"}]}',
        '{\n  "data": [\n    {"prompt": "one?"},\n    {"prompt": "two?"}\n  ]\n}\n',
        '\ufeff[\n{"prompt": "one?"},\n{"prompt": "two?"}\n]\n',
        '[[{"role": "user", "content": "one?"}], [{"role": "user", "content": "two?"}]]',
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_json_is_read_however_it_is_written(sent: Sent, tmp_path: Path, text: str, packed: bool) -> None:
    path = tmp_path / ("a.json.gz" if packed else "a.json")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert asked(sent(path)) == ["one?", "two?"]


@pytest.mark.parametrize(
    "text", ["one?\ntwo?\n", "[\none?\n", '{"prompt": \n', '{"prompt": "a"}\nb\n', '{\n"a": 1,\n}']
)
def test_a_json_path_is_never_asked_line_by_line(sent: Sent, tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UsageError, match=r"a\.json.* not JSON"):
        sent(tmp_path / "a.json")


@pytest.mark.parametrize(("ending", "mark"), [(".csv", ","), (".csv", ";"), (".csv", "\t"), (".tsv", "\t")])
def test_the_head_line_of_a_table_says_what_separates(sent: Sent, tmp_path: Path, ending: str, mark: str) -> None:
    text = f"\ufeffid{mark}prompt{mark}max_tokens\n1{mark}one?{mark}5\n2{mark}two?{mark}\n"
    (tmp_path / f"a{ending}").write_text(text, encoding="utf-8")
    bodies = sent(tmp_path / f"a{ending}")
    assert asked(bodies) == ["one?", "two?"]
    assert [body.get("max_tokens") for body in bodies] == [5, None]


# Conversations.


@pytest.mark.parametrize("dataset", ["multi_turn", "share_gpt", None])
def test_role_and_value_are_read_as_role_and_content_are(sent: Sent, dataset: str | None) -> None:
    assert asked(sent(FIELD / "sharegpt-role-value/sharegpt.jsonl", dataset)) == ["h1", "h2"]


@pytest.mark.parametrize(
    "talk",
    [
        [{"from": "human", "value": "one?"}, {"from": "gpt", "value": "a"}],
        [{"from": "user", "value": "one?"}, {"from": "chatgpt", "value": "a"}],
        [{"role": "human", "content": "one?"}, {"role": "gpt", "content": "a"}],
        [{"role": "user", "value": "one?"}, {"role": "assistant", "value": "a"}],
        [{"human": "one?", "gpt": "a"}],
        [{"user": "one?"}, {"assistant": "a"}],
    ],
)
@pytest.mark.parametrize("field", ["conversations", "conversation"])
def test_every_way_to_name_who_speaks_is_read(sent: Sent, tmp_path: Path, talk: Any, field: str) -> None:
    for dataset in ("share_gpt", "multi_turn", None):
        assert sent(write(tmp_path / "a.jsonl", {field: talk}), dataset) == [{"messages": ONE}]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"messages": None}, r"a\.jsonl:2 .*messages is null"),
        ({"messages": "hello"}, r"a\.jsonl:2 .*messages is 'hello'"),
        (
            {"messages": "[{'role': 'user', 'content': 'one?'}]"},
            r"a\.jsonl:2: messages is text that is not JSON.*Python",
        ),
        ({"messages": ["a"]}, r"a\.jsonl:2: messages holds 'a', which is not a message"),
        ({"messages": [{"role": "user"}]}, r"a\.jsonl:2: a message of messages has no content"),
        ({"messages": [{"role": "user", "content": None}]}, r"a\.jsonl:2: a message of messages has no content"),
        ({"conversations": [{"from": "parrot", "value": "a"}]}, r"a\.jsonl:2: .*from 'parrot'; known are human"),
        ({"conversations": [{"from": "human", "text": 5}]}, r"a\.jsonl:2: .*no value with a text"),
        ({"turns": []}, r"a\.jsonl:2: turns must be a list"),
        ({"turns": [{"delay": 5}]}, r"a\.jsonl:2, turn 1 has no text, prompt or content; it has delay"),
        ({"prompt": "a", "image_files": ["x.png"]}, r"a\.jsonl:2: cannot read .*x\.png"),
        ({"prompt": "a", "output_tokens": "many"}, r"a\.jsonl:2: output_tokens must be a whole number above 0"),
        ({"custom_id": "a", "url": "/v1", "body": 5}, r"a\.jsonl:2: body must be a JSON object"),
        ({"prompt": [1, 2]}, r"a\.jsonl:2 has no prompt or .* with a text; its prompt is \[1, 2\]"),
        ({"timestamp": 1, "input_length": 5}, r"a\.jsonl:2 .*recorded traffic use --dataset trace --dataset-path"),
    ],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(tmp_path: Path, record: Any, told: str) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "fine"}, record)
    with pytest.raises(UsageError, match=told):
        list(prompts(Arguments(dataset=str(path))))


@pytest.mark.parametrize("name", ["messages.csv", "messages.jsonl"])
def test_messages_as_json_in_a_text_are_read(sent: Sent, name: str) -> None:
    assert sent(FIELD / "messages-as-text" / name) == [{"messages": ONE}]


def test_messages_as_json_in_a_parquet_column_are_read(sent: Sent, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    columns = {"messages": [json.dumps(ONE)], "max_tokens": [5]}
    parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    assert sent(tmp_path / "a.parquet") == [{"messages": ONE, "max_tokens": 5}]


# Turns.


@pytest.mark.parametrize("dataset", ["multi_turn", None])
def test_turns_of_aiperf_are_asked_one_after_the_other(sent: Sent, dataset: str | None) -> None:
    bodies = sent(FIELD / "multi-turn-of-others/aiperf.jsonl", dataset)
    assert asked(bodies) == ["one?", "two?", "three?"]
    assert [len(body["messages"]) for body in bodies] == [1, 3, 1]


@pytest.mark.parametrize(
    "record",
    [
        {"question_id": 81, "category": "writing", "turns": ["one?", "two?"], "reference": []},
        {"question_id": 81, "category": "writing", "turns": '["one?", "two?"]'},
        {"session_id": "a", "turns": [{"prompt": "one?"}, {"content": [{"type": "text", "text": "two?"}]}]},
    ],
)
@pytest.mark.parametrize("dataset", ["multi_turn", None])
def test_turns_of_other_benchmarks_are_asked_too(sent: Sent, tmp_path: Path, record: Any, dataset: str | None) -> None:
    bodies = sent(write(tmp_path / "question.jsonl", record), dataset)
    assert [len(body["messages"]) for body in bodies] == [1, 3]
    assert "two?" in json.dumps(bodies[1]["messages"][-1])


def test_each_turn_has_its_own_length(sent: Sent, tmp_path: Path) -> None:
    turns = [{"text": "one?", "max_tokens": 5}, {"text": "two?", "output_length": 9}]
    bodies = sent(write(tmp_path / "a.jsonl", {"turns": turns}))
    assert [body["max_tokens"] for body in bodies] == [5, 9]
    assert [len(body["messages"]) for body in bodies] == [1, 3]


def test_what_is_left_out_of_turns_is_said(tmp_path: Path) -> None:
    (said,) = remarks(write(tmp_path / "a.jsonl", {"turns": [{"text": "one?", "note": 1}]}))
    assert said.startswith("fields not used: turns[].note (first in ")


def test_the_unit_of_delays_is_said() -> None:
    (said,) = remarks(FIELD / "multi-turn-of-others/aiperf.jsonl")
    assert said.startswith("a delay is the think time before its turn, in ms")


def test_an_openai_batch_file_is_sent_body_by_body(sent: Sent, tmp_path: Path) -> None:
    body = {"model": "gpt", "messages": ONE, "temperature": 0.5}
    line = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body}
    path = write(tmp_path / "batch.jsonl", line)
    (prompt,) = prompts(Arguments(dataset=str(path)))
    assert (prompt.request_id, prompt.content) == ("r1", body)
    assert remarks(path) == [f"fields not used: method, url (first in {path}:1)"]


# Images.


@pytest.fixture
def pictured(tmp_path: Path) -> Path:
    (tmp_path / "x.png").write_bytes(PIXEL)
    return tmp_path


@pytest.mark.parametrize("case", ["image-files-dropped/vllm_mm.jsonl", "multi-turn-of-others/content_parts.jsonl"])
def test_images_of_vllm_are_sent(sent: Sent, pictured: Path, case: str) -> None:
    (pictured / "a.jsonl").write_text((FIELD / case).read_text(encoding="utf-8"))
    first, *others = sent(pictured / "a.jsonl")
    assert first["messages"][0]["content"][1]["image_url"] == {"url": PIXEL_URL}
    if others:
        assert others[0]["messages"][0]["content"][1]["image_url"] == {"url": "https://127.0.0.1/x.jpg"}
        assert others[0]["max_tokens"] == 3
    else:
        assert first["max_tokens"] == 12


@pytest.mark.parametrize(
    "record",
    [
        {"messages": ONE, "images": ["x.png"]},
        {"messages": ONE, "image": "x.png"},
        {"conversations": [{"from": "human", "value": "one?"}], "image": "x.png"},
        {"prompt": "one?", "image_files": ["x.png"]},
        {"prompt": "one?", "image_files": '["x.png"]'},
        {"prompt": "one?", "image_url": {"url": PIXEL_URL}},
        {"prompt": "one?", "images": [PIXEL_URL]},
        {"prompt": "one?", "image": "file://x.png"},
        {"prompt": [{"type": "text", "text": "one?"}, {"type": "image_url", "image_url": {"url": "x.png"}}]},
        {"messages": [{"role": "user", "content": ["one?", {"type": "image_url", "image_url": "file://x.png"}]}]},
        {"turns": [{"text": "one?", "image": "x.png"}]},
    ],
)
def test_images_beside_and_inside_are_sent_as_data(sent: Sent, pictured: Path, record: Any) -> None:
    (body,) = sent(write(pictured / "a.jsonl", record))
    text, image = body["messages"][0]["content"]
    assert text == {"type": "text", "text": "one?"}
    assert image == {"type": "image_url", "image_url": {"url": PIXEL_URL}}


# Lengths.


@pytest.mark.parametrize(
    ("name", "lengths"), [("vllm.jsonl", [5, 9]), ("aiperf.jsonl", [5, 9])], ids=["vllm", "aiperf"]
)
def test_each_request_has_the_length_of_its_record(sent: Sent, name: str, lengths: list[int]) -> None:
    assert [body["max_tokens"] for body in sent(FIELD / "output-length-columns" / name)] == lengths


@pytest.mark.parametrize(
    "field",
    ["output_tokens", "output_length", "output_tokens_count", "max_tokens", "completion_length", "max_new_tokens"],
)
@pytest.mark.parametrize("asking", [{"prompt": "one?"}, {"messages": ONE}, {"question": "one?"}])
def test_lengths_are_read_by_any_of_their_names(sent: Sent, tmp_path: Path, field: str, asking: Any) -> None:
    path = write(tmp_path / "a.jsonl", {**asking, field: 7})
    assert sent(path) == [{"messages": ONE, "max_tokens": 7}]
    assert remarks(path) == []
    assert sent(path, max_tokens=3) == [{"messages": ONE, "max_tokens": 3}]


def test_max_completion_tokens_keeps_its_name(sent: Sent, tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "one?", "max_completion_tokens": 7})
    assert sent(path) == [{"messages": ONE, "max_completion_tokens": 7}]


def test_a_length_in_completions_stands_beside_the_prompt(sent: Sent) -> None:
    first, _ = sent(FIELD / "output-length-columns/vllm.jsonl", api="completions")
    assert first == {"prompt": "What is one?", "max_tokens": 5}


# What is left out.


def test_fields_that_nothing_is_done_with_are_named_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *[{"prompt": "one?", "id": n, "source": "x"} for n in range(3)])
    assert remarks(path) == [f"fields not used: id, source (first in {path}:1)"]


def test_records_of_other_lengths_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "one?"}, {"prompt": "much longer"}, {"prompt": "longer, too"})
    told = f"records left out: 2 shorter or longer than asked for (first {path}:2)"
    assert remarks(path, max_prompt_length=5) == [told]


def test_what_is_left_out_is_kept_with_the_run_and_shown_under_its_summary(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"prompt": "one?", "note": "x"})
    with recording() as server:
        given = {"model": "m", "preflight": False, "workers": 0}
        runs = start(server.url, dataset=str(path), db=str(tmp_path / "a.db"), **given).wait()
    told = f"fields not used: note (first in {path}:1)"
    assert json.loads(runs.members[0].record["remarks"]) == [told]
    assert told in str(runs.summary())


TALK = [{"role": "user", "content": "one?"}]


@pytest.mark.parametrize(
    ("dataset", "record", "left"),
    [
        ("share_gpt", {"conversations": [{"human": "a", "score": 1}], "lang": "en"}, "conversations[].score, lang"),
        ("share_gpt", {"conversations": [{"from": "human", "value": "a", "w": 1}]}, "conversations[].w"),
        ("multi_turn", {"messages": TALK, "source": "x"}, "source"),
        ("multi_turn", {"turns": ["a"], "category": "x"}, "category"),
        ("multi_turn", {"session_id": "s", "prompt": "a", "hint": 1}, "hint"),
        ("jsonl", {"messages": TALK, "images": [{"url": "http://h/a.png", "caption": "c"}]}, "images.caption"),
        ("jsonl", {"model": "m", "messages": TALK, "timestamp": 5}, "timestamp"),
        ("jsonl", {"prompt": "a", "label": 1}, "label"),
        ("openqa", {"question": "a", "answer": "b"}, "answer"),
        ("embedding", {"text": "a", "title": "t"}, "title"),
        ("rerank", {"query": "a", "documents": ["b"], "relevance": [1]}, "relevance"),
        ("trace", {"timestamp": 0, "input_length": 3, "output_length": 2, "type": "x"}, "type"),
        ("trace", {"timestamp": 0, "body": {"messages": TALK}, "type": "x"}, "type"),
        ("trace", {"timestamp": 0, "prompt": "a", "type": "x"}, "type"),
    ],
)
def test_fields_that_nothing_is_done_with_are_named(
    tmp_path: Path, dataset: str, record: dict[str, Any], left: str
) -> None:
    path = write(tmp_path / "a.jsonl", record)
    arguments = Arguments(dataset=dataset, dataset_path=str(path))
    opened = open_dataset(arguments)
    list(prompts(arguments, opened))
    (told,) = [each for each in opened.remarks.sentences() if each.startswith("fields not used")]
    assert told == f"fields not used: {left} (first in {path}:1)"


def test_what_follows_the_last_question_of_a_conversation_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"messages": [*TALK, {"role": "tool", "content": "42"}]})
    arguments = Arguments(dataset="multi_turn", dataset_path=str(path))
    opened = open_dataset(arguments)
    list(prompts(arguments, opened))
    assert opened.remarks.sentences() == [
        f"what follows the last question of a conversation is not sent (first in {path}:1)"
    ]


def test_the_rows_of_a_dataframe_are_records_and_what_is_left_out_of_them_is_kept_with_the_run(
    tmp_path: Path, sent: Sent
) -> None:
    import pandas as pd

    frame = pd.DataFrame({"prompt": ["one?", "two?"], "output_tokens": [5, float("nan")], "label": [1, 2]})
    bodies = sent(frame)
    assert [(asked([body]), body.get("max_tokens")) for body in bodies] == [(["one?"], 5), (["two?"], None)]
    (row,) = stored(tmp_path / "a.db", "SELECT remarks FROM run")
    assert json.loads(row["remarks"]) == ["fields not used: label (first in row 0)"]


def test_options_of_a_dataset_are_refused_where_there_is_none() -> None:
    with pytest.raises(UsageError, match="dataset_args are of files, DataFrames and datasets with a name; a list has"):
        open_dataset(Arguments(dataset=["a"], dataset_args={"column": "x"}))


def test_an_empty_cell_of_a_table_is_no_field(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text("prompt,output_tokens,label\none?,5,\ntwo?,,\n")
    assert remarks(table) == []
