"""llmperf: ``…_individual_responses.json``, a list with an object a request, and ``…_summary.json`` beside it."""

from collections.abc import Iterator
from pathlib import Path

from perfkit.analysis.importers.evalscope_cells import number, positive, whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import beside, json_objects
from perfkit.records import Json


@importer(
    "llmperf",
    side_files=("*_summary.json",),
    summaries=("results_ttft_s_mean", "results_end_to_end_latency_s_mean"),
)
class Llmperf:
    """Results of llmperf's token benchmark, which date no request and count tokens with a tokenizer of its own."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the times of the first request."""
        return outline(head).has("ttft_s end_to_end_latency_s")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        summary = beside(path, path.name.replace("_individual_responses", "_summary"))
        yield ImportedRun(_run(summary), map(_result, json_objects(path, "llmperf")))


def _run(summary: dict[str, Json]) -> dict[str, Json]:
    return {
        "model": summary.get("model"),
        "load": "closed",
        "parallel": whole(summary.get("num_concurrent_requests")),
        "number": whole(summary.get("results_num_requests_started")),
        "arguments": {name: value for name, value in summary.items() if not name.startswith("results_")} or None,
        # Its inter-token latency is E2E over tokens, TTFT included: no gap between tokens is known.
        "basis": {"ttft": "stored:llmperf", "e2e": "stored:llmperf", "tpot": "recomputed", "itl": None},
    }


def _result(item: dict[str, Json]) -> dict[str, Json]:
    error, message = item.get("error_code"), item.get("error_msg")
    start = number(item.get("start_time"))
    latency, first = positive(item.get("end_to_end_latency_s")), positive(item.get("ttft_s"))
    succeeded = error is None and latency is not None
    if not succeeded:
        said = str(message or "") or (None if error is None else f"error {error}")
        status = whole(error)
        return {
            "success": 0,
            "start_time": start,
            "error": said,
            "status_code": status if status and 100 <= status < 600 else None,
        }
    count = whole(item.get("number_output_tokens"))
    ended = start + latency if start is not None and latency else None
    return {
        "success": 1,
        "start_time": start,
        "completed_time": ended,
        "last_token_time": ended,
        "latency": latency,
        "first_chunk_latency": first,
        "time_per_output_token": (latency - first) / (count - 1) if latency and first and count and count > 1 else None,
        "prompt_tokens": whole(item.get("number_input_tokens")),
        "completion_tokens": count,
        "token_source": "tokenizer",
        "is_stream": int(first is not None),
    }
