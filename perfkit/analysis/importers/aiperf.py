"""aiperf: ``profile_export.jsonl``, a line a request, with the settings of ``profile_export_aiperf.json`` beside it."""

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from perfkit.analysis.importers.evalscope_cells import LONGEST, number, whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import beside, json_lines, seconds, section, without_secrets
from perfkit.records import Json, Kind
from perfkit.runfile.chunks import NO_LAG, Chunks, pack

_PER_SECOND = {"ns": 1e9, "us": 1e6, "ms": 1e3, "sec": 1.0, "s": 1.0}


@importer(
    "aiperf",
    side_files=("inputs.json", "outputs.json", "profile_export_aiperf*", "profile_export_raw.jsonl", "server_metrics*"),
    summaries=("aiperf_version", "input_config request_latency request_throughput"),
)
class Aiperf:
    """Records of aiperf 0.13."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the first record."""
        return b'"request_start_ns"' in head and outline(head).has("metadata metrics", "metadata error")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        summary = beside(path, "profile_export_aiperf.json")
        yield ImportedRun(_run(summary), map(_result, json_lines(path, "aiperf")))


def _run(summary: dict[str, Json]) -> dict[str, Json]:
    config = without_secrets(section(summary, "input_config"))
    models = section(config, "models").get("items")
    urls = section(config, "endpoint").get("urls")
    phases = config.get("phases")
    phase = next((item for item in phases if isinstance(item, dict)), {}) if isinstance(phases, list) else {}
    rate = number(phase.get("rate"))
    return {
        "model": section(models[0]).get("name") if isinstance(models, list) and models else None,
        "target": urls[0] if isinstance(urls, list) and urls else None,
        "api": section(config, "endpoint").get("type"),
        "load": "open" if rate else "closed",
        "parallel": None if rate else whole(phase.get("concurrency")),
        "rate": rate,
        "number": whole(phase.get("requests") or phase.get("request_count")),
        "arguments": config or None,
        "versions": {"aiperf": summary.get("aiperf_version")},
        "basis": dict.fromkeys(("ttft", "itl", "e2e"), "stored:aiperf") | {"tpot": "recomputed", "chunks": "visible"},
    }


def _result(record: dict[str, Json]) -> dict[str, Json]:
    metadata, metrics = section(record, "metadata"), section(record, "metrics")
    error = section(record, "error")
    start, end = (seconds(metadata.get(name), 1e9) for name in ("request_start_ns", "request_end_ns"))
    succeeded = not error and not metadata.get("was_cancelled") and "request_latency" in metrics
    return {
        "success": int(succeeded),
        "start_time": start,
        "completed_time": end,
        "scheduled_time": seconds(metadata.get("credit_issued_ns"), 1e9),
        "headers_time": seconds(metadata.get("request_ack_ns"), 1e9),
        "dns_time": _metric(metrics, "http_req_dns_lookup"),
        "connect_time": _metric(metrics, "http_req_connecting"),
        "phase": "warmup" if metadata.get("benchmark_phase") == "warmup" else "steady",
        "request_id": metadata.get("x_request_id"),
        "session_id": metadata.get("conversation_id"),
        "turn": (whole(metadata.get("turn_index")) or 0) + 1,
        "error": error.get("message"),
        "status_code": whole(error.get("code")),
        **(_measured(metrics, start) if succeeded else {}),
    }


def _measured(metrics: dict[str, Json], start: float | None) -> dict[str, Json]:
    first = _metric(metrics, "time_to_first_token")
    counted = whole(section(metrics, "usage_completion_tokens").get("value"))
    count = counted if counted is not None else whole(section(metrics, "output_sequence_length").get("value"))
    prompt = section(metrics, "usage_prompt_tokens") or section(metrics, "input_sequence_length")
    common = {
        "latency": _metric(metrics, "request_latency"),
        "prompt_tokens": whole(prompt.get("value")),
        "completion_tokens": count,
        "token_source": "server" if counted is not None else "tokenizer",
        "is_stream": int(first is not None),
        "first_answer_latency": _metric(metrics, "time_to_first_output_token"),
    }
    gaps = section(metrics, "inter_chunk_latency").get("value")
    if first is None or not isinstance(gaps, list):
        return common | {"first_chunk_latency": first}
    gaps = [(number(gap) or 0.0) / 1e3 for gap in gaps]
    arrivals = list(accumulate(gaps, initial=first))
    last = arrivals[-1]
    return common | {
        "first_chunk_latency": first,
        "inter_token_latencies": json.dumps(gaps),
        "time_per_output_token": (last - first) / (count - 1) if count and count > 1 else None,
        "last_token_time": start + last if start else None,
        "chunks": content_chunks(arrivals),
    }


def content_chunks(arrivals: list[float]) -> bytes | None:
    """Return the ``chunks`` blob of an answer of which only the arrivals of text are known; None if they are absurd."""
    if not all(0 <= arrival < LONGEST for arrival in arrivals):
        return None
    size, order = len(arrivals), range(len(arrivals))
    stamps = [round(arrival * 1e9) for arrival in arrivals]
    return pack(Chunks(stamps, [NO_LAG] * size, order, [Kind.CONTENT] * size, [0] * size, [-1] * size))


def _metric(metrics: dict[str, Json], name: str) -> float | None:
    """Return a duration in seconds, whatever unit the record gives it in."""
    found = section(metrics, name)
    return seconds(found.get("value"), _PER_SECOND.get(str(found.get("unit")), 1e3))
