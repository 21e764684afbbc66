"""guidellm: ``benchmarks.json``, a run for each of its benchmarks."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from perfkit.analysis.importers.evalscope_cells import positive, whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import read_json, seconds, section, without_secrets
from perfkit.apis.bodies import prompt_columns
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_MARKS = (b'"guidellm_version"', b'"generative_benchmark"', b'"generative_text_response"', b'"decode_times"')
_SPAN = ("start_time", "end_time")
_STATUSES = ("successful", "errored", "incomplete")


@importer("guidellm")
class Guidellm:
    """Reports of guidellm from 0.2 on, which keep first and last token of each request but no gaps."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the version that the report names, or by what older ones call their benchmarks and requests."""
        return outline(head).has("benchmarks", "metadata") and any(mark in head for mark in _MARKS)

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a benchmark."""
        report = read_json(path, "guidellm")
        benchmarks = report.get("benchmarks") if isinstance(report, dict) else None
        if not isinstance(benchmarks, list):
            raise UnsafeFile(f"{path} is a report of guidellm that holds no benchmarks")
        version = section(report, "metadata").get("guidellm_version")
        for benchmark in map(section, benchmarks):
            if not section(benchmark, "requests"):
                detail = "was written before guidellm 0.2" if "results" in benchmark else "is without single requests"
                raise UnsafeFile(f"{path} holds a report of guidellm that {detail}")
            yield ImportedRun(_run(benchmark, version), _results(section(benchmark, "requests")))


def _run(benchmark: dict[str, Json], version: Json) -> dict[str, Json]:
    # Up to 0.3 the settings are called arguments, and the server is described with the worker.
    config = section(benchmark, "config") or section(benchmark, "args")
    strategy = section(config, "strategy")
    backend, worker = section(config, "backend"), section(benchmark, "worker")
    rate = seconds(strategy.get("rate"))
    most = section(config, "constraints", "max_requests", "args").get("count")
    times = [seconds(benchmark.get(name)) or seconds(section(benchmark, "run_stats").get(name)) for name in _SPAN]
    return {
        "model": backend.get("model") or worker.get("backend_model"),
        "target": without_secrets(backend).get("target") or without_secrets(worker).get("backend_target"),
        "load": "open" if rate is not None else "closed",
        "parallel": None if rate is not None else whole(strategy.get("streams")),
        "rate": rate,
        "number": whole(most if most is not None else config.get("max_number")),
        "arguments": without_secrets(config),
        "versions": {"guidellm": version},
        "start_time": times[0],
        "end_time": times[1],
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
    found.sort(key=lambda pair: _time(pair[1], "start_time") or 0.0)
    return (_result(status, item) for status, item in found)


def _time(item: dict[str, Any], name: str) -> float | None:
    """Return when a request started or ended; up to 0.3 the name has no prefix."""
    return seconds(item.get(f"request_{name}", item.get(name)))


def _result(status: str, item: dict[str, Any]) -> dict[str, Json]:
    info, older = section(item, "info"), section(item, "scheduler_info")
    timings = section(info, "timings")
    succeeded = status == "successful"
    start, end = _time(item, "start_time"), _time(item, "end_time")
    first, last = (
        seconds(timings.get(f"{which}_token_iteration") or item.get(f"{which}_token_time"))
        for which in ("first", "last")
    )
    count = whole(item.get("output_tokens"))
    measured = {
        "latency": seconds(item.get("request_latency")),
        "first_chunk_latency": seconds(item.get("time_to_first_token_ms"), 1e3),
        "time_per_output_token": (last - first) / (count - 1) if first and last and count and count > 1 else None,
        "prompt_tokens": whole(item.get("prompt_tokens")),
        "completion_tokens": count,
    }
    body = _body(item.get("request_args")) or (
        {"prompt": item["prompt"]} if isinstance(item.get("prompt"), str) else {}
    )
    return {
        "request": json.dumps(body) if "request_args" in item and body else None,
        **prompt_columns(body),
        "success": int(succeeded),
        "start_time": start,
        "completed_time": end,
        "scheduled_time": positive(timings.get("scheduled_at") or older.get("scheduled_time")),
        "last_token_time": last,
        "is_stream": int(first is not None),
        "request_id": item.get("request_id"),
        "server_request_id": item.get("response_id"),
        "session_id": info.get("conversation_id"),
        "turn": (whole(info.get("turn_index")) or 0) + 1,
        "worker": whole(info.get("scheduler_process_id", older.get("process_id"))),
        "output_text": item.get("output"),
        "error": info.get("error") or item.get("error"),
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
