"""aiperf's ``profile_export_aiperf.json`` and genai-perf's ``profile_export_genai_perf.json`` without the records.

Both hold an object a metric: ``{"unit": "ms", "avg": …, "p50": …}``. Their ``inter_token_latency`` is the mean gap of
each request, (E2E - TTFT) / (tokens - 1): perfkit's TPOT. ``inter_chunk_latency`` are the gaps, of all requests.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import number, whole
from perfkit.analysis.importers.figures import rates, statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import read_json, section, unix, without_secrets
from perfkit.errors import UnsafeFile
from perfkit.records import Json

PER_UNIT: Final = {"ns": 1e9, "us": 1e6, "µs": 1e6, "ms": 1e3, "sec": 1.0, "s": 1.0}
METRICS: Final = {
    "time_to_first_token": "ttft",
    "time_to_first_output_token": "ttfat",
    "inter_token_latency": "tpot",
    "inter_chunk_latency": "itl",
    "request_latency": "e2e",
    "output_token_throughput_per_user": "decode_rate",
    "output_sequence_length": "output_tokens",
    "input_sequence_length": "prompt_tokens",
}
RATES: Final = {
    "request_throughput": "request_throughput",
    "output_token_throughput": "output_throughput",
    "total_token_throughput": "total_throughput",
}
_LOAD: Final = ("concurrency", "request_rate", "rate", "request_count", "requests", "duration", "name", "type", "kind")


@importer("aiperf-summary", tool="aiperf")
class AiperfSummary:
    """Summaries of aiperf and genai-perf."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the metrics; where the records are beside it, these are the results."""
        found = outline(head)
        is_one = found.has("input_config request_latency", "aiperf_version request_latency") and not found.is_list
        return is_one and not any(path.with_name(name).exists() for name in _records(path))

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        found = read_json(path, "aiperf")
        if not isinstance(found, dict):
            raise UnsafeFile(f"{path} is not a summary of aiperf: it holds no object")
        tool = "aiperf" if "aiperf_version" in found or "phases" in section(found, "input_config") else "genai-perf"
        figures = dict(rates(**{ours: section(found, theirs).get("avg") for theirs, ours in RATES.items()}))
        for theirs, ours in METRICS.items():
            told = section(found, theirs)
            figures |= statistics(ours, told, PER_UNIT.get(str(told.get("unit")), 1.0))
            if (count := whole(told.get("count"))) is not None:
                figures[f"{ours}_n"] = float(count)
        succeeded = section(found, "request_count").get("avg") or section(found, "request_latency").get("count")
        failed = section(found, "error_request_count").get("avg") or _errors(found)
        yield summary(tool, _run(found), figures, succeeded=_count(succeeded), failed=_count(failed) or 0)


def _records(path: Path) -> tuple[str, ...]:
    """Return the names of the records that may lie beside a summary."""
    stem = path.name.removesuffix(".json")
    return ("profile_export.jsonl", "profile_export.json", f"{stem.removesuffix('_genai_perf')}.json.gz")


def _count(value: Json) -> int | None:
    found = number(value)
    return None if found is None else round(found)


def _errors(found: dict[str, Json]) -> int:
    counts = found.get("error_summary")
    return sum(whole(section(each).get("count")) or 0 for each in counts) if isinstance(counts, list) else 0


def _run(found: dict[str, Json]) -> dict[str, Json]:
    config = without_secrets(section(found, "input_config"))
    load, tags = _load(found, config)
    rate, users = number(load.get("rate") or load.get("request_rate")), whole(load.get("concurrency"))
    urls = section(config, "endpoint").get("urls") or config.get("url") or section(config, "endpoint").get("url")
    return {
        "model": _model(config),
        "target": urls[0] if isinstance(urls, list) and urls else urls if isinstance(urls, str) else None,
        "api": section(config, "endpoint").get("type") or config.get("endpoint_type"),
        "load": "open" if rate else "closed",
        "parallel": None if rate else users,
        "rate": rate,
        "number": whole(load.get("requests") or load.get("request_count")),
        "duration": number(load.get("duration")),
        "arguments": config or None,
        "tags": tags,
        "start_time": unix(found.get("start_time")),
        "end_time": unix(found.get("end_time")),
        "versions": {"aiperf": found["aiperf_version"]} if "aiperf_version" in found else None,
    }


def _load(found: dict[str, Json], config: dict[str, Json]) -> tuple[dict[str, Json], dict[str, str]]:
    """Return the settings of the load, wherever a version keeps them, and what else a sweep varied, as tags."""
    phases = config.get("phases")
    phase = next((section(each) for each in reversed(phases)), {}) if isinstance(phases, list) else {}
    stimulus = section(config, "perf_analyzer", "stimulus")
    # Older releases keep all settings on one level.
    flat: dict[str, Json] = {
        name: config[name] for name in _LOAD if name in config and name not in ("name", "type", "kind")
    }
    load = {**flat, **section(config, "loadgen"), **section(config, "load_generator"), **stimulus, **phase}
    tags = {}
    for name, value in section(found, "run_info", "variation_values").items():
        short = name.rpartition(".")[2]
        if short not in _LOAD:
            tags[short] = str(value)
        else:
            load.setdefault(short, value)
    return load, tags


def _model(config: dict[str, Json]) -> Json:
    models = (
        section(config, "models").get("items")
        or config.get("model_names")
        or section(config, "endpoint").get("model_names")
        or config.get("model")
    )
    first = models[0] if isinstance(models, list) and models else models
    return section(first).get("name") if isinstance(first, dict) else first if isinstance(first, str) else None
