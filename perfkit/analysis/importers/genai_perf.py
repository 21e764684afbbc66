"""genai-perf and perf_analyzer: ``profile_export.json``, the answers as they came with a stamp for each part."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from perfkit.analysis.importers.evalscope_cells import LONGEST, Reading, canonical, number, read_answer, whole
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import read_json, section
from perfkit.apis.sse import events
from perfkit.errors import UnsafeFile
from perfkit.records import Json


@importer(
    "genai-perf",
    side_files=("inputs.json", "profile_export_genai_perf*"),
    summaries=("input_config request_latency output_sequence_length",),
)
class GenaiPerf:
    """Profiles of perf_analyzer, from which genai-perf counts; perfkit recomputes every number from the answers."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the experiments that the profile is made of."""
        return outline(head).has("experiments service_kind", "experiments version", "service_kind endpoint")

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run an experiment."""
        profile = read_json(path, "genai-perf")
        experiments = profile.get("experiments") if isinstance(profile, dict) else None
        if not isinstance(profile, dict) or not isinstance(experiments, list):
            raise UnsafeFile(f"{path} is a result file of genai-perf that holds no experiments")
        for experiment in map(section, experiments):
            requests = experiment.get("requests")
            if not isinstance(requests, list):
                raise UnsafeFile(f"{path} holds a summary of genai-perf without single requests")
            found = [item for item in requests if isinstance(item, dict)]
            yield ImportedRun(_run(profile, section(experiment, "experiment"), found), map(_result, found))


def _run(profile: dict[str, Json], load: dict[str, Json], requests: Sequence[dict[str, Json]]) -> dict[str, Json]:
    value = number(load.get("value"))
    is_open = load.get("mode") in ("request_rate", "custom_request_rate")
    return {
        "model": next((model for item in requests if (model := _body(item).get("model"))), None),
        "api": profile.get("endpoint") or profile.get("service_kind"),
        "load": "open" if is_open else "closed",
        "parallel": None if is_open else whole(value),
        "rate": value if is_open else None,
        "number": len(requests),
        "arguments": {name: text for name, text in profile.items() if isinstance(text, str)},
        "versions": {"perf_analyzer": profile.get("version")},
        "basis": dict.fromkeys(("ttft", "itl", "tpot", "e2e"), "recomputed") | {"chunks": "events"},
    }


def _body(item: dict[str, Json]) -> dict[str, Json]:
    """Return the body that was sent: a text of JSON, or the inputs of a Triton model."""
    inputs = section(item, "request_inputs")
    try:
        found = json.loads(inputs["payload"]) if isinstance(inputs.get("payload"), str) else inputs
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, dict) and isinstance(found.get("text_input"), str):
        return found | {"prompt": found["text_input"]}
    return found if isinstance(found, dict) else {}


def _result(item: dict[str, Json]) -> dict[str, Json]:
    body = _body(item)
    stamp = item.get("timestamp")
    start = stamp if isinstance(stamp, int) else None
    stamps = item.get("response_timestamps")
    # In integers of nanoseconds: a stamp of today has no room for them in a float.
    ends = [stamp for stamp in stamps if isinstance(stamp, int)] if isinstance(stamps, list) else []
    times = [(end - start) / 1e9 for end in ends] if start is not None else []
    outputs = item.get("response_outputs")
    texts = [_text(output) for output in outputs] if isinstance(outputs, list) else []
    whole_times = bool(times) and len(times) == len(texts) and all(0 <= time < LONGEST for time in times)
    messages, arrivals = _messages(texts, times) if whole_times else ([], [])
    answer = read_answer(messages)
    succeeded = bool(times) and answer.error is None and (not whole_times or bool(answer.pieces))
    row = {
        "start_time": start / 1e9 if start is not None else None,
        "completed_time": ends[-1] / 1e9 if ends else None,
        "latency": times[-1] if times else None,
        "completion_tokens": answer.completion_tokens,
        "prompt_tokens": answer.prompt_tokens,
        "is_stream": int(bool(body.get("stream")) or len(messages) > 1),
    }
    found = canonical(Reading(row, succeeded, body, answer, arrivals if succeeded else (), len(messages)))
    return found | {
        "request": json.dumps(body) if body else None,
        "response_messages": json.dumps(messages) if messages else None,
        "session_id": section(item, "request_inputs").get("session_id"),
        "error": answer.error or (None if succeeded else "the file holds no answer to this request"),
    }


def _messages(texts: Sequence[str], times: Sequence[float]) -> tuple[list[str], list[float]]:
    """Return the messages of an answer and when each was whole; parts may hold several, or pieces of one."""
    parts = [text.encode("utf-8", "replace") for text in texts]
    if not any(part.lstrip().startswith((b"data:", b"event:", b":")) for part in parts):
        found = [(text, time) for text, time in zip(texts, times, strict=True) if text.strip()]
        return [text for text, _ in found], [time for _, time in found]
    ends: list[int] = []
    for part in parts:
        ends.append((ends[-1] if ends else 0) + len(part))
    messages, arrivals, index = [], [], 0
    for payload, end, _ in events(b"".join(parts)):
        while ends[index] < end:
            index += 1
        if payload.strip() != b"[DONE]":
            messages.append(payload.decode("utf-8", "replace"))
            arrivals.append(times[index])
    return messages, arrivals


def _text(output: Json) -> str:
    """Return what a part of an answer holds: of a Triton model, as a piece of a completion."""
    held = section(output)
    if isinstance(text := held.get("response"), str):
        return text
    return json.dumps({"choices": [{"index": 0, "text": held.get("text_output")}]}) if "text_output" in held else ""
