"""guidellm's ``benchmarks.csv``: three lines of headings (group, field, unit or statistic), then a line a benchmark.

TPOT is E2E over the tokens there, TTFT included; its inter-token latency, (E2E - TTFT) / (tokens - 1), is perfkit's.
Rates are of the time that it measured, without warm-up and cool-down.
"""

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import number
from perfkit.analysis.importers.figures import statistics, summary
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import section, without_secrets
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_START: Final = b"Run Info,Run Info"
_MOST_ROWS: Final = 10_000
_PERCENTILES: Final = ("min", "p0.1", "p1", "p5", "p10", "p25", "p75", "p90", "p95", "p99", "max")
_METRICS: Final = {
    ("Request Latency", "Successful Sec"): ("e2e", 1.0),
    ("Time to First Token", "Successful ms"): ("ttft", 1e3),
    ("Inter Token Latency", "Successful ms"): ("tpot", 1e3),
    ("Token Metrics", "Successful Input Tokens"): ("prompt_tokens", 1.0),
    ("Token Metrics", "Successful Output Tokens"): ("output_tokens", 1.0),
}
_RATES: Final = {
    ("Server Throughput", "Successful Requests/Sec"): "request_throughput",
    ("Server Throughput", "Successful Concurrency"): "concurrency",
    ("Token Throughput", "Successful Input Tokens/Sec"): "prompt_throughput",
    ("Token Throughput", "Successful Output Tokens/Sec"): "output_throughput",
    ("Token Throughput", "Successful Total Tokens/Sec"): "total_throughput",
}
Cells = dict[tuple[str, str, str], str]


@importer("guidellm-csv", tool="guidellm")
class GuidellmCsv:
    """Tables of guidellm from 0.4 on."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the headings; where the report is beside it, that is the result."""
        is_one = head.startswith(_START) and b"Request Counts" in head
        return is_one and not path.with_suffix(".json").exists()

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a line."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                lines = csv.reader(file)
                headings = list(zip(*islice(lines, 3), strict=True))
                for line in islice(lines, _MOST_ROWS):
                    yield _benchmark(dict(zip(headings, line, strict=False)))
        except (OSError, ValueError, csv.Error) as error:
            raise UnsafeFile(f"{path} is not a table of guidellm that can be read: {error}") from None


def _benchmark(cells: Cells) -> ImportedRun:
    figures: dict[str, float] = {}
    for (group, field), (metric, per_unit) in _METRICS.items():
        figures |= statistics(metric, _told(cells, group, field), per_unit)
    for (group, field), name in _RATES.items():
        value = number_of(cells.get((group, field, "Mean")))
        figures |= {name: value} if value and value > 0 else {}
    profile, backend = (without_secrets(_object(cells, name)) for name in ("Profile", "Backend"))
    streams, rate = _load(profile, cells.get(("Benchmark", "Strategy", ""), ""))
    settings = {"profile": profile, "backend": backend, "requests": without_secrets(_object(cells, "Requests"))}
    run = {
        "model": backend.get("model") or section(backend, "kwargs").get("model"),
        "target": backend.get("target"),
        "load": "open" if rate is not None else "closed",
        "parallel": streams,
        "rate": rate,
        "duration": number_of(cells.get(("Timings", "Duration", "Sec"))),
        "arguments": {name: value for name, value in settings.items() if value},
    }
    counts = [number_of(cells.get(("Request Counts", name, ""))) for name in ("Successful", "Errored")]
    succeeded, failed = (None if count is None else round(count) for count in counts)
    return summary("guidellm", run, figures, succeeded=succeeded, failed=failed)


def _told(cells: Cells, group: str, field: str) -> dict[str, Json]:
    """Return the statistics of a metric by name."""
    told: dict[str, Json] = {
        "mean": number_of(cells.get((group, field, "Mean"))),
        "median": number_of(cells.get((group, field, "Median"))),
    }
    listed = cells.get((group, field, "Percentiles"), "").strip("[]").split(",")
    if len(listed) == len(_PERCENTILES):
        told |= {word: number_of(text) for word, text in zip(_PERCENTILES, listed, strict=True)}
    return told


def number_of(text: str | None) -> float | None:
    """Return the number in a cell, None where there is none.

    Examples
    --------
    >>> number_of(" 1.5"), number_of(""), number_of("nan")
    (1.5, None, None)
    """
    try:
        return number(float(text or ""))
    except ValueError:
        return None


def _object(cells: Cells, name: str) -> dict[str, Json]:
    try:
        return section(json.loads(cells.get(("Run Info", name, ""), "")))
    except (ValueError, RecursionError):
        return {}


def _load(profile: dict[str, Json], strategy: str) -> tuple[int | None, float | None]:
    """Return streams and rate of a benchmark, as far as one line of a profile of several tells."""
    if strategy == "synchronous":
        return 1, None
    if strategy == "throughput":
        return None, -1.0
    told = profile.get("streams" if strategy == "concurrent" else "rate", profile.get("rate"))
    several = told if isinstance(told, list) else [told]
    level = number(several[0]) if len(several) == 1 else None
    if strategy == "concurrent":
        return (None if level is None else round(level)), None
    return None, level
