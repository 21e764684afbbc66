"""One request being answered: its tokens become bytes when they are due."""

from time import monotonic_ns
from typing import TYPE_CHECKING

import orjson

from perfkit.simulator.connection import LAST_CHUNK, Connection, Request, error_body, reply, stream_head
from perfkit.simulator.dialects import Answer, Dialect
from perfkit.simulator.faults import Fault, Outcome
from perfkit.simulator.truth import RequestTruth

if TYPE_CHECKING:
    from perfkit.simulator.server import Server

_PING = b": ping\n\n"


class Exchange:
    """The state of one answer; ``truth`` is its line in the request log."""

    def __init__(
        self, server: "Server", connection: Connection, request: Request, dialect: Dialect, answer: Answer, fault: Fault
    ) -> None:
        self._server = server
        self._simulation = server.simulation
        self.connection = connection
        self.request = request
        self.answer = answer
        self._fault = fault
        self._whole = dialect.whole
        # The opening events and the templates of the others are made now, while nothing is due.
        self._events = dialect.stream(answer) if dialect.stream and answer.stream else iter(())
        self._opening = next(self._events, [])
        self._framed_plainly = not (fault.omit or server.simulation.crlf or server.simulation.ping_every)
        self._framed = 0
        self._head = b""
        self.over = False
        self._generated = self._sent = self._max_late = 0
        self._blocked_before = connection.blocked
        self.truth = RequestTruth(
            req=answer.number,
            conn=connection.number,
            conn_req=connection.requests,
            path=dialect.name,
            stream=int(answer.stream),
            body_bytes=len(request.body),
            accept_ns=connection.accepted,
            recv_start_ns=request.recv_start,
            recv_done_ns=request.recv_done,
        )

    def begin(self, open_streams: int) -> bool:
        """Send what is sent at once; return True if tokens are to come."""
        self.truth.open_streams = open_streams
        status = self._fault.status
        if status != 200:
            headers = {"retry-after": self._fault.retry_after} if self._fault.retry_after else {}
            self._write(reply(status, error_body(status, "injected failure"), headers=headers))
            self._end()
        elif self._fault.share == 0:
            self._end()
        elif self.answer.stream:
            self._head = stream_head(self.answer.number, close=not self.request.keep_alive)
            if self._simulation.early_headers:
                self._write(self._take_head())
        return not self.over and self._fault.share > 0

    def open(self) -> None:
        """Send the events that come before the first token, once."""
        opening, self._opening = self._opening, []
        if opening and not self.over:
            self._write(self._take_head() + self._frame(opening))

    def token(self, due: int, began: int | None) -> None:
        """Take the next token, due now, of a request that the engine began with then."""
        self._generated += 1
        self.answer.times.token(self.request.recv_done, began, due)
        if self._generated == 1:
            self._server.published.first_token(self.answer)
        if not self.answer.stream:
            if self._generated == self.answer.output_tokens:
                self._send_whole(due)
        elif self._generated > self._sent:
            self._send_tokens(due)

    @property
    def generated(self) -> int:
        """Tokens made so far, sent or not."""
        return self._generated

    def client_left(self) -> None:
        """End, as the connection is gone."""
        self._finish("stall" if self._fault.end == "stall" else "client_closed", 0)

    def _send_tokens(self, due: int) -> None:
        self.open()
        simulation, stop = self._simulation, self.answer.sent_tokens
        per_event = simulation.tokens_per_event
        first, until = self._sent, min(self._sent + per_event * simulation.events_per_write, stop)
        if first < until:
            starts = range(first, until, per_event)
            events: list[bytes] = []
            for _ in starts:
                events += next(self._events)
            data = self._take_head() + self._frame(events)
            # Stamped right before the write, so that no client can have seen the event earlier.
            now = monotonic_ns()
            self._write(data)
            self._sent = until
            self.truth.events += len(starts)
            self._note(now, due)
            if self._server.truth.keeps_chunks:
                for at in starts:
                    self._server.truth.chunk(self.answer.number, at, due, now)
        if until >= stop and not self.over:
            self._end()

    def _send_whole(self, due: int) -> None:
        if self._fault.end != "finish":
            self._end()
            return
        headers = {"x-request-id": str(self.answer.number)}
        body = orjson.dumps(self._whole(self.answer))
        data = reply(200, body, headers=headers, close=not self.request.keep_alive)
        now = self.truth.headers_ns = monotonic_ns()
        self._write(data)
        self._sent = self._generated
        self._note(now, due)
        self._end()

    def _note(self, now: int, due: int) -> None:
        truth = self.truth
        truth.first_ns = truth.first_ns or now
        truth.last_ns = now
        if now - due > self._max_late:
            self._max_late = now - due

    def _end(self) -> None:
        """End as the fault has it; without one, with the closing events."""
        fault = self._fault
        if fault.end == "stall":
            return
        if self.answer.stream and (self._head or self.truth.headers_ns):
            self._send_closing()
        self._finish(fault.outcome, fault.status if fault.status != 200 or self.truth.headers_ns else 0)
        if fault.end == "reset":
            self.connection.reset()
        self.connection.answered(keep_alive=self.request.keep_alive and fault.end in ("finish", "cut"))

    def _send_closing(self) -> None:
        fault = self._fault
        events = next(self._events) if fault.end == "finish" else [fault.insert] if fault.insert else []
        data = self._take_head() + self._frame(events) + (LAST_CHUNK if fault.end in ("finish", "cut") else b"")
        if data:
            self._write(data)

    def _finish(self, outcome: Outcome, status: int) -> None:
        if self.over:
            return
        self.over = True
        truth = self.truth
        truth.outcome, truth.status, truth.tokens, truth.end_ns = outcome, status, self._sent, monotonic_ns()
        truth.max_late_us = self._max_late / 1000
        truth.blocked = self.connection.blocked - self._blocked_before
        self._server.ended(self)

    def _frame(self, events: list[bytes]) -> bytes:
        """Return events as HTTP chunks, one each, with what options and faults do to them on the way."""
        if not self._framed_plainly:
            events = [changed for event in events for changed in self._change(event)]
        return b"".join([b"%x\r\n%b\r\n" % (len(event), event) for event in events])

    def _change(self, event: bytes) -> list[bytes]:
        simulation, omit = self._simulation, self._fault.omit
        if omit and omit in event:
            return []
        self._framed += 1
        pinged = simulation.ping_every and self._framed % simulation.ping_every == 0
        events = [_PING, event] if pinged else [event]
        return [each.replace(b"\n", b"\r\n") for each in events] if simulation.crlf else events

    def _take_head(self) -> bytes:
        """Headers go out with whatever is written first."""
        if not self._head:
            return b""
        head, self._head = self._head, b""
        self.truth.headers_ns = monotonic_ns()
        return head

    def _write(self, data: bytes) -> None:
        self.truth.sent_bytes += len(data)
        self.connection.send(data)
