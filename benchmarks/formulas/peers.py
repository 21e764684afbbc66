"""What guidellm, aiperf, llmeter, vLLM and sglang report, recomputed from the canonical columns of their files.

Each tool has its samples (what a line is a statistic of) and its statistics (means, percentile rule, spread). Verified
against the tools' own reports by ``benchmarks/fixtures.py``.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from perfkit.analysis.definitions.percentile import exclusive
from perfkit.records import Json
from perfkit.runfile.percentile import percentile as linear

Row: TypeAlias = Mapping[str, Json]
Samples: TypeAlias = list[float]

MS: Final = 1e3


def column(name: str, scale: float = 1.0) -> Callable[[Sequence[Row]], Samples]:
    """Return the function that takes one column of all rows that have it."""
    return lambda rows: [float(row[name]) * scale for row in rows if row[name] is not None]


def per_second(rows: Sequence[Row], *columns: str, start: str = "start_time", end: str = "completed_time") -> float:
    """Return the total of columns (of requests, without any) over the time from first start to last end."""
    duration = max(row[end] for row in rows) - min(row[start] for row in rows)
    total = sum(sum(row[name] or 0 for name in columns) for row in rows) if columns else len(rows)
    return float(total / duration)


def gaps(rows: Sequence[Row]) -> Samples:
    """Return the gaps between the chunks of all rows, in ms."""
    return [gap * MS for row in rows for gap in json.loads(row["inter_token_latencies"])]


# llmeter -----------------------------------------------------------------------------------------------------------

LLMETER: Final[Mapping[str, Callable[[Sequence[Row]], Samples]]] = {
    "time_to_first_token": column("first_chunk_latency"),
    "time_to_last_token": column("latency"),
    "time_per_output_token": column("time_per_output_token"),
    "num_tokens_input": column("prompt_tokens"),
    "num_tokens_output": column("completion_tokens"),
}
"""Metrics of ``stats.json``."""


def llmeter(rows: Sequence[Row]) -> dict[str, float]:
    """Recompute the statistics of requests in llmeter's ``stats.json``.

    Parameters
    ----------
    rows : sequence of mapping
        Canonical rows of the requests that succeeded.

    Returns
    -------
    dict
        Seconds and tokens, by the names of the file. Its rates per minute are not among them: they rest on a window
        of the tool's own clock that no file tells.
    """
    found: dict[str, float] = {}
    for name, samples in LLMETER.items():
        values = sorted(samples(rows))
        found[f"{name}-average"] = sum(values) / len(values) if values else math.nan
        found |= {f"{name}-p{percent}": exclusive(values, percent) for percent in (50, 90, 99)}
    return found


# aiperf ------------------------------------------------------------------------------------------------------------


def _divided(above: Callable[[Row], float], below: Callable[[Row], float]) -> Callable[[Sequence[Row]], Samples]:
    return lambda rows: [above(row) / below(row) for row in rows if below(row)]


def _decode_time(row: Row) -> float:
    return float(row["latency"] - row["first_chunk_latency"])


AIPERF: Final[Mapping[str, Callable[[Sequence[Row]], Samples]]] = {
    "request_latency": column("latency", MS),
    "time_to_first_token": column("first_chunk_latency", MS),
    "decode_duration": lambda rows: [_decode_time(row) * MS for row in rows],
    "inter_token_latency": _divided(lambda row: _decode_time(row) * MS, lambda row: row["completion_tokens"] - 1),
    "inter_chunk_latency": gaps,
    "output_token_throughput_per_user": _divided(lambda row: row["completion_tokens"] - 1, _decode_time),
    "e2e_output_token_throughput": _divided(lambda row: row["completion_tokens"], lambda row: row["latency"]),
    "usage_prompt_tokens": column("prompt_tokens"),
    "usage_completion_tokens": column("completion_tokens"),
}
"""Metrics of ``profile_export_aiperf.json`` that have a value a request."""


def aiperf(rows: Sequence[Row], duration: float) -> dict[str, dict[str, float]]:
    """Recompute the metrics of aiperf's ``profile_export_aiperf.json``.

    Parameters
    ----------
    rows : sequence of mapping
        Canonical rows of the requests that succeeded.
    duration : float
        Seconds from the report's ``start_time`` to its ``end_time``: a little longer than from request to request.

    Returns
    -------
    dict of dict
        Statistics by metric, by the names and in the units of the file.
    """
    found = {name: _aiperf_statistics(samples(rows)) for name, samples in AIPERF.items()}
    tokens = sum(row["completion_tokens"] or 0 for row in rows)
    rates = {"request_throughput": len(rows), "output_token_throughput": tokens}
    return found | {name: {"avg": count / duration} for name, count in rates.items()}


def _aiperf_statistics(samples: Samples) -> dict[str, float]:
    values = sorted(samples)
    percents = (1, 5, 10, 25, 50, 75, 90, 95, 99)
    spread = {"avg": float(np.mean(values)), "std": float(np.std(values)), "min": values[0], "max": values[-1]}
    return spread | {f"p{percent}": linear(values, percent) for percent in percents}


# vLLM and sglang ---------------------------------------------------------------------------------------------------

SERVING: Final[Mapping[str, Callable[[Sequence[Row]], Samples]]] = {
    "ttft": column("first_chunk_latency", MS),
    "tpot": column("time_per_output_token", MS),
    "itl": gaps,
    "e2el": column("latency", MS),
}
"""Metrics of both tools, by vLLM's names; sglang calls the last one ``e2e_latency``."""


def serving(rows: Sequence[Row], duration: float) -> dict[str, float]:
    """Recompute the summary in the result files of ``vllm bench serve`` and sglang's ``bench_serving``.

    Parameters
    ----------
    rows : sequence of mapping
        Canonical rows of the requests that succeeded.
    duration : float
        Seconds, as the file says.

    Returns
    -------
    dict
        By vLLM's names, milliseconds and rates. sglang ends TPOT and E2E at the last byte, which its file lacks.
    """
    tokens = sum(row["completion_tokens"] or 0 for row in rows)
    found = {"request_throughput": len(rows) / duration, "output_throughput": tokens / duration}
    for name, samples in SERVING.items():
        values = sorted(samples(rows))
        found |= {f"mean_{name}_ms": float(np.mean(values)), f"std_{name}_ms": float(np.std(values))}
        found |= {f"p{percent}_{name}_ms": linear(values, percent) for percent in (50, 90, 95, 99)}
        found[f"median_{name}_ms"] = found[f"p50_{name}_ms"]
    return found


# guidellm ----------------------------------------------------------------------------------------------------------

Weighted: TypeAlias = Callable[[Sequence[Row]], list[tuple[float, int]]]


def _once(samples: Callable[[Sequence[Row]], Samples]) -> Weighted:
    return lambda rows: [(value, 1) for value in samples(rows)]


def _to_last_token(row: Row) -> float:
    return float(row["last_token_time"] - row["start_time"]) * MS


GUIDELLM: Final[Mapping[str, Weighted]] = {
    "request_latency": _once(column("latency")),
    "time_to_first_token_ms": _once(column("first_chunk_latency", MS)),
    # First token included, and a long answer weighs by its tokens.
    "time_per_output_token_ms": lambda rows: [
        (_to_last_token(row) / row["completion_tokens"], row["completion_tokens"]) for row in rows
    ],
    "inter_token_latency_ms": lambda rows: [
        (row["time_per_output_token"] * MS, row["completion_tokens"] - 1)
        for row in rows
        if row["time_per_output_token"]
    ],
    "prompt_token_count": _once(column("prompt_tokens")),
    "output_token_count": _once(column("completion_tokens")),
}
"""Metrics of a benchmark in guidellm's report: (value, weight) of each request."""


def guidellm(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Recompute the metrics of a benchmark in guidellm's report.

    Parameters
    ----------
    rows : sequence of mapping
        Canonical rows of the requests that succeeded.

    Returns
    -------
    dict of dict
        Statistics by metric, by the names and in the units of the report; percentiles as ``p50``, ...
    """
    found = {name: _guidellm_statistics(samples(rows)) for name, samples in GUIDELLM.items()}
    rates = {
        "requests_per_second": (),
        "output_tokens_per_second": ("completion_tokens",),
        "prompt_tokens_per_second": ("prompt_tokens",),
        "tokens_per_second": ("prompt_tokens", "completion_tokens"),
        "request_concurrency": ("latency",),
    }
    return found | {name: {"mean": per_second(rows, *columns)} for name, columns in rates.items()}


def _guidellm_statistics(samples: list[tuple[float, int]]) -> dict[str, float]:
    values, weights = (np.array(part, dtype=float) for part in zip(*sorted(samples), strict=True))
    shares = weights / weights.sum()
    mean = float(np.sum(values * shares))
    spread = math.sqrt(float(np.sum(shares * (values - mean) ** 2)))
    percents = ("01", "05", "10", "25", "50", "75", "90", "95", "99")
    # The sum of the shares meets a rank only up to rounding, and so does the tool.
    reached = np.cumsum(shares)
    places = {f"p{percent}": int(np.searchsorted(reached, int(percent) / 100)) for percent in percents}
    ranks = {name: float(values[min(place, len(values) - 1)]) for name, place in places.items()}
    return {"mean": mean, "std_dev": spread, "min": float(values[0]), "max": float(values[-1])} | ranks
