"""Recorded traffic: when each request came, and what it asked or how long it was."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Any

from perfkit.datasets.base import Item
from perfkit.datasets.drawn import Words
from perfkit.datasets.files import objects_of, rows_of
from perfkit.datasets.records import Jsonl
from perfkit.errors import UsageError
from perfkit.records import Json, Prompt

TIME = ("timestamp", "Timestamp", "TIMESTAMP", "time", "due")
INPUT_LENGTH = ("input_length", "ContextTokens", "Request tokens", "prompt_tokens")
OUTPUT_LENGTH = ("output_length", "GeneratedTokens", "Response tokens", "completion_tokens")
BLOCK = 512
"""Tokens of a block that ``hash_ids`` names."""


class Trace(Jsonl):
    """A trace in a JSONL or CSV file; requests are due as long after the first as they were when recorded.

    A record has a time (``timestamp``: a number, or a date) and either what was asked, as in the dataset ``jsonl``,
    or only how long it was; then a text of that many tokens is drawn, and ``max_tokens`` is the length of the
    answer. Equal ``hash_ids`` give equal blocks of text, so that prefix caches see what they saw. Mooncake's,
    BurstGPT's and Azure's traces are read as they are. ``dataset_args`` ``unit`` is ``s`` or ``ms``.
    """

    where_to_get = "Mooncake's is mooncake_trace.jsonl in kvcache-ai/Mooncake on GitHub"
    options = ("column", "unit", "block")
    reads = ("think_time", "speed")

    def build_messages(self) -> Iterator[Item]:
        """Yield a prompt with its due time per record."""
        first = last = None
        for place, record in self._records():
            time = self._time(record, place)
            first = time if first is None else first
            if last is not None and time < last:
                raise UsageError(f"{place} is earlier than the record before it; sort the trace by time")
            last = time
            item = self._prompt(record, place)
            if item is not None:
                yield replace(item, due=time - first)

    def _records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        path = self.path
        if path.suffix.lower() in (".csv", ".tsv"):
            return ((f"{path}, row {number}", row) for number, row in enumerate(rows_of(path), 1))
        return ((f"{path}:{number}", record) for number, record in objects_of(path))

    def _time(self, record: dict[str, Any], place: str) -> float:
        given = _first(record, TIME)
        if given is None:
            raise UsageError(f"{place} has no {' or '.join(TIME)}; it has {', '.join(map(str, record))}")
        unit = self._seconds_per_unit(record)
        try:
            return float(given) * unit
        except (TypeError, ValueError):
            pass  # a date, perhaps
        try:
            return datetime.fromisoformat(str(given)).timestamp()
        except ValueError:
            raise UsageError(f"{place}: {given!r} is neither a number nor a date") from None

    def _seconds_per_unit(self, record: dict[str, Any]) -> float:
        unit = self.option("unit", "ms" if "hash_ids" in record else "s")
        if unit not in ("s", "ms"):
            raise UsageError(f"the unit of a trace is s or ms, got {unit!r}")
        return 0.001 if unit == "ms" else 1.0

    def _prompt(self, record: dict[str, Any], place: str) -> Prompt | None:
        length = _first(record, INPUT_LENGTH)
        asked = record.keys() & {"messages", "prompt", "question", "body"}
        if length is not None and not asked:
            body = self._drawn(int(float(length)), _first(record, OUTPUT_LENGTH), record.get("hash_ids") or [], place)
            return Prompt(body, **self.identity(record))
        if isinstance(record.get("body"), dict):
            return Prompt(record["body"], **self.identity(record))
        item = self.item(record, place)
        return None if item is None else Prompt(item, **self.identity(record))

    @cached_property
    def _words(self) -> Words:
        return Words.of(self.tokenizer)

    def _drawn(self, length: int, answer: Any, hashes: list[Any], place: str) -> dict[str, Json]:
        text, block = "", int(self.option("block", BLOCK))
        for number, name in enumerate([*hashes, place], 1):
            until = min(length, number * block) if number <= len(hashes) else length
            text = self._words.text(until, random.Random(f"{self.query_parameters.prompt_seed}/{name}"), text)
        chats = self.query_parameters.apply_chat_template
        body: dict[str, Json] = {"messages": [self.create_message(text)]} if chats else {"prompt": text}
        return {**body, "max_tokens": max(1, int(float(answer)))} if answer is not None else body


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)
