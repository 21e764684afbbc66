"""One request being answered: its tokens become bytes when they are due."""

from time import monotonic_ns
from typing import Protocol

from perfkit.simulator.connection import Connection, Request
from perfkit.simulator.dialects import Ask, Dialect, Script
from perfkit.simulator.faults import Fault, Outcome
from perfkit.simulator.lateness import Lateness
from perfkit.simulator.options import Simulation
from perfkit.simulator.replies import reply, stream_head
from perfkit.simulator.truth import RequestTruth, TruthLog
from perfkit.simulator.wire import Wire


class House(Protocol):
    """What an exchange asks of the server it belongs to."""

    simulation: Simulation
    late: Lateness
    truth: TruthLog

    def ended(self, exchange: "Exchange") -> None:
        """Note that an exchange has ended."""


class Exchange:
    """The state of one answer.

    Parameters
    ----------
    house : House
    connection : Connection
    request : Request
    dialect : Dialect
    ask : Ask
    fault : Fault
        What is to go wrong.
    """

    def __init__(
        self, house: House, connection: Connection, request: Request, dialect: Dialect, ask: Ask, fault: Fault
    ) -> None:
        self._house = house
        self.connection = connection
        self.request = request
        self.ask = ask
        self._fault = fault
        self._script: Script = dialect.script(ask)
        self._wire = Wire(house.simulation, fault)
        self._stop = int(ask.output_tokens * fault.share)
        self._head = b""
        self._opened = self.over = False
        self._generated = self._sent = self._max_late = 0
        self._blocked_before = connection.blocked
        self.truth = RequestTruth(
            req=ask.number,
            conn=connection.number,
            conn_req=connection.requests,
            path=dialect.name,
            stream=int(ask.stream),
            body_bytes=len(request.body),
            accept_ns=connection.accepted,
            recv_start_ns=request.recv_start,
            recv_done_ns=request.recv_done,
        )
        """The line for the request log."""

    def begin(self, open_streams: int) -> bool:
        """Send what is sent at once; return True if tokens are to come."""
        self.truth.open_streams = open_streams
        if self._fault.reply is not None:
            self._write(self._fault.reply)
            self._end()
        elif self._fault.share == 0:
            self._end()
        elif self.ask.stream:
            keep_alive = self.request.keep_alive and self._fault.chunked
            self._head = stream_head(self.ask.number, close=not keep_alive, chunked=self._fault.chunked)
            if self._house.simulation.early_headers:
                self._write(self._take_head())
        return not self.over and self._fault.share > 0

    def open(self) -> None:
        """Send the events that come before the first token, once."""
        if self._opened or self.over:
            return
        self._opened = True
        opening = self._script.opening()
        if opening:
            self._write(self._take_head() + self._wire.frame(opening))

    def token(self, due: int) -> None:
        """Take the next token, due now."""
        self._generated += 1
        if not self.ask.stream:
            if self._generated == self.ask.output_tokens:
                self._send_whole(due)
        elif self._generated > self._sent:
            self._send_tokens(due)

    def client_left(self) -> None:
        """The connection is gone."""
        self._finish("stall" if self._fault.end == "stall" else "client_closed", 0)

    def _send_tokens(self, due: int) -> None:
        self.open()
        simulation = self._house.simulation
        per_event = simulation.tokens_per_event
        first, until = self._sent, min(self._sent + per_event * simulation.events_per_write, self._stop)
        if first < until:
            starts = range(first, until, per_event)
            events: list[bytes] = []
            for at in starts:
                events += self._script.token(at, min(per_event, until - at))
            data = self._take_head() + self._wire.frame(events)
            now = monotonic_ns()
            self._write(data)
            self._sent = until
            self.truth.events += len(starts)
            self._note(now, due)
            if self._house.truth.keeps_chunks:
                for at in starts:
                    self._house.truth.chunk(self.ask.number, at, due, now)
        if until >= self._stop and not self.over:
            self._end()

    def _send_whole(self, due: int) -> None:
        if not self._fault.completes:
            self._end()
            return
        headers = {"x-request-id": str(self.ask.number)}
        data = reply(200, self._script.whole(), headers=headers, close=not self.request.keep_alive)
        now = self.truth.headers_ns = monotonic_ns()
        self._write(data)
        self._sent = self._generated
        self._note(now, due)
        self._end()

    def _note(self, now: int, due: int) -> None:
        truth, late = self.truth, now - due
        truth.first_ns = truth.first_ns or now
        truth.last_ns = now
        if late > self._max_late:
            self._max_late = late
        self._house.late.note(late)

    def _end(self) -> None:
        """End as the fault has it; without one, with the closing events."""
        fault = self._fault
        if fault.end == "stall":
            return
        if self.ask.stream and (self._head or self.truth.headers_ns):
            self._send_closing()
        self._finish(fault.outcome, fault.status if fault.reply is not None or self.truth.headers_ns else 0)
        if fault.end == "reset":
            self.connection.reset()
        self.connection.answered(keep_alive=self.request.keep_alive and not fault.closes)

    def _send_closing(self) -> None:
        fault = self._fault
        closing = [fault.insert] if fault.insert else []
        if fault.completes:
            closing += self._script.closing()
        data = self._take_head() + self._wire.frame(closing)
        data += self._wire.end(complete=fault.completes or fault.end == "cut")
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
        self._house.ended(self)

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
