"""inference-perf: ``per_request_lifecycle_metrics.json``, a list with an object a request."""

import json
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from pathlib import Path

from perfkit.analysis.importers.aiperf import content_chunks
from perfkit.analysis.importers.evalscope_cells import number, read_answer, whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import json_objects, section
from perfkit.apis.bodies import prompt_columns
from perfkit.apis.sse import events
from perfkit.records import Json


@importer(
    "inference-perf",
    side_files=("summary_lifecycle_metrics.json", "stage_*_lifecycle_metrics.json"),
    summaries=("load_summary successes failures",),
)
class InferencePerf:
    """Requests of inference-perf, whose times count from the boot of the machine that measured."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by what each request is stored as."""
        return outline(head).has("start_time end_time info", "start_time end_time request error")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run a stage where the file tells stages apart, else one."""
        items = sorted(json_objects(path, "inference-perf"), key=_stage)
        for stage, requests in groupby(items, key=_stage):
            yield ImportedRun(_run(stage, items), map(_result, requests))


def _stage(item: dict[str, Json]) -> int:
    stage = whole(item.get("stage_id"))
    return -1 if stage is None else stage


def _run(stage: int, items: Iterable[dict[str, Json]]) -> dict[str, Json]:
    bodies = (_body(item.get("request")) for item in items)
    return {
        "name": None if stage < 0 else f"stage {stage}",
        "model": next((body["model"] for body in bodies if body.get("model")), None),
        "basis": {
            **dict.fromkeys(("ttft", "itl", "e2e"), "stored:inference-perf"),
            **{"tpot": "recomputed", "clock": "boot", "chunks": "visible"},
        },
    }


def _result(item: dict[str, Json]) -> dict[str, Json]:
    info, error = section(item, "info"), section(item, "error")
    start, end = number(item.get("start_time")), number(item.get("end_time"))
    body = _body(item.get("request"))
    succeeded = not error and bool(info) and start is not None and end is not None
    kind = str(error.get("error_type") or "")
    status = whole(int(kind.split()[-1])) if kind.startswith("HTTP Error ") and kind.split()[-1].isdecimal() else None
    common = {
        "request": json.dumps(body) if body else None,
        **prompt_columns(body),
        "success": int(succeeded),
        "start_time": start,
        "completed_time": end,
        "scheduled_time": number(item.get("scheduled_time")),
        "session_id": item.get("session_id"),
        "output_text": _text(item.get("response")),
        "error": ": ".join(filter(None, [kind, str(error.get("error_msg") or "")])) or None,
        "status_code": status,
    }
    if not succeeded or start is None or end is None:
        return common
    return common | {"latency": end - start} | _measured(info, start)


def _measured(info: dict[str, Json], start: float) -> dict[str, Json]:
    # Older files have the counts and times of an answer at the top of ``info``.
    answer = section(info, "response_metrics") or info
    usage = section(answer, "server_usage")
    counted = whole(usage.get("completion_tokens"))
    prompt = whole(usage.get("prompt_tokens"))
    count = counted if counted is not None else whole(answer.get("output_tokens"))
    stamps = answer.get("output_token_times") or answer.get("chunk_times")
    times = [number(stamp) for stamp in stamps] if isinstance(stamps, list) else []
    arrivals = [time - start for time in times if time is not None]
    found = {
        "prompt_tokens": prompt if prompt is not None else whole(info.get("input_tokens")),
        "completion_tokens": count,
        "cached_tokens": whole(section(usage, "prompt_tokens_details").get("cached_tokens")),
        "token_source": "server" if counted is not None else "tokenizer",
        "is_stream": int(bool(arrivals)),
    }
    chunks = content_chunks(arrivals) if arrivals and arrivals == sorted(arrivals) else None
    if chunks is None:
        return found
    first, last = arrivals[0], arrivals[-1]
    return found | {
        "first_chunk_latency": first,
        "inter_token_latencies": json.dumps([later - earlier for earlier, later in pairwise(arrivals)]),
        "time_per_output_token": (last - first) / (count - 1) if count and count > 1 else None,
        "last_token_time": start + last,
        "chunks": chunks,
    }


def _body(text: Json) -> dict[str, Json]:
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(response: Json) -> str | None:
    """Return the text of an answer stored as it came: a stream of events, or JSON."""
    if not isinstance(response, str):
        return None
    messages = [payload for payload, _, _ in events(response.encode("utf-8", "replace"))]
    return read_answer(messages or [response]).output_text or None
