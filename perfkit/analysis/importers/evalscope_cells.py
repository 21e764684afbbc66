"""Rows of evalscope and llmuses databases, every generation, as perfkit's canonical rows.

========== =============================== ==================================================================
generation versions                        what tells it
========== =============================== ==================================================================
S0         llmuses, evalscope 0.5 - 0.6    untyped columns, ``n_chunks``; success is the text True or False
S1         0.7.0 - 0.17.0                  ``max_gpu_memory_cost``
S2         0.17.1 - 1.1.0                  ``time_per_output_token``
S3         1.1.1 - 1.9.0                   ``inter_token_latencies`` in place of ``chunk_times``
S4         1.9.1                           ``request_id``
S5         1.10.0 -                        ``is_stream``
========== =============================== ==================================================================

Times in these files count from the boot of the machine that measured. A failed request has no reason in any of them.
Up to S2 every chunk has its time beside its message, so each number can be recomputed. From S3 on, the gaps belong to
all stored messages (up to 1.11.0) or to those with visible output (from 1.11.1): which of the two, the counts say.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final

from perfkit.apis.answers import read_message
from perfkit.apis.bodies import prompt_columns
from perfkit.records import TOKEN_KINDS, Answer, Json, Kind
from perfkit.runfile.chunks import NO_LAG, Chunks, pack
from perfkit.runfile.safe_pickle import Refused, read_cell

COLUMNS: Final = (
    *("request", "start_time", "chunk_times", "inter_token_latencies", "success", "response_messages"),
    *("completed_time", "latency", "first_chunk_latency", "n_chunks", "chunk_time", "prompt_tokens"),
    *("completion_tokens", "max_gpu_memory_cost", "time_per_output_token", "request_id", "is_stream"),
)
"""Every column that some generation has."""

REQUIRED: Final = frozenset({"request", "start_time", "success", "response_messages"})

_TELLING: Final = (
    ("is_stream", "S5"),
    ("request_id", "S4"),
    ("inter_token_latencies", "S3"),
    ("time_per_output_token", "S2"),
    ("max_gpu_memory_cost", "S1"),
)
LONGEST: Final = 1e6
"""Seconds; no answer took eleven days, and a stamp beyond is none."""


def generation(columns: Collection[str]) -> str:
    """Tell the generation of a result table by its columns.

    Examples
    --------
    >>> generation({"request", "success", "inter_token_latencies"})
    'S3'
    """
    return next((name for column, name in _TELLING if column in columns), "S0")


@dataclass(frozen=True, slots=True)
class Reading:
    """One row, its texts decoded: what canonical rows and other tools' definitions are computed from."""

    row: Mapping[str, Json]
    succeeded: bool
    request: dict[str, Json] = field(default_factory=dict)
    answer: Answer = field(default_factory=Answer)
    arrivals: Sequence[float | None] = ()
    """Seconds after the start at which each stored message came; None where the file does not tell."""
    messages: int | None = 0
    """How many are stored; None: they were not decoded."""
    refused: tuple[str, ...] = ()
    """Columns that could not be decoded."""

    @property
    def streamed(self) -> bool:
        """Whether the answer was a stream, by what was stored, else by what was asked."""
        stored = self.row.get("is_stream")
        if stored in (0, 1):
            return bool(stored)
        if self.messages is None:
            return bool(self.request.get("stream"))
        return len(self.arrivals) > 1 or (self.messages != 1 and bool(self.request.get("stream")))


def decode(row: Mapping[str, Json], *, messages: bool = True) -> Reading:
    """Decode the texts of one row and find out when each message came."""
    wanted = ("request", "response_messages") if messages else ("request",)
    cells = {name: read_cell(row.get(name), name) for name in wanted}
    refused = tuple(name for name, value in cells.items() if isinstance(value, Refused))
    request = cells["request"] if isinstance(cells["request"], dict) else {}
    stored = found if isinstance(found := cells.get("response_messages"), list) else []
    answer = read_answer(stored)
    succeeded = row.get("success") in (1, "True")
    arrivals = _arrivals(row, answer, len(stored)) if succeeded and messages else ()
    return Reading(row, succeeded, request, answer, arrivals, len(stored) if messages else None, refused)


def read_answer(stored: Sequence[Json]) -> Answer:
    """Read the stored messages of an answer: dicts, or JSON texts (bytes in 2024's files)."""
    answer = Answer()
    for answer.message, message in enumerate(stored):
        if isinstance(message, str | bytes):
            try:
                message = json.loads(message)
            except (ValueError, RecursionError):
                message = None
        if isinstance(message, dict):
            read_message(message, answer)
    return answer


def _arrivals(row: Mapping[str, Json], answer: Answer, messages: int) -> Sequence[float | None]:
    """Return when each message came, in seconds after the start."""
    start = number(row.get("start_time"))
    if "chunk_times" in row:
        times = numbers(row["chunk_times"])
        return _plausible([time - start for time in times]) if start and len(times) == messages > 1 else ()
    gaps, first = numbers(row.get("inter_token_latencies")), number(row.get("first_chunk_latency"))
    if first is None or row.get("inter_token_latencies") is None:
        return ()
    times = _plausible(list(accumulate(gaps, initial=first)))
    if len(times) == messages:
        return times
    visible = sorted({message for kind, _, _, message in answer.pieces if kind in TOKEN_KINDS})
    if len(times) != len(visible):
        return ()
    arrival = dict(zip(visible, times, strict=True))
    return [arrival.get(message) for message in range(messages)]


def _plausible(times: list[float]) -> list[float]:
    return times if all(0 <= time < LONGEST for time in times) else []


def canonical(reading: Reading) -> dict[str, Json]:
    """Turn one row into perfkit's columns; what the file does not tell is left out."""
    row, answer = reading.row, reading.answer
    kept = {name: row.get(name) for name in ("request", "response_messages")}
    common = {
        **{name: cell if isinstance(cell, str) else None for name, cell in kept.items()},
        "start_time": positive(row.get("start_time")),
        "success": int(reading.succeeded),
        "completed_time": positive(row.get("completed_time")),
        "request_id": row.get("request_id"),
        "is_stream": int(reading.streamed),
        "phase": "steady",
        "finish_reason": answer.finish_reason,
        "cached_tokens": answer.cached_tokens,
        "reasoning_tokens": answer.reasoning_tokens,
        "server_request_id": answer.server_request_id,
        "token_source": "server" if answer.completion_tokens is not None else None,
        "output_text": answer.output_text or None,
        "error": answer.error,
        **prompt_columns(reading.request),
    }
    times = _times(reading) if reading.succeeded else {}
    flags = [f"refused:{name}" for name in reading.refused] + [flag for flag in (times.get("flags"),) if flag]
    return common | times | {"flags": " ".join(flags) or None}


def _times(reading: Reading) -> dict[str, Json]:
    """Return the numbers of a request that succeeded."""
    row = reading.row
    counts = {name: whole(row.get(name)) for name in ("prompt_tokens", "completion_tokens")}
    latency = positive(row.get("latency"))
    if not reading.streamed:
        return counts | {"latency": latency}
    pieces = [
        (arrival, kind, choice, message)
        for kind, choice, _, message in reading.answer.pieces
        if message < len(reading.arrivals) and (arrival := reading.arrivals[message]) is not None
    ]
    tokens = sorted({(message, arrival) for arrival, kind, _, message in pieces if kind in TOKEN_KINDS})
    if not tokens:
        return counts | {"latency": latency} | _stored_times(reading)
    first, last = tokens[0][1], tokens[-1][1]
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(tokens)]
    count = counts["completion_tokens"]
    return counts | {
        "latency": latency,
        "first_chunk_latency": first,
        "inter_token_latencies": json.dumps(gaps),
        "time_per_output_token": (last - first) / (count - 1) if count and count > 1 else None,
        "last_token_time": float(row["start_time"]) + last,
        "chunks": _blob(pieces),
    }


def _stored_times(reading: Reading) -> dict[str, Json]:
    row = reading.row
    if reading.messages == 0 and not reading.refused:
        return {"flags": "empty"}
    times = numbers(row.get("chunk_times"))
    gaps = [later - earlier for earlier, later in pairwise(times)] or numbers(row.get("inter_token_latencies"))
    return {
        "first_chunk_latency": positive(row.get("first_chunk_latency")),
        "inter_token_latencies": json.dumps(gaps),
        "time_per_output_token": positive(row.get("time_per_output_token")),
        "flags": "stored_times",
    }


def _blob(pieces: Sequence[tuple[float, Kind, int, int]]) -> bytes:
    arrivals, kinds, choices, messages = zip(*pieces, strict=True)
    return pack(
        Chunks(
            arrival=[round(arrival * 1e9) for arrival in arrivals],
            lag=[NO_LAG] * len(pieces),
            read=messages,
            kind=kinds,
            choice=[choice if isinstance(choice, int) and 0 <= choice < 1 << 16 else 0 for choice in choices],
            message=messages,
        )
    )


def number(value: Json) -> float | None:
    """Return a finite number, or None for anything else that a cell may hold."""
    if not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def positive(value: Json) -> float | None:
    """Return a number above 0: these files write 0.0 for a time that never came."""
    found = number(value)
    return found if found and found > 0 else None


def whole(value: Json) -> int | None:
    """Return a count of tokens, or None."""
    found = number(value)
    return int(found) if found is not None and found >= 0 else None


def numbers(cell: Json) -> list[float]:
    """Decode a JSON list of numbers; anything else counts as none.

    Examples
    --------
    >>> numbers("[0.1, 0.2]"), numbers("[NaN]"), numbers(None)
    ([0.1, 0.2], [], [])
    """
    values = read_cell(cell, "times")
    if not isinstance(values, list):
        return []
    found = [number(value) for value in values]
    return [value for value in found if value is not None] if None not in found else []
