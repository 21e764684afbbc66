"""guidellm's ``benchmarks.csv``: three lines of headings (group, field, unit or statistic), then a line a benchmark.

Releases 0.2 and 0.3 wrote one line of headings, ``Successful Time to first token ms median``: they are read as those of
today, whose names stand in ``_OLDER``.

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
_OLDER_START: Final = b"Type,Run Id,Id,Name,"
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
_OLDER: Final = {
    "Successful Requests per second": ("Server Throughput", "Successful Requests/Sec"),
    "Successful Request concurrency": ("Server Throughput", "Successful Concurrency"),
    "Successful Request latency": ("Request Latency", "Successful Sec"),
    "Successful Prompt token count": ("Token Metrics", "Successful Input Tokens"),
    "Successful Output token count": ("Token Metrics", "Successful Output Tokens"),
    "Successful Time to first token ms": ("Time to First Token", "Successful ms"),
    "Successful Inter token latency ms": ("Inter Token Latency", "Successful ms"),
    "Successful Output tokens per second": ("Token Throughput", "Successful Output Tokens/Sec"),
    "Successful Tokens per second": ("Token Throughput", "Successful Total Tokens/Sec"),
}
_OLDER_STATISTICS: Final = {
    "mean": "Mean",
    "median": "Median",
    "[min, 0.1, 1, 5, 10, 25, 75, 90, 95, 99, max]": "Percentiles",
}
_OLDER_CELLS: Final = {
    "Successful Requests": ("Request Counts", "Successful", ""),
    "Errored Requests": ("Request Counts", "Errored", ""),
    "Duration": ("Timings", "Duration", "Sec"),
}
Cells = dict[tuple[str, str, str], str]


@importer("guidellm-csv", tool="guidellm")
class GuidellmCsv:
    """Tables of guidellm, those of 0.2 and 0.3, too."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the headings; where the report is beside it, that is the result."""
        is_one = head.startswith(_START) and b"Request Counts" in head
        is_older = head.startswith(_OLDER_START) and b"Successful Request latency mean" in head
        return (is_one or is_older) and not path.with_suffix(".json").exists()

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a line."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                lines = csv.reader(file)
                first = next(lines, [])
                if first[:1] == ["Type"]:
                    for line in islice(lines, _MOST_ROWS):
                        yield _benchmark(_as_today(dict(zip(first, line, strict=False))))
                    return
                headings = list(zip(first, *islice(lines, 2), strict=True))
                for line in islice(lines, _MOST_ROWS):
                    yield _benchmark(dict(zip(headings, line, strict=False)))
        except (OSError, ValueError, csv.Error) as error:
            raise UnsafeFile(f"{path} is not a table of guidellm that can be read: {error}") from None


def _as_today(row: dict[str, str]) -> Cells:
    """Return a line of releases 0.2 and 0.3 under today's headings."""
    cells = {cell: row.get(heading, "") for heading, cell in _OLDER_CELLS.items()}
    for heading, group in _OLDER.items():
        cells |= {(*group, today): row.get(f"{heading} {word}", "") for word, today in _OLDER_STATISTICS.items()}
    worker, settings = _json(row.get("Worker", "")), _json(row.get("Args", ""))
    told = {
        "Profile": settings.get("profile"),
        "Backend": {"model": worker.get("backend_model"), "target": worker.get("backend_target")},
        "Requests": _json(row.get("Request Loader", "")),
    }
    return cells | {
        ("Benchmark", "Strategy", ""): row.get("Name", ""),
        **{("Run Info", name, ""): json.dumps(value) for name, value in told.items()},
    }


def _benchmark(cells: Cells) -> ImportedRun:
    figures: dict[str, float] = {}
    for (group, field), (metric, per_unit) in _METRICS.items():
        figures |= statistics(metric, _statistics(cells, group, field), per_unit)
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


def _statistics(cells: Cells, group: str, field: str) -> dict[str, Json]:
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
    return _json(cells.get(("Run Info", name, ""), ""))


def _json(text: str) -> dict[str, Json]:
    try:
        return section(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _load(profile: dict[str, Json], strategy: str) -> tuple[int | None, float | None]:
    """Return streams and rate of a benchmark, whose profile may be of several: ``constant@2.5`` says which."""
    strategy, _, name = strategy.partition("@")
    if strategy == "synchronous":
        return 1, None
    if strategy == "throughput":
        return None, -1.0
    told = profile.get("streams" if strategy == "concurrent" else "rate", profile.get("rate"))
    several = told if isinstance(told, list) else [told]
    level = number_of(name) if name else number(several[0]) if len(several) == 1 else None
    if strategy == "concurrent":
        return (None if level is None else round(level)), None
    return None, level
