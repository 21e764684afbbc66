"""Answers as servers in the field send them: what a run makes of each."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

import perfkit as pk
from tests.replay import FIELD, Answer, Reply, replay

pytestmark = pytest.mark.processes

DONE = b"data: [DONE]\n\n"
ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}


def event(message: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(message).encode()


def piece(delta: dict[str, Any] | str, index: int = 0, **beside: Any) -> bytes:
    """Return the event of a delta, or of a text."""
    delta = {"content": delta} if isinstance(delta, str) else delta
    return event({"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": None}], **beside})


def finish(reason: Any = "stop", **beside: Any) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": reason, **beside}]})


def usage(prompt: int | None, completion: int | None, **more: Any) -> dict[str, Any]:
    return {"usage": {"prompt_tokens": prompt, "completion_tokens": completion, **more}}


def counted(prompt: int | None, completion: int | None, **more: Any) -> bytes:
    return event({"id": "c", "choices": [], **usage(prompt, completion, **more)})


def quick(*events: bytes, **more: Any) -> Reply:
    return Reply(b"".join(events), **{"pause": 0.0, **more})


def measured(*answers: Answer, **settings: Any) -> pd.DataFrame:
    """Return the requests of a run against a server whose answers these are, one after the other.

    Column ``written`` is when the server wrote each event, in seconds from the start of its request.
    """
    settings = {"model": "m", "prompt": "hi", "max_tokens": 16, "number": len(answers), **settings}
    timed = any(not isinstance(answer, Reply) or answer.pause for answer in answers)
    with replay(*answers) as server:
        runs = pk.run(server.url, parallel=1, preflight=False, workers=int(timed), **settings)
    rows = runs.requests.assign(output_text=runs.decoded()["output_text"]).sort_values("seq")
    assert rows["seq"].tolist() == list(range(len(rows)))
    since = [[at - start for at in sent] for sent, start in zip(server.written, rows["start_time"], strict=True)]
    return rows.assign(written=since)


def _cut(part: bytes) -> bytes:
    """Return the event of a piece that is no UTF-8 by itself."""
    return piece("?").replace(b"?", part)


def _halves(data: bytes) -> Sequence[bytes]:
    """Cut inside of the first character beyond ASCII."""
    at = next(at for at, byte in enumerate(data) if byte > 127) + 1
    return data[:at], data[at:]


def near(seconds: float) -> Any:
    """Allow for a loaded machine, not for a missed or added event of 40 ms."""
    return pytest.approx(seconds, abs=0.02)


def sent(row: Any, event: int) -> Any:
    """Return about the time until the server wrote an event, from 1; a server held up is no fault of a stamp."""
    return near(row["written"][event - 1])


def between(row: Any, first: int, last: int, tokens: int = 1) -> Any:
    """Return about the time between two events, per token."""
    return near((row["written"][last - 1] - row["written"][first - 1]) / tokens)


# -- The first token, and the tokens after it ------------------------------------------------------------------------


@pytest.mark.alone
def test_times_of_answers_from_the_field_are_those_of_their_tokens() -> None:
    # The events of the first and of the last token, and the tokens after the first event.
    cases = {
        "reasoning-details": (3, 7, 4),
        "per-chunk-usage": (2, 5, 3),
        "xai-reasoning-not-in-completion": (2, 7, 5),
        "usage-in-choice": (2, 5, 3),
    }
    rows = measured(*cases)
    assert rows["success"].all()
    for (_, row), (first, last, tokens) in zip(rows.iterrows(), cases.values(), strict=True):
        assert (row["ttft"], row["tpot"]) == (sent(row, first), between(row, first, last, tokens))
    assert rows["completion_tokens"].tolist() == [5, 8, 6, 4]
    assert rows["prompt_tokens"].tolist() == [7] * 4
    assert set(rows["token_source"]) == {"server"}


# Shapes of reasoning: the delta of a first chunk, or what else says the same.
THOUGHTS = {
    "reasoning_content": piece({"reasoning_content": "hm"}),
    "reasoning": piece({"content": None, "reasoning": "hm"}),
    "both names": piece({"reasoning": "hm", "reasoning_content": "hm"}),
    "an object": piece({"reasoning": {"content": "hm"}}),
    "details with a text": piece({"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}),
    "details with a summary": piece({"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]}),
    "a typed part": piece({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
    "a typed part with a plain text": piece({"content": [{"type": "thinking", "thinking": "hm"}]}),
    "a part of type reasoning": piece({"content": [{"type": "reasoning", "text": "hm"}]}),
    "thinking blocks": piece({"thinking_blocks": [{"type": "thinking", "thinking": "hm"}]}),
    "thinking": piece({"thinking": "hm"}),
    "Anthropic's delta": event({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}}),
    "Responses' delta": event({"type": "response.reasoning_summary_text.delta", "delta": "hm"}),
}


@pytest.mark.alone
def test_reasoning_of_every_shape_ends_ttft_and_is_not_in_the_answers_text() -> None:
    after = (piece({"content": [{"type": "text", "text": "Yes"}]}), finish(), DONE)
    rows = measured(*(Reply(b"".join([event(ROLE), thought, *after])) for thought in THOUGHTS.values()))
    rows = rows.set_index(pd.Index(THOUGHTS))
    assert rows["ttft"].to_dict() == {name: sent(row, 2) for name, row in rows.iterrows()}
    assert set(rows["output_text"]) == {"Yes"}


@pytest.mark.alone
def test_reasoning_that_is_encrypted_is_no_token() -> None:
    hidden = piece({"content": "", "reasoning_details": [{"type": "reasoning.encrypted", "data": "gAAA"}]})
    (row,) = measured(Reply(b"".join([hidden, piece("a"), finish(), DONE]))).to_dict("records")
    assert row["ttft"] == sent(row, 2)


@pytest.mark.parametrize("told", [[(0, 8)], [(0, 4), (1, 4)], []])
@pytest.mark.alone
def test_each_of_n_choices_is_a_stream_of_its_own(told: list[tuple[int, int]]) -> None:
    """Two choices, four tokens each: their events come in turn."""
    tokens = [piece(f"{token}", choice) for token in range(4) for choice in (0, 1)]
    ends = [event({"choices": [{"index": i, "delta": {}, "finish_reason": "stop", **usage(7, n)}]}) for i, n in told]
    end = [finish(), counted(7, 8)] if len(told) < 2 else ends
    (row,) = measured(Reply(b"".join([*tokens, *end, DONE]))).to_dict("records")
    latencies = json.loads(row["inter_token_latencies"])
    assert latencies == [between(row, event, event + 2) for event in range(1, 7)]
    assert row["tpot"] == near(sum(latencies) / 6)
    assert row["decode_rate"] == pytest.approx(1 / row["tpot"])
    assert (row["completion_tokens"], row["output_text"]) == (8, "0123")


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (piece("a"), 1),
        (piece({"reasoning": "hm"}), 3),
        (piece({"reasoning": "hm", "content": "a"}), 1),
        (piece({"reasoning": "hm"}) + piece({"tool_calls": [{"function": {"name": "look"}}]}), 2),
    ],
)
@pytest.mark.alone
def test_the_first_answer_token_is_text_or_a_tool_call_and_no_reasoning(first: bytes, told: int) -> None:
    stream = b"".join([first, piece({"reasoning": "well"}), piece("b"), finish(), DONE])
    (row,) = measured(Reply(stream)).to_dict("records")
    assert (row["ttft"], row["ttfat"]) == (sent(row, 1), sent(row, told))


@pytest.mark.alone
def test_reasoning_alone_has_no_first_answer_token() -> None:
    (row,) = measured(Reply(b"".join([piece({"reasoning": "hm"}), finish("length"), DONE]))).to_dict("records")
    assert row["ttft"] == sent(row, 1)
    assert pd.isna(row["ttfat"])


N_CHOICES = Reply(
    b"".join([*(piece(f"{token}", choice) for token in range(4) for choice in (0, 1)), finish(), counted(7, 8), DONE])
)


@pytest.mark.parametrize("answer", ["per-chunk-usage", "reasoning-details", N_CHOICES])
def test_the_lens_has_the_stored_value_of_every_metric(answer: Answer) -> None:
    with replay(answer) as server:
        runs = pk.run(server.url, model="m", prompt="hi", number=1, preflight=False, workers=0)
    for metric in ("ttft", "ttfat", "itl", "tpot", "e2e"):
        seen = runs.lens(metric).table.xs("perfkit", level="definition")["mean"].item()
        assert seen == pytest.approx(runs.percentiles(metric)["mean"].item()), metric


@pytest.mark.alone
def test_an_answer_that_came_in_one_read_has_no_tpot() -> None:
    whole = b"".join([piece("a"), piece("b"), counted(7, 2), finish(), DONE])
    (row,) = measured(Reply([whole])).to_dict("records")
    assert row["success"]
    assert pd.isna(row["tpot"])
    assert row["ttft"] == sent(row, 1)


# -- Counts ----------------------------------------------------------------------------------------------------------

AB = piece("a") + piece("b")

# What the events say, and the prompt and completion tokens that this means.
COUNTS: dict[str, tuple[bytes, tuple[int, int]]] = {
    "at the end": (AB + counted(7, 2) + finish(), (7, 2)),
    "in the choice": (AB + finish(**usage(7, 2)), (7, 2)),
    "in the delta": (AB + piece({"content": "", **usage(7, 2)}) + finish(), (7, 2)),
    "in the message": (AB + finish() + event({"choices": [], "message": usage(7, 2)}), (7, 2)),
    "Groq's": (AB + finish() + event({"choices": [], "x_groq": {"id": "r", **usage(7, 2)}}), (7, 2)),
    "as texts": (AB + event({"choices": [], **usage("7", "2")}) + finish(), (7, 2)),  # type: ignore[arg-type]
    "null in all but the last": (piece("a", usage=None) + piece("b", usage=None) + finish() + counted(7, 2), (7, 2)),
    "counted up": (piece("a", **usage(7, 3)) + piece("b", **usage(7, 5)) + finish(), (7, 5)),
    "counted up, and a total": (
        piece("a", **usage(7, 3)) + piece("b", **usage(7, 5)) + finish() + counted(7, 5),
        (7, 5),
    ),
    "chunk by chunk": (piece("a", **usage(7, 3)) + piece("b", **usage(7, 1)) + finish(), (7, 4)),
    "chunk by chunk, all alike": (piece("a", **usage(7, 1)) + piece("b", **usage(7, 1)) + finish(), (7, 2)),
    "chunk by chunk, and a total": (
        piece("a", **usage(7, 2)) + piece("b", **usage(0, 2)) + finish() + counted(7, 4),
        (7, 4),
    ),
    "prompt first": (event({**ROLE, **usage(7, 0)}) + piece("a") + piece("b") + finish() + counted(0, 2), (7, 2)),
    "zeros after the counts": (AB + finish(**usage(7, 2)) + counted(0, 0), (7, 2)),
    "after [DONE]": (AB + finish() + DONE + counted(7, 2), (7, 2)),
    "llama.cpp's timings": (
        AB + event({"choices": [], "timings": {"prompt_n": 3, "cache_n": 4, "predicted_n": 2}}),
        (7, 2),
    ),
    "in capitals": (AB + finish() + event({"choices": [], "usage": {"inputTokens": 7, "outputTokens": 2}}), (7, 2)),
    "reasoning apart, by the total": (
        AB + finish() + counted(7, 2, total_tokens=13, completion_tokens_details={"reasoning_tokens": 4}),
        (7, 6),
    ),
    "reasoning apart, as there is more of it": (
        AB + finish() + counted(7, 2, completion_tokens_details={"reasoning_tokens": 4}),
        (7, 6),
    ),
    "reasoning among them": (
        AB + finish() + counted(7, 6, total_tokens=13, completion_tokens_details={"reasoning_tokens": 4}),
        (7, 6),
    ),
    "details that are null": (AB + finish() + counted(7, 2, completion_tokens_details=None), (7, 2)),
    "only a total": (AB + finish() + event({"choices": [], "usage": {"prompt_tokens": 7, "total_tokens": 9}}), (7, 2)),
    "each choice by itself": (
        piece("a")
        + piece("b", 1)
        + event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", **usage(7, 3)}]})
        + event({"choices": [{"index": 1, "delta": {}, "finish_reason": "stop", **usage(7, 2)}]}),
        (7, 5),
    ),
    "one count for both choices": (
        b"".join(piece("a", number % 2, **usage(7, number + 1)) for number in range(4)) + finish(),
        (7, 4),
    ),
}


def test_usage_counts_wherever_and_however_often_a_server_sends_it() -> None:
    rows = measured(*(quick(events, DONE) for events, _ in COUNTS.values())).set_index(pd.Index(COUNTS))
    assert rows["success"].all()
    found = {name: (row.prompt_tokens, row.completion_tokens) for name, row in rows.iterrows()}
    assert found == {name: expected for name, (_, expected) in COUNTS.items()}
    assert set(rows["token_source"]) == {"server"}


def test_zeros_beside_text_are_no_counts() -> None:
    rows = measured("usage-zeros", quick(piece("a"), finish(), counted(7, 0), DONE))
    assert rows["success"].all()
    assert rows["completion_tokens"].isna().all()
    assert rows["flags"].str.contains("zero_usage").all()


def test_a_count_below_the_chunks_of_text_is_flagged() -> None:
    rows = measured(quick(AB, piece("c"), finish(), counted(7, 2), DONE), quick(AB, finish(), counted(7, 2), DONE))
    assert ["fewer_tokens_than_chunks" in (flags or "") for flags in rows["flags"]] == [True, False]


# -- Answers that are no success -------------------------------------------------------------------------------------

WORDS = "upstream has gone"
FAILURES: dict[str, bytes | Reply] = {
    "finish_reason abort": quick(AB, finish("abort"), DONE),
    "error in the finish": quick(piece("a"), finish("error", error={"message": WORDS}), DONE),
    "insufficient_system_resource": quick(AB, finish("insufficient_system_resource"), DONE),
    "a finish with words": quick(event(ROLE), finish({"type": "abort", "message": WORDS}), DONE),
    "an error event in a stream": quick(piece("a"), event({"error": {"message": WORDS, "code": 502}}), DONE),
    "an error as text": quick(piece("a"), event({"error": WORDS}), DONE),
    "an error beside choices": quick(
        AB, event({"error": {"message": WORDS}, "choices": [{"delta": {"content": "c"}}]})
    ),
    "an error in x_groq": quick(piece("a"), event({"choices": [], "x_groq": {"error": WORDS}}), DONE),
    "an event named error": quick(piece("a"), b"event: error\ndata: upstream has gone\n\n"),
    "an event named error, JSON": quick(piece("a"), b'event: error\ndata: {"message": "upstream has gone"}\n\n'),
    "a bare line": quick(piece("a"), b'{"error": {"message": "upstream has gone"}}\n'),
    "a plain text": quick(piece("a"), b"data: [ERROR] upstream has gone\n\n"),
    "object error": quick(event({"object": "error", "message": WORDS, "code": 502})),
    "detail": Reply(b'{"detail": "upstream has gone"}', "application/json"),
    "detail as a list": Reply(b'{"detail": [{"loc": ["x"], "msg": "upstream has gone"}]}', "application/json"),
    "detail as an object": Reply(b'{"detail": {"error": "upstream has gone"}}', "application/json"),
    "detail as an event": quick(event({"detail": WORDS}), DONE),
    "error_msg": Reply(b'{"error_code": 17, "error_msg": "upstream has gone"}', "application/json"),
    "code and msg": Reply(b'{"code": 500, "msg": "upstream has gone"}', "application/json"),
    "an error where events were promised": Reply(b'{"error": {"message": "upstream has gone"}}'),
}


def test_an_error_inside_of_a_200_is_a_failure_in_the_servers_words() -> None:
    good = quick(AB, finish(), counted(7, 2), DONE)
    rows = measured(*FAILURES.values(), good).set_index(pd.Index([*FAILURES, "good"]))
    assert rows["error_kind"].fillna("").to_dict() == {**dict.fromkeys(FAILURES, "error_event"), "good": ""}
    unnamed = {"finish_reason abort", "insufficient_system_resource"}
    assert {name for name, error in rows["error"].items() if WORDS not in str(error)} == {*unnamed, "good"}
    assert rows["e2e"].drop("good").isna().all()


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "tool_calls", "eos_token", {"type": "length"}])
def test_an_answer_cut_by_a_limit_or_a_filter_is_a_success(reason: Any) -> None:
    (row,) = measured(quick(AB, finish(reason), counted(7, 2), DONE)).to_dict("records")
    assert row["success"]
    assert row["finish_reason"] == (reason["type"] if isinstance(reason, dict) else reason)


def test_the_words_of_an_engine_that_aborts_are_the_error() -> None:
    with_detail = Reply((FIELD / "sglang-abort-message" / "detail.json").read_bytes(), "application/json")
    rows = measured("sglang-abort-message", with_detail, quick(AB, finish(), counted(7, 2), DONE))
    assert rows["error"].tolist()[:2] == ["The request queue is full. (503)", "Model is being loaded"]


NOTHING: dict[str, Reply] = {
    "no body": Reply(b"", "application/json", chunked=False),
    "no body, no type": Reply(b"", None, chunked=False),
    "no events": Reply(b"", pause=0),
    "a large head": Reply(b"", "application/json", [f"X-{n}: {'v' * 900}" for n in range(30)], chunked=False),
    "only [DONE]": Reply(DONE, pause=0),
    "{}": Reply(b"{}", "application/json"),
    "{} as an event": Reply(b"data: {}\n\n" + DONE, pause=0),
    "comments": Reply(b": ping\n\n: ping\n\n", pause=0),
    "a role and an end": Reply(event(ROLE) + finish() + DONE, pause=0),
    "no choices": Reply(b'{"id": "c", "choices": []}', "application/json"),
    "an empty message": Reply(
        b'{"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}', "application/json"
    ),
    "null": Reply(b'{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}', "application/json"),
    "usage of nothing": Reply(event(ROLE) + finish() + counted(7, 0) + DONE, pause=0),
}


def test_an_answer_of_nothing_fails_as_empty_however_many_taught_the_estimate() -> None:
    good = Reply(b"".join([piece("hello world "), piece("hello"), finish(), counted(9, 2), DONE]), pause=0)
    rows = measured(*[good] * 6, *NOTHING.values()).iloc[6:].set_index(pd.Index(NOTHING))
    assert rows["error_kind"].to_dict() == dict.fromkeys(NOTHING, "empty")
    assert rows["completion_tokens"].fillna(0).eq(0).all()
    assert rows["e2e"].isna().all()


# -- Events and characters -------------------------------------------------------------------------------------------

PLAIN = piece("a") + piece("b") + finish() + counted(7, 2) + DONE
ASTRAL = "\N{GRINNING FACE}"
SKULL = "\N{SKULL}"  # its second half in UTF-16 looks like a byte that is no UTF-8
SHAPES: dict[str, tuple[Reply, str]] = {
    "single line breaks": (Reply(PLAIN.replace(b"\n\n", b"\n"), pause=0), "ab"),
    "CRLF": (Reply(PLAIN.replace(b"\n", b"\r\n"), pause=0), "ab"),
    "single CRLF": (Reply(PLAIN.replace(b"\n\n", b"\r\n"), pause=0), "ab"),
    "CR": (Reply(PLAIN.replace(b"\n", b"\r"), pause=0), "ab"),
    "single CR": (Reply(PLAIN.replace(b"\n\n", b"\r"), pause=0), "ab"),
    "a byte order mark": (Reply(b"\xef\xbb\xbf" + PLAIN, pause=0), "ab"),
    "comments": (Reply(b": ping\n\n" + PLAIN.replace(b"data", b": ping\ndata"), pause=0), "ab"),
    "no space": (Reply(PLAIN.replace(b"data: ", b"data:"), pause=0), "ab"),
    "events within events": (Reply(PLAIN.replace(b"data: ", b"data: data: "), pause=0), "ab"),
    "several data lines": (Reply(PLAIN.replace(b', "choices"', b',\ndata: "choices"'), pause=0), "ab"),
    "another content type": (Reply(PLAIN, "text/plain", pause=0), "ab"),
    "said to be JSON": (Reply(PLAIN, "application/json", pause=0), "ab"),
    "no content type": (Reply(PLAIN, None, pause=0), "ab"),
    "no end of the last line": (Reply(PLAIN.rstrip(), pause=0), "ab"),
    "a byte at a time": (Reply([PLAIN[at : at + 1] for at in range(len(PLAIN))], pause=0), "ab"),
    "text after [DONE]": (Reply(PLAIN + piece("c"), pause=0), "ab"),
    "a whole answer": (
        Reply(b'{"choices": [{"message": {"content": "ab"}, "finish_reason": "stop"}], "usage": null}'),
        "ab",
    ),
    "half a pair": (Reply(piece("a\ud83d") + piece("\ude00b") + finish() + DONE, pause=0), f"a{ASTRAL}b"),
    "half a pair that looks like a byte": (Reply(piece("\ud83d") + piece("\udc80") + finish() + DONE, pause=0), SKULL),
    "half a character": (
        Reply(b"".join([_cut(ASTRAL.encode()[:2]), _cut(ASTRAL.encode()[2:]), finish(), DONE]), pause=0),
        ASTRAL,
    ),
    "a byte of a character each": (
        Reply(b"".join([*(_cut(ASTRAL.encode()[at : at + 1]) for at in range(4)), finish(), DONE]), pause=0),
        ASTRAL,
    ),
    "half a pair and no more": (Reply(piece("a\ud83d") + piece("b") + finish() + DONE, pause=0), "a\ufffdb"),
    "chunks that end inside of a character": (
        Reply([*_halves(piece("x").replace(b"x", "é".encode())), finish(), DONE], pause=0),
        "é",
    ),
}


def test_text_is_the_same_in_every_shape_of_events() -> None:
    rows = measured(*(reply for reply, _ in SHAPES.values())).set_index(pd.Index(SHAPES))
    assert rows["success"].all(), rows["error"].dropna().to_dict()
    assert rows["output_text"].to_dict() == {name: text for name, (_, text) in SHAPES.items()}
    flags = rows["flags"].fillna("")
    assert not flags.str.contains("bad_event|unread").any()
    assert [*flags.index[flags.str.contains("unstorable")]] == ["half a pair and no more"]
    assert "text_after_done" in rows.loc["text after [DONE]", "flags"]


@pytest.mark.alone
def test_events_parted_by_one_line_break_have_times_of_their_own() -> None:
    (row,) = measured("single-newline-events").to_dict("records")
    assert (row["completion_tokens"], row["output_text"]) == (4, "w0 w1 w2 w3 ")
    assert (row["ttft"], row["tpot"]) == (sent(row, 2), between(row, 2, 5, 3))


def test_the_halves_of_an_emoji_are_joined() -> None:
    (row,) = measured("emoji-split-over-events").to_dict("records")
    assert row["output_text"] == f"a {ASTRAL} b"
    assert row["flags"] is None
    assert len(json.loads(row["inter_token_latencies"])) == 3


# -- Events that hold no message, or a part of one ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "events", [b"data: hello\n\n", b"data: hello\n\ndata: world\n\ndata: [DONE]\n\n", b"data: 17\n\n"]
)
def test_events_of_plain_text_are_an_unknown_dialect(events: bytes) -> None:
    (row,) = measured(quick(events)).to_dict("records")
    assert (row["success"], row["error_kind"]) == (0, "protocol")
    assert row["error"].startswith("unknown dialect; its messages are not JSON, and a plugin of your own can take them")
    assert pd.isna(row["ttft"])


def _cut_at(message: bytes, *places: int) -> bytes:
    """Return the event of a message as events of its parts."""
    payload = message.removeprefix(b"data: ").removesuffix(b"\n\n")
    ends = [*places, len(payload)]
    return b"".join(b"data: %b\n\n" % payload[a:b] for a, b in zip([0, *places], ends, strict=True))


@pytest.mark.parametrize("places", [(1,), (30,), (50,), (20, 40), (10, 20, 30, 40)])
@pytest.mark.parametrize("before", [1, 20])
def test_a_message_cut_between_events_is_joined(places: tuple[int, ...], before: int) -> None:
    pieces = b"".join(piece(f"{number} ") for number in range(before))
    (row,) = measured(quick(pieces, _cut_at(piece("sea 世"), *places), piece("!"), finish(), DONE)).to_dict("records")
    assert row["success"]
    assert row["output_text"] == "".join(f"{number} " for number in range(before)) + "sea 世!"
    assert "bad_event" not in str(row["flags"])
    assert len(json.loads(row["inter_token_latencies"])) in (0, before + 1)  # none where all came in one read


def test_a_message_that_no_event_ends_is_left_out_and_said() -> None:
    (row,) = measured(quick(piece("a"), b'data: {"id": "c\n\n', piece("b"), finish(), DONE)).to_dict("records")
    assert (row["success"], row["output_text"]) == (1, "ab")
    assert "bad_event" in row["flags"]
