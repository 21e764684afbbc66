"""Takes one answer apart: messages, kinds, arrivals, and whether it is whole."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, repeat
from operator import eq, itemgetter, sub
from typing import overload

import orjson

from perfkit.apis import answers, dialect_of, json_stream
from perfkit.apis.server_timings import COLUMNS as TIMINGS
from perfkit.apis.server_timings import timings_in_headers
from perfkit.apis.sse import Event, events
from perfkit.apis.unknown_messages import own_text, payloads
from perfkit.apis.usage import settle
from perfkit.decoding.clock import TIMESPEC, RunClock, kernel_stamps
from perfkit.decoding.exchange import Exchange, Reported
from perfkit.decoding.server_words import ERROR_TEXT, decoded, status_sentence, unreadable
from perfkit.decoding.templates import NotFramed, RawEvents, TextRun, framed_text_runs, text_runs
from perfkit.plugins import BoundApi
from perfkit.records import NOT_FAILED, TOKEN_KINDS, Answer, Json, Kind, joined
from perfkit.runfile import chunks
from perfkit.runfile.writer import Row

_TOKENS = frozenset(TOKEN_KINDS)
_ANSWERS = _TOKENS - {Kind.REASONING}
_CHOICE = itemgetter(1)
_FIRST, _LAST = itemgetter(0), itemgetter(-1)
_WRITTEN = frozenset({Kind.CONTENT, Kind.REASONING})
_CONNECTION_ENDS = ("reset", "read_timeout", "total_timeout", "incomplete", *NOT_FAILED)
"""How a connection may end, or be given up: no failure of an answer that was complete before."""
Piece = tuple[Kind, int, str, int]
"""Kind, choice, text, and index of the message that carried it."""

_MOST_PARTS = 8
"""Events that one message may be cut into."""
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
    compressed: Counter[str] = field(default_factory=Counter)
    """Streams whose tokens all came in one read, by the header that says that they are compressed."""

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
        self._bearing: list[list[int]] = []  # the token-bearing messages of each choice
        self._reads: list[list[int]] = []  # that brought them
        self._carries = False
        self._cut: list[bytes] = []  # events whose JSON is not whole: the next may be its rest
        self._late: Answer | None = None  # what came after [DONE], where every client has stopped reading
        self.stamps, self.source, self.lags = _stamps(exchange)

    def read(self) -> None:
        """Read every message, and say what is wrong with the answer as a whole."""
        exchange = self.exchange
        if self._is_framed_stream() and self._read_framed():
            self.stream = True
            self._end_with_answer()
            self._check()
            return
        exchange.unframe()
        handed_over = exchange.messages is not None  # by a plugin, which has judged the status by itself
        if exchange.status is not None and exchange.status != 200 and self.error is None and not handed_over:
            self.error = "http_status", status_sentence(exchange)
            self.messages = [bytes(exchange.body).decode("utf-8", "replace")] if exchange.body else []
            self.arrivals = [len(self.stamps) - 1] * len(self.messages)
            return
        if self.error is None and exchange.error_kind is not None:  # it could not be decoded
            self.error = exchange.error_kind, exchange.error or ""
        self.stream = _is_stream(exchange)
        if exchange.messages is not None:
            self._read_handed_over(exchange.messages)
        elif self.stream:
            body = exchange.whole_body()
            self._read_text_runs(text_runs(body) if self._is_built_in else [RawEvents(body, 0)])
        elif exchange.body:
            self._read_body(exchange.whole_body())
        self._end_with_answer()
        self._check()
        if self.error is None:
            headers = exchange.headers_by_name
            self.answer.timings |= timings_in_headers(headers)
            self.api.read_headers(headers, self.answer)

    @property
    def _is_built_in(self) -> bool:
        """True if messages are read by their shapes, and not by a plugin's own method."""
        return self.api.read_message is answers.read_message

    def _end_with_answer(self) -> None:
        """Let a stream that says where it ends, end there: whatever the server does after that is not the answer."""
        if not (self.stream and self.answer.done) or self.exchange.messages is not None:
            return
        self.exchange.end = self.exchange.stamps[self.arrivals[-1] if self.done_read is None else self.done_read]
        if self.error is not None and self.error[0] in _CONNECTION_ENDS:
            self.error = None

    def _check(self) -> None:
        """Note what a server says of its own failure, and a stream that nothing could be made of."""
        self._end_cut()
        if self._late is not None:
            self._take_late(self._late)
        settle(self.answer)
        if self.answer.error is not None and self.error is None:
            self.error = "error_event", joined([self.answer.error])[:ERROR_TEXT]
        if self.error is None and self.api.generation in ("A", "llmuses"):
            self._take_unread()
        silent = self.stream and not self.answer.pieces and self.messages and self.error is None
        if silent and not self._is_built_in:
            # A dialect that the plugin does not read: every message counts as text, and no end is expected.
            self.flags.append("unread_messages")
            self.answer.pieces = [(Kind.CONTENT, 0, "", index) for index in range(len(self.messages))]
            self.answer.done = True
        # Before anything is estimated: an empty answer has no tokens that an estimate could be of.
        prompt, completion = self.answer.prompt_tokens, self.answer.completion_tokens
        counted = bool(prompt) if completion is None else completion > 0
        self._carries = counted or any(piece[0] in _TOKENS for piece in self.answer.pieces)

    def _is_framed_stream(self) -> bool:
        """Tell whether the answer is likely to be a stream whose events are HTTP chunks, one each."""
        exchange = self.exchange
        return (
            bool(exchange.wire)
            and exchange.status == 200
            and exchange.content_type == "text/event-stream"
            and not exchange.coded_by
            and self._is_built_in
        )

    def _read_framed(self) -> bool:
        """Read an answer without taking its framing off; tell whether that could be done."""
        exchange, wire = self.exchange, bytes(self.exchange.wire)
        try:
            found = framed_text_runs(wire)
        except NotFramed:
            return False
        exchange.begin = wire.find(b"\r\n", wire.find(b"\r\n\r\n") + 4) + 2
        exchange.received = sum([run.size for run in found])
        self._read_text_runs(found)
        return True

    def _read_text_runs(self, found: Iterable[TextRun | RawEvents]) -> None:
        others: list[Iterator[Event]] = []
        for run in found:
            if isinstance(run, RawEvents):
                others.append(events(run.body, run.at))
                continue
            self._read_events(chain.from_iterable(others))
            others = []
            self._take_text_run(run)
        self._read_events(chain.from_iterable(others))

    def _take_text_run(self, run: TextRun) -> None:
        self._end_cut()
        first, size, texts = len(self.messages), len(run.texts), run.texts
        kinds, choices, target = repeat(run.kind), repeat(run.choice), self._target()
        if not first:  # the first message is read as a whole: it names the answer
            target.message = 0
            self.api.read_message(orjson.loads(run.payloads[0]), target, "")
            texts = texts[1:]
        target.pieces += zip(kinds, choices, texts, range(first + size - len(texts), first + size), strict=False)
        self.messages += run.payloads
        last, reads = len(self.exchange.ends) - 1, map(bisect_left, repeat(self.exchange.ends), run.ends)
        self.arrivals += [read if read < last else last for read in reads]

    def _read_events(self, found: Iterable[Event]) -> None:
        """Read messages and note which read completed each: payload, offset of the byte after it, name of the event."""
        answer, messages, ends = self.answer, self.messages, self.exchange.ends
        last, read_message = len(ends) - 1, self.api.read_message
        for payload, end, name in found:
            if not payload or payload.isspace():
                continue  # a gateway's way to keep the connection alive
            read = bisect_left(ends, end, 0, last)
            if payload.startswith(b"data:"):  # some gateways pass an event on as the data of another
                payload = payload[5:].lstrip()
            if payload == b"[DONE]":
                answer.done, self.done_read = True, read
                continue
            told = answer if self.done_read is None else self._target()
            told.message = len(messages)
            messages.append(payload.decode("utf-8", "replace"))
            self.arrivals.append(read)
            message = decoded(payload)
            if isinstance(message, dict):
                read_message(message, told, name.decode("latin-1") if name else "")
            elif name == b"error" or _ERROR_WORDS.match(payload):
                told.error = messages[-1]
                told.chunk(Kind.ERROR)
            elif (whole := self._rest_of(payload)) is not None:
                read_message(whole, told, name.decode("latin-1") if name else "")
                continue
            else:
                self._cut.append(payload)
                continue
            if self._cut:
                self._end_cut()

    def _rest_of(self, payload: bytes) -> dict[str, Json] | None:
        """Return the message that this event ends, where a gateway cut its JSON between events; None if it does not."""
        begun = self._cut
        if not begun or not begun[0].lstrip().startswith(b"{") or len(begun) >= _MOST_PARTS:
            self._end_cut()
            return None
        whole = decoded(b"".join([*begun, payload]))
        if not isinstance(whole, dict):
            return None
        self._cut = []
        return whole

    def _end_cut(self) -> None:
        """Give up what no event has ended: it is no JSON."""
        if self._cut:
            self._cut = []
            self.flags.append("bad_event")

    def _target(self) -> Answer:
        """Return what the next message belongs to: the answer, or what came after its end."""
        if self.done_read is None:
            return self.answer
        self._late = self._late or Answer()
        return self._late

    def _take_late(self, late: Answer) -> None:
        """Take counts and errors that came after [DONE]; text there is in no client's answer."""
        answer = self.answer
        answer.told |= late.told
        answer.timings |= late.timings
        answer.error = answer.error or late.error
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"):
            setattr(answer, name, getattr(late, name) or getattr(answer, name))
        if late.output_by_choice():
            self.flags.append("text_after_done")

    def _read_handed_over(self, messages: list[str]) -> None:
        """Read what a plugin's own ``process_request`` gave: it has taken the stream apart, and seen its end."""
        answer, last = self.answer, len(self.stamps) - 1
        for index, text in enumerate(messages):
            answer.message = index
            self.messages.append(text)
            self.arrivals.append(min(index, last))
            for payload, event in payloads(text):
                if payload == "[DONE]":
                    answer.chunk(Kind.DONE)
                elif isinstance(message := decoded(payload), dict):
                    self.api.read_message(message, answer, event)
        answer.done = True
        self._take_unread()
        if self.exchange.reported is not None:
            self._take_report(self.exchange.reported)

    def _take_unread(self) -> None:
        """Let messages in a protocol that nobody has read count as tokens, with their text where it is in sight."""
        pieces = self.answer.pieces
        if any(kind in _TOKENS for kind, *_ in pieces):
            return
        read = {index for kind, _, _, index in pieces if kind is not Kind.OTHER}
        texts = {index: own_text(text) for index, text in enumerate(self.messages) if index not in read}
        known = {index: text for index, text in texts.items() if text}
        if not known and self.stream and (known := {index: "" for index, text in texts.items() if text is not None}):
            self.flags.append("unread_messages")
        if not known:
            return
        self.answer.done = True  # how such a protocol ends is known to nobody here
        kept = [piece for piece in pieces if piece[3] not in known]
        self.answer.pieces = sorted(
            [*kept, *((Kind.CONTENT, 0, text, index) for index, text in known.items())], key=itemgetter(3)
        )

    def _take_report(self, reported: Reported) -> None:
        """Let what a plugin says of its answer count: its text, its tokens, and a chunk of it at each stamp."""
        answer, count = self.answer, len(self.stamps)
        bearing = {index for kind, _, _, index in answer.pieces if kind in _TOKENS}
        text = answer.output_text if reported.text is None else reported.text
        agree = text == answer.output_text
        if agree and len(bearing) == count:
            before = accumulate((index in bearing for index in range(len(self.messages))), initial=0)
            self.arrivals = [min(passed, count - 1) for passed in before][: len(self.messages)]
        elif not (agree and bearing and len(self.messages) == count) or reported.first:
            # Its stamps are of other chunks than the messages it kept: only how many there are is known.
            answer.pieces = [piece for piece in answer.pieces if piece[0] not in _TOKENS]
            if text or reported.stream:
                answer.pieces += ((Kind.CONTENT, 0, "" if index else text, index) for index in range(count))
            self.arrivals = [min(index, count - 1) for index in range(max(count, len(self.messages)))]
        if (reported.prompt_tokens, reported.completion_tokens) != (None, None):
            answer.prompt_tokens = answer.prompt_tokens if reported.prompt_tokens is None else reported.prompt_tokens
            answer.completion_tokens = (
                answer.completion_tokens if reported.completion_tokens is None else reported.completion_tokens
            )
            answer.token_source = "plugin"
        answer.server_request_id = reported.request_id or answer.server_request_id

    def _read_body(self, body: bytes) -> None:
        """Read an answer that is not an event stream: a JSON value, an array or lines of messages, or unknown."""
        message = decoded(body)
        found, whole = self._messages_of(body, message)
        if found:
            dialect = dialect_of(decoded(found[0][0]))
            self.stream = len(found) > 1 or _is_lines(self.exchange) or getattr(dialect, "streams_arrays", False)
            self._read_events(found)
            self.answer.done = self.answer.done or (whole and not self._is_built_in)
            return
        self.messages.append(body.decode("utf-8", "replace"))
        self.arrivals.append(len(self.stamps) - 1)
        if isinstance(message, (dict, list)):
            self.api.read_message(message, self.answer, "")
            self.answer.done = True
        elif self.error is None and body.lstrip()[:1] in (b"{", b"[") and self.exchange.ends_with_connection:
            self.error = "incomplete", "the server closed the connection before the answer's JSON was complete"
        elif self.error is None:
            self.error = "protocol", unreadable(self.exchange.content_type, self.messages[0])

    def _messages_of(self, body: bytes, message: Json) -> tuple[list[Event], bool]:
        """Return the messages of an answer that holds several, and whether the last of them is whole."""
        if _is_lines(self.exchange):
            found = [*json_stream.lines(body)]
            return found, bool(found) and decoded(found[-1][0]) is not None
        if isinstance(message, list) or (message is None and body.lstrip()[:1] == b"["):
            # A list that a dialect knows as a whole is one answer: embeddings, scores.
            found = [*json_stream.elements(body)] if dialect_of(message) is None else []
            known = found and (not self._is_built_in or dialect_of(decoded(found[0][0])) is not None)
            return (found if known else []), message is not None
        found = [*json_stream.lines(body)] if message is None else []
        return (found, True) if len(found) > 1 and all(isinstance(decoded(f[0]), dict) for f in found) else ([], False)

    def judge(self) -> None:
        """Say whether a complete answer is a success: it must carry something, and be finished."""
        answer = self.answer
        by_plugin = answer.token_source == "plugin" and answer.completion_tokens
        carries = self._carries or by_plugin
        if not carries and self._is_unknown():
            first = next(filter(None, self.messages))[:100]
            how = "a plugin with read_message can read it"
            if not any(isinstance(decoded(text), (dict, list)) for text in self.messages):
                how = "its messages are not JSON, and a plugin of your own can take them for text"
            self.error = "protocol", f"unknown dialect; {how}: {first!r}"
        elif not carries:
            self.error = "empty", "the answer is complete but carries no text, no tool call and no usage"
            answer.prompt_tokens = answer.completion_tokens = answer.token_source = None
        elif self.stream and not answer.done and answer.finish_reason is None:
            self.error = "incomplete", "the stream ended without [DONE] and without a finish reason"
        if answer.zeros:
            self.flags.append("zero_usage")
        if answer.token_source == "server" and (answer.completion_tokens or 0) < sum(map(len, self._bearing)):
            written = {piece[3] for piece in answer.pieces if piece[2] and piece[0] in _WRITTEN}
            if len(written) > (answer.completion_tokens or 0):
                self.flags.append("fewer_tokens_than_chunks")

    def _is_unknown(self) -> bool:
        """Tell whether there are messages, all of them in a dialect that nobody here reads."""
        found = [message if (message := decoded(text)) is not None else text for text in self.messages]
        found = [message for message in found if message]
        return self._is_built_in and bool(found) and not any(map(dialect_of, found))

    def columns(self, clock: RunClock) -> Row:
        """Return the columns of ``result`` that come from the messages."""
        exchange, answer = self.exchange, self.answer
        streams = self._token_arrivals()
        first = min(map(_FIRST, streams), default=None)
        last = max(map(_LAST, streams), default=None)
        failed = self.error is not None
        ended = self._on_clock(exchange.end or exchange.start)
        count = answer.completion_tokens
        # What came in one read says nothing of the time between its tokens.
        apart = any([reads[0] != reads[-1] for reads in self._reads])
        tpot = self._tpot(streams)
        reported = exchange.reported
        if reported is not None and reported.stream and first is not None and first == last:
            last = ended  # of the chunks after the first, the plugin says only when they were all there
            tpot = self._tpot([[first, last]])
        if reported is not None and reported.time_per_output_token is not None:
            tpot = reported.time_per_output_token
        row: Row = {
            "success": 0 if failed else 1,
            "is_stream": int(self.stream),
            "latency": None if failed else (ended - exchange.start) / 1e9,
            "first_chunk_latency": (
                None if failed or not self.stream or first is None else (first - exchange.start) / 1e9
            ),
            "first_answer_latency": None if failed or not self.stream else self._first_answer(first),
            "time_per_output_token": None if failed or not self.stream else tpot,
            "inter_token_latencies": _gaps(streams) if self.stream and apart else "[]",
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": count,
            "token_source": answer.token_source,
            "cached_tokens": answer.cached_tokens,
            "reasoning_tokens": answer.reasoning_tokens,
            "finish_reason": answer.finish_reason,
            "server_request_id": answer.server_request_id,
            **{name: answer.timings.get(name) for name in TIMINGS},
            "output_text": self._output_text() or None,
            "stamp_source": self.source if self.stamps else None,
            "stamp_lag": max(self.lags) / 1e9 if self.lags else None,
            "chunks": self._blob(),
            "last_token_time": clock.unix(last) if self.stream else None,
            "flags": " ".join(dict.fromkeys(self.flags)) or None,
        }
        if self.lags:
            row |= self._kernel_times(clock)
        return row if self.error is None else row | failure(*self.error)

    def _kernel_times(self, clock: RunClock) -> Row:
        """Return the moments of the exchange by the kernel's clock, as those of the row's tokens are."""
        exchange, unix = self.exchange, clock.unix
        return {
            "written_time": unix(self._written()),
            "headers_time": unix(self._on_clock(exchange.headers)),
            "first_byte_time": unix(self._first_byte()),
            "completed_time": unix(self._on_clock(exchange.end)),
        }

    def _output_text(self) -> str:
        text, half = self.answer.output_text, "\N{REPLACEMENT CHARACTER}"
        if half in text and text.count(half) > sum(piece.count(half) for _, _, piece, _ in self.answer.pieces):
            self.flags.append("unstorable")  # a character that the server never completed
        return text

    @overload
    def _on_clock(self, moment: int) -> int: ...

    @overload
    def _on_clock(self, moment: None) -> None: ...

    @overload
    def _on_clock(self, moment: int | None) -> int | None: ...

    def _on_clock(self, moment: int | None) -> int | None:
        """Return the moment of a read by the clock of the row's tokens: the kernel's where it stamped them."""
        if moment is None or not self.lags:
            return moment
        read = bisect_left(self.exchange.stamps, moment)
        return self.stamps[read] if self.exchange.stamps[read : read + 1] == [moment] else moment

    def _written(self) -> int | None:
        """Return when the request was written.

        The answer to a request may have reached the kernel before the call that wrote it returned to us.
        """
        written, read = self.exchange.written, 0
        if written is not None:
            read = bisect_left(self.exchange.stamps, written)
        return min([written, *self.stamps[read : read + 1]]) if written is not None else None

    def _first_byte(self) -> int | None:
        """Return when the first byte of the body came."""
        arrived = zip(self.stamps, self.exchange.ends, strict=False)
        return next((stamp for stamp, end in arrived if end > self.exchange.begin), None)

    def count_censored(self, tally: Tally) -> None:
        """Add this answer's tokens to the tally, and flag a first token that is censored."""
        self._bearing = self._token_messages()
        reads = self._reads = [[*map(self.arrivals.__getitem__, messages)] for messages in self._bearing]
        if not self.stream or not reads:
            return
        shared = [same for stream in reads for same in map(eq, stream, stream[1:])]
        tally.first += 1
        tally.gaps += len(shared)
        tally.gaps_censored += sum(shared)
        first = min(reads)
        if len(first) > 1 and first[0] == first[-1] and (coded_by := self.exchange.coded_by):
            tally.compressed[coded_by] += 1
        if len(first) > 1 and first[0] == first[1]:
            tally.first_censored += 1
            self.flags.append("censored_first")

    def _token_messages(self) -> list[list[int]]:
        """Return the messages that bear tokens, each once, by choice: each of n answers is a stream of its own."""
        pieces = self.answer.pieces
        if not any(map(_CHOICE, pieces)):
            one = dict.fromkeys([index for kind, _, _, index in pieces if kind in _TOKENS])
            return [[*one]] if one else []
        streams: dict[int, dict[int, None]] = {}
        for kind, choice, _, index in pieces:
            if kind in _TOKENS:
                streams.setdefault(choice, {})[index] = None
        return [[*messages] for messages in streams.values()]

    def _token_arrivals(self) -> list[list[int]]:
        """Return when the token-bearing messages of each choice arrived (perf_counter ns)."""
        return [[*map(self.stamps.__getitem__, reads)] for reads in self._reads]

    def _tpot(self, streams: list[list[int]]) -> float | None:
        """Return the time per token (s) once each choice has its first chunk; None where all came in one read."""
        told = self.answer.tokens
        first = sum([told.get(messages[0], 1) for messages in self._bearing])
        span = sum([arrivals[-1] - arrivals[0] for arrivals in streams])
        after = (self.answer.completion_tokens or 0) - first
        return span / 1e9 / after if span > 0 and after > 0 else None

    def _first_answer(self, first: int | None) -> float | None:
        """Return when the first chunk with text or a tool call came (s); None where the answer is reasoning alone."""
        if first is None:
            return None
        found = next((index for kind, _, _, index in self.answer.pieces if kind in _ANSWERS), None)
        return None if found is None else (self.stamps[self.arrivals[found]] - self.exchange.start) / 1e9

    def _blob(self) -> bytes | None:
        if not self.stamps:
            return None
        kinds: Sequence[int]
        pieces = self._all_pieces()
        kinds, choices, _, indexes = zip(*pieces, strict=True) if pieces else ((),) * 4
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
                tokens=[told.get(index, chunks.UNKNOWN) for index in indexes] if (told := self.answer.tokens) else None,
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
    nothing: Row = dict.fromkeys(("latency", "first_chunk_latency", "first_answer_latency", "time_per_output_token"))
    return {**nothing, "success": 0, "error_kind": kind, "error": error}


def _gaps(streams: list[list[int]]) -> str:
    gaps = [gap / 1e9 for arrivals in streams for gap in map(sub, arrivals[1:], arrivals)]
    return orjson.dumps(gaps).decode()


def _stamps(exchange: Exchange) -> tuple[list[int], str, list[int]]:
    """Choose between kernel and user stamps: return stamps, source, and user minus kernel (ns) where known.

    Kernel stamps count only if each lies between the start and its user stamp: a clock that was set, or a stamp
    that is missing, makes the whole row fall back.
    """
    user, start, timespecs = exchange.stamps, exchange.start, exchange.kernel
    fallback: tuple[list[int], str, list[int]] = user, "plugin" if exchange.reported else "user", []
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


_ERROR_WORDS = re.compile(rb"\W{0,3}(?:error|exception|internal server error)\b", re.IGNORECASE)
_EVENTS = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
"""How a stream of events begins, whatever its content type says."""


def _is_lines(exchange: Exchange) -> bool:
    return exchange.content_type in json_stream.LINE_TYPES


def _is_stream(exchange: Exchange) -> bool:
    if exchange.reported is not None:
        return exchange.reported.stream
    if exchange.messages is not None:
        return len(exchange.messages) > 1
    if exchange.content_type == "text/event-stream":
        # One object where events were promised is a whole answer, or an error.
        return bytes(exchange.body[:64]).lstrip()[:1] != b"{" or decoded(bytes(exchange.body)) is None
    return _EVENTS.match(exchange.body) is not None
