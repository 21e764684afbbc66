"""Streams of events: what a row says of one does not depend on how its bytes came, and no stream is taken on trust."""

import json
import re
import sys
from bisect import bisect_left
from collections.abc import Sequence
from time import process_time
from typing import Any

from hypothesis import strategies as st

from fuzz.claims import CUTS, Claim, changed, changes, main, pieces_of
from perfkit.apis.sse import events
from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import Exchange
from perfkit.decoding.response import Reading, Tally
from perfkit.options.arguments import Arguments
from perfkit.plugins import api_class, bind_api
from perfkit.runfile import chunks
from tests.scripted import DONE, FINISH, LAST, USAGE, chunk, delta

API = bind_api(api_class("openai"), Arguments(model="m"))
START = 1_000_000_000
OWN_BY_READ = (
    *("latency", "first_chunk_latency", "first_answer_latency", "time_per_output_token", "chunks"),
    *("inter_token_latencies", "last_token_time", "server_ttft"),
)
"""Columns that say when something came."""

STANDARD = [
    delta("Hel"),
    delta("lo \\u00e9\\n"),
    delta("é😀"),
    b'data: {"choices":[{"index":1,"delta":{"content":"two"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n',
    b'data: {"choices":[{"index":0,"text":"old"}]}\n\n',
    b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"lines"}}]}\n\n',
    b": ping\n\n",
    b"id: 7\nretry: 100\n" + delta("id"),
    b"event: message\n" + delta("named"),
    b"data:" + delta("tight")[6:],
    delta("cr").replace(b"\n", b"\r\n"),
    FINISH,
    USAGE,
    DONE,
]
"""Events as the standard words them, each whole."""
ODD = [
    b'data: {"error":{"message":"out of memory"}}\n\n',
    b'event: error\ndata: {"detail":"aborted"}\n\n',
    b'{"error": "bare"}\n',
    b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"an"}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
    b'data: {"type":"response.output_text.delta","delta":"r"}\n\n',
    b'data: {"candidates":[{"content":{"parts":[{"text":"g"}]},"finishReason":"STOP"}]}\n\n',
    b'data: {"message":{"content":"o"},"done":false}\n\n',
    b'data: {"token":{"text":"t"},"generated_text":null}\n\n',
    b"data: data: " + delta("twice")[6:],
    b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f"}}]}\n\n',
    b'data: {"choices":[{"index":"0","delta":{"content":7}}],"usage":[]}\n\n',
    b'data: {"choices":null,"usage":{"prompt_tokens":-1,"completion_tokens":1e400}}\n\n',
    b'data: {"choices":[{"index":70000,"delta":{"content":"far"}}]}\n\n',
    b'data: {"choices":[{"index":-3,"delta":{"content":"before"}}]}\n\n',
    b"data: " + b"[" * 2000 + b"\n\n",
    b"data:   \n\n",
    b"data\n\n",
    b"data: null\n\n",
    b"data: 7\n\n",
    b"\xef\xbb\xbf",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    delta("cut")[:20],
]
MARKS = [b"data: ", b"\n\n", b"\r", b"\n", b":", b"{", b"}", b'"', b"\\", b"[DONE]", b"\xef\xbb\xbf", b"\xff", b"null"]

STREAMS = st.lists(st.sampled_from(STANDARD + ODD) | st.sampled_from(STANDARD), max_size=12).map(b"".join)
BODIES = st.builds(changed, STREAMS | st.binary(max_size=80), changes(MARKS))
KINDS = st.sampled_from([b"text/event-stream"] * 4 + [b"application/json", b"application/x-ndjson", b"text/plain", b""])


def came(body: bytes, kind: bytes, cuts: Sequence[int]) -> Exchange:
    """Return an answer whose body came in pieces."""
    made = Exchange(start=START, headers=START + 1, status=200, response_headers=[(b"Content-Type", kind)])
    for number, piece in enumerate(pieces_of(body, cuts)):
        made.body += piece
        made.stamps.append(START + 1_000_000 * (number + 1))
        made.ends.append(len(made.body))
    made.end = made.stamps[-1] if made.stamps else START
    return made


def framed(body: bytes, kind: bytes, parts: Sequence[bytes]) -> Exchange:
    """Return an answer as it came over the wire, in chunks of a server's choosing."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
    wire += b"".join(map(chunk, parts)) + LAST
    made = came(wire, kind, ())
    made.wire, made.body = made.body, bytearray()
    return made


def row_of(exchange: Exchange) -> dict[str, Any]:
    """Return what the row of an answer says, as the recorder has it."""
    reading = Reading(API, exchange)
    reading.read()
    reading.count_censored(Tally())
    if reading.error is None:
        API.count(reading.messages, {}, reading.answer)
        reading.judge()
    return {**reading.columns(RunClock(0)), "messages": reading.messages, "arrivals": reading.arrivals}


def said(row: dict[str, Any]) -> dict[str, object]:
    """Return what a row says apart from times."""
    flags = set(str(row["flags"] or "").split()) - {"censored_first"}
    kept = {name: value for name, value in row.items() if name not in (*OWN_BY_READ, "flags", "arrivals")}
    # JSON has no equality of NaN with itself.
    return {**kept, "flags": sorted(flags), "chunks": kinds_of(row)} | {"repr": repr(kept)}


def kinds_of(row: dict[str, Any]) -> list[object]:
    blob = row["chunks"]
    if not isinstance(blob, bytes):
        return []
    told = chunks.unpack(blob)
    return [list(told.kind), list(told.choice), list(told.message)]


def the_row_is_the_same_however_the_body_was_cut(given: tuple[bytes, bytes, list[int]]) -> None:
    body, kind, cuts = given
    whole, cut = row_of(came(body, kind, ())), row_of(came(body, kind, cuts))
    assert said(cut) == said(whole)


def a_message_came_with_the_read_that_completed_it(given: tuple[bytes, bytes, list[int]]) -> None:
    body, kind, cuts = given
    by_byte, exchange = row_of(came(body, kind, range(len(body)))), came(body, kind, cuts)
    ends = [*exchange.ends]
    reads = [min(bisect_left(ends, place + 1), len(ends) - 1) for place in by_byte["arrivals"]]
    assert row_of(exchange)["arrivals"] == reads


def the_row_is_the_same_however_the_body_was_framed(given: tuple[list[tuple[bytes, int]], list[int]]) -> None:
    repeated, cuts = given
    parts = [part for part, times in repeated for _ in range(times)]
    body, kind = b"".join(parts), b"text/event-stream"
    as_one = said(row_of(framed(body, kind, [body] if body else [])))
    assert said(row_of(framed(body, kind, parts))) == as_one
    assert said(row_of(framed(body, kind, list(pieces_of(body, cuts))))) == as_one


class Reference:
    """A reader of event streams by the letter of the standard, for the answers of one dialect."""

    def __init__(self, body: bytes) -> None:
        self.text, self.done, self.carries = "", False, False
        for block in re.split(rb"\r\n\r\n|\n\n|\r\r", body.removeprefix(b"\xef\xbb\xbf")):
            lines = [line.partition(b":") for line in re.split(rb"\r\n|\n|\r", block)]
            payload = b"\n".join(value.removeprefix(b" ") for name, _, value in lines if name == b"data")
            if payload.strip() == b"[DONE]":
                self.done = True
            elif payload:
                self._take(json.loads(payload))

    def _take(self, message: dict[str, Any]) -> None:
        self.carries |= bool(message.get("usage"))
        for choice in message["choices"]:
            told = choice.get("delta", choice)
            self.carries |= bool(told.keys() & {"content", "text", "reasoning_content"}) and "role" not in told
            if choice["index"] == 0:  # which the text of a row is of
                self.text += told.get("content") or told.get("text") or ""
            self.done |= choice.get("finish_reason") is not None


def a_stream_by_the_standard_is_read_as_the_standard_says(parts: list[bytes]) -> None:
    body = b"".join(parts)
    found, row = Reference(body), row_of(came(body, b"text/event-stream", ()))
    if DONE in parts and any(part not in (DONE, b": ping\n\n") for part in parts[parts.index(DONE) + 1 :]):
        return  # what comes after the end is another claim
    assert (row["success"] == 1) == (found.done and found.carries)
    assert (row["output_text"] or "") == found.text


def an_answer_that_succeeded_says_its_text_and_its_end(given: tuple[bytes, bytes, list[int]]) -> None:
    body, kind, cuts = given
    row = row_of(came(body, kind, cuts))
    if not row["success"]:
        assert row["error_kind"]
        assert row["error"]
        assert row["latency"] is None
        return
    ends = (b"[DONE]", b"finish", b"stop", b"done", b"generated_text", b"completed")
    joined = re.sub(rb'"?\s*[\r\n]+(?:data:)*\s*"?', b"", body)
    assert not row["is_stream"] or any(end in body or end in joined for end in ends)
    assert re.search(rb'text|content|delta|token|usage|function|output|"r"', body) or not row["is_stream"]


def what_a_row_says_can_be_stored(given: tuple[bytes, bytes, list[int]]) -> None:
    body, kind, cuts = given
    for name, value in row_of(came(body, kind, cuts)).items():
        assert value is None or isinstance(value, str | int | float | bytes | list), name
        assert not isinstance(value, float) or abs(value) < float("inf"), name
        assert not isinstance(value, int) or isinstance(value, bool) or abs(value) < 2**63, name


SMALL, LARGE = 2**13, 2**17


def a_body_that_is_longer_takes_longer_in_proportion(given: tuple[bytes, bytes]) -> None:
    fragment, kind = given
    if not fragment:
        return
    short, long = (fragment * (size // len(fragment) + 1) for size in (SMALL, LARGE))
    before = min(_seconds(short, kind) for _ in range(2)) + 0.001
    # In proportion it is 16 times as long, by the square 256 times.
    assert min(_seconds(long, kind) for _ in range(3)) < before * 16 * 6


def _seconds(body: bytes, kind: bytes) -> float:
    began = process_time()
    row_of(came(body, kind, ()))
    list(events(body))
    return process_time() - began


ANY = st.tuples(BODIES, KINDS, CUTS)
PARTS = st.lists(st.tuples(st.sampled_from(STANDARD + ODD), st.sampled_from([1, 1, 3, 9])), max_size=5)
CLAIMS = (
    Claim(the_row_is_the_same_however_the_body_was_cut, ANY),
    Claim(a_message_came_with_the_read_that_completed_it, ANY),
    Claim(the_row_is_the_same_however_the_body_was_framed, st.tuples(PARTS, CUTS)),
    Claim(a_stream_by_the_standard_is_read_as_the_standard_says, st.lists(st.sampled_from(STANDARD), max_size=12)),
    Claim(an_answer_that_succeeded_says_its_text_and_its_end, ANY),
    Claim(what_a_row_says_can_be_stored, ANY),
    Claim(a_body_that_is_longer_takes_longer_in_proportion, st.tuples(BODIES, KINDS), cost=40, timed=True),
)

if __name__ == "__main__":
    sys.exit(main(CLAIMS))
