"""Answers over HTTP/1.1: the transport ends each where it ends, however it came, and takes none that is ambiguous."""

import asyncio
import contextlib
import re
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import h11
from hypothesis import strategies as st

from fuzz.claims import CUTS, Claim, changed, changes, main, pieces_of
from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.transport.connection import Connection
from perfkit.loadgen.transport.readiness import EpollReadiness
from tests.scripted import chunk

REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nX-Next: 1\r\n\r\nsecond"

STATUS = [b"HTTP/1.1 200 OK"] * 6 + [
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 ",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 206 Partial Content",
    b"HTTP/1.1 429 Too Many Requests",
    b"HTTP/1.1 500 Oh",
    b"HTTP/1.1 99 Low",
    b"HTTP/1.1 1000 High",
    b"HTTP/1.1 101 Switching Protocols",
    b"HTTP/2 200 OK",
    b"HTTP/1.1  200 OK",
    b"http/1.1 200 OK",
    b"ICY 200 OK",
    b"\r\nHTTP/1.1 200 OK",
]
INTERIM = [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\nContent-Length: 3\r\n\r\n"]
FIELDS = [
    b"Content-Type: application/json",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Upgrade\r\nUpgrade: h2c",
    b"X-Empty:",
    b"X-Folded: a\r\n b",
    b"X Space: 1",
    b"X-Space : 1",
    b": none",
    b"X-Nul: a\0b",
    b"X-Text: \xe9\xff",
    b"X-Cr: a\rb",
    b"X-Lf: a\nX-Second: b",
    b"no colon",
]
LENGTHS = [b"Content-Length: %d", b"content-length:%d", b"Content-Length: 0%d", b"Content-Length: %d "]
ODD_LENGTHS = [
    b"Content-Length: +%d",
    b"Content-Length: -%d",
    b"Content-Length: %d, %d",
    b"Content-Length: %d\r\nContent-Length: %d",
    b"Content-Length: %d\r\nContent-Length: 1",
    b"Content-Length: 0x%d",
    b"Content-Length: %d0",
    b"Content-Length: 1",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length:",
    b"Content-Length: %d\r\nTransfer-Encoding: chunked",
]
CODINGS = [b"Transfer-Encoding: chunked"] * 4 + [
    b"transfer-encoding:\tchunked",
    b"Transfer-Encoding: Chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: chunked, gzip",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
    b"Transfer-Encoding : chunked",
]
EXTENSIONS = [b""] * 5 + [b";a=b", b';a="q;\\"x"', b" ", b";", b";\r", b"\t", b";a=\x00"]
LASTS = [b"0\r\n\r\n"] * 5 + [
    b"000\r\n\r\n",
    b"0;a=b\r\n\r\n",
    b"0\r\nX-Trailer: 1\r\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\n\n",
    b"0\r\n",
    b"",
    b"-0\r\n\r\n",
    b"ffffffffffffffffff\r\n",
]
AFTER = [b""] * 5 + [b"\r\n", b"more", NEXT, b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"]
MARKS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b" ",
    b";",
    b"0",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
]


def message(
    interim: Sequence[bytes], start: bytes, fields: Sequence[bytes], body: Sequence[bytes], framing: tuple[int, bytes]
) -> bytes:
    """Return an answer: how its body is framed is the number of a kind, and what stands for it."""
    kind, told = framing
    data = b"".join(body)
    if kind == 0:
        told = told.replace(b"%d", b"%d" % len(data))
    elif kind == 1:
        data = b"".join(chunk(piece, told) for piece in body if piece)
        told = b"Transfer-Encoding: chunked"
    return b"\r\n".join([b"".join(interim) + start, *fields, *([told] if kind < 3 else []), b"", b""]) + data


FRAMINGS = (
    st.tuples(st.just(0), st.sampled_from(LENGTHS * 3 + ODD_LENGTHS))
    | st.tuples(st.just(1), st.sampled_from(EXTENSIONS))
    | st.tuples(st.just(2), st.sampled_from(CODINGS))
    | st.just((3, b""))
)
BODY = st.lists(st.sampled_from([b"hello", b"\r\n", b"0\r\n\r\n", b"x" * 300, b"{}", b"5\r\nab"]), max_size=4)
MESSAGES = st.builds(
    message,
    st.lists(st.sampled_from(INTERIM), max_size=2),
    st.sampled_from(STATUS),
    st.lists(st.sampled_from(FIELDS), max_size=3),
    BODY,
    FRAMINGS,
)
WIRES = st.builds(
    lambda head, last, after, made: changed(head + last + after, made),
    MESSAGES,
    st.sampled_from(LASTS),
    st.sampled_from(AFTER),
    st.just([]) | changes(MARKS),
)


@dataclass(frozen=True)
class Outcome:
    """What became of an answer: why it failed, if it did, its status and its body."""

    error: str | None
    status: int | None
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Client:
    """Answers on real sockets, on a loop that turns only as far as there is something to read."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.sockets = EpollReadiness(self.loop)
        self.raised: list[object] = []
        self.loop.set_exception_handler(lambda _, told: self.raised.append(told))

    def answers(self, wire: Iterable[bytes], *others: bytes) -> list[Outcome]:
        """Return what becomes of an answer in pieces, and of others on the same connection as long as it is open."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            connection = Connection(self.loop, self.sockets, ours, 1)
            found = [self._answer(connection, theirs, wire, ends=not others)]
            for other in others:
                if connection.alive and connection.still_open() and not connection.draining:
                    found.append(self._answer(connection, theirs, [other], ends=False))
            connection.close()
        raised, self.raised = self.raised, []
        assert not raised, raised
        return found

    def _answer(self, connection: Connection, theirs: socket.socket, wire: Iterable[bytes], *, ends: bool) -> Outcome:
        exchange = Exchange()
        waiting = connection.exchange(REQUEST, exchange)
        for piece in wire:
            with contextlib.suppress(OSError):  # it has hung up already
                theirs.sendall(piece)
            self._turn()
        if ends or not waiting.done():
            theirs.close()
            self._turn()
        assert waiting.done()
        assert exchange.end is not None
        status, headers = exchange.status, tuple(exchange.response_headers)
        exchange.unframe()
        if exchange.error_kind is not None:
            return Outcome(exchange.error_kind, status)
        return Outcome(None, status, bytes(exchange.body), headers)

    def _turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()


_EMPTY_LINES = re.compile(rb"(HTTP/1\.1 1\d\d[^\n]*\n(?:[^\r\n]+\r\n)*\r\n)[\r\n]+")
"""What stands between an interim answer and the next."""
_INTERIM_WORDS = re.compile(rb"(HTTP/1\.[01] 1\d\d )[^\r\n]+")
_WORDS = re.compile(rb"\A((?:HTTP/1\.1 1\d\d[^\n]*\n(?:[^\r\n]+\r\n)*\r\n)*HTTP/1\.[01] \d{3} )[^\r\n]+")
CLIENT = Client()
UNABLE = 501  # a transfer coding besides chunked


@dataclass(frozen=True)
class Second:
    """What h11, which follows RFC 9112 closely, makes of an answer."""

    status: int | None = None
    body: bytes = b""
    reusable: bool = False
    """The connection can carry another answer, and nothing has come of one."""
    refused: str | None = None
    unable: bool = False
    """It may be right, and is more than h11 can read."""


def second_opinion(wire: bytes) -> Second:
    """Return what a parser by other people makes of an answer after which the server closes.

    Empty lines between messages are nobody's, as for most parsers, and nobody reads the words behind a status.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**20)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "h"), ("Content-Length", "2")]))
    connection.send(h11.Data(data=b"{}"))
    connection.send(h11.EndOfMessage())
    status, body, closed, lasts = None, bytearray(), False, False
    head = _INTERIM_WORDS.sub(rb"\1", _EMPTY_LINES.sub(rb"\1", wire.lstrip(b"\r\n")))
    connection.receive_data(_WORDS.sub(rb"\1", head))
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if closed:
                    return Second(refused="it does not end")
                connection.receive_data(b"")
                closed = True
            elif event is h11.PAUSED:
                return Second(refused="another protocol")
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = dict(event.headers)
                lasts = event.http_version == b"1.0" and headers.get(b"connection", b"").lower() == b"keep-alive"
                lasts = lasts and b"transfer-encoding" not in headers
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                rest, _ = connection.trailing_data
                state = connection.their_state  # which of HTTP/1.0 never is that it goes on
                reusable = state is h11.DONE or (lasts and state is h11.MUST_CLOSE)
                return Second(status, bytes(body), reusable and not rest.strip(b"\r\n"))
            elif isinstance(event, h11.ConnectionClosed):
                return Second(refused="closed before its answer")
    except h11.RemoteProtocolError as error:
        return Second(refused=str(error), unable=error.error_status_hint == UNABLE)


def the_outcome_is_the_same_however_the_answer_was_cut(given: tuple[bytes, list[int]]) -> None:
    wire, cuts = given
    whole = CLIENT.answers([wire] if wire else [])
    assert CLIENT.answers(pieces_of(wire, cuts)) == whole
    assert CLIENT.answers(pieces_of(wire, range(0, len(wire), 41))) == whole


def no_answer_is_taken_that_another_parser_refuses_or_reads_otherwise(wire: bytes) -> None:
    (ours,) = CLIENT.answers([wire] if wire else [])
    theirs = second_opinion(wire)
    if ours.error is None and not theirs.unable:
        assert theirs.refused is None
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


def a_connection_that_stays_open_has_nothing_of_another_answer_in_it(given: tuple[bytes, list[int]]) -> None:
    wire, cuts = given
    found = CLIENT.answers(pieces_of(wire, cuts), NEXT)
    if len(found) > 1:
        theirs = second_opinion(wire)
        assert theirs.reusable or theirs.unable
        assert (found[1].error, found[1].body) == (None, b"second")


ANY = st.tuples(WIRES | st.binary(max_size=60), CUTS)
CLAIMS = (
    Claim(the_outcome_is_the_same_however_the_answer_was_cut, ANY),
    Claim(no_answer_is_taken_that_another_parser_refuses_or_reads_otherwise, WIRES),
    Claim(a_connection_that_stays_open_has_nothing_of_another_answer_in_it, ANY),
)

if __name__ == "__main__":
    sys.exit(main(CLAIMS))
