"""The ground-truth logs: what the server really did, on CLOCK_MONOTONIC, for judging what a client reports.

The request log is CSV, a line per request (``RequestTruth``). The chunk log is binary, a record of 24
bytes per content event (``ChunkTruth``): uint32 request, uint32 first token index, int64 due, int64 sent, in the
machine's byte order. ``sent`` is read right before the write that carries the event, so no client can have seen it
earlier. On Linux the clock is the one behind ``time.perf_counter_ns`` and ``time.monotonic_ns``. The third file has a
line of JSON per request received: req, path, headers (secrets masked), body, recv_done_ns.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple, get_type_hints

import orjson

from perfkit.secrets import shown_headers

CHUNK_RECORD = Struct("=IIqq")
_FLUSH_BYTES = 1 << 16


@dataclass(slots=True)
class RequestTruth:
    """One request, filled in while it is answered.

    ``*_ns`` are nanoseconds on CLOCK_MONOTONIC, 0 where it never happened. ``recv_done_ns`` is when its last byte was
    read, the origin of all due times; ``first_ns`` and ``last_ns`` are stamped right before the first and last write of
    content. ``outcome`` is ok, fail, drop, stall or client_closed. ``max_late_us`` is the largest sent - due;
    ``blocked`` counts writes the socket did not take at once.
    """

    req: int
    conn: int
    conn_req: int
    path: str
    stream: int
    outcome: str = ""
    status: int = 0
    open_streams: int = 0
    body_bytes: int = 0
    accept_ns: int = 0
    recv_start_ns: int = 0
    recv_done_ns: int = 0
    headers_ns: int = 0
    first_ns: int = 0
    last_ns: int = 0
    end_ns: int = 0
    events: int = 0
    tokens: int = 0
    sent_bytes: int = 0
    max_late_us: float = 0.0
    blocked: int = 0


_COLUMNS = tuple(each.name for each in fields(RequestTruth))
_cells = attrgetter(*_COLUMNS)
LOG_HEADER = ",".join(_COLUMNS)


class ChunkTruth(NamedTuple):
    """One content event: which request, the index of its first token, when it was due and when it was sent [ns]."""

    req: int
    token: int
    due: int
    sent: int


def read_requests(path: str | Path) -> list[RequestTruth]:
    """Read a request log, of this server or any other with these columns, in the order in which the requests ended."""
    hints = list(get_type_hints(RequestTruth).values())
    with open(path, newline="", encoding="utf-8") as lines:
        rows = csv.reader(lines)
        header = ",".join(next(rows, []))
        if header != LOG_HEADER:
            raise ValueError(f"{path} is not a request log: its first line is {header[:80]!r}, expected {LOG_HEADER!r}")
        return [RequestTruth(*(kind(cell) for kind, cell in zip(hints, row, strict=True))) for row in rows]


def chunks_by_request(path: str | Path) -> dict[int, list[ChunkTruth]]:
    """Read a chunk log as one list per request number, in the order sent.

    ``numpy.fromfile`` with dtype ``"u4,u4,i8,i8"`` reads the records, too.
    """
    blob = Path(path).read_bytes()
    whole = len(blob) - len(blob) % CHUNK_RECORD.size
    requests: dict[int, list[ChunkTruth]] = {}
    for chunk in map(ChunkTruth._make, CHUNK_RECORD.iter_unpack(blob[:whole])):
        requests.setdefault(chunk.req, []).append(chunk)
    return requests


class TruthLog:
    """Collects the three logs in memory and writes them when the server is idle; a path of None: that log is off."""

    def __init__(self, requests: str | None, chunks: str | None, received: str | None) -> None:
        self._request_file = open(requests, "wb") if requests else None  # noqa: SIM115 - closed in close()
        self._chunk_file = open(chunks, "wb") if chunks else None  # noqa: SIM115
        self._received_file = open(received, "wb") if received else None  # noqa: SIM115
        self.keeps_chunks = chunks is not None
        self._rows: list[RequestTruth] = []
        self._chunks = bytearray()
        self._received: list[tuple[int, str, dict[str, str], bytes, int]] = []
        if self._request_file:
            self._request_file.write(LOG_HEADER.encode() + b"\n")

    def request(self, row: RequestTruth) -> None:
        if self._request_file:
            self._rows.append(row)

    def chunk(self, req: int, token: int, due: int, sent: int) -> None:
        self._chunks += CHUNK_RECORD.pack(req, token, due, sent)

    def received(self, req: int, path: str, headers: dict[str, str], body: bytes, recv_done: int) -> None:
        if self._received_file:
            self._received.append((req, path, headers, body, recv_done))

    @property
    def heavy(self) -> bool:
        """True once enough has gathered that the next idle moment should write it."""
        return len(self._chunks) > _FLUSH_BYTES or len(self._rows) > 256 or len(self._received) > 64

    def flush(self) -> None:
        """Write what has gathered, and hand it to the operating system."""
        if self._request_file and self._rows:
            self._request_file.write(b"".join(map(_make_csv_line, self._rows)))
        if self._chunk_file and self._chunks:
            self._chunk_file.write(self._chunks)
        if self._received_file and self._received:
            self._received_file.write(b"".join(_make_json_line(*entry) for entry in self._received))
        self._rows.clear()
        self._chunks.clear()
        self._received.clear()
        for file in self._files():
            file.flush()

    def restart(self) -> None:
        """Empty all logs, for a new measurement against the same server."""
        self.flush()
        for file in self._files():
            file.seek(0)
            file.truncate()
        if self._request_file:
            self._request_file.write(LOG_HEADER.encode() + b"\n")

    def close(self) -> None:
        self.flush()
        for file in self._files():
            file.close()

    def _files(self) -> Sequence[BinaryIO]:
        return [file for file in (self._request_file, self._chunk_file, self._received_file) if file]


def _make_csv_line(row: RequestTruth) -> bytes:
    return (",".join(map(str, _cells(row))) + "\n").encode()


def _make_json_line(req: int, path: str, headers: dict[str, str], body: bytes, recv_done: int) -> bytes:
    try:
        content = orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        content = body.decode("utf-8", "replace")
    entry = {"req": req, "path": path, "headers": shown_headers(headers), "body": content, "recv_done_ns": recv_done}
    return orjson.dumps(entry) + b"\n"
