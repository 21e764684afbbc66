"""The columns of ``benchmark_percentile.json``."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Final

from benchmarks.formulas.evalscope.run import EvalscopeRun, Version, handoff_overheads, handoffs, ratio
from perfkit.analysis.definitions.percentile import nearest_rank, truncated


def _rates(run: EvalscopeRun, *columns: str) -> list[float]:
    rows = [
        (sum(float(r.row.get(name) or 0) for name in columns), float(r.row.get("latency") or 0)) for r in run.succeeded
    ]
    return [tokens / latency if latency else math.nan for tokens, latency in rows]


def _tpot_samples(run: EvalscopeRun) -> list[float]:
    if run.version < (0, 14):
        return run.all_gaps
    if run.version < (0, 17, 1):
        return [ratio(row, "chunk_time", "completion_tokens") for row in run.succeeded]
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
    "Steady ITL (ms)": lambda run: list(chain.from_iterable(gaps[1:] for gaps in handoffs(run))),
    "PD Handoff Latency (ms)": lambda run: [gaps[0] for gaps in handoffs(run)],
    "PD Handoff Overhead (ms)": handoff_overheads,
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
