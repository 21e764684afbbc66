"""Makes a row of an exchange: everything that could wait until the stream had ended."""

import json
from dataclasses import dataclass, field

from perfkit import safe_pickle
from perfkit.apis.base import as_json
from perfkit.apis.bodies import prompt_columns
from perfkit.engine.plan import Planned
from perfkit.engine.reading import Reading, Tally, failure
from perfkit.errors import PluginFailure
from perfkit.plugins import BoundApi
from perfkit.records import UNCONNECTED, Json
from perfkit.secrets import Scrubber
from perfkit.store.schema import RESULT_NAMES
from perfkit.store.writer import Row
from perfkit.transport.clock import RunClock
from perfkit.transport.exchange import Exchange

KEPT_HEADERS = frozenset(
    {"content-type", "server", "date", "retry-after", "x-request-id", "request-id", "via", "location"}
    | {"openai-processing-ms", "x-envoy-upstream-service-time", "x-ratelimit-remaining-requests"}
)
_CELLS = ("request", "response_messages")
"""Encoded, and scrubbed before that."""
_EMPTY: Row = dict.fromkeys(RESULT_NAMES)


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

    def row(self, planned: Planned, exchange: Exchange) -> Row:
        """Return the row of ``result`` for one exchange.

        What the plugin raises, or a message that nobody foresaw, becomes the row's error: one answer can never
        stop a run.
        """
        try:
            answer = self._answer_columns(planned, exchange)
        except PluginFailure as error:
            answer = self._unread(exchange) | failure("plugin", str(error))
        except Exception as error:  # noqa: BLE001 - told in the row: kind, type and text
            told = f"the answer could not be read: {type(error).__name__}: {error}"
            answer = self._unread(exchange) | failure("protocol", told)
        row = _EMPTY | self._plan_columns(planned) | self._wire_columns(exchange) | answer
        return self._without_secrets(row)

    def _unread(self, exchange: Exchange) -> Row:
        """Keep the body as it came where no messages could be made of it."""
        exchange.unframe()
        text = bytes(exchange.body).decode("utf-8", "replace")
        return {"response_messages": safe_pickle.encode_cell([self.scrub(text)])} if text else {}

    def _without_secrets(self, row: Row) -> Row:
        """Scrub every text: a server may echo a key anywhere, in an id as well as in an error."""
        if not self.scrub:
            return row
        return {
            name: self.scrub(value) if isinstance(value, str) and name not in _CELLS else value
            for name, value in row.items()
        }

    def _body_cell(self, body: dict[str, Json]) -> str:
        """Return the body as it is stored: a plugin may have put the key into it."""
        if self.scrub:
            told = as_json(body)
            scrubbed = self.scrub.scrub_bytes(told)
            body = body if scrubbed == told else json.loads(scrubbed)
        return safe_pickle.encode_cell(body)

    def _plan_columns(self, planned: Planned) -> Row:
        prompt, body = planned.prompt, planned.body or {}
        return {
            "request": self._body_cell(body) if planned.body is not None else None,
            "request_id": prompt.request_id or (f"{self.run_id}-{planned.seq}" if planned.seq is not None else None),
            "run_id": self.run_id,
            "seq": planned.seq,
            "phase": planned.phase,
            "session_id": prompt.session_id,
            "turn": prompt.turn,
            "worker": self.worker,
            "scheduled_time": self.clock.unix(planned.scheduled),
            "dataset_row": prompt.row,
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
            "connection": exchange.connection,
            "connection_use": exchange.connection_use,
            "status_code": exchange.status,
            "bytes_received": exchange.received,
            "response_headers": json.dumps(headers) if headers else None,
        }

    def _answer_columns(self, planned: Planned, exchange: Exchange) -> Row:
        if planned.error is not None:
            return failure("plugin", planned.error)
        if exchange.error_kind in UNCONNECTED:
            self.tally.unconnected += 1
        reading = Reading(self.api, exchange)
        reading.read()
        reading.count_censored(self.tally)
        if reading.error is None:
            self.api.count(reading.messages, planned.body or {}, reading.answer)
            reading.judge()
        row = reading.columns(self.clock)
        texts = reading.messages
        if self.scrub:
            texts = [self.scrub(text) for text in texts]
        row["response_messages"] = safe_pickle.encode_cell(texts)
        if planned.prompt.cycle:
            row["flags"] = " ".join(str(flag) for flag in ("cycled", row["flags"]) if flag)
        return row


def _kept_headers(exchange: Exchange) -> dict[str, str]:
    decoded = ((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in exchange.response_headers)
    return {name: value for name, value in decoded if name in KEPT_HEADERS}
