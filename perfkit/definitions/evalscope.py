"""What every release of evalscope and llmuses prints, recomputed from the rows it stored.

A quantity is a function of the stored rows; a label in the tool's files names a quantity. Formulas changed without
the file saying so, hence the releases in the code below. Verified by ``benchmarks/fixtures.py``.
"""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from typing import Final, TypeAlias

from perfkit.definitions.percentile import nearest_rank, truncated
from perfkit.evalscope import Reading, numbers
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
            return [_ratio(row, "latency", "completion_tokens") for row in self.succeeded]
        if self.version < (0, 16, 1):
            return [_ratio(row, "chunk_time", "completion_tokens") for row in self.succeeded]
        if self.version < (0, 17, 1):
            return [_ratio(row, "chunk_time", "n_chunks") for row in self.succeeded]
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


def _ratio(reading: Reading, above: str, below: str) -> float:
    divisor = float(reading.row.get(below) or 0.0)
    return float(reading.row.get(above) or 0.0) / divisor if divisor else 0.0


def _chunks_from_visible(reading: Reading) -> int:
    """Return how many messages with choices came from the first visible one on."""
    kinds = [(kind, message) for kind, _, _, message in reading.answer.pieces]
    first = min((message for kind, message in kinds if kind in TOKEN_KINDS), default=None)
    if first is None:
        return 0
    return len({message for kind, message in kinds if message >= first and kind not in (Kind.USAGE, Kind.ERROR)})


# Summary -----------------------------------------------------------------------------------------------------------

Quantity: TypeAlias = Callable[[EvalscopeRun], float]


def _tpot(run: EvalscopeRun) -> float:
    if run.version < (0, 12):
        total = sum(run.stored("completion_tokens"))
        return run.wall_time / total if total else math.nan
    return run.mean(run.tpots)


def _itl(run: EvalscopeRun) -> float:
    return sum(run.all_gaps) / len(run.all_gaps) if run.all_gaps else 0.0


def _cache_hits(run: EvalscopeRun) -> float:
    if run.version < (1, 7):
        return run.mean([100 * cached / prompt for turn, cached, prompt in run.cached if turn and prompt])
    prompts = sum(prompt for _, _, prompt in run.cached)
    return 100 * sum(cached for _, cached, _ in run.cached) / prompts if prompts else 0.0


def _turn_ttft(run: EvalscopeRun, *, first: bool) -> float:
    rows = [turn for turns in run.conversations for turn in (turns[:1] if first else turns[1:])]
    return run.mean(run.stored("first_chunk_latency", rows))


def _handoffs(run: EvalscopeRun) -> list[list[float]]:
    return [gaps for gaps in map(run.gaps, run.succeeded) if gaps]


def _handoff_overheads(run: EvalscopeRun) -> list[float]:
    return [max(0.0, gaps[0] - statistics.median(gaps[1:])) for gaps in _handoffs(run) if gaps[1:]]


def _accepted(run: EvalscopeRun) -> float:
    step = run.mean(run.tokens_per_step)
    return min(max(1 - 1 / step, 0.0), 1.0)


def _steps(run: EvalscopeRun) -> float:
    """Add 2 in llmuses if the last successful row came in chunks: the chunks it leaves out of ``n_chunks``."""
    chunks = run.stored("n_chunks")
    extra = (
        2 if run.version < (0, 7) and run.succeeded and len(numbers(run.succeeded[-1].row["chunk_times"])) > 1 else 0
    )
    return sum(chunks) / len(chunks) + extra if chunks else -1.0


QUANTITIES: Final[Mapping[str, Quantity]] = {
    "duration": lambda run: run.wall_time,
    "concurrency": lambda run: float(run.arguments.get("parallel") or math.nan),
    "rate": lambda run: float(run.arguments.get("rate") or math.nan),
    "requests": lambda run: len(run.readings),
    "succeeded": lambda run: len(run.succeeded),
    "failed": lambda run: len(run.readings) - len(run.succeeded),
    "streams": lambda run: sum(reading.row.get("is_stream") == 1 for reading in run.readings),
    "others": lambda run: sum(reading.row.get("is_stream") != 1 for reading in run.readings),
    "request rate": lambda run: run.per_second(len(run.readings if run.version < (0, 3) else run.succeeded)),
    "output rate": lambda run: run.per_second(sum(run.stored("completion_tokens"))),
    "total rate": lambda run: run.per_second(sum(run.stored("completion_tokens")) + sum(run.stored("prompt_tokens"))),
    "input rate": lambda run: sum(run.stored("prompt_tokens")) / (sum(run.stored("first_chunk_latency")) or math.nan),
    "e2e": lambda run: run.mean(run.stored("latency")),
    "ttft": lambda run: run.mean(run.stored("first_chunk_latency", run.streamed)),
    "tpot": _tpot,
    "itl": _itl,
    "prompt tokens": lambda run: run.mean(run.stored("prompt_tokens")),
    "output tokens": lambda run: run.mean(run.stored("completion_tokens")),
    "step time": lambda run: sum(run.stored("chunk_time")) / (sum(run.stored("n_chunks")) or math.nan),
    "steps": _steps,
    "tokens a step": lambda run: run.mean(run.tokens_per_step),
    "accepted": _accepted,
    "turns": lambda run: run.mean([_user_messages(reading) for reading in run.succeeded]),
    "cache hits": _cache_hits,
    "first turn ttft": lambda run: _turn_ttft(run, first=True),
    "later turn ttft": lambda run: _turn_ttft(run, first=False),
    "steady itl": lambda run: run.mean(list(chain.from_iterable(gaps[1:] for gaps in _handoffs(run)))),
    "handoff": lambda run: run.mean([gaps[0] for gaps in _handoffs(run)]),
    "handoff overhead": lambda run: run.mean(_handoff_overheads(run)),
}


def _user_messages(reading: Reading) -> float:
    return float(sum(message.get("role") == "user" for message in reading.request.get("messages") or []))


LABELS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("Time taken for tests (senconds)", "Time taken for tests (s)", "Test Duration (s)"), "duration"),
    **dict.fromkeys(("Number of concurrency", "Concurrency"), "concurrency"),
    **dict.fromkeys(("Request rate (req/s)", "Request Rate (req/s)"), "rate"),
    **dict.fromkeys(("Total requests", "Total Requests"), "requests"),
    **dict.fromkeys(("Succeed requests", "Success Requests"), "succeeded"),
    **dict.fromkeys(("Failed requests", "Failed Requests"), "failed"),
    "Stream Requests": "streams",
    "Non-Stream Requests": "others",
    **dict.fromkeys(("Average QPS", "Request throughput (req/s)", "Req Throughput (req/s)"), "request rate"),
    **dict.fromkeys(("Output token throughput (tok/s)", "Output Throughput (tok/s)"), "output rate"),
    **dict.fromkeys(("Throughput(average tokens/s)", "Throughput(average output tokens per second)"), "output rate"),
    **dict.fromkeys(("Total token throughput (tok/s)", "Total Throughput (tok/s)"), "total rate"),
    **dict.fromkeys(("Input token throughput (tok/s)", "Input Throughput (tok/s)"), "input rate"),
    **dict.fromkeys(("Average latency (s)", "Avg Latency (s)"), "e2e"),
    **dict.fromkeys(("Average time to first token (s)", "TTFT (ms)", "Avg TTFT (ms)"), "ttft"),
    **dict.fromkeys(("Average time per output token (s)", "TPOT (ms)", "Avg TPOT (ms)"), "tpot"),
    **dict.fromkeys(("Average inter-token latency (s)", "ITL (ms)", "Avg ITL (ms)"), "itl"),
    **dict.fromkeys(("Average input tokens per request", "Avg Input Tokens"), "prompt tokens"),
    **dict.fromkeys(("Average output tokens per request", "Avg Output Tokens"), "output tokens"),
    "Average package latency (s)": "step time",
    "Average package per request": "steps",
    "Average decoded tokens per iter (tok/iter)": "tokens a step",
    **dict.fromkeys(("Decoded Tok/Iter", "Avg Decoded Tok/Iter"), "tokens a step"),
    **dict.fromkeys(("Approx speculative decoding acceptance rate", "Spec. Accept Rate"), "accepted"),
    **dict.fromkeys(("Average input turns per request", "Avg Turns/Request"), "turns"),
    **dict.fromkeys(("Average approx KV cache hit rate (%)", "KV Cache Hit Rate (%)"), "cache hits"),
    **dict.fromkeys(("First-Turn TTFT (ms)", "Avg First-Turn TTFT (ms)"), "first turn ttft"),
    **dict.fromkeys(("Subsequent-Turn TTFT (ms)", "Avg Subsequent-Turn TTFT (ms)"), "later turn ttft"),
    "Avg Steady ITL (ms)": "steady itl",
    "Avg PD Handoff Latency (ms)": "handoff",
    "Avg PD Handoff Overhead (ms)": "handoff overhead",
}
"""Quantity behind each label of ``benchmark_summary.json``, all releases."""

PRINTED: Final[Mapping[str, tuple[str, int]]] = {
    "Total requests": ("requests", 0),
    "Succeed requests": ("succeeded", 0),
    "Failed requests": ("failed", 0),
    "Average QPS": ("request rate", 3),
    "Average latency": ("e2e", 3),
    "Throughput(average output tokens per second)": ("output rate", 3),
    "Average time to first token": ("ttft", 3),
    "Average input tokens per request": ("prompt tokens", 3),
    "Average output tokens per request": ("output tokens", 3),
    "Average time per output token": ("tpot", 5),
    "Average package per request": ("steps", 3),
    "Average package latency": ("step time", 3),
}
"""Quantity and decimals of each line that llmuses, and evalscope before 0.7.0, printed to the terminal."""

_TEXT_ONLY: Final = frozenset({"output rate", "total rate", "ttft", "tpot", "itl", "output tokens"})


def summary(run: EvalscopeRun, label: str) -> float:
    """Recompute one line of ``benchmark_summary.json``, rounded as that release rounded it.

    Parameters
    ----------
    run : EvalscopeRun
        The run.
    label : str
        One of ``LABELS``.

    Returns
    -------
    float
        In the unit that the label names.
    """
    quantity = LABELS[label]
    # From 1.7.0 a file carries the lines of the other kind of API as 0.0.
    foreign = quantity in _TEXT_ONLY if run.embeds else quantity == "input rate"
    if run.version >= (1, 7) and foreign:
        return 0.0
    value = QUANTITIES[quantity](run)
    if label.endswith("(ms)"):
        return round(value * 1000, 2)
    return round(float(value), _summary_decimals(run.version, quantity))


def printed(run: EvalscopeRun, line: str) -> float | None:
    """Recompute one line that releases before 0.7.0 printed; None for a line that is no figure of the rows."""
    if line not in PRINTED:
        return None
    quantity, decimals = PRINTED[line]
    return round(float(QUANTITIES[quantity](run)), decimals)


def _summary_decimals(version: Version, quantity: str) -> int:
    if version >= (0, 14):
        return 4
    return 5 if quantity == "tpot" and version < (0, 12) else 3


# Percentiles -------------------------------------------------------------------------------------------------------


def _rates(run: EvalscopeRun, *columns: str) -> list[float]:
    rows = [
        (sum(float(r.row.get(name) or 0) for name in columns), float(r.row.get("latency") or 0)) for r in run.succeeded
    ]
    return [tokens / latency if latency else math.nan for tokens, latency in rows]


def _tpot_samples(run: EvalscopeRun) -> list[float]:
    if run.version < (0, 14):
        return run.all_gaps
    if run.version < (0, 17, 1):
        return [_ratio(row, "chunk_time", "completion_tokens") for row in run.succeeded]
    values = run.stored("time_per_output_token", run.streamed)
    streams = run.streamed and run.streamed[0].row.get("is_stream") == 1
    return [value or math.nan for value in values] if run.version >= (1, 13) and streams else values


def _decode_samples(run: EvalscopeRun) -> list[float]:
    return [1 / value if value else math.nan for value in run.stored("time_per_output_token", run.streamed)]


SAMPLES: Final[Mapping[str, Callable[[EvalscopeRun], list[float]]]] = {
    **dict.fromkeys(
        ("TTFT (s)", "TTFT (ms)", "First Chunk Latency (s)"),
        lambda run: run.stored("first_chunk_latency", run.streamed),
    ),
    "Latency (s)": lambda run: run.stored("latency"),
    **dict.fromkeys(("ITL (s)", "ITL (ms)"), lambda run: run.all_gaps),
    **dict.fromkeys(("TPOT (s)", "TPOT (ms)"), _tpot_samples),
    "Input tokens": lambda run: run.stored("prompt_tokens"),
    "Output tokens": lambda run: run.stored("completion_tokens"),
    **dict.fromkeys(
        ("Throughput(tokens/s)", "Output throughput(tok/s)", "Output (tok/s)"),
        lambda run: _rates(run, "completion_tokens"),
    ),
    **dict.fromkeys(
        ("Total throughput(tok/s)", "Total (tok/s)"), lambda run: _rates(run, "prompt_tokens", "completion_tokens")
    ),
    "Input (tok/s)": lambda run: _rates(run, "prompt_tokens"),
    "Decode (tok/s)": _decode_samples,
    "Steady ITL (ms)": lambda run: list(chain.from_iterable(gaps[1:] for gaps in _handoffs(run))),
    "PD Handoff Latency (ms)": lambda run: [gaps[0] for gaps in _handoffs(run)],
    "PD Handoff Overhead (ms)": _handoff_overheads,
}
"""What each column of ``benchmark_percentile.json`` is a percentile of, all releases."""


def percentiles(run: EvalscopeRun, column: str, percents: Sequence[str]) -> list[float]:
    """Recompute one column of ``benchmark_percentile.json``.

    Parameters
    ----------
    run : EvalscopeRun
        The run.
    column : str
        One of ``SAMPLES``.
    percents : sequence of str
        As in the file: ``"50%"``, ``"min"``, ``"max"``.

    Returns
    -------
    list of float
        Rounded as that release rounded; NaN where the file has NaN.
    """
    values = SAMPLES[column](run)
    if run.version >= (1, 13):
        values = [value for value in values if not math.isnan(value)]
    # Up to 1.12.0 NaN stays in the list, and sorting a list with NaN leaves it scrambled: so did the tool.
    ordered = sorted(values)
    if run.version < (0, 3):
        # llmuses 0.2.8 takes ranks among all rows, failed ones included, and crashes beyond the last success.
        ordered += [math.nan] * (len(run.readings) - len(ordered))
    scale = 1000 if column.endswith("(ms)") else 1
    decimals = 2 if (1, 7) <= run.version < (1, 13) else 4
    return [round(_percentile(ordered, percent, run.version) * scale, decimals) for percent in percents]


def _percentile(ordered: Sequence[float], percent: str, version: Version) -> float:
    if percent in ("min", "max"):
        return ordered[0 if percent == "min" else -1] if ordered else math.nan
    rule = nearest_rank if version >= (1, 11, 1) else truncated
    return rule(ordered, float(percent.rstrip("%")))
