"""The side files of evalscope from 1.8.0 on: throughput over the run's time, and conversations as wholes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from benchmarks.formulas.evalscope.run import EvalscopeRun
from perfkit.analysis.importers.evalscope_cells import Reading
from perfkit.runfile.percentile import percentile as linear

WARMUP: Final = 0.2
"""Share of the run's time before its steady state."""


class Point(NamedTuple):
    """Tokens up to one completion, seconds after the first start."""

    time: float
    completion: float
    new_prompt: float
    cached_prompt: float


def timeline(run: EvalscopeRun) -> list[Point]:
    """Recompute the points of ``workload_timeline.json``: a line a success, in stored order.

    Parameters
    ----------
    run : EvalscopeRun
        The run.

    Returns
    -------
    list of Point
        Cumulative tokens.
    """
    cached = {id(reading): tokens for reading, tokens in _cached(run)}
    rows = [
        reading for reading in run.succeeded if _number(reading, "completed_time") >= _number(reading, "start_time")
    ]
    points = []
    total = Point(0.0, 0.0, 0.0, 0.0)
    for reading in rows:
        prompt, hits = _number(reading, "prompt_tokens"), cached.get(id(reading), 0.0)
        total = Point(
            _number(reading, "completed_time") - _number(rows[0], "start_time"),
            total.completion + _number(reading, "completion_tokens"),
            total.new_prompt + max(prompt - hits, 0.0),
            total.cached_prompt + hits,
        )
        points.append(total)
    return points


THROUGHPUTS: Final[Mapping[str, Callable[[Point], float]]] = {
    "Total Prompt tok/s": lambda point: point.new_prompt + point.cached_prompt,
    "New Prompt tok/s": lambda point: point.new_prompt,
    "Cached Prompt tok/s": lambda point: point.cached_prompt,
    "Completion tok/s": lambda point: point.completion,
}
"""Tokens behind each line of ``workload_throughput.json``."""


def throughput(points: Sequence[Point], line: str) -> dict[str, float]:
    """Recompute one line of ``workload_throughput.json`` of a run of at most 30 s.

    Parameters
    ----------
    points : sequence of Point
        From ``timeline``, not empty.
    line : str
        One of ``THROUGHPUTS``.

    Returns
    -------
    dict
        ``overall`` and ``steady_state``, tokens/s.
    """
    tokens, last = THROUGHPUTS[line], points[-1]
    early = [point for point in points if point.time <= WARMUP * last.time]
    first = early[-1] if early else points[0]
    steady = (tokens(last) - tokens(first)) / (last.time - first.time) if last.time > first.time else 0.0
    return {"overall": tokens(last) / last.time, "steady_state": steady}


def _cached(run: EvalscopeRun) -> list[tuple[Reading, float]]:
    """Return the estimated cached tokens of each row; single requests have none."""
    if not run.arguments.get("multi_turn"):
        return []
    readings = [reading for turns in run.conversations for reading in turns]
    return [(reading, cached) for reading, (_, cached, _) in zip(readings, run.cached, strict=True)]


def _number(reading: Reading, column: str) -> float:
    return float(reading.row.get(column) or 0.0)


# Conversations -----------------------------------------------------------------------------------------------------


def _decode_rate(turns: Sequence[Reading]) -> float:
    found = []
    for turn in turns:
        seconds = _number(turn, "latency") - _number(turn, "first_chunk_latency")
        tokens = _number(turn, "completion_tokens") - 1
        if seconds > 0 and tokens > 0:
            found.append(tokens / seconds)
    return sum(found) / len(found) if found else 0.0


def _hit_rate(turns: Sequence[Reading]) -> float:
    cached = sum(_number(turn, "prompt_tokens") + _number(turn, "completion_tokens") for turn in turns[:-1])
    prompts = sum(_number(turn, "prompt_tokens") for turn in turns)
    return 100 * cached / prompts if prompts else 0.0


CONVERSATIONS: Final[Mapping[str, Callable[[Sequence[Reading]], float]]] = {
    "Latency (s)": lambda turns: _number(turns[-1], "completed_time") - _number(turns[0], "start_time"),
    "First-Turn TTFT (s)": lambda turns: _number(turns[0], "first_chunk_latency"),
    "TTFAT (s)": lambda turns: (
        _number(turns[-1], "start_time") + _number(turns[-1], "first_chunk_latency") - _number(turns[0], "start_time")
    ),
    "Decode TPS": _decode_rate,
    "Cache Hit Rate (%)": _hit_rate,
    # Of what the turns before could have left in the cache; estimated hits are just that.
    "Eligible Cache Hit Rate (%)": lambda turns: 100.0 if len(turns) > 1 else 0.0,
}
"""What each line of ``trace_summary.json`` takes from a conversation."""


def conversations(run: EvalscopeRun, line: str) -> dict[str, float]:
    """Recompute one line of ``trace_summary.json``.

    Parameters
    ----------
    run : EvalscopeRun
        A run of several turns.
    line : str
        One of ``CONVERSATIONS``.

    Returns
    -------
    dict
        ``mean``, ``min``, ``p50``, ``p90``, ``p95``, ``p99``, ``max`` over conversations, interpolated.
    """
    values = sorted(map(CONVERSATIONS[line], run.conversations))
    percents = {f"p{percent}": linear(values, percent) for percent in (50, 90, 95, 99)}
    return {"mean": sum(values) / len(values), "min": values[0], "max": values[-1], **percents}
