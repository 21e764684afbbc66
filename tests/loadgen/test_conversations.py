"""Conversations: a turn waits for the last answer, carries it, and ends with a failure."""

import json
import sqlite3
from dataclasses import replace

import pytest

import perfkit as pk
from perfkit.records import Prompt
from perfkit.runfile.safe_pickle import decode_cell

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server():
    with pk.simulate(ttft=0.005, itl=0.001) as simulated:
        yield simulated


def turns(session, *questions):
    for turn, question in enumerate(questions, 1):
        message = {"role": "user", "content": question}
        yield Prompt([message], session_id=session, turn=turn)


def rows_of(path):
    db = sqlite3.connect(path)
    db.row_factory = sqlite3.Row
    return db.execute("SELECT * FROM result ORDER BY session_id, turn").fetchall()


def run(server, path, prompts, **given):
    given = {"parallel": 2, "workers": 0, "preflight": False, "max_tokens": 3, **given}
    return pk.start(server.url, dataset=list(prompts), db=str(path), **given).wait()


@pytest.mark.parametrize("load", [{"parallel": 2}, {"parallel": None, "rate": 50}], ids=["closed", "open"])
def test_each_turn_carries_everything_said_before_it(server, tmp_path, load):
    prompts = [*turns("a", "one?", "two?", "three?"), *turns("b", "four?", "five?")]
    run(server, tmp_path / "r.db", prompts, **load)
    rows = rows_of(tmp_path / "r.db")
    assert [(row["session_id"], row["turn"], row["seq"]) for row in rows] == [
        ("a", 1, 0),
        ("a", 2, 1),
        ("a", 3, 2),
        ("b", 1, 3),
        ("b", 2, 4),
    ]
    said = decode_cell(rows[2]["request"], "request")["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "user", "assistant", "user"]
    assert [said[0]["content"], said[2]["content"], said[4]["content"]] == ["one?", "two?", "three?"]
    assert [said[1]["content"], said[3]["content"]] == [rows[0]["output_text"], rows[1]["output_text"]]


def test_a_turn_is_sent_after_the_last_answer_and_think_time(server, tmp_path):
    run(server, tmp_path / "r.db", turns("a", "one?", "two?"), think_time=0.15, stamps="user")
    first, second = rows_of(tmp_path / "r.db")
    # By user stamps: the schedule is on the loop's clock, and by the kernel's an answer ended a little earlier.
    assert second["scheduled_time"] - first["completed_time"] == pytest.approx(0.15, abs=1e-6)
    assert second["start_time"] >= second["scheduled_time"]


@pytest.mark.parametrize("load", [{"parallel": 2}, {"parallel": None, "rate": 50}], ids=["closed", "open"])
@pytest.mark.parametrize(
    ("dataset", "records", "more"),
    [
        ("jsonl", [{"turns": [{"text": "one?"}, {"text": "two?", "delay": 150}]}], {}),
        ("multi_turn", [{"turns": ["one?", {"text": "two?", "delay": 0.15}]}], {"dataset_args": {"time_unit": "s"}}),
        (
            "jsonl",
            [{"session_id": "a", "prompt": "one?"}, {"session_id": "a", "prompt": "two?", "delay_ms": "150"}],
            {},
        ),
        ("multi_turn", [{"session_id": "a", "prompt": "1"}, {"session_id": "a", "prompt": "2", "delay": 150}], {}),
        (
            "trace",
            [
                {"session_id": "a", "timestamp": 0, "input_length": 9, "output_length": 2},
                {"session_id": "a", "delay": 150, "input_length": 9, "output_length": 2},
            ],
            {},
        ),
    ],
)
def test_a_turn_with_a_delay_is_sent_that_long_after_the_last_answer(server, tmp_path, dataset, records, more, load):
    file = tmp_path / "turns.jsonl"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    path = tmp_path / "r.db"
    given = {"dataset": dataset, "dataset_path": str(file), "workers": 0, "preflight": False, **load, **more}
    if dataset == "trace" and "rate" in load:
        given.pop("rate")  # it has times of its own
    pk.start(server.url, stamps="user", max_tokens=3, db=str(path), **given).wait()
    first, second = rows_of(path)
    assert (second["session_id"], second["turn"]) == (first["session_id"], 2)
    assert second["scheduled_time"] - first["completed_time"] == pytest.approx(0.15, abs=1e-6)
    assert second["start_time"] >= second["scheduled_time"]


def test_a_load_ends_though_its_users_would_think_longer(server, tmp_path):
    slow = [replace(turn, delay=60.0 if turn.turn > 1 else None) for turn in turns("a", "one?", "two?")]
    run(server, tmp_path / "r.db", slow, duration=0.3)
    assert {row["turn"] for row in rows_of(tmp_path / "r.db")} == {1}


def test_number_counts_turns_and_cuts_the_last_conversation(server, tmp_path):
    prompts = [*turns("a", "one?", "two?", "three?"), *turns("b", "four?", "five?", "six?")]
    run(server, tmp_path / "r.db", prompts, number=4)
    assert [(row["session_id"], row["turn"]) for row in rows_of(tmp_path / "r.db")] == [
        ("a", 1),
        ("a", 2),
        ("a", 3),
        ("b", 1),
    ]


def test_a_failed_turn_ends_its_conversation_and_is_recorded(tmp_path):
    prompts = [*turns("a", "one?", "two?", "three?"), *turns("b", "four?", "five?")]
    # The second generation request fails: with one user that is turn 2 of conversation a.
    with pk.simulate(ttft=0.005, itl=0.001, fail_every=2) as server:
        run(server, tmp_path / "r.db", prompts, parallel=1)
    rows = rows_of(tmp_path / "r.db")
    assert [(row["session_id"], row["turn"], row["success"]) for row in rows] == [
        ("a", 1, 1),
        ("a", 2, 0),
        ("b", 1, 1),
        ("b", 2, 0),
    ]
