"""Takes one answer apart: messages, kinds, arrivals, and whether it is whole."""

import json
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from operator import itemgetter, sub

import orjson

from perfkit import chunks
from perfkit.apis import answers
from perfkit.engine.casts import Alike, NotFramed, Other, framed_stretches, stretches
from perfkit.plugins import BoundApi
from perfkit.records import TOKEN_KINDS, Answer, Json, Kind
from perfkit.sse import events
from perfkit.store.writer import Row
from perfkit.transport.clock import TIMESPEC, RunClock, kernel_stamps
from perfkit.transport.exchange import Exchange

ERROR_TEXT = 500
_TOKENS = frozenset(TOKEN_KINDS)
Piece = tuple[Kind, int, str, int]
"""Kind, choice, text, and index of the message that carried it."""

KERNEL_TOLERANCE = 50_000  # ns that a kernel stamp may lie outside [start, user stamp]: the offset's own error


@dataclass(slots=True)
class Tally:
    """Counts for the verdict, kept while rows are made.

    A token is censored when a later token shares its read: it came earlier than that read's stamp says.
    """

    first: int = 0
    first_censored: int = 0
    gaps: int = 0
    gaps_censored: int = 0
    unconnected: int = 0

    @property
    def tokens(self) -> int:
        """Chunks that carried tokens."""
        return self.first + self.gaps


class Reading:
    """One answer being taken apart: its messages, what they carry, when each arrived, and what is wrong with it.

    Parameters
    ----------
    api : BoundApi
        Reads the messages.
    exchange : Exchange
        What the transport handed over.
    """

    def __init__(self, api: BoundApi, exchange: Exchange) -> None:
        self.api, self.exchange = api, exchange
        self.answer = Answer()
        self.messages: list[str] = []
        self.arrivals: list[int] = []  # per message: its index among the reads
        self.done_read: int | None = None
        self.flags: list[str] = []
        self.error: tuple[str, str] | None = (
            (exchange.error_kind, exchange.error or "") if exchange.error_kind is not None else None
        )
        self.stream = False
        self._reads: list[int] = []  # of the token-bearing messages
        self.stamps, self.source, self.lags = _stamps(exchange)

    def read(self) -> None:
        """Read every message, and say what is wrong with the answer as a whole."""
        exchange = self.exchange
        if self._is_framed_stream() and self._read_framed():
            self.stream = True
            self._check()
            return
        exchange.unframe()
        if exchange.status is not None and exchange.status != 200 and self.error is None:
            self.error = "http_status", _status_sentence(exchange)
            self.messages = [bytes(exchange.body).decode("utf-8", "replace")] if exchange.body else []
            self.arrivals = [len(self.stamps) - 1] * len(self.messages)
            return
        self.stream = _is_stream(exchange)
        if exchange.messages is not None:
            self._read_handed_over(exchange.messages)
        elif self.stream:
            known = self.api.read_message is answers.read_message
            self._read_stretches(stretches(bytes(exchange.body)) if known else [Other(bytes(exchange.body), 0)])
        elif exchange.body:
            self._read_body(bytes(exchange.body))
        self._check()

    def _check(self) -> None:
        """Note what a server says of its own failure, and a stream that nothing could be made of."""
        if self.answer.error is not None and self.error is None:
            self.error = "error_event", self.answer.error[:ERROR_TEXT]
        if self.stream and not self.answer.pieces and self.messages and self.error is None:
            # A dialect that the plugin does not read: every message counts as text, and no end is expected.
            self.flags.append("unread_messages")
            self.answer.pieces = [(Kind.CONTENT, 0, "", index) for index in range(len(self.messages))]
            self.answer.done = True

    def _is_framed_stream(self) -> bool:
        """Tell whether the answer is likely to be a stream whose events are HTTP chunks, one each."""
        exchange = self.exchange
        return (
            bool(exchange.wire)
            and exchange.status == 200
            and exchange.content_type == "text/event-stream"
            and self.api.read_message is answers.read_message
        )

    def _read_framed(self) -> bool:
        """Read an answer without taking its framing off; tell whether that could be done."""
        exchange, wire = self.exchange, bytes(self.exchange.wire)
        try:
            found = framed_stretches(wire)
        except NotFramed:
            return False
        exchange.begin = wire.find(b"\r\n", wire.find(b"\r\n\r\n") + 4) + 2
        exchange.received = sum(stretch.size for stretch in found)
        self._read_stretches(found)
        return True

    def _read_stretches(self, found: Iterable[Alike | Other]) -> None:
        for stretch in found:
            if isinstance(stretch, Alike):
                self._take_alike(stretch)
            else:
                self._read_each(stretch)

    def _take_alike(self, stretch: Alike) -> None:
        first, size = len(self.messages), len(stretch.texts)
        kinds, choices = repeat(stretch.kind), repeat(stretch.choice)
        self.answer.pieces += zip(kinds, choices, stretch.texts, range(first, first + size), strict=False)
        self.messages += stretch.payloads
        last, reads = len(self.exchange.ends) - 1, map(bisect_left, repeat(self.exchange.ends), stretch.ends)
        self.arrivals += [read if read < last else last for read in reads]

    def _read_each(self, stretch: Other) -> None:
        answer, messages, ends = self.answer, self.messages, self.exchange.ends
        for payload, end, name in events(stretch.body):
            read = min(bisect_left(ends, stretch.at + end), len(ends) - 1)
            if payload == b"[DONE]":
                answer.done, self.done_read = True, read
                continue
            answer.message = len(messages)
            messages.append(payload.decode("utf-8", "replace"))
            self.arrivals.append(read)
            message = _decoded(payload)
            if isinstance(message, dict):
                self.api.read_message(message, answer, name.decode("latin-1") if name else "")
            else:
                self.flags.append("bad_event")

    def _read_handed_over(self, messages: list[str]) -> None:
        """Read what a plugin's own ``process_request`` gave: it has taken the stream apart, and seen its end."""
        exchange, answer = self.exchange, self.answer
        last = len(self.stamps) - 1
        for index, text in enumerate(messages):
            answer.message = index
            self.messages.append(text)
            self.arrivals.append(min(index, last))
            message = _decoded(text)
            if isinstance(message, dict):
                self.api.read_message(message, answer, "")
        answer.done = True
        if exchange.counts is not None:
            answer.prompt_tokens, answer.completion_tokens = exchange.counts
            answer.token_source = "plugin"

    def _read_body(self, body: bytes) -> None:
        self.messages.append(body.decode("utf-8", "replace"))
        self.arrivals.append(len(self.stamps) - 1)
        message = _decoded(body)
        if isinstance(message, dict):
            self.api.read_message(message, self.answer, "")
            self.answer.done = True
        elif self.error is None:
            kind = self.exchange.content_type or "no content type"
            self.error = "protocol", f"a 200 answer that is no JSON object ({kind}): {self.messages[0][:100]!r}"

    def judge(self) -> None:
        """Say whether a complete answer is a success: it must carry something, and be finished."""
        answer = self.answer
        tokens = (answer.completion_tokens or 0) + (answer.prompt_tokens or 0)
        carries = tokens > 0 or any(kind in TOKEN_KINDS for kind, *_ in answer.pieces)
        if not carries:
            self.error = "empty", "the answer is complete but carries no text, no tool call and no usage"
        elif self.stream and not answer.done and answer.finish_reason is None:
            self.error = "incomplete", "the stream ended without [DONE] and without a finish reason"

    def columns(self, clock: RunClock) -> Row:
        """Return the columns of ``result`` that come from the messages."""
        exchange, answer = self.exchange, self.answer
        tokens = self._token_arrivals()
        first, last = (tokens[0], tokens[-1]) if tokens else (None, None)
        failed = self.error is not None
        ended = exchange.end or exchange.start
        count = answer.completion_tokens
        tpot = (last - first) / 1e9 / (count - 1) if first is not None and last and count and count > 1 else None
        row: Row = {
            "success": 0 if failed else 1,
            "is_stream": int(self.stream),
            "latency": None if failed else (ended - exchange.start) / 1e9,
            "first_chunk_latency": (
                None if failed or not self.stream or first is None else (first - exchange.start) / 1e9
            ),
            "time_per_output_token": None if failed or not self.stream else tpot,
            "inter_token_latencies": _gaps(tokens) if self.stream else "[]",
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": count,
            "token_source": answer.token_source,
            "cached_tokens": answer.cached_tokens,
            "reasoning_tokens": answer.reasoning_tokens,
            "finish_reason": answer.finish_reason,
            "server_request_id": answer.server_request_id,
            "output_text": answer.output_text or None,
            "stamp_source": self.source if self.stamps else None,
            "stamp_lag": max(self.lags) / 1e9 if self.lags else None,
            "chunks": self._blob(),
            "last_token_time": clock.unix(last) if self.stream else None,
            "flags": " ".join(dict.fromkeys(self.flags)) or None,
        }
        return row if self.error is None else row | failure(*self.error)

    def count_censored(self, tally: Tally) -> None:
        """Add this answer's tokens to the tally, and flag a first token that is censored."""
        reads = self._reads = self._token_reads()
        if not self.stream or not reads:
            return
        shared = [early == late for early, late in pairwise(reads)]
        tally.first += 1
        tally.gaps += len(shared)
        tally.gaps_censored += sum(shared)
        if shared and shared[0]:
            tally.first_censored += 1
            self.flags.append("censored_first")

    def _token_arrivals(self) -> list[int]:
        """Return when each token-bearing message arrived (perf_counter ns)."""
        stamps = self.stamps
        return [stamps[read] for read in self._reads]

    def _token_reads(self) -> list[int]:
        """Return the read that brought each token-bearing message, once per message."""
        bearing = dict.fromkeys([index for kind, _, _, index in self.answer.pieces if kind in _TOKENS])
        return [*map(self.arrivals.__getitem__, bearing)]

    def _blob(self) -> bytes | None:
        if not self.stamps:
            return None
        kinds: Sequence[int]
        kinds, choices, _, indexes = zip(*self._all_pieces(), strict=True) if self.messages else ((),) * 4
        reads = [*map(self.arrivals.__getitem__, indexes)]
        if self.done_read is not None:
            kinds, choices, indexes = (*kinds, Kind.DONE), (*choices, 0), (*indexes, -1)
            reads.append(self.done_read)
        start, stamps, lags = self.exchange.start, self.stamps, self.lags
        return chunks.pack(
            chunks.Chunks(
                arrival=[stamps[read] - start for read in reads],
                lag=[lags[read] // 1000 for read in reads] if lags else [chunks.NO_LAG] * len(reads),
                read=reads,
                kind=kinds,
                choice=choices,
                message=indexes,
            )
        )

    def _all_pieces(self) -> list[Piece]:
        """Return the pieces in order of arrival, with an OTHER for each message that gave none."""
        pieces = self.answer.pieces
        silent = set(range(len(self.messages))).difference([piece[3] for piece in pieces])
        if not silent:
            return pieces
        return sorted([*pieces, *((Kind.OTHER, 0, "", index) for index in silent)], key=itemgetter(3))


def failure(kind: str, error: str) -> Row:
    """Return the columns of a failed row: no number of it is a measurement."""
    nothing: Row = dict.fromkeys(("latency", "first_chunk_latency", "time_per_output_token"))
    return {**nothing, "success": 0, "error_kind": kind, "error": error}


def _decoded(text: bytes | str) -> Json:
    """Return what JSON says, None for what is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(text)  # takes half a surrogate pair, which models do emit
    except (ValueError, RecursionError):
        return None


def _gaps(tokens: list[int]) -> str:
    return orjson.dumps([(later - earlier) / 1e9 for earlier, later in pairwise(tokens)]).decode()


def _stamps(exchange: Exchange) -> tuple[list[int], str, list[int]]:
    """Choose between kernel and user stamps: return stamps, source, and user minus kernel (ns) where known.

    Kernel stamps count only if each lies between the start and its user stamp: a clock that was set, or a stamp
    that is missing, makes the whole row fall back.
    """
    user, start, timespecs = exchange.stamps, exchange.start, exchange.kernel
    fallback: tuple[list[int], str, list[int]] = user, "plugin" if exchange.by_plugin else "user", []
    if not user or len(timespecs) != len(user) * TIMESPEC:
        return fallback
    kernel = kernel_stamps(timespecs, exchange.kernel_offset)
    if min(kernel) < start - KERNEL_TOLERANCE:
        return fallback
    lags = list(map(sub, user, kernel))
    if min(lags) < -KERNEL_TOLERANCE:
        return fallback
    if min(lags) < 0 or min(kernel) < start:  # within the offset's own error
        kernel = [max(start, min(pair)) for pair in zip(kernel, user, strict=True)]
        lags = list(map(sub, user, kernel))
    return kernel, "kernel", lags


def _is_stream(exchange: Exchange) -> bool:
    if exchange.messages is not None:
        return len(exchange.messages) > 1
    if exchange.content_type == "text/event-stream":
        return True
    return exchange.content_type != "application/json" and bytes(exchange.body[:6]).lstrip().startswith(b"data:")


def _status_sentence(exchange: Exchange) -> str:
    location = next((v.decode("latin-1") for k, v in exchange.response_headers if k.lower() == b"location"), "")
    if location and exchange.status is not None and 300 <= exchange.status < 400:
        return f"HTTP {exchange.status}: redirected to {location}; give that URL (redirects are not followed)"
    text = bytes(exchange.body).decode("utf-8", "replace")
    try:
        told = orjson.loads(exchange.body)
        problem = told.get("error", told.get("message", told)) if isinstance(told, dict) else told
        text = problem if isinstance(problem, str) else str((problem or {}).get("message", problem))
    except (orjson.JSONDecodeError, AttributeError):
        pass  # not JSON, or not shaped like an error: the text as it is
    return f"HTTP {exchange.status}: {text[:ERROR_TEXT]}".rstrip(": ")
