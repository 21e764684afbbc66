"""Everything that a server can do wrong: what it does, and what the row of its request then says.

    python -m tests.faults        # writes docs/faults.md anew

Each fault is a script that ``tests.scripted`` plays. ``tests/test_faults.py`` plays all of them, plain and with TLS,
and holds what comes against the page, so that the page is what happens.
"""

import gzip
import re
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    Script,
    chunk,
    delta,
    head,
    scripted,
    whole,
)
from tests.scripted import USAGE as COUNT

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
READ_TIMEOUT = 1.0
"""Seconds that the scripts which stop are waited for."""

HELLO, WORLD = delta("Hel"), delta("lo")
FIRST = chunk(HELLO)
JSON = b"Content-Type: application/json\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
SIZED = JSON + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
TRAILERS = b"0\r\nX-Checksum: 1\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
GZIP = head("Transfer-Encoding: chunked", "Content-Encoding: gzip")
STREAM_GZ = gzip.compress(ANSWER, mtime=0)
_CUT_AT = delta("é").index(b"\xc3") + 1
CUT = [chunk(delta("é")[:_CUT_AT]), GAP, chunk(delta("é")[_CUT_AT:])]


@dataclass(frozen=True)
class Fault:
    """What a server does, as a phrase and as a script; ``given`` are options of the run."""

    does: str
    script: Script
    whole: bool = False
    """The answer was not asked for as a stream."""

    @property
    def given(self) -> dict[str, Any]:
        return {"stream": False} if self.whole else {}


def status(line: str, body: bytes = b"", kind: bytes = b"application/json", more: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {line}\r\nContent-Length: {len(body)}\r\nContent-Type: ".encode() + kind + b"\r\n" + more
    return head + b"\r\n" + body


def events(*parts: bytes) -> Script:
    """Answer with a stream that ends as it should."""
    return [READ, STREAM, *map(chunk, parts), LAST, HANG]


FAULTS: dict[str, tuple[Fault, ...]] = {
    "The connection": (
        Fault("closes the connection before the answer", [READ, CLOSE]),
        Fault("resets the connection before the answer", [READ, RESET]),
        Fault("closes it in the headers", [READ, OK + b"Content-Ty", CLOSE]),
        Fault("resets it in the headers", [READ, OK + b"Content-Ty", 0.05, RESET]),
        Fault("closes it after the headers", [READ, STREAM, CLOSE]),
        Fault("resets it after the headers", [READ, STREAM, 0.05, RESET]),
        Fault("closes it after the first token", [READ, STREAM, FIRST, CLOSE]),
        Fault("resets it after the first token", [READ, STREAM, FIRST, 0.05, RESET]),
        Fault("closes it inside of a chunk", [READ, STREAM, FIRST, chunk(WORLD)[:-9], CLOSE]),
        Fault("resets it inside of an event", [READ, STREAM, FIRST, chunk(WORLD[:-9]), 0.05, RESET]),
        Fault("closes it after [DONE] without the last chunk", [READ, STREAM, FIRST, chunk(FINISH + DONE), CLOSE]),
        Fault("closes an answer that only the close ends, before its end", [READ, UNTIL_CLOSE, HELLO, CLOSE]),
        Fault(
            "closes JSON that only the close ends, before its end",
            [READ, head("Connection: close", kind="application/json") + BODY[:-9], CLOSE],
            whole=True,
        ),
        Fault("closes it inside of an answer of known length", [READ, whole(BODY)[:-9], CLOSE], whole=True),
    ),
    "Waiting": (
        Fault("says nothing", [READ, HANG]),
        Fault("stops in the headers", [READ, OK + b"Content-Ty", HANG]),
        Fault("stops after the headers", [READ, STREAM, HANG]),
        Fault("stops after the first token", [READ, STREAM, FIRST, HANG]),
        Fault("100 Continue, and nothing after it", [READ, CONTINUE, HANG]),
        Fault("a chunk of a size that never comes", [READ, STREAM, FIRST, b"7fffffffffffffff\r\nabc", HANG]),
        Fault("stops inside of an event", [READ, STREAM, FIRST, chunk(WORLD[:-9]), HANG]),
        Fault("stops inside of an answer of known length", [READ, whole(BODY)[:-9], HANG], whole=True),
        Fault("ends the answer and leaves the message open", [READ, STREAM, chunk(ANSWER), HANG]),
        Fault(
            "sends a token whenever a quarter of read_timeout has passed",
            [
                READ,
                STREAM,
                *[part for _ in range(4) for part in (FIRST, READ_TIMEOUT / 4)],
                chunk(FINISH + DONE),
                LAST,
                HANG,
            ],
        ),
    ),
    "Errors": (
        Fault("400 with JSON", [READ, status("400 Bad Request", b'{"error": {"message": "no such model"}}'), HANG]),
        Fault("401 with a text", [READ, status("401 Unauthorized", b"bad key", b"text/plain"), HANG]),
        Fault(
            "404 with HTML", [READ, status("404 Not Found", b"<html><body>not here</body></html>", b"text/html"), HANG]
        ),
        Fault(
            "422 with a detail", [READ, status("422 Unprocessable Entity", b'{"detail": [{"msg": "too long"}]}'), HANG]
        ),
        Fault("429 with Retry-After", [READ, status("429 Too Many Requests", b"{}", more=b"Retry-After: 3\r\n"), HANG]),
        Fault("500 without a body", [READ, status("500 Internal Server Error"), HANG]),
        Fault("503 with JSON", [READ, status("503 Service Unavailable", b'{"message": "warming up"}'), HANG]),
        Fault("200 and an error instead of an answer", [READ, whole(b'{"error": {"message": "out of memory"}}'), HANG]),
        Fault("200 and the text of an error", [READ, whole(b'{"error": "overloaded"}'), HANG], whole=True),
        Fault("204", [READ, b"HTTP/1.1 204 No Content\r\n\r\n", HANG]),
        Fault(
            "206", [READ, whole(b"{}", "Content-Range: bytes 0-1/9", status="206 Partial Content"), HANG], whole=True
        ),
        Fault("304", [READ, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", HANG]),
        Fault("200 and an error as the first event", events(b'data: {"error": {"message": "overloaded"}}\n\n')),
        Fault(
            "200 and an error after the first token",
            events(HELLO, b'data: {"error": {"message": "out of memory"}}\n\n'),
        ),
        Fault("an event of the type error", events(HELLO, b'event: error\ndata: {"detail": "aborted"}\n\n')),
        Fault("finish_reason abort", events(HELLO, FINISH.replace(b"stop", b"abort"), DONE)),
        Fault(
            "307 to another place", [READ, b"HTTP/1.1 307 Moved\r\nLocation: /v2\r\nContent-Length: 0\r\n\r\n", HANG]
        ),
    ),
    "Answers without content": (
        Fault("200 without a body", [READ, OK + b"Content-Length: 0\r\n\r\n", HANG]),
        Fault("a stream without an event", events()),
        Fault("[DONE] and nothing else", events(DONE)),
        Fault("{} and nothing else", [READ, whole(b"{}"), HANG], whole=True),
        Fault("null as the content", [READ, whole(b'{"choices": [{"message": {"content": null}}]}'), HANG], whole=True),
    ),
    "HTTP": (
        Fault("something that is no HTTP", [READ, b"hello there\r\n\r\n", HANG]),
        Fault("HTTP/2 only", [READ, b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), HANG]),
        Fault("another protocol (101)", [READ, SWITCH, HANG]),
        Fault("a body without a head", [READ, BODY, CLOSE], whole=True),
        Fault("a NUL in a header", [READ, OK + b"X-A: a\0b\r\n" + SIZED, HANG], whole=True),
        Fault("a header over two lines", [READ, OK + b"X-A: a\r\n b\r\n" + SIZED, HANG], whole=True),
        Fault("lines of the head that end with LF", [READ, (OK + SIZED).replace(b"\r\n", b"\n"), HANG], whole=True),
        Fault("two lengths", [READ, OK + b"Content-Length: 5\r\n" + SIZED, HANG], whole=True),
        Fault("a length beside chunks", [READ, OK + CHUNKED + b"Content-Length: 5\r\n\r\n", HANG]),
        Fault("a chunk's size that is too large for a number", [READ, STREAM, FIRST, b"f" * 17 + b"\r\nabc", HANG]),
        Fault(
            "chunks with extensions, and trailers",
            [READ, STREAM, *[chunk(each, b';a="b;\\"c"') for each in (HELLO, FINISH, DONE)], TRAILERS, HANG],
        ),
        Fault("a second answer behind the first", [READ, whole(BODY) * 2, HANG], whole=True),
        Fault("the end of chunks without their length", [READ, STREAM, FIRST, b"zz\r\n", HANG]),
        Fault("a Content-Length that is too long", [READ, status("200 OK", BODY)[:-3], CLOSE], whole=True),
        Fault(
            "a Content-Length that is too short",
            [READ, OK + JSON + b"Content-Length: 9\r\n\r\n" + BODY, HANG],
            whole=True,
        ),
        Fault("headers of more than 1 MiB", [READ, OK, *[b"X: " + b"y" * 2**16 + b"\r\n"] * 40, HANG]),
        Fault(
            "100 Continue before the answer",
            [READ, CONTINUE, STREAM, chunk(ANSWER), LAST, HANG],
        ),
        Fault("a thousand interim answers", [READ, CONTINUE * 1000, STREAM, chunk(ANSWER), LAST, HANG]),
        Fault(
            "HTTP/1.0, ended by the close",
            [READ, b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", ANSWER, CLOSE],
        ),
        Fault(
            "gzip that nobody asked for",
            [READ, status("200 OK", gzip.compress(BODY), more=b"Content-Encoding: gzip\r\n"), HANG],
            whole=True,
        ),
        Fault(
            "gzip that breaks off",
            [READ, status("200 OK", gzip.compress(BODY)[:-9], more=b"Content-Encoding: gzip\r\n"), HANG],
            whole=True,
        ),
        Fault(
            "gzip in a stream, cut anywhere",
            [READ, GZIP, *[chunk(STREAM_GZ[at : at + 9]) for at in range(0, len(STREAM_GZ), 9)], LAST, HANG],
        ),
        Fault("gzip in a stream that the close cuts", [READ, GZIP, chunk(STREAM_GZ[:60]), CLOSE]),
        Fault("gzip that no header tells", [READ, whole(gzip.compress(BODY)), HANG], whole=True),
        Fault(
            "a coding that nobody knows",
            [READ, status("200 OK", BODY, more=b"Content-Encoding: own\r\n"), HANG],
            whole=True,
        ),
    ),
    "Streams": (
        Fault("bad JSON in one event of several", events(HELLO, b'data: {"choices": [\n\n', WORLD, FINISH, DONE)),
        Fault("bytes that are no UTF-8 in a text", events(HELLO.replace(b"Hel", b"H\xff"), FINISH, DONE)),
        Fault("NUL in a text", events(HELLO.replace(b"Hel", b"H\\u0000"), FINISH, DONE)),
        Fault("a byte order mark at the begin", events(b"\xef\xbb\xbf" + HELLO, FINISH, DONE)),
        Fault("a byte order mark between events", events(HELLO, b"\xef\xbb\xbf" + WORLD, FINISH, DONE)),
        Fault("events of blanks, to keep the connection", events(HELLO, b"data:   \n\ndata:\n\n", WORLD, FINISH, DONE)),
        Fault("a chunk that ends inside of a character", [READ, STREAM, *CUT, chunk(FINISH + DONE), LAST, HANG]),
        Fault("lines that end with CR LF", events(*[each.replace(b"\n", b"\r\n") for each in (HELLO, FINISH, DONE)])),
        Fault("lines that end with CR", events(*[each.replace(b"\n", b"\r") for each in (HELLO, FINISH, DONE)])),
        Fault("comments, id and retry", events(b": ping\n\n", b"id: 7\nretry: 100\n" + HELLO, FINISH, DONE)),
        Fault("text after [DONE]", events(HELLO, FINISH, DONE, WORLD)),
        Fault("no [DONE] and no finish_reason", events(HELLO, WORLD)),
        Fault("usage of zeros beside a text", events(HELLO, FINISH, COUNT.replace(b"2", b"0"), DONE)),
        Fault("a whole answer where a stream was asked for", [READ, whole(BODY), HANG]),
        Fault("a stream where a whole answer was asked for", events(ANSWER), whole=True),
    ),
}


def said(row: dict[str, Any]) -> tuple[str, ...]:
    """Return what the page shows of a row: outcome, kind, status, text, error, flags."""
    # Whether two chunks come in one read is chance.
    flags = " ".join(flag for flag in (row["flags"] or "").split() if not flag.startswith("censored"))
    told = [row["error_kind"] or "", row["status_code"] or "", row["output_text"] or "", row["error"] or "", flags]
    shown = [str(each).replace("|", "\\|").replace("\0", "\\0").replace("\n", " ") for each in told]
    return ("succeeded" if row["success"] else "failed", *shown)


def row_of(fault: Fault, tls: tuple[ssl.SSLContext, Path] | None = None) -> tuple[str, ...]:
    """Let a server do it to one request, and return what its row says."""
    given = {"ca_file": str(tls[1])} if tls else {}
    with tempfile.TemporaryDirectory() as folder, scripted(fault.script, tls=tls[0] if tls else None) as server:
        (row,) = rows_of(server.url, Path(folder), read_timeout=READ_TIMEOUT, **given, **fault.given)
    return said(row)


HEAD = """# Faults

What a row says when a server does something wrong, or something odd that is right. Each line was measured: the tests
play every script to a client, plain and with TLS, and hold its row against this page (`python -m tests.faults` writes
it).

A failed request has its `error_kind` and the server's words in `error`; what came of its text is kept. It counts
among the failures, and in no latency or rate ([definitions](definitions.md)). `read_timeout`, here 1 s, is the
longest time without a byte. A server that cannot be reached at all ends the run before its load.
"""
HEADS = "| the server | outcome | error_kind | status | text | error | flags |"
_RULE = re.sub(r"[^|]+", " --- ", HEADS)


def page() -> str:
    """Return the page, measured anew."""
    parts = [HEAD]
    for title, faults in FAULTS.items():
        lines = [f"## {title}", "", HEADS, _RULE]
        lines += [f"| {' | '.join((fault.does, *row_of(fault)))} |" for fault in faults]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
