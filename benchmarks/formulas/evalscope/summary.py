"""The lines of ``benchmark_summary.json``, and what older releases printed to the terminal."""

import math
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final, TypeAlias

from benchmarks.formulas.evalscope.run import EvalscopeRun, Version, handoff_overheads, handoffs
from perfkit.analysis.importers.evalscope_cells import Reading, numbers

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
    "steady itl": lambda run: run.mean(list(chain.from_iterable(gaps[1:] for gaps in handoffs(run)))),
    "handoff": lambda run: run.mean([gaps[0] for gaps in handoffs(run)]),
    "handoff overhead": lambda run: run.mean(handoff_overheads(run)),
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
