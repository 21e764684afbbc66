"""Prompts that no prefix cache knows: what the server received."""

import pytest

import perfkit as pk
from perfkit.loadgen.datasets.salt import salting
from perfkit.records import Prompt
from tests.measured import SMALL
from tests.recording import recording

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
PARTS = [
    {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}]}
]

BEGUN = {
    "a text": ("hi", lambda salt: f"{salt} hi"),
    "messages, at the system message": (TALK, lambda salt: [{**TALK[0], "content": f"{salt} Be brief."}, TALK[1]]),
    "content parts": (PARTS, lambda salt: [{**PARTS[0], "content": [text(salt), PARTS[0]["content"][1]]}]),
    "a body": (
        {"messages": TALK[1:], "max_tokens": 3},
        lambda salt: {"messages": [{**TALK[1], "content": f"{salt} hi"}], "max_tokens": 3},
    ),
    "a body with a prompt": ({"prompt": "hi"}, lambda salt: {"prompt": f"{salt} hi"}),
}


def text(salt):
    return {"type": "text", "text": f"{salt} hi"}


@pytest.mark.parametrize(("content", "expected"), BEGUN.values(), ids=BEGUN)
def test_a_salt_stands_before_the_first_text(content, expected):
    salt, _, _ = salting("run", "R")(Prompt("x"), 0).content.partition(" ")
    assert len(salt) == 12
    assert salting("run", "R")(Prompt(content), 0).content == expected(salt)


@pytest.mark.parametrize(
    "content", [[1, 2, 3], {"prompt": [1, 2]}, [{"role": "user", "content": None}], {"query": "q"}]
)
def test_what_begins_with_no_text_is_refused(content):
    with pytest.raises(pk.PerfkitError, match="needs prompts that begin with a text, got one without"):
        salting("run", "R")(Prompt(content, row=3), 0)


def test_without_a_salt_nothing_changes():
    prompt = Prompt([1, 2, 3])
    assert salting("none", "R")(prompt, 0) is prompt


def received(salt, folder, runs=1, **given):
    """Return the prompts that a server received in each of some runs, the preflight request's first."""
    prompts = []
    for number in range(runs):
        with recording() as server:
            options = {**SMALL, "preflight": True, "number": 3, "salt": salt, **given}
            pk.run(server.url, db=str(folder / f"{number}.db"), **options)
        prompts.append([each.body["messages"][0]["content"] for each in server.received])
    return prompts


@pytest.mark.processes
def test_the_salt_of_a_run_is_in_all_its_requests_and_in_no_other_run(tmp_path):
    first, second = received("run", tmp_path, runs=2)
    assert len(first) == 4
    assert len(set(first)) == len(set(second)) == 1
    assert first[0] != second[0]
    assert first[0].endswith(" hi")


@pytest.mark.processes
def test_a_salt_of_each_request_makes_every_one_new(tmp_path):
    first, second = received("request", tmp_path, runs=2)
    assert len({*first, *second}) == 8


@pytest.mark.processes
def test_later_turns_begin_as_the_first_one_did(tmp_path):
    talks = [
        Prompt([{"role": "user", "content": f"{talk} {turn}"}], session_id=str(talk), turn=turn)
        for talk in range(2)
        for turn in (1, 2)
    ]
    ((*_, last_of_first, _, last_of_second),) = [
        received("request", tmp_path, prompt=None, dataset=talks, number=4, preflight=False)[0]
    ]
    assert last_of_first.split()[1:] == ["0", "1"]
    assert last_of_second.split()[1:] == ["1", "1"]
    assert last_of_first.split()[0] != last_of_second.split()[0]


@pytest.mark.processes
def test_rounds_with_a_salt_ask_the_same_prompts(tmp_path):
    prompts = [f"question {number}" for number in range(20)]
    asked = {}
    for salt in ("none", "run"):
        with recording() as server:
            given = {"prompt": None, "dataset": prompts, "number": 4, "preflight": False, "salt": salt}
            pk.ab(server.url, server.url, repeat=2, db=str(tmp_path / f"{salt}.db"), **{**SMALL, **given})
        asked[salt] = [each.body["messages"][0]["content"].split("question ")[1] for each in server.received]
    assert asked["none"] == [*"0123", *"0123", *"4567", *"4567"]
    assert asked["run"] == [*"0123"] * 4
