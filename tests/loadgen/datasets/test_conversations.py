import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import UsageError
from perfkit.loadgen.datasets import prompts
from perfkit.options.arguments import Arguments

SHARE_GPT = "sample_data/share_gpt.json"


def test_share_gpt_asks_the_first_question_of_each_conversation() -> None:
    recorded = json.loads(Path(SHARE_GPT).read_text(encoding="utf-8"))
    asked = [prompt.content[0]["content"] for prompt in prompts(Arguments(dataset="share_gpt", dataset_path=SHARE_GPT))]  # type: ignore[index]
    assert asked == [record["conversations"][0]["value"] for record in recorded]


def test_turns_of_a_session_come_in_order_and_hold_only_what_is_new() -> None:
    turns = list(prompts(Arguments(dataset="multi_turn", dataset_path=SHARE_GPT)))
    assert [(prompt.session_id, prompt.turn) for prompt in turns[:4]] == [
        ("session-0", 1),
        ("session-0", 2),
        ("session-0", 3),
        ("session-1", 1),
    ]
    assert turns[1].content == [{"role": "user", "content": "In one word?"}]


def test_lines_that_are_arrays_of_messages_are_a_conversation_each(tmp_path: Path) -> None:
    roles = ("user", "assistant", "user")
    talks = [[{"role": role, "content": f"{role} {talk} {at}"} for at, role in enumerate(roles)] for talk in "ab"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks))
    turns = prompts(Arguments(dataset="custom_multi_turn", dataset_path=str(tmp_path / "a.jsonl")))
    assert [(turn.session_id, turn.turn, turn.content[-1]["content"]) for turn in turns] == [  # type: ignore[index]
        ("session-0", 1, "user a 0"),
        ("session-0", 2, "user a 2"),
        ("session-1", 1, "user b 0"),
        ("session-1", 2, "user b 2"),
    ]


def test_a_conversation_held_again_is_another_session() -> None:
    given = Arguments(dataset="multi_turn", dataset_path=SHARE_GPT, number=100)
    again = next(prompt for prompt in prompts(given) if prompt.cycle == 1)
    assert again.session_id == "session-0/1"


@pytest.mark.parametrize(("options", "count"), [({"max_turns": 2}, 10), ({"min_turns": 4}, 0), ({"min_turns": 3}, 15)])
def test_conversations_are_bounded_in_turns(options: dict[str, int], count: int) -> None:
    given = Arguments(dataset="multi_turn", dataset_path=SHARE_GPT, dataset_args=options)
    if count:
        assert len(list(prompts(given))) == count
    else:
        with pytest.raises(UsageError, match="holds no prompt"):
            next(prompts(given))


def test_without_a_file_the_sample_makes_conversations_of_three() -> None:
    turns = [prompt.turn for prompt in itertools.islice(prompts(Arguments(dataset="multi_turn")), 6)]
    assert turns == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize("record", [{"text": "a"}, 5, {"messages": "a"}])
def test_a_record_without_a_conversation_is_told(tmp_path: Path, record: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps([record]))
    with pytest.raises(UsageError, match="record 1 has no conversations"):
        next(prompts(Arguments(dataset="share_gpt", dataset_path=str(tmp_path / "a.json"))))


def test_shuffling_moves_conversations_and_keeps_their_turns_in_order() -> None:
    given = Arguments(dataset="multi_turn", shuffle=True, prompt_seed=3)
    talks = [(prompt.session_id, prompt.turn) for prompt in prompts(given)]
    sessions = [session for session, _ in talks[::3]]
    assert talks == [(session, turn) for session in sessions for turn in (1, 2, 3)]
    assert sessions != sorted(sessions, key=lambda name: int(str(name).partition("-")[2]))
