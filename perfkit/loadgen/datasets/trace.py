"""Recorded traffic: when each request came, and what it asked or how long it was."""

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from perfkit.errors import UsageError
from perfkit.loadgen.datasets.base import Item
from perfkit.loadgen.datasets.files import records_of
from perfkit.loadgen.datasets.random_text import Words
from perfkit.loadgen.datasets.records import Jsonl
from perfkit.loadgen.datasets.shapes import INPUT_LENGTH, LENGTHS, TALKS, UNITS, is_absent, parsed, unit_of
from perfkit.records import Json, Prompt
from perfkit.registry import register_dataset

TIME = ("timestamp", "Timestamp", "TIMESTAMP", "time", "due", "arrived_at", "arrival_time", "timestamp_ms", "time_ms")
OUTPUT_LENGTH = ("GeneratedTokens", "Response tokens")
BLOCKS = (512, 16, 64, 32, 128, 256, 1024, 8, 2048)
"""Tokens of a block that ``hash_ids`` names; where several fit, the first does."""
FAST = 1000.0
"""Requests per second from which a trace is more likely in another unit."""
SLOW = 60.0
"""Seconds between two requests from which it is, too."""
LOOKED_AT = 100_000
"""Records that are looked at to decide on unit and block."""


@dataclass(frozen=True)
class Scale:
    """What the times and the hashes of a whole trace are in.

    Parameters
    ----------
    unit : str
        ``s``, ``ms``, ``us`` or ``ns``; ``dates`` for texts.
    block : int
        Tokens of a block.
    sentences : tuple of str
        How that was decided, and what it makes of the trace.
    """

    unit: str
    block: int
    sentences: tuple[str, ...]


@register_dataset(["trace", "workload_trace"])
class Trace(Jsonl):
    """A trace in a JSONL or CSV file; requests are due as long after the first as they were when recorded.

    A record has a time (``timestamp``: a number, or a date) and either what was asked, as in the dataset ``jsonl``,
    or only how long it was; then a text of that many tokens is drawn, and ``max_tokens`` is the length of the
    answer. Equal ``hash_ids`` give equal blocks of text, so that prefix caches see what they saw. The traces of
    Mooncake, Bailian, BurstGPT, Azure and aiperf are read as they are. Unit and block are decided once for the whole
    file; ``dataset_args`` ``time_unit`` and ``block`` say them. Records of a session without a time are its later
    turns.
    """

    fits_whole = True
    where_to_get = "Mooncake's is mooncake_trace.jsonl in kvcache-ai/Mooncake on GitHub"
    options = ("column", "time_unit", "unit", "block")
    reads = ("think_time", "speed")
    times = TIME

    def build_messages(self) -> Iterator[Item]:
        """Yield a prompt with its due time per record."""
        for sentence in self.scale.sentences:
            self.remarks.say(sentence)
        first = last = session = None
        turn = 1
        for place, record in self._records():
            follows = first_of(record, TIME) is None and session is not None and record.get("session_id") == session
            turn = turn + 1 if follows else 1
            session = record.get("session_id")
            if not follows:
                time = self._time(record, place)
                first = time if first is None else first
                if last is not None and time < last:
                    raise UsageError(f"{place} is earlier than the record before it; sort the trace by time")
                last = time
            item = self._prompt(record, place)
            if item is None:
                continue
            if not follows and last is not None and first is not None:
                item = replace(item, due=last - first)
            item = replace(item, delay=self.delay(record, place))
            yield replace(item, turn=turn) if session is not None and not record.get("turn") else item

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for place, record in records_of(self.path):
            if not isinstance(record, dict):
                raise UsageError(f"{place} is not a JSON object: {str(record)[:60]}")
            yield place, record

    @cached_property
    def scale(self) -> Scale:
        """What the file says of its unit and its blocks, looked at once."""
        if "unit" in self.query_parameters.dataset_args and "time_unit" in self.query_parameters.dataset_args:
            raise UsageError("unit and time_unit are the same option of a trace; leave one of them out")
        asked = self.option("time_unit", self.option("unit"))
        if asked is not None:
            unit_of(asked)
        block = self.option("block")
        if block is not None and not (isinstance(block, int) and block >= 1):
            raise UsageError(f"block is the tokens that a hash names, a whole number above 0; got {block!r}")
        times: list[float | datetime] = []
        names: set[str] = set()
        fits, hashed, exact, milliseconds = dict.fromkeys(BLOCKS, 0), 0, 0, False
        for place, record in itertools.islice(self._records(), LOOKED_AT):
            given = first_of(record, TIME)
            if given is not None:
                times.append(_read_time(given, place))
                names.update(name for name in TIME if record.get(name) == given)
                exact += "." in str(given) or "e" in str(given).lower()
            lengths, hashes = first_of(record, INPUT_LENGTH), parsed(record.get("hash_ids"), "hash_ids", place)
            if lengths is not None and isinstance(hashes, list) and hashes:
                hashed += 1
                for size in BLOCKS:
                    fits[size] += len(hashes) in (-(-int(float(lengths)) // size), int(float(lengths)) // size)
            milliseconds = milliseconds or bool(record.keys() & {"input_length", "hash_ids"})
        numbers = [time for time in times if isinstance(time, float)]
        if not times:
            return Scale("s", 512, ())
        if numbers and len(numbers) < len(times):
            raise UsageError(f"{self.path}: some times are dates and others numbers; write them all alike")
        unit, why = ("dates", "") if not numbers else _unit(asked, numbers, names, bool(exact), milliseconds)
        sentences = [_pace_sentence(self.path.name, unit, why, times, self.query_parameters.speed, asked is not None)]
        if hashed:
            size, told = _block(block, fits, hashed)
            return Scale(unit, size, (*sentences, f"{self.path.name}: {told}"))
        return Scale(unit, block or 512, tuple(sentences))

    @property
    def delay_unit(self) -> float:
        """As asked for with ``time_unit``, else milliseconds: so write those who write delays."""
        return unit_of(self.option("time_unit", self.option("unit", "ms")))

    def _time(self, record: dict[str, Any], place: str) -> float:
        given = first_of(record, TIME)
        if given is None:
            raise UsageError(f"{place} has no {' or '.join(TIME)}; it has {', '.join(map(str, record))}")
        time = _read_time(given, place)
        if isinstance(time, datetime) != (self.scale.unit == "dates"):
            raise UsageError(f"{place}: {given!r}: some times are dates and others numbers; write them all alike")
        return time.timestamp() if isinstance(time, datetime) else time * UNITS[self.scale.unit]

    def _prompt(self, record: dict[str, Any], place: str) -> Prompt | None:
        length = first_of(record, INPUT_LENGTH)
        asked = record.keys() & {*TALKS, "prompt", "question", "body"}
        identity = self.identity(record, place)
        if length is not None and not asked:
            hashes = parsed(record.get("hash_ids"), "hash_ids", place) or []
            if float(length) < 1:
                self.remarks.drop("with an empty prompt", place)
                return None
            return Prompt(self._drawn(int(float(length)), self._answer(record, place), hashes, place), **identity)
        if isinstance(record.get("body"), dict):
            self._ignore(record, {"body"}, place)
            return Prompt(record["body"], **identity)
        item = self.item(record, place)
        return None if item is None else Prompt(item, **identity)

    def _answer(self, record: dict[str, Any], place: str) -> int | None:
        """Return how long the answer was; one of no token is asked for with one."""
        name = next(
            (name for name in (*LENGTHS, *OUTPUT_LENGTH, "max_tokens") if not is_absent(record.get(name))), None
        )
        used = {*TIME, *INPUT_LENGTH, *LENGTHS, *OUTPUT_LENGTH, "max_tokens", "hash_ids"}
        self._ignore(record, used, place)
        if name is None:
            return None
        try:
            length = int(float(record[name]))
        except (TypeError, ValueError):
            raise UsageError(f"{place}: {name} must be a number of tokens, got {record[name]!r}") from None
        if length < 1:
            self.remarks.say(f"answers of no token are asked for with max_tokens=1 (first in {place})")
        return max(1, length)

    @cached_property
    def _words(self) -> Words:
        return Words.of(self.tokenizer)

    def _drawn(self, length: int, answer: int | None, hashes: list[Any], place: str) -> dict[str, Json]:
        text, block = "", self.scale.block
        for number, name in enumerate([*hashes, place], 1):
            until = min(length, number * block) if number <= len(hashes) else length
            text = self._words.text(until, random.Random(f"{self.query_parameters.prompt_seed}/{name}"), text)
        chats = self.query_parameters.apply_chat_template
        body: dict[str, Json] = {"messages": [self.create_message(text)]} if chats else {"prompt": text}
        return {**body, "max_tokens": answer} if answer is not None else body


def _read_time(given: Any, place: str) -> float | datetime:
    try:
        number = float(given)
    except (TypeError, ValueError):
        pass  # a date, perhaps
    else:
        if math.isfinite(number):
            return number
    try:
        date = datetime.fromisoformat(str(given))
    except ValueError:
        raise UsageError(f"{place}: {given!r} is neither a number nor a date") from None
    # Without a zone no clock change of this machine's zone may open a gap.
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def _unit(
    asked: str | None, times: list[float], names: set[str], fractions: bool, milliseconds: bool
) -> tuple[str, str]:
    """Return the unit of a trace's times, and why it is that one."""
    if asked is not None:
        return asked, "as asked for"
    if any(name.endswith("_ms") for name in names):
        return "ms", "the field says so"
    largest = max(map(abs, times))
    for unit, least in (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 1e9)):
        if largest >= least and min(times) >= least / 10:
            return unit, "counted from 1970"
    if fractions:
        return "s", "they have fractions"
    if milliseconds:
        return "ms", "whole numbers beside input_length, as Mooncake and aiperf write"
    return "s", "whole numbers"


def _pace_sentence(name: str, unit: str, why: str, times: Sequence[float | datetime], speed: float, asked: bool) -> str:
    """Return the sentence that says how fast a trace will be played."""
    seconds = [time.timestamp() if isinstance(time, datetime) else time * UNITS[unit] for time in times]
    span = (max(seconds) - min(seconds)) / speed
    spelt = "dates" if unit == "dates" else f"in {unit} ({why})"
    rate = f", {(len(times) - 1) / span:,.4g} requests/s" if span > 0 else ", all at once"
    sentence = f"{name}: times are {spelt}: {len(times):,} requests over {span:,.4g} s{rate}"
    if unit == "dates" or len(times) < 2:
        return sentence
    other = "s" if unit != "s" else "ms"
    if span <= 0 or (len(times) - 1) / span >= FAST:
        return f"{sentence}. TOO FAST? If they are in {other}, give --dataset-args time_unit={other}"
    if span / (len(times) - 1) >= SLOW:
        return f"{sentence}. TOO SLOW? If they are in {other}, give --dataset-args time_unit={other}"
    return sentence if asked else f"{sentence}; --dataset-args time_unit={other} if that is wrong"


def _block(asked: int | None, fits: dict[int, int], hashed: int) -> tuple[int, str]:
    """Return the tokens of a block, and the sentence that says so."""
    best = max(BLOCKS, key=lambda size: fits[size])  # of several, the first
    if asked is not None:
        doubt = fits.get(asked, hashed) < hashed / 2 < fits[best]
        hint = f"; {best} would fit {fits[best]:,} of {hashed:,} records better" if doubt else ""
        return asked, f"a hash names {asked} tokens (as asked for){hint}"
    if not fits[best]:
        return 512, "a hash is taken for 512 tokens, but no size fits the lengths; give --dataset-args block=TOKENS"
    return best, f"a hash names {best} tokens (fits {fits[best]:,} of {hashed:,} records)"


def first_of(record: dict[str, Any], names: Sequence[str]) -> Any:
    """Return the first of some fields that holds something."""
    return next((record[name] for name in names if not is_absent(record.get(name))), None)
