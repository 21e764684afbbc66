"""The rows of one run of evalscope or llmuses, and the values that its lines are made of."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import TypeAlias

from perfkit.analysis.importers.evalscope_cells import Reading, numbers
from perfkit.records import TOKEN_KINDS, Json, Kind

Version: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class EvalscopeRun:
    """The rows of one run and what its files say of it.

    Attributes
    ----------
    version : tuple of int
        Release whose formulas are used, such as ``(1, 14, 1)``; llmuses counts as below 0.5.
    readings : sequence of Reading
        All rows in stored order.
    duration : float, optional
        The wall time that the tool printed, seconds: up to 1.1.0 it is not in the database.
    arguments : mapping
        ``benchmark_args.json``.
    """

    version: Version
    readings: Sequence[Reading]
    duration: float | None
    arguments: Mapping[str, Json]

    @cached_property
    def succeeded(self) -> list[Reading]:
        """Rows that count in averages."""
        return [reading for reading in self.readings if reading.succeeded]

    @cached_property
    def streamed(self) -> list[Reading]:
        """Rows that TTFT and TPOT are averaged over: from 1.10.0 streams only, if there are any."""
        streams = [reading for reading in self.succeeded if reading.row.get("is_stream") == 1]
        return streams if self.version >= (1, 10) and streams else self.succeeded

    @cached_property
    def embeds(self) -> bool:
        """Whether the run asked for embeddings or ranks, which have a set of labels of their own."""
        api = str(self.arguments.get("api") or "")
        return "embedding" in api or "rerank" in api

    def stored(self, column: str, readings: Sequence[Reading] | None = None) -> list[float]:
        """Return the numbers of a column of successful rows, in stored order."""
        rows = self.succeeded if readings is None else readings
        return [float(reading.row.get(column) or 0.0) for reading in rows]

    def mean(self, values: Sequence[float]) -> float:
        """Average; nothing to average is -1 in these files."""
        return sum(values) / len(values) if values else -1.0

    # Time and rates ------------------------------------------------------------------------------------------------

    @cached_property
    def wall_time(self) -> float:
        """Seconds from the first start to the last completion."""
        if self.version < (1, 1, 1):
            return math.nan if self.duration is None else self.duration
        return _wall_time(self.readings, careful=self.version >= (1, 11, 1))

    @cached_property
    def rate_time(self) -> float:
        """Seconds that rates are divided by: 1.1.1 to 1.3.0 computed them before the last row was counted."""
        late = (1, 1, 1) <= self.version < (1, 4) and len(self.readings) > 1
        return _wall_time(self.readings[:-1], careful=False) if late else self.wall_time

    def per_second(self, total: float) -> float:
        """Divide by the wall time."""
        return total / self.rate_time if self.rate_time else -1.0

    # Per request ---------------------------------------------------------------------------------------------------

    def gaps(self, reading: Reading) -> list[float]:
        """Inter-token latencies of one row: between all chunks, or as stored."""
        if "chunk_times" in reading.row:
            return [later - earlier for earlier, later in pairwise(numbers(reading.row["chunk_times"]))]
        return numbers(reading.row.get("inter_token_latencies"))

    @cached_property
    def all_gaps(self) -> list[float]:
        """Inter-token latencies of all successful rows."""
        return list(chain.from_iterable(map(self.gaps, self.succeeded)))

    @cached_property
    def tpots(self) -> list[float]:
        """Time per output token of each row, in the most unstable of all definitions."""
        if self.version < (0, 15):
            return [ratio(row, "latency", "completion_tokens") for row in self.succeeded]
        if self.version < (0, 16, 1):
            return [ratio(row, "chunk_time", "completion_tokens") for row in self.succeeded]
        if self.version < (0, 17, 1):
            return [ratio(row, "chunk_time", "n_chunks") for row in self.succeeded]
        rows = self.streamed
        if self.version >= (1, 13):
            rows = [row for row in rows if (row.row.get("completion_tokens") or 0) > 1] or rows
        return self.stored("time_per_output_token", rows)

    @cached_property
    def tokens_per_step(self) -> list[float]:
        """Output tokens after the first per chunk after the first, where that is above the release's floor."""
        counted = self.version >= (1, 13)
        found = []
        for reading in self.succeeded:
            steps = _chunks_from_visible(reading) - 1 if counted else len(self.gaps(reading))
            tokens = reading.row.get("completion_tokens") or 0
            if steps > 0 and tokens > 1:
                found.append((tokens - 1) / steps)
        floor = 1.0 if self.version >= (1, 7) else 0.0
        return [value for value in found if value > floor]

    @cached_property
    def conversations(self) -> list[list[Reading]]:
        """Rows of multi-turn runs, a list a conversation: each turn's messages begin with those of the turn before."""
        open_ends: dict[str, list[Reading]] = {}
        found = []
        for reading in self.succeeded:
            said = [(message.get("role"), message.get("content")) for message in reading.request.get("messages") or []]
            turns = open_ends.pop(repr(said[:-1]), None)
            if turns is None:
                turns = []
                found.append(turns)
            turns.append(reading)
            open_ends[repr([*said, ("assistant", reading.answer.output_text)])] = turns
        return found

    @cached_property
    def cached(self) -> list[tuple[int, float, float]]:
        """(turn, estimated cached tokens, prompt tokens) of every row: the turn before is taken to be cached whole."""
        found = []
        for turns in self.conversations:
            before = 0.0
            for turn, reading in enumerate(turns):
                prompt, output = (float(reading.row.get(f"{part}_tokens") or 0) for part in ("prompt", "completion"))
                found.append((turn, before, prompt))
                before = prompt + output
        return found


def _wall_time(readings: Sequence[Reading], *, careful: bool) -> float:
    spans = [(float(r.row.get("start_time") or 0), float(r.row.get("completed_time") or 0)) for r in readings]
    if careful:
        spans = [(start, end) for start, end in spans if start > 0 and end >= start]
    return max(end for _, end in spans) - min(start for start, _ in spans) if spans else 0.0


def ratio(reading: Reading, above: str, below: str) -> float:
    """Divide one stored number of a row by another; 0.0 when that is nothing, as the tool does."""
    divisor = float(reading.row.get(below) or 0.0)
    return float(reading.row.get(above) or 0.0) / divisor if divisor else 0.0


def _chunks_from_visible(reading: Reading) -> int:
    """Return how many messages with choices came from the first visible one on."""
    kinds = [(kind, message) for kind, _, _, message in reading.answer.pieces]
    first = min((message for kind, message in kinds if kind in TOKEN_KINDS), default=None)
    if first is None:
        return 0
    return len({message for kind, message in kinds if message >= first and kind not in (Kind.USAGE, Kind.ERROR)})


def handoffs(run: EvalscopeRun) -> list[list[float]]:
    """Return the gaps of each row that has any; the first is the hand-over from prefill to decode."""
    return [gaps for gaps in map(run.gaps, run.succeeded) if gaps]


def handoff_overheads(run: EvalscopeRun) -> list[float]:
    """Return how much longer the first gap of each row is than its median gap."""
    return [max(0.0, gaps[0] - statistics.median(gaps[1:])) for gaps in handoffs(run) if gaps[1:]]
