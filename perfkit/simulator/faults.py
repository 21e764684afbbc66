"""What a server can do wrong, on demand: ``"x_fault": NAME`` in a request's body, or an ``x-fault: NAME`` header."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from perfkit.errors import nearest
from perfkit.simulator.options import Simulation
from perfkit.simulator.replies import error, reply

End = Literal["finish", "hang_up", "cut", "close", "reset", "stall"]
"""How an answer ends: as it should; so, but with the connection closed; as a complete HTTP message that lacks its
last events; connection closed; connection reset; never."""

Outcome = Literal["ok", "fail", "drop", "stall", "client_closed"]
_OUTCOMES: dict[End, Outcome] = {
    "finish": "ok",
    "hang_up": "ok",
    "cut": "drop",
    "close": "drop",
    "reset": "drop",
    "stall": "stall",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Parameters
    ----------
    sentence : str
        What the client sees.
    reply : bytes, optional
        Sent at once instead of the answer; then ``end`` decides about the connection.
    status : int
        Of the reply, for the log.
    share : float
        Part of the tokens that is sent before the end.
    end : End
    prelude, insert : bytes
        Raw bytes of the event stream, sent at its beginning and right before its end.
    rewrite : callable, optional
        Every event passes through it.
    keep_back : callable, optional
        How many bytes at the end of a write wait for the next one.
    chunked : bool
        False: the stream has neither chunks nor length and ends with the connection.
    """

    sentence: str
    reply: bytes | None = None
    status: int = 200
    share: float = 1.0
    end: End = "finish"
    prelude: bytes = b""
    insert: bytes = b""
    rewrite: Callable[[bytes], bytes] | None = None
    keep_back: Callable[[bytes], int] | None = None
    chunked: bool = True

    @property
    def outcome(self) -> Outcome:
        """What the truth log calls it."""
        return "fail" if self.reply is not None else _OUTCOMES[self.end]

    @property
    def completes(self) -> bool:
        """True if the answer ends with its closing events."""
        return self.end in ("finish", "hang_up")

    @property
    def closes(self) -> bool:
        """True if the connection does not survive the answer."""
        return self.end not in ("finish", "cut") or not self.chunked


NONE = Fault("nothing goes wrong")


def _status(status: int, sentence: str, headers: dict[str, str] | None = None) -> Fault:
    return Fault(sentence, reply=reply(status, error(status, "injected failure"), headers=headers), status=status)


def _whole(sentence: str, body: bytes, content_type: str = "text/event-stream") -> Fault:
    return Fault(sentence, reply=reply(200, body, content_type=content_type))


_TOKENS = re.compile(rb'(_tokens":)(\d+)')
_ERROR = error(500, "injected failure")
_MEGABYTES = 4


def _pad_last(event: bytes) -> bytes:
    if b'"finish_reason":"' not in event:
        return event
    return event.replace(b"{", b'{"padding":"%b",' % (b"x" * (_MEGABYTES << 20)), 1)


def _middle_of_character(data: bytes) -> int:
    """How many bytes follow the first byte of the last character outside ASCII; the first goes, the rest waits."""
    leads = [at for at, byte in enumerate(data) if byte >= 0xC0]
    return len(data) - leads[-1] - 1 if leads else 0


FAULTS: dict[str, Fault] = {
    # Answers of another status.
    "http_400": _status(400, "400 with a JSON error"),
    "http_401": _status(401, "401 with a JSON error", {"www-authenticate": "Bearer"}),
    "http_404": _status(404, "404 with a JSON error"),
    "http_429": _status(429, "429 that asks to come back in 2 s", {"retry-after": "2"}),
    "http_500": _status(500, "500 with a JSON error"),
    "http_503": _status(503, "503 that asks to come back in 1 s", {"retry-after": "1"}),
    "redirect": _status(307, "a redirect to another origin", {"location": "http://127.0.0.2:9/v1/chat/completions"}),
    # Answers that are none.
    "error_json": _whole("an error object with status 200", _ERROR, "application/json"),
    "not_json": _whole("status 200 and JSON promised, but it is none", b"upstream said {", "application/json"),
    "html": _whole("a page of HTML with status 200", b"<html><body>Bad gateway</body></html>", "text/html"),
    "empty_body": _whole("status 200 and no body", b"", "application/json"),
    "empty_stream": _whole("a stream without events", b""),
    "only_done": _whole("a stream of nothing but [DONE]", b"data: [DONE]\n\n"),
    "not_http": Fault("bytes that are not HTTP", reply=b"SSH-2.0-OpenSSH_9.6\r\n\r\n", end="close"),
    "short_body": Fault(
        "the connection is closed before the promised length", reply=reply(200, b'{"id":', length=999), end="close"
    ),
    # Connections.
    "stall": Fault("nothing is ever answered", share=0.0, end="stall"),
    "stall_midway": Fault("half of the tokens, then silence", share=0.5, end="stall"),
    "close": Fault("the connection is closed without an answer", share=0.0, end="close"),
    "close_midway": Fault("half of the tokens, then the connection is closed", share=0.5, end="close"),
    "reset": Fault("the connection is reset without an answer", share=0.0, end="reset"),
    "reset_midway": Fault("half of the tokens, then the connection is reset", share=0.5, end="reset"),
    "hang_up": Fault("a good answer, then the connection is closed without having said so", end="hang_up"),
    "eof_framed": Fault("a good stream without chunks or length, ended by the connection", chunked=False),
    # Streams that break off.
    "truncate": Fault("a complete HTTP message of half of the tokens: no finish, no [DONE]", share=0.5, end="cut"),
    "cut_json": Fault("half of the tokens, then half an event", share=0.5, insert=b'data: {"id":"chatc', end="cut"),
    "error_event": Fault(
        "half of the tokens, then an error object", share=0.5, insert=b"data: %b\n\n" % _ERROR, end="cut"
    ),
    "named_error": Fault(
        "half of the tokens, then an event called error",
        share=0.5,
        insert=b"event: error\ndata: %b\n\n" % _ERROR,
        end="cut",
    ),
    # Streams that are good, but strangely written.
    "bad_event": Fault("a good stream with one event that is no JSON", insert=b'data: {"id":"chatc\n\n'),
    "huge_event": Fault("the finish event has 4 MiB", rewrite=_pad_last),
    "bom": Fault("the stream begins with a byte order mark", prelude=b"\xef\xbb\xbf"),
    "cr": Fault("lines end in CR", rewrite=lambda event: event.replace(b"\n", b"\r")),
    "no_space": Fault("data: is not followed by a space", rewrite=lambda event: event.replace(b"data: ", b"data:")),
    "comments": Fault("a comment before each event", rewrite=lambda event: b": keep-alive\n\n" + event),
    "multi_data": Fault(
        "each event's data is on two lines", rewrite=lambda event: event.replace(b',"', b',\ndata: "', 1)
    ),
    "split_utf8": Fault(
        "each write ends within its last character outside ASCII (use text=chinese)", keep_back=_middle_of_character
    ),
    "split_events": Fault("each write ends in the middle of an event", keep_back=lambda data: min(len(data) // 2, 100)),
    "at_once": Fault("headers in time, then all events in one write at the end", keep_back=len),
    "no_done": Fault("no [DONE]", rewrite=lambda event: b"" if event == b"data: [DONE]\n\n" else event),
    "no_usage": Fault("no event with usage", rewrite=lambda event: b"" if b'"usage":{' in event else event),
    "usage_text": Fault("counts in usage are strings", rewrite=lambda event: _TOKENS.sub(rb'\1"\2"', event)),
    "usage_huge": Fault("counts in usage are 2**70", rewrite=lambda event: _TOKENS.sub(rb"\g<1>%d" % 2**70, event)),
}


def named(name: str) -> Fault:
    """Return the fault of that name.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> named("stall").sentence
    'nothing is ever answered'
    """
    if name not in FAULTS:
        raise ValueError(f"no fault is called {name!r}{nearest(name, FAULTS)}")
    return FAULTS[name]


def periodic(number: int, simulation: Simulation) -> Fault:
    """Return the fault that the options plan for a request, counted from 1.

    Examples
    --------
    >>> periodic(6, Simulation(stall_every=3)) is FAULTS["stall"]
    True
    """

    def turn(every: int) -> bool:
        return every > 0 and number % every == 0

    if turn(simulation.fail_every):
        return _status(simulation.fail_status, "each n-th request fails")
    if turn(simulation.drop_every):
        return FAULTS["close_midway"]
    if turn(simulation.reset_every):
        return FAULTS["reset_midway"]
    return FAULTS["stall"] if turn(simulation.stall_every) else NONE
