"""llmeter: ``responses.jsonl``, a line a request, with ``summary.json`` and ``run_config.json`` beside it."""

import json
from collections.abc import Iterator
from pathlib import Path

from perfkit.analysis.importers.evalscope_cells import whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import beside, json_lines, seconds, section, unix, without_secrets
from perfkit.apis.bodies import prompt_columns
from perfkit.records import Json


@importer(
    "llmeter",
    side_files=("payload.jsonl", "run_config.json", "stats.json", "summary.json"),
    summaries=("total_test_time clients n_requests",),
)
class Llmeter:
    """Responses of llmeter 0.2, whose requests are dated to the whole second."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the first response."""
        return outline(head).has("response_text num_tokens_input", "response_text input_payload")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        summary, config = beside(path, "summary.json"), beside(path, "run_config.json")
        run = _run(summary, config)
        rows = [_result(response) for response in json_lines(path, "llmeter")]
        if run["end_time"] is not None:
            _end_with(rows, run["end_time"])
        yield ImportedRun(run, rows)


def _run(summary: dict[str, Json], config: dict[str, Json]) -> dict[str, Json]:
    start = unix(summary.get("start_time"))
    duration = seconds(summary.get("total_test_time"))
    endpoint = without_secrets(section(config, "endpoint", "__llmeter_state__"))
    return {
        "name": summary.get("run_name"),
        "note": summary.get("run_description"),
        "model": summary.get("model_id"),
        "target": endpoint.get("base_url"),
        "load": "closed",
        "parallel": whole(summary.get("clients")),
        "number": whole(summary.get("total_requests")),
        "arguments": without_secrets(config) or None,
        "start_time": start,
        "end_time": start + duration if start and duration else None,
        "duration": duration,
        "basis": dict.fromkeys(("ttft", "tpot", "e2e"), "stored:llmeter")
        | {"itl": None, "clock": "whole seconds", "chunks": "ends"}
        | {"window": "summary.json" if start and duration else "whole seconds"},
    }


def _end_with(rows: list[dict[str, Json]], end: float) -> None:
    """Move requests within the second that their date leaves open, so that the last ends when the run did.

    The window of the run, over which rates are taken, then is the total time of ``summary.json``, not up to a second
    more or less.
    """
    ended = [row for row in rows if row["success"] and row["completed_time"] is not None]
    for row in ended:
        if end < row["completed_time"] <= end + 1:
            _move(row, end - row["completed_time"])
    last = max(ended, key=lambda row: row["completed_time"], default=None)
    if last and end - 1 <= last["completed_time"] < end:
        _move(last, end - last["completed_time"])


def _move(row: dict[str, Json], by: float) -> None:
    for name in ("start_time", "completed_time", "last_token_time"):
        row[name] += by


def _result(response: dict[str, Json]) -> dict[str, Json]:
    error = response.get("error")
    start, latency = unix(response.get("request_time")), seconds(response.get("time_to_last_token"))
    first = seconds(response.get("time_to_first_token"))
    succeeded = error is None and latency is not None
    payload, prompt = response.get("input_payload"), response.get("input_prompt")
    measured = {
        "latency": latency,
        "first_chunk_latency": first,
        "time_per_output_token": seconds(response.get("time_per_output_token")),
        "prompt_tokens": whole(response.get("num_tokens_input")),
        "completion_tokens": whole(response.get("num_tokens_output")),
        "cached_tokens": whole(response.get("num_tokens_input_cached")),
        "reasoning_tokens": whole(response.get("num_tokens_output_reasoning")),
        "last_token_time": start + latency if start and latency else None,
        "completed_time": start + latency if start and latency else None,
    }
    return {
        "request": json.dumps(payload) if isinstance(payload, dict) else None,
        "success": int(succeeded),
        "start_time": start,
        "is_stream": int(first is not None) if succeeded else None,
        "server_request_id": response.get("id"),
        **(prompt_columns(payload if isinstance(payload, dict) else {}) or prompt_columns({"prompt": prompt})),
        "output_text": response.get("response_text"),
        "error": None if error is None else str(error),
        **(measured if succeeded else {}),
    }
