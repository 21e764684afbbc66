"""guidellm: ``benchmarks.json``, a run for each of its benchmarks."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from perfkit.apis.bodies import prompt_columns
from perfkit.errors import UnsafeFile
from perfkit.evalscope import whole
from perfkit.importers.registry import ImportedRun, importer
from perfkit.importers.text import read_json, seconds, section, without_secrets
from perfkit.records import Json

_STATUSES = ("successful", "errored", "incomplete")


@importer("guidellm")
class Guidellm:
    """Reports of guidellm 0.8, which keep first and last token of each request but no gaps."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the version that the report names."""
        return head.lstrip().startswith(b"{") and b'"guidellm_version"' in head

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a benchmark."""
        report = read_json(path)
        benchmarks = report.get("benchmarks") if isinstance(report, dict) else None
        if not isinstance(benchmarks, list):
            raise UnsafeFile(f"{path} holds no benchmarks")
        version = section(report, "metadata").get("guidellm_version")
        for benchmark in map(section, benchmarks):
            yield ImportedRun(_run(benchmark, version), _results(section(benchmark, "requests")))


def _run(benchmark: dict[str, Json], version: Json) -> dict[str, Json]:
    strategy = section(benchmark, "config", "strategy")
    backend = section(benchmark, "config", "backend")
    rate = seconds(strategy.get("rate"))
    return {
        "model": backend.get("model"),
        "target": without_secrets(backend).get("target"),
        "load": "open" if rate is not None else "closed",
        "parallel": None if rate is not None else whole(strategy.get("streams")),
        "rate": rate,
        "number": whole(section(benchmark, "config", "constraints", "max_requests", "args").get("count")),
        "arguments": without_secrets(section(benchmark, "config")),
        "versions": {"guidellm": version},
        "start_time": seconds(benchmark.get("start_time")),
        "end_time": seconds(benchmark.get("end_time")),
        "basis": {
            "ttft": "stored:guidellm",
            "tpot": "recomputed",
            "itl": None,
            "e2e": "stored:guidellm",
            "chunks": "ends",
        },
    }


def _results(requests: dict[str, Json]) -> Iterable[dict[str, Json]]:
    lists = {status: items for status in _STATUSES if isinstance(items := requests.get(status), list)}
    found = [(status, item) for status, items in lists.items() for item in items if isinstance(item, dict)]
    found.sort(key=lambda pair: seconds(pair[1].get("request_start_time")) or 0.0)
    return (_result(status, item) for status, item in found)


def _result(status: str, item: dict[str, Any]) -> dict[str, Json]:
    info = section(item, "info")
    timings = section(info, "timings")
    succeeded = status == "successful"
    first, last = seconds(timings.get("first_token_iteration")), seconds(timings.get("last_token_iteration"))
    count = whole(item.get("output_tokens"))
    measured = {
        "latency": seconds(item.get("request_latency")),
        "first_chunk_latency": seconds(item.get("time_to_first_token_ms"), 1e3),
        "time_per_output_token": (last - first) / (count - 1) if first and last and count and count > 1 else None,
        "prompt_tokens": whole(item.get("prompt_tokens")),
        "completion_tokens": count,
    }
    body = _body(item.get("request_args"))
    return {
        "request": json.dumps(body) if body else None,
        **prompt_columns(body),
        "success": int(succeeded),
        "start_time": seconds(item.get("request_start_time")),
        "completed_time": seconds(item.get("request_end_time")),
        "scheduled_time": seconds(timings.get("scheduled_at")),
        "last_token_time": last,
        "is_stream": int(first is not None),
        "request_id": item.get("request_id"),
        "server_request_id": item.get("response_id"),
        "session_id": info.get("conversation_id"),
        "turn": (whole(info.get("turn_index")) or 0) + 1,
        "worker": whole(info.get("scheduler_process_id")),
        "output_text": item.get("output"),
        "error": info.get("error"),
        "error_kind": "incomplete" if status == "incomplete" else None,
        **(measured if succeeded else {}),
    }


def _body(arguments: Json) -> dict[str, Json]:
    """Return the body that was sent, from the arguments of the HTTP call; empty when they do not tell."""
    try:
        call = json.loads(arguments) if isinstance(arguments, str) else arguments
    except (ValueError, RecursionError):
        return {}
    return section(call, "body")
