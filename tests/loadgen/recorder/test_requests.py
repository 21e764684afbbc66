import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from perfkit.loadgen.arrivals import WHOLE, Share
from perfkit.loadgen.recorder.requests import Maker, Mark, Planned, conversations, plan
from perfkit.options.arguments import Arguments
from perfkit.plugins import ApiPluginBase, bind_api
from perfkit.records import Prompt


class Letters(ApiPluginBase):
    """Skips b, refuses x."""

    def build_request(self, messages: Any, param: Any = None) -> Any:
        if messages == "x":
            raise ValueError("no x")
        return None if messages == "b" else {"letter": messages}

    def parse_responses(self, responses: Any, request: Any = None, **kwargs: Any) -> Any:
        return 0, 0


API = bind_api(Letters, Arguments(model="m"))


def planned(prompts: Iterable[Prompt], **given: Any) -> list[Planned]:
    return list(plan(conversations(prompts), lambda _: Maker(API, lambda body, headers: b"POST " + body), **given))


def letters(text: str, **more: Any) -> list[Prompt]:
    return [Prompt(letter, row=row, **more) for row, letter in enumerate(text)]


def bodies(requests: list[Planned]) -> list[str]:
    return [request.body["letter"] for request in requests if request.body]


def test_requests_are_numbered_from_zero_and_what_is_skipped_gets_no_number() -> None:
    made = planned(letters("abac"))
    assert [(request.seq, request.body) for request in made] == [
        (0, {"letter": "a"}),
        (1, {"letter": "a"}),
        (2, {"letter": "c"}),
    ]


def test_a_request_is_ready_to_be_sent() -> None:
    (made,) = planned(letters("a"))
    assert made.data.startswith(b"POST ")
    assert json.loads(made.data[5:]) == {"letter": "a"}


def test_a_body_that_cannot_be_made_keeps_its_number_and_says_why() -> None:
    made = planned(letters("axc"))
    assert [request.seq for request in made] == [0, 1, 2]
    assert made[1].data == b""
    assert "ValueError: no x" in str(made[1].error)


def test_the_preflight_request_has_no_number_and_its_prompt_moves_to_the_end() -> None:
    made = planned(letters("acd"), preflight=True)
    assert [(request.phase, request.seq) for request in made] == [
        ("preflight", None),
        ("steady", 0),
        ("steady", 1),
        ("steady", 2),
    ]
    assert bodies(made) == ["a", "c", "d", "a"]


def test_the_number_does_not_count_the_preflight_request() -> None:
    assert bodies(planned(letters("acde"), preflight=True, number=2)) == ["a", "c", "d"]


@pytest.mark.parametrize("more", [{"due": 0.5}, {"session_id": "s"}])
def test_traces_and_conversations_keep_their_order(more: dict[str, Any]) -> None:
    made = planned(letters("ac", **more), preflight=True)
    assert bodies(made)[:2] == ["a", "a"]


@pytest.mark.parametrize("preflight", [False, True])
@pytest.mark.parametrize("number", [None, 7])
@pytest.mark.parametrize("share", [WHOLE, Share(1, 2)], ids=["one worker", "the second of two"])
@pytest.mark.parametrize("sessions", ["----------", "sstttuu---", "--ss-ttt--"])
def test_a_plan_that_another_recorder_had_begun_goes_on_where_that_was(
    preflight: bool, number: int | None, share: Share, sessions: str
) -> None:
    prompts = [
        replace(prompt, session_id=None if session == "-" else session)
        for prompt, session in zip(letters("bacbxdaefg"), sessions, strict=True)
    ]
    given: dict[str, Any] = {"preflight": preflight, "number": number, "share": share}

    def told(mark: Mark | None) -> list[Any]:
        names = "seq", "position", "prompt", "body", "error", "phase", "turns", "mark"
        made = planned(prompts, **given, mark=mark)
        return [tuple(getattr(each, name) for name in names) for each in made if each is not None]

    whole = told(None)
    assert whole
    assert [told(mark) for *_, mark in whole] == [whole[done + 1 :] for done in range(len(whole))]


def test_prompts_are_taken_as_they_are_needed() -> None:
    taken = []

    def endless() -> Iterable[Prompt]:
        for row in range(10**9):
            taken.append(row)
            yield Prompt("a", row=row)

    requests = plan(conversations(endless()), lambda _: Maker(API, lambda body, headers: body), number=5)
    assert len(list(requests)) == len(taken) == 5
