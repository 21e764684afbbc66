"""evalscope's ``benchmark_summary.json`` without its database, with ``benchmark_percentile.json`` beside it.

Releases before 0.13 (those that write ``Throughput(average tokens/s)``) call 1 / throughput the average time per output
token, which is no TPOT and is left out; their percentiles are.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope import settings
from perfkit.analysis.importers.evalscope_cells import number, whole
from perfkit.analysis.importers.figures import rates, statistic, statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import SMALL_LIMIT, read_json, section
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_OLD: Final = "throughput(average tokens/s)"
_RATES: Final = {
    _OLD: "output_throughput",
    "output token throughput (tok/s)": "output_throughput",
    "output throughput (tok/s)": "output_throughput",
    "total token throughput (tok/s)": "total_throughput",
    "total throughput (tok/s)": "total_throughput",
    "request throughput (req/s)": "request_throughput",
    "req throughput (req/s)": "request_throughput",
    "average qps": "request_throughput",
    "input throughput (tok/s)": "prompt_throughput",
}
_METRICS: Final = {
    "latency": "e2e",
    "time to first token": "ttft",
    "ttft": "ttft",
    "time per output token": "tpot",
    "tpot": "tpot",
    "inter-token latency": "itl",
    "itl": "itl",
    "decode": "decode_rate",
    "input tokens": "prompt_tokens",
    "input tokens per request": "prompt_tokens",
    "output tokens": "output_tokens",
    "output tokens per request": "output_tokens",
}
_PER_UNIT: Final = {"s": 1.0, "ms": 1e3, "tok/s": 1.0, None: 1.0}
_NAME: Final = re.compile(r"(?:(?:average|avg) )?(.+?)(?: \((s|ms|tok/s)\))?")


@importer("evalscope-summary", tool="evalscope")
class EvalscopeSummary:
    """Summaries of evalscope from 0.7 on."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the counts of requests; where the database is beside it, that is the result."""
        keys = outline(head).keys
        is_one = {b"Time taken for tests (s)", b"Total requests"} <= keys or {
            b"Test Duration (s)",
            b"Total Requests",
        } <= keys
        return is_one and not path.with_name("benchmark_data.db").exists()

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        found = read_json(path, "evalscope", SMALL_LIMIT)
        if not isinstance(found, dict):
            raise UnsafeFile(f"{path} is not a summary of evalscope: it holds no object")
        told = {name.lower(): value for name, value in found.items()}
        figures = dict(rates(**{ours: told.get(theirs) for theirs, ours in _RATES.items() if theirs in told}))
        for name, value in told.items():
            figures |= _figure(name, "mean", value)
        if _OLD in told:
            figures.pop("tpot_mean", None)
        for row in _percentiles(path):
            word = str(row.get("Percentiles") or row.get("Percentile"))
            for name, value in row.items():
                figures |= _figure(name.lower(), word, value) if statistic(word) else {}
        run = _run(settings(path), told)
        succeeded = told.get("success requests", told.get("succeed requests"))
        yield summary("evalscope", run, figures, succeeded=succeeded, failed=told.get("failed requests"))


def _figure(name: str, word: str, value: Json) -> dict[str, float]:
    found = _NAME.fullmatch(name)
    if found is None or found[1] not in _METRICS:
        return {}
    return dict(statistics(_METRICS[found[1]], {word: value}, _PER_UNIT[found[2]]))


def _percentiles(path: Path) -> list[dict[str, Json]]:
    try:
        found = read_json(path.with_name("benchmark_percentile.json"), "evalscope", SMALL_LIMIT)
    except UnsafeFile:
        return []  # without it there are means alone
    return [section(row) for row in found] if isinstance(found, list) else []


def _run(run: dict[str, Json], told: dict[str, Json]) -> dict[str, Json]:
    """Return what the files beside the summary tell of the run, or else itself."""
    users = whole(told.get("number of concurrency", told.get("concurrency")))
    rate = number(told.get("request rate (req/s)"))
    if run["parallel"] is None and run["rate"] is None:
        run |= {"parallel": users, "load": "closed"} if not rate or rate <= 0 else {"rate": rate, "load": "open"}
    run["number"] = run["number"] or whole(told.get("total requests"))
    run["duration"] = number(told.get("time taken for tests (s)", told.get("test duration (s)")))
    return run
