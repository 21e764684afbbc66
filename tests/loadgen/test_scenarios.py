"""What a row says of each kind of answer, right and wrong: one table."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from perfkit.runfile.safe_pickle import decode_cell
from tests.measured import rows_of
from tests.scripted import (
    ANSWER,
    BODY,
    CLOSE,
    DONE,
    FINISH,
    GAP,
    HANG,
    LAST,
    READ,
    RESET,
    STREAM,
    UNTIL_CLOSE,
    USAGE,
    Script,
    chunk,
    delta,
    head,
    scripted,
    whole,
)

pytestmark = pytest.mark.processes


@dataclass(frozen=True)
class Case:
    """A sentence, what the server does, and what the row says."""

    sentence: str
    script: Script
    error: str | None = None
    tokens: int | None = 2
    ttft: bool = True
    text: str | None = "Hello"
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def success(self) -> int:
        return int(self.error is None)


def stream(*pieces: bytes) -> Script:
    """Send each piece as a chunk, in reads of their own."""
    parts = [part for piece in pieces for part in (chunk(piece), GAP)]
    return [READ, STREAM, *parts, LAST, HANG]


def cut(body: bytes, *places: int) -> Script:
    """Send a body cut at places."""
    edges = [0, *places, len(body)]
    return stream(*(body[start:end] for start, end in pairwise(edges)))


WORD = "héllo, 世界 😀"
UTF8 = delta(WORD) + FINISH + USAGE + DONE
EMOJI = UTF8.index("😀".encode())
CRLF = ANSWER.replace(b"\n", b"\r\n")
BIG = "x" * 3_000_000
FRAMES = b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"Hello"}}]}\n\n'
MANY_TOKENS = str(2**70).encode()

WHOLE = [
    Case("the usual stream", stream(ANSWER)),
    Case("every event in a read of its own", stream(delta("Hel"), delta("lo"), FINISH, USAGE, DONE)),
    Case("everything in one read, head included", [READ, STREAM + chunk(ANSWER) + LAST, HANG]),
    Case("an event cut in its middle", cut(ANSWER, 20, 40, 60)),
    Case("an event cut before its blank line", cut(ANSWER, len(delta("Hel")) - 1)),
    Case("UTF-8 cut inside a character", cut(UTF8, EMOJI + 1, EMOJI + 3), text=WORD),
    Case("lines that end in CR LF", stream(CRLF)),
    Case("CR and LF in different reads", cut(CRLF, CRLF.index(b"\r") + 1)),
    Case("lines that end in CR", stream(ANSWER.replace(b"\n", b"\r"))),
    Case(
        "comments between events", stream(b": ping\n\n", delta("Hel"), b":\n\n: x\n", delta("lo"), FINISH, USAGE, DONE)
    ),
    Case("a byte order mark", stream(b"\xef\xbb\xbf" + ANSWER)),
    Case("no space after data:", stream(ANSWER.replace(b"data: ", b"data:"))),
    Case("an event of several data lines", stream(FRAMES + FINISH + USAGE + DONE)),
    Case("fields of other names", stream(b"id: 7\nretry: 10\n" + ANSWER)),
    Case("an event of 3 MB", stream(delta(BIG) + FINISH + USAGE + DONE), text=BIG),
    Case("EOF in place of [DONE], with a finish reason", stream(delta("Hel"), delta("lo"), FINISH, USAGE)),
    Case("[DONE] without a finish reason", stream(delta("Hel"), delta("lo"), USAGE, DONE)),
    Case("no blank line at the end", stream(delta("Hel") + delta("lo") + FINISH + USAGE, b"data: [DONE]")),
    Case("a body that the close ends", [READ, UNTIL_CLOSE, ANSWER, CLOSE]),
    Case("a stream whose length is told", [READ, head(f"Content-Length: {len(ANSWER)}"), ANSWER, HANG]),
    Case("HTTP/1.0", [READ, UNTIL_CLOSE.replace(b"1.1", b"1.0"), ANSWER, CLOSE]),
    Case("chunks with extensions", [READ, STREAM, chunk(ANSWER, b';name="a b"'), LAST, HANG]),
    Case("trailers after the last chunk", [READ, STREAM, chunk(ANSWER), b"0\r\nX-Sum: 1\r\n\r\n", HANG]),
    Case("interim answers before it", [READ, b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", *stream(ANSWER)[1:]]),
    Case("100 Continue in the same read", [READ, b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM, *stream(ANSWER)[2:]]),
    Case("more bytes than the answer has", [READ, whole(BODY) + b"and more", HANG], ttft=False),
    Case("another answer that nobody asked for", [READ, whole(BODY) + whole(b"{}", status="500 Oh"), HANG], ttft=False),
    Case("a plain body where a stream was asked", [READ, whole(BODY), HANG], ttft=False),
    Case("a plain body that is asked for", [READ, whole(BODY), HANG], ttft=False, given={"stream": False}),
    Case("a plain body cut in reads", [READ, whole(BODY)[:80], GAP, whole(BODY)[80:], HANG], ttft=False),
    Case("events without a content type", [READ, head("Connection: close", kind=None), ANSWER, CLOSE]),
    Case(
        "a header of 60 kB", [READ, head("Transfer-Encoding: chunked", "X-Long: " + "x" * 60_000), *stream(ANSWER)[2:]]
    ),
]

USAGES = [
    Case("usage in the first chunk", stream(USAGE, delta("Hel"), delta("lo"), FINISH, DONE)),
    Case(
        "usage beside the finish reason",
        stream(
            delta("Hello"),
            b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"completion_tokens":2}}\n\n',
            DONE,
        ),
    ),
    Case(
        "usage that grows with every chunk",
        stream(
            b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}],"usage":{"completion_tokens":1}}\n\n',
            b'data: {"choices":[{"index":0,"delta":{"content":"lo"}}],"usage":{"completion_tokens":2}}\n\n',
            FINISH,
            DONE,
        ),
    ),
    Case("usage null", stream(USAGE.replace(b'{"prompt_tokens":3,"completion_tokens":2}', b"null"), ANSWER)),
    Case("usage as text", stream(ANSWER.replace(b'"completion_tokens":2', b'"completion_tokens":"2"'))),
]

OOM = b'data: {"error":{"message":"oom"}}\n\n'
OOM_EVENT = b'event: error\ndata: {"message":"oom"}\n\n'
BEGUN = [READ, STREAM, chunk(delta("Hello"))]

ODD = [
    Case("an event that is no JSON", stream(b"data: {oops\n\n", ANSWER)),
    Case("an event that is a JSON list", stream(b"data: [1, 2]\n\n", ANSWER)),
    Case("choices that are null", stream(b'data: {"choices":null}\n\n', ANSWER)),
    Case("a delta that is a number", stream(b'data: {"choices":[{"delta":7}]}\n\n', ANSWER)),
]


def failed(sentence: str, script: Script, error: str, text: str | None = None, **given: Any) -> Case:
    """Return the case of an answer that is no success; what had come of its text is kept."""
    return Case(sentence, script, error, None, ttft=False, text=text, given=given)


FAILED = [
    failed("JSON cut off at the end", stream(delta("Hello"), b'data: {"cho'), "incomplete", "Hello"),
    failed("an end without [DONE] and finish reason", stream(delta("Hello")), "incomplete", "Hello"),
    failed("no event at all", [READ, STREAM, LAST, HANG], "empty"),
    failed("only [DONE]", stream(DONE), "empty"),
    failed("only comments", stream(b": ping\n\n"), "empty"),
    failed("an error object in the stream", stream(delta("Hello"), OOM, DONE), "error_event", "Hello"),
    failed("event: error", stream(delta("Hello"), OOM_EVENT, DONE), "error_event", "Hello"),
    failed("an error object with 200", [READ, whole(b'{"error":{"message":"no"}}'), HANG], "error_event"),
    failed("HTML with 200", [READ, whole(b"<html>login</html>", kind="text/html"), HANG], "protocol"),
    failed("a plain body cut off", [READ, whole(BODY[:40]), HANG], "protocol"),
    failed("a plain body that is empty", [READ, whole(b""), HANG], "empty"),
    failed("garbage", [READ, b"\x15\x03\x01\x00\x02", HANG], "protocol"),
    failed("a broken chunk length", [READ, STREAM, b"zz\r\n", HANG], "protocol"),
    failed("FIN before the answer", [READ, CLOSE], "reset"),
    failed("FIN inside the head", [READ, STREAM[:20], CLOSE], "reset"),
    failed("FIN inside the stream", [*BEGUN, CLOSE], "reset", "Hello"),
    failed("FIN inside a told length", [READ, whole(BODY)[:-9], CLOSE], "reset"),
    failed("RST before the answer", [READ, RESET], "reset"),
    failed("RST inside the stream", [*BEGUN, GAP, RESET], "reset", "Hello"),
    failed("429", [READ, whole(b'{"error":{}}', status="429 Slow"), HANG], "http_status"),
    failed("500 with HTML", [READ, whole(b"<h1>Oops</h1>", status="500 Oops", kind="text/html"), HANG], "http_status"),
    failed("204", [READ, b"HTTP/1.1 204 No Content\r\n\r\n", HANG], "http_status"),
    failed("a redirect", [READ, whole(b"", "Location: /x", status="307 Away"), HANG], "http_status"),
    failed("silence before the answer", [READ, HANG], "read_timeout", read_timeout=0.2),
    failed("silence inside the stream", [*BEGUN, HANG], "read_timeout", "Hello", read_timeout=0.2),
    failed("no end", [*BEGUN, *[chunk(delta("")), 0.05] * 40], "total_timeout", "Hello", total_timeout=0.4),
]


@pytest.mark.processes
@pytest.mark.parametrize("case", [*WHOLE, *USAGES, *ODD, *FAILED], ids=lambda case: case.sentence)
def test_a_row_says_what_came(case: Case, tmp_path: Path) -> None:
    with scripted(case.script) as server:
        (row,) = rows_of(server.url, tmp_path, **case.given)
    assert (row["success"], row["error_kind"]) == (case.success, case.error), row["error"]
    assert row["attempts"] == 1
    assert (row["first_chunk_latency"] is not None) == case.ttft
    if case.success:
        assert row["completion_tokens"] == case.tokens
        assert row["latency"] > 0
    else:
        assert row["latency"] is None
        assert row["time_per_output_token"] is None
        assert row["error"]
    if case.text is not None:
        assert row["output_text"] == case.text


@pytest.mark.parametrize(
    ("count", "stored"), [(b"null", None), (b'"many"', None), (MANY_TOKENS, None), (b"-3", None), (b"2.0", 2)]
)
def test_a_count_that_is_none_is_not_stored(count: bytes, stored: int | None, tmp_path: Path) -> None:
    answer = ANSWER.replace(b'"completion_tokens":2', b'"completion_tokens":' + count)
    with scripted(stream(answer)) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["success"] == 1
    if stored is None:
        assert row["token_source"] != "server"
    else:
        assert row["completion_tokens"] == stored


def test_a_redirect_is_not_followed_and_named(tmp_path: Path) -> None:
    with scripted([HANG]) as elsewhere:
        script = [READ, whole(b"", f"Location: {elsewhere.url}/x", status="307 Away"), HANG]
        with scripted(script) as server:
            (row,) = rows_of(server.url, tmp_path, api_key="sk-secret-secret")
        assert f"redirected to {elsewhere.url}/x" in row["error"]
        assert elsewhere.connections == 0


def test_what_the_server_says_of_a_status_is_kept(tmp_path: Path) -> None:
    body = b'{"error":{"message":"slow down"}}'
    with scripted([READ, whole(body, "Retry-After: 3", status="429 Slow"), HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["error"] == "HTTP 429: slow down"
    assert row["status_code"] == 429
    assert json.loads(row["response_headers"])["retry-after"] == "3"


def test_a_bad_event_never_passes_silently(tmp_path: Path) -> None:
    with scripted(stream(b"data: {oops\n\n", ANSWER)) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert "bad_event" in row["flags"]


def test_comments_and_role_chunks_do_not_end_ttft(tmp_path: Path) -> None:
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    with scripted([READ, STREAM, chunk(b": ping\n\n"), 0.1, chunk(role), 0.1, chunk(ANSWER), LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["first_chunk_latency"] >= 0.2


def test_latency_ends_with_the_answer_and_not_with_the_connection(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), LAST, 1.0]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["latency"] < 1.0


def test_an_answer_beyond_the_limit_is_given_up(tmp_path: Path) -> None:
    piece = chunk(b": " + b"x" * 2**20 + b"\n\n")
    with scripted([READ, STREAM, *[piece] * 40, LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["error_kind"] == "too_large"
    assert row["bytes_received"] < 34 * 2**20


@pytest.mark.parametrize("place", ["error", "text", "id", "finish_reason", "header", "html"])
def test_a_key_that_the_server_echoes_is_not_stored(place: str, tmp_path: Path) -> None:
    key = "sk-canary-0123456789"
    answers = {
        "error": whole(f'{{"error":{{"message":"bad key {key}"}}}}'.encode(), status="400 Bad"),
        "text": STREAM + chunk(delta(f"your key is {key}") + FINISH + USAGE + DONE) + LAST,
        "id": STREAM + chunk(ANSWER.replace(b'"c1"', f'"{key}"'.encode())) + LAST,
        "finish_reason": STREAM + chunk(ANSWER.replace(b'"stop"', f'"{key}"'.encode())) + LAST,
        "header": whole(BODY, f"X-Request-Id: {key}", f"Location: /{key}"),
        "html": whole(f"<p>{key}</p>".encode(), kind="text/html"),
    }
    with scripted([READ, answers[place], HANG]) as server:
        rows = rows_of(server.url, tmp_path, api_key=key)
        assert key.encode() in server.requests[0]
    assert len(rows) == 1
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert key.encode() not in content
    assert key not in decoded(rows[0])


CANARIES = {
    "basic": "bWU6Y2FuYXJ5LXBhc3N3ZC0wMDAwNQ==",  # me:canary-passwd-00005
    "azure": "canary-azure-000002",
    "cookie": "canary-cookie-00003",
    "query": "canary-query-000004",
    "password": "canary-passwd-00005",
}


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "500 Oops"])
def test_no_secret_of_any_kind_is_stored_shown_or_logged(
    status: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    told = " ".join(CANARIES.values())
    echo = whole(f'{{"error":{{"message":"{told}"}},"id":"{told}"}}'.encode(), f"X-Request-Id: {told}", status=status)
    with scripted([READ, echo, READ, echo, HANG]) as server:
        url = (
            server.url.replace("//", f"//me:{CANARIES['password']}@")
            + f"/v1/chat/completions?api-key={CANARIES['query']}"
        )
        headers = {"api-key": CANARIES["azure"], "Cookie": f"session={CANARIES['cookie']}"}
        given = {"headers": headers, "preflight": True, "debug": True}
        rows = rows_of(url, tmp_path, **given)
        sent = server.requests[0].decode()
    assert all(CANARIES[name] in sent for name in ("azure", "cookie", "query", "basic"))
    shown = capfd.readouterr()
    places = [*(each.read_bytes().decode("latin-1") for each in tmp_path.iterdir()), *map(decoded, rows)]
    for text in (*places, shown.out, shown.err, caplog.text):
        assert [name for name, value in CANARIES.items() if value in text] == []


def decoded(row: dict[str, Any]) -> str:
    """Return what stands behind the base64 of a row."""
    return repr([decode_cell(row[name], name) for name in ("request", "response_messages")])
