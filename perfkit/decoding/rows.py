"""Decodes a finished exchange into a row of the run file."""

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

import orjson

from perfkit.apis.base import as_json
from perfkit.apis.bodies import least_tokens, prompt_columns
from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import Exchange
from perfkit.decoding.response import Piece, Reading, Tally, failure
from perfkit.errors import MISTAKES
from perfkit.plugins import BoundApi
from perfkit.records import UNCONNECTED, Json, Kind, Phase
from perfkit.runfile import safe_pickle
from perfkit.runfile.schema import RESULT_NAMES, SHORT_OF
from perfkit.runfile.writer import Row
from perfkit.secrets import MASK, SHORTEST, Scrubber, is_secret_name, keys_in, masked, shown_url

KEPT_HEADERS = frozenset(
    {"content-type", "server", "date", "retry-after", "x-request-id", "request-id", "via", "location"}
    | {"openai-processing-ms", "x-envoy-upstream-service-time", "x-ratelimit-remaining-requests"}
)
_KEPT_BYTES = frozenset(name.encode() for name in KEPT_HEADERS)
_CELLS = ("request", "response_messages")
"""Encoded, and scrubbed before that."""
_EMPTY: Row = dict.fromkeys(RESULT_NAMES)


@dataclass(slots=True)
class Request:
    """One request as a row tells of it; ``error`` says why it could not be built."""

    seq: int | None
    body: dict[str, Json] | None
    error: str | None = None
    phase: Phase = "steady"
    scheduled: int | None = None
    row: int | None = None
    request_id: str | None = None
    session_id: str | None = None
    turn: int = 1
    cycle: int = 0
    model: str | None = None
    """Asked for where the body does not say it: in the path, or by the plugin that sends it."""
    own_headers: Mapping[str, str] | None = None
    """Of this request alone."""
    kind: str | None = None
    """The class that it is of."""

    @property
    def besides(self) -> "tuple[Any, ...]":
        """What it tells besides number, body, error, phase and time: the fields from ``row`` on."""
        return tuple(getattr(self, name) for name in _BESIDES)


_BESIDES = tuple(each.name for each in fields(Request))[5:]


@dataclass(frozen=True)
class Decoder:
    """What every row of one run shares.

    Parameters
    ----------
    run_id : str
    worker : int
        Number of this worker.
    api : BoundApi
        Reads the messages and counts the tokens.
    clock : RunClock
        Turns stamps into Unix seconds.
    scrub : Scrubber
        Removes secrets from whatever is stored.
    tally : Tally
        What the rows made so far showed, for the verdict.
    """

    run_id: str
    worker: int
    api: BoundApi
    clock: RunClock
    scrub: Scrubber
    tally: Tally = field(default_factory=Tally)

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The run's URLs as they may be stored."""
        return tuple(map(shown_url, self.api.arguments.urls))

    def row(self, request: Request, exchange: Exchange) -> Row:
        """Return the row of ``result`` for one exchange.

        What the plugin raises, or a message that nobody foresaw, becomes the row's error: one answer can never
        stop a run.
        """
        keys = keys_in(request.body or {})
        own = {
            key for key in (*keys, *hidden(request.own_headers or {}), *self.api.keys) if len(key) >= SHORTEST
        } - self.scrub.values
        if own:  # a dataset's body or a plugin brought a key along, and the server may echo it
            return replace(self, scrub=_scrubber(self.scrub.values | own)).row(request, exchange)
        try:
            answer = self._answer_columns(request, exchange)
        except MISTAKES as error:
            answer = self._unread(exchange) | failure("plugin", str(error))
        except Exception as error:  # noqa: BLE001 - told in the row: kind, type and text
            told = f"the answer could not be read: {type(error).__name__}: {error}"
            answer = self._unread(exchange) | failure("protocol", told)
        asked = self._request_columns(request, has_keys=bool(keys))
        row = {**_EMPTY, **asked, **self._wire_columns(exchange), **answer}
        return self._without_secrets(row)

    def _unread(self, exchange: Exchange) -> Row:
        """Keep the body as it came where no messages could be made of it."""
        exchange.unframe()
        text = bytes(exchange.body).decode("utf-8", "replace")
        return {"response_messages": safe_pickle.encode_cell([self.scrub(text)])} if text else {}

    def _without_secrets(self, row: Row) -> Row:
        """Scrub every text: a server may echo a key anywhere, in an id as well as in an error."""
        texts = {name: value for name, value in row.items() if isinstance(value, str) and name not in _CELLS}
        if not self.scrub.is_in("\n".join(texts.values())):
            return row
        return {**row, **{name: self.scrub(text) for name, text in texts.items()}}

    def _body_cell(self, body: dict[str, Json]) -> str:
        """Return the body as it is stored: a plugin may have put a key of the run into it."""
        try:
            told = as_json(body)
        except (TypeError, ValueError, RecursionError):  # of a plugin that sends by itself: a file to upload
            told = json.dumps(body, default=_shown, skipkeys=True).encode()
            body = json.loads(told)
        if self.scrub and (scrubbed := self.scrub.scrub_bytes(told)) != told:
            body = json.loads(scrubbed)
        return safe_pickle.encode_cell(body)

    def _request_columns(self, request: Request, *, has_keys: bool) -> Row:
        body, seq = request.body or {}, request.seq
        return {
            "request": self._body_cell(masked(body) if has_keys else body) if request.body is not None else None,
            "request_id": request.request_id or (f"{self.run_id}-{seq}" if seq is not None else None),
            "run_id": self.run_id,
            "seq": seq,
            "phase": request.phase,
            "session_id": request.session_id,
            "turn": request.turn,
            "worker": self.worker,
            "scheduled_time": self.clock.unix(request.scheduled),
            "dataset_row": request.row,
            "request_class": request.kind,
            "request_headers": _shown_headers(request.own_headers) if request.own_headers else None,
            "request_model": model if isinstance(model := body.get("model"), str) else request.model,
            **prompt_columns(body),
        }

    def _wire_columns(self, exchange: Exchange) -> Row:
        unix = self.clock.unix
        headers = _kept_headers(exchange)
        arrived = zip(exchange.stamps, exchange.ends, strict=False)
        first_byte = next((stamp for stamp, end in arrived if end > exchange.begin), None)
        return {
            "start_time": unix(exchange.start),
            "success": 0,
            "completed_time": unix(exchange.end),
            "dns_time": exchange.dns,
            "connect_time": exchange.connect,
            "tls_time": exchange.tls,
            "written_time": unix(exchange.written),
            "headers_time": unix(exchange.headers),
            "first_byte_time": unix(first_byte),
            "attempts": exchange.attempts,
            "request_target": self.targets[exchange.target] if exchange.target < len(self.targets) else None,
            "connection": exchange.connection,
            "connection_use": exchange.connection_use,
            "status_code": exchange.status,
            "bytes_received": exchange.received,
            "response_headers": orjson.dumps(headers).decode() if headers else None,
        }

    def _answer_columns(self, request: Request, exchange: Exchange) -> Row:
        if request.error is not None:
            return failure("plugin", request.error)
        if exchange.error_kind in UNCONNECTED:
            self.tally.unconnected += 1
        reading = Reading(self.api, exchange)
        reading.read()
        reading.count_censored(self.tally)
        if reading.error is None:
            if reading.messages:
                self.api.count(reading.messages, request.body or {}, reading.answer)
            reading.judge()
        row = reading.columns(self.clock)
        exchange.release()
        texts = reading.messages
        if self.scrub:
            texts = self._without_halves(reading)
            if self.scrub.is_in("\n".join(texts)):  # one search in all of them is quicker than one in each
                texts = [self.scrub(text) for text in texts]
        whole = reading.error is None and not reading.stream and self.api.asks_stream(request.body or {})
        del reading  # a long answer is there several times by now
        row["response_messages"] = safe_pickle.encode_cell(texts)
        more = ["cycled"] * bool(request.cycle) + ["not_streamed"] * whole
        more += _short_of(request.body or {}, row) if row["success"] else []
        if more:
            row["flags"] = " ".join(str(flag) for flag in (*more, row["flags"]) if flag)
        return row

    def _without_halves(self, reading: Reading) -> list[str]:
        """Return the messages; of a secret that stands in pieces of several of them, each piece is masked."""
        texts = [*reading.messages]
        streams: dict[tuple[Kind, int], list[Piece]] = {}
        for piece in reading.answer.pieces:
            streams.setdefault(piece[:2], []).append(piece)
        for pieces in streams.values():
            places = self.scrub.places("".join([text for _, _, text, _ in pieces]))
            begins = [0, *accumulate(len(text) for _, _, text, _ in pieces)] if places else []
            for first, last in places:
                within = pieces[bisect_right(begins, first) - 1 : bisect_left(begins, last)]
                for _, _, text, index in within if len(within) > 1 else ():
                    texts[index] = _masked_piece(texts[index], text)
        return texts


def hidden(headers: Mapping[str, str]) -> list[str]:
    """Return the secrets among a record's headers: the values of those whose names say that they hold one."""
    return [
        part for name, value in headers.items() if is_secret_name(name) for part in (value, value.partition(" ")[2])
    ]


def _shown_headers(headers: Mapping[str, str]) -> str:
    """Return a record's headers as they are stored: JSON, in order of their names in lower case, secrets masked."""
    lower = {name.lower(): MASK if is_secret_name(name) else value for name, value in headers.items()}
    return orjson.dumps(lower, option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(maxsize=8)
def _scrubber(values: frozenset[str]) -> Scrubber:
    return Scrubber(values)


def _masked_piece(message: str, piece: str) -> str:
    """Return a message without the text of a piece that it carries: masked where it is a value, else as a whole."""
    forms = "|".join(re.escape(json.dumps(piece, ensure_ascii=ascii)) for ascii in (True, False))
    without, count = re.subn(rf"(:\s*)(?:{forms})", rf'\1"{MASK}"', message)
    return without if count else MASK


def _short_of(body: dict[str, Json], row: Row) -> list[str]:
    """Return the flag of an answer that has clearly fewer tokens than its body asks for at least."""
    least, had = least_tokens(body), row["completion_tokens"]
    if least is None or not isinstance(had, int) or row["token_source"] == "estimate":
        return []
    # Servers do not agree whether the token that ends an answer is one of it.
    return [f"{SHORT_OF}{least}"] if had < least * ENOUGH else []


ENOUGH = 0.9


def _shown(value: object) -> str:
    """Return what stands for a value that JSON has no form for."""
    return f"<{len(value):,} bytes>" if isinstance(value, (bytes, bytearray)) else f"<{type(value).__name__}>"


def _kept_headers(exchange: Exchange) -> dict[str, str]:
    lower = [(name.lower(), value) for name, value in exchange.response_headers]
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in lower if name in _KEPT_BYTES}
