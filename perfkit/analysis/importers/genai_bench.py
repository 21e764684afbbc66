"""genai-bench: a file a point of the sweep, with its requests beside their aggregates; ``experiment_metadata.json``."""

from collections.abc import Iterator
from pathlib import Path

from perfkit.analysis.importers.evalscope_cells import positive, whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import beside, read_json, section, without_secrets
from perfkit.errors import UnsafeFile
from perfkit.records import Json


@importer("genai-bench", side_files=("experiment_metadata.json",))
class GenaiBench:
    """Results of genai-bench, in seconds or milliseconds as the file says, which date no request."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the two parts of the file."""
        return outline(head).has("aggregated_metrics", "individual_request_metrics")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        found = read_json(path, "genai-bench")
        requests = found.get("individual_request_metrics") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(requests, list):
            raise UnsafeFile(f"{path} holds a summary of genai-bench without single requests")
        per_second = 1e3 if found.get("_time_unit") == "ms" else 1.0
        run = _run(section(found, "aggregated_metrics"), beside(path, "experiment_metadata.json"))
        yield ImportedRun(run, (_result(item, per_second) for item in requests if isinstance(item, dict)))


def _run(totals: dict[str, Json], experiment: dict[str, Json]) -> dict[str, Json]:
    rate = positive(totals.get("request_rate")) if totals.get("iteration_type") == "request_rate" else None
    duration = positive(totals.get("run_duration"))  # in seconds, whatever the unit of the others
    return {
        "model": experiment.get("model"),
        "api": experiment.get("task"),
        "target": without_secrets({"url": experiment.get("api_base")})["url"],
        "dataset": totals.get("scenario"),
        "load": "open" if rate else "closed",
        "parallel": None if rate else whole(totals.get("num_concurrency")),
        "rate": rate,
        "number": whole(totals.get("num_requests")),
        "duration": duration,
        "arguments": without_secrets(experiment) or None,
        "versions": {"genai-bench": experiment.get("benchmark_version")},
        "basis": dict.fromkeys(("ttft", "tpot", "e2e"), "stored:genai-bench") | {"itl": None},
    }


def _result(item: dict[str, Json], per_second: float) -> dict[str, Json]:
    error, message = item.get("error_code"), item.get("error_message")
    times = {name: positive(item.get(name)) for name in ("ttft", "tpot", "e2e_latency")}
    ttft, tpot, latency = (time / per_second if time else None for time in times.values())
    if error is not None or latency is None:
        status = whole(error)
        return {
            "success": 0,
            "error": str(message) if message else (None if error is None else f"error {error}"),
            "status_code": status if status and 100 <= status < 600 else None,
        }
    count = whole(item.get("num_output_tokens"))
    return {
        "success": 1,
        "latency": latency,
        "first_chunk_latency": ttft,
        "time_per_output_token": tpot if count and count > 1 else None,
        "prompt_tokens": whole(item.get("num_input_tokens")),
        "completion_tokens": count,
        # An embedding has neither.
        "is_stream": int(ttft is not None and bool(count)),
    }
