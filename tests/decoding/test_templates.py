"""A stream read at one look gives what it gives event by event."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.apis.answers import piece_of
from perfkit.apis.sse import events
from perfkit.decoding.server_words import decoded
from perfkit.decoding.templates import LEAST, MOST_TEMPLATES, NotFramed, RawEvents, TextRun, framed_text_runs, text_runs


def chunk(text: Any, **more: Any) -> bytes:
    message = {"id": "chatcmpl-1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], **more}
    return b"data: " + json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n\n"


ROLE = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
WORDS = [b"".join(chunk(f"w{number}") for number in range(first, first + 20)) for first in (0, 20)]


def read(cut: Iterable[TextRun | RawEvents]) -> list[tuple[Any, int]]:
    """Return what each event carries (its piece where it is one), and its end, read by runs of text."""
    found: list[tuple[Any, int]] = []
    for run in cut:
        if isinstance(run, TextRun):
            pieces = [(run.kind, run.choice, text) for text in run.texts]
            found += zip(zip(pieces, run.payloads, strict=True), run.ends, strict=True)
        else:
            found += one_by_one(run.body, run.at)
    return found


def one_by_one(body: bytes, at: int = 0) -> list[tuple[Any, int]]:
    """Return the same by the plain way: every event decoded."""
    found: list[tuple[Any, int]] = []
    for payload, end, _ in events(body):
        message = decoded(payload)
        piece = piece_of(message) if isinstance(message, dict) else None
        found.append(((piece, payload.decode("utf-8", "replace")), at + end))
    return found


def alike(body: bytes) -> int:
    return sum(len(run.texts) for run in text_runs(body) if isinstance(run, TextRun))


USUAL = {
    "a chat": (ROLE + WORDS[0] + END, 18),
    "quotes, line ends and other scripts": (ROLE + chunk('say "hi"\n') * 9 + chunk("字🙂\\") * 9 + END, 16),
    "thought first": (ROLE + WORDS[0].replace(b"content", b"reasoning_content") + WORDS[1] + END, 34),
    "a number that goes up once": (ROLE + WORDS[0] + WORDS[1].replace(b"chatcmpl-1", b"chatcmpl-2") + END, 34),
    "a comment in between": (ROLE + WORDS[0] + b": ping\n\n" + WORDS[1] + END, 36),
    "an empty text in between": (ROLE + WORDS[0] + chunk("") + WORDS[1] + END, 38),
    "the text stands there before": (chunk("a", id="a") * 20, 0),
    "the text stands there after": (chunk("a", other="a") * 20, 18),
    "usage with every message": (b"".join(chunk(f"w{n}", usage={"completion_tokens": n}) for n in range(1, 20)), 0),
    "half a surrogate pair": (ROLE + WORDS[0] + chunk("x").replace(b'"x"', b'"\\ud83d"') + WORDS[1] + END, 36),
    "bytes that are no UTF-8": (ROLE + WORDS[0] + chunk("x").replace(b'"x"', b'"\xff"') + WORDS[1] + END, 36),
    "a raw control character": (ROLE + WORDS[0] + chunk("x").replace(b'"x"', b'"\x01"') + WORDS[1] + END, 36),
    "carriage returns": ((ROLE + WORDS[0] + END).replace(b"\n", b"\r\n"), 0),
    "cut off": ((ROLE + WORDS[0])[:-30], 17),
    "no space after data": ((ROLE + WORDS[0] + END).replace(b"data: ", b"data:"), 0),
    "too few to pay": (ROLE + chunk("a") * (LEAST - 2) + END, 0),
    "nothing": (b"", 0),
}


@pytest.mark.parametrize("name", USUAL)
def test_every_event_carries_what_it_does_when_read_alone(name: str) -> None:
    body, _ = USUAL[name]
    assert read(text_runs(body)) == one_by_one(body)


@pytest.mark.parametrize("name", USUAL)
def test_what_is_cast_alike_is_read_at_one_look(name: str) -> None:
    body, count = USUAL[name]
    assert alike(body) >= count if count else alike(body) == 0


texts = st.text() | st.sampled_from(['"', "\\", '"},"x":{"a":"', "\n\ndata: ", "", "\ud83d", "[DONE]"])
between = st.sampled_from(
    [
        b"",
        b": ping\n\n",
        b"data: [DONE]\n\n",
        ROLE,
        END,
        b"event: error\ndata: {}\n\n",
        b"data: {\n\n",
        b"\n",
        b"\xff\n\n",
    ]
)


@pytest.mark.slow
@given(st.lists(st.tuples(texts, between), max_size=40), st.integers(0, 60))
def test_any_stream_is_read_as_it_is_event_by_event(parts: list[tuple[str, bytes]], cut: int) -> None:
    body = ROLE + b"".join(chunk(text) + other for text, other in parts)
    body = body[: len(body) - cut]
    assert read(text_runs(body)) == one_by_one(body)


def test_a_stream_made_to_waste_looks_is_read_in_the_end() -> None:
    body = b"".join(chunk(f"w{n}", id=f"id{n // LEAST}") for n in range(LEAST * (MOST_TEMPLATES + 20)))
    assert isinstance(list(text_runs(body))[-1], RawEvents)
    assert read(text_runs(body)) == one_by_one(body)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def framed(pieces: Iterable[bytes], size: bytes = b"%x") -> bytes:
    chunks = (b"%b\r\n%b\r\n" % (size % len(piece), piece) for piece in pieces if piece)
    return HEAD + b"".join(chunks) + b"0\r\n\r\n"


def events_of(body: bytes) -> list[bytes]:
    return [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]


@pytest.mark.parametrize("name", [name for name, (body, _) in USUAL.items() if body.endswith(b"\n\n")])
def test_an_answer_with_a_chunk_for_each_event_is_read_with_its_framing(name: str) -> None:
    body, count = USUAL[name]
    wire = framed(events_of(body))
    found = framed_text_runs(wire)
    assert [carried for carried, _ in read(found)] == [carried for carried, _ in one_by_one(body)]
    for (_, payload), end in read(found):
        assert wire[:end].decode("utf-8", "replace").endswith(payload)
    assert sum(run.size for run in found) == len(body)
    assert sum(len(run.texts) for run in found if isinstance(run, TextRun)) >= count


CHAT = ROLE + WORDS[0] + END
EVENTS = events_of(CHAT)


@pytest.mark.parametrize("size", [b"%x", b"%X", b"%05x", b"%08X", b"%016x"])
def test_sizes_of_chunks_are_read_as_servers_write_them(size: bytes) -> None:
    # Of 67 to 107 bytes: 0x43 to 0x6b, with and without letters among them.
    found = framed_text_runs(framed(EVENTS, size))
    assert [carried for carried, _ in read(found)] == [carried for carried, _ in one_by_one(CHAT)]
    assert sum(len(run.texts) for run in found if isinstance(run, TextRun)) >= 18
    assert sum(run.size for run in found) == len(CHAT)


@pytest.mark.parametrize("other", [b"%X", b"%05x"])
def test_one_size_written_in_another_way_changes_nothing(other: bytes) -> None:
    size = len(EVENTS[9])
    wire = framed(EVENTS).replace(b"%x\r\n" % size, b"%b\r\n" % (other % size), 1)
    assert [carried for carried, _ in read(framed_text_runs(wire))] == [carried for carried, _ in one_by_one(CHAT)]


UNFRAMED = {
    "two events in a chunk, and one in two": framed([CHAT[:500], CHAT[500:]]),
    "cut off": framed(EVENTS)[:-5],
    "a size that is not a number": framed(EVENTS).replace(b"%x\r\n" % len(EVENTS[9]), b"0x%x\r\n" % len(EVENTS[9])),
    "a size with a sign": framed(EVENTS).replace(b"%x\r\n" % len(EVENTS[9]), b"+%x\r\n" % len(EVENTS[9])),
    "a size too large": framed(EVENTS).replace(b"%x\r\n" % len(EVENTS[9]), b"%x\r\n" % (len(EVENTS[9]) + 1)),
    "an extension of a chunk": framed(EVENTS).replace(b"\r\ndata", b";a=b\r\ndata", 1),
    "a trailer": framed(EVENTS)[:-2] + b"A: b\r\n\r\n",
    "more behind the end": framed(EVENTS) + b"HTTP/1.1 200 OK\r\n\r\n",
    "an interim answer": b"HTTP/1.1 100 Continue\r\n\r\n" + framed(EVENTS),
    "no chunks": HEAD + CHAT,
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNFRAMED)
def test_other_framing_is_to_be_taken_off_first(name: str) -> None:
    with pytest.raises(NotFramed):
        framed_text_runs(UNFRAMED[name])
