"""Takes over what a plugin's own ``process_request`` returned: a ``BenchmarkData``, or a class with its fields."""

import json
from collections.abc import Sequence
from itertools import accumulate
from math import isfinite, isnan
from numbers import Real
from time import monotonic_ns, perf_counter_ns, time_ns
from typing import Any

from perfkit.decoding.exchange import Exchange, Reported
from perfkit.errors import PluginFailure
from perfkit.records import ErrorKind, Json

STREAMED = 1e-3
"""Seconds by which a first chunk must come before the end to be one: the two stamps of a whole answer differ, too."""
TOLERANCE = 10_000_000
"""Nanoseconds that a plugin's stamp may lie after the moment at which it returned, for a clock of another origin."""

UNIT = "times are seconds of one clock"


def take_over(data: Any, exchange: Exchange, place: str, called: int) -> None:
    """Fill an exchange by what a plugin reported; what it left open stays unknown."""
    ended = perf_counter_ns()
    if not hasattr(data, "success"):
        raise PluginFailure(f"{place}: process_request returned {_shown(data)}; it must return a BenchmarkData")
    read = _Fields(data, place)
    began, completed = read.nanoseconds("start_time"), read.nanoseconds("completed_time")
    shift = 0
    if began is not None:
        shift = _shift(began, called, ended)
        exchange.start = began + shift
    latency = read.nanoseconds("query_latency")
    if latency is not None:
        end = exchange.start + latency
    else:
        end = completed + shift if completed is not None and began is not None else ended
    first, stamps = _stamps(read, exchange.start, shift)
    if data.success:
        if end < exchange.start or end > ended + TOLERANCE:
            raise read.nonsense(f"an end {'before its start' if end < exchange.start else 'in the future'}; {UNIT}")
        if any(stamp < exchange.start or stamp > end + TOLERANCE for stamp in stamps):
            raise read.nonsense(f"chunks outside of the time from start_time to the end; {UNIT}")
    exchange.status = read.count("status_code")
    exchange.messages = [message_text(message) for message in read.many("response_messages")]
    told = getattr(data, "is_stream", None)
    in_pieces = len(stamps) > 1 or len(exchange.messages) > 1 or bool(stamps and end - stamps[0] > STREAMED * 1e9)
    exchange.reported = Reported(
        text=read.text("generated_text"),
        prompt_tokens=read.count("prompt_tokens"),
        completion_tokens=read.count("completion_tokens"),
        stream=bool(stamps) and (in_pieces if told is None else bool(told)),
        first=first,
        time_per_output_token=read.seconds("time_per_output_token"),
        request_id=read.text("request_id"),
    )
    exchange.stamps = sorted(stamps) or [end]
    exchange.ends = list(range(1, len(exchange.stamps) + 1))
    exchange.end = end
    if not data.success:
        kind: ErrorKind = "http_status" if exchange.status not in (None, 200) else "plugin"
        told = read.text("error") or f"{place}: process_request returned success=False and no error"
        exchange.fail(kind, told, end)


def message_text(data: Json | bytes) -> str:
    """Return a message of a plugin as text: JSON of what is none."""
    if isinstance(data, (bytes, bytearray)):
        return data.decode("utf-8", "replace")
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, default=str)


def _shift(began: int, called: int, ended: int) -> int:
    """Return what to add to a plugin's stamps to get perf_counter: it may stamp by any clock, durations hold on all."""
    for clock in (perf_counter_ns, time_ns, monotonic_ns):
        shift = perf_counter_ns() - clock()
        if called - TOLERANCE <= began + shift <= ended:
            return shift if clock is not perf_counter_ns else 0
    return called - began


def _stamps(read: "_Fields", start: int, shift: int) -> tuple[bool, list[int]]:
    """Tell whether the first chunk's time was reported, and return when each chunk came."""
    moments = [_nanoseconds(moment) + shift for moment in read.numbers("chunk_times")]
    gaps = [_nanoseconds(gap) for gap in read.numbers("inter_chunk_latency")]
    latency = read.nanoseconds("first_chunk_latency")
    if latency is None:
        return False, moments
    first = start + latency
    if gaps or not moments:
        return True, [*accumulate([first, *gaps])]
    return True, [first, *(moment for moment in moments[1:] if moment > first)]


class _Fields:
    """The fields of a ``BenchmarkData``, checked as they are read."""

    def __init__(self, data: Any, place: str) -> None:
        self._data, self._place = data, place

    def nonsense(self, what: str) -> PluginFailure:
        return PluginFailure(f"{self._place}: process_request returned a BenchmarkData with {what}")

    def seconds(self, name: str) -> float | None:
        value = getattr(self._data, name, None)
        if value is None:
            return None
        number = self._number(name, value)
        return number if number > 0 else None

    def nanoseconds(self, name: str) -> int | None:
        seconds = self.seconds(name)
        return None if seconds is None else _nanoseconds(seconds)

    def numbers(self, name: str) -> list[float]:
        found = [self._number(name, value) for value in self.many(name)]
        if any(isnan(number) or number < 0 for number in found):
            raise self.nonsense(f"a negative or missing time in {name}")
        return found

    def count(self, name: str) -> int | None:
        number = self.seconds(name)
        if number is not None and number != int(number):
            raise self.nonsense(f"{name}={number!r}, which is not a whole number")
        return None if number is None else int(number)

    def text(self, name: str) -> str | None:
        value = getattr(self._data, name, None)
        return None if value is None or value == "" else message_text(value)

    def many(self, name: str) -> list[Any]:
        value = getattr(self._data, name, None)
        if value is None:
            return []
        listed = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
        return list(value) if listed or hasattr(value, "tolist") else [value]

    def _number(self, name: str, value: Any) -> float:
        if not isinstance(value, Real) or isinstance(value, bool) or not (isnan(value) or isfinite(value)):
            raise self.nonsense(f"{name}={_shown(value)}, which is not a number")
        return float(value)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
