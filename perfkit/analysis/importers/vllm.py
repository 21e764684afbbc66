"""``vllm bench serve --save-result --save-detailed`` and sglang's ``bench_serving --output-details``.

Both write one object a run, in which lists hold a value a request. vLLM saves a file a run (or a line, appended),
sglang appends lines. Neither keeps when an answer ended: E2E is TTFT plus the gaps, as both tools define it.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path

from perfkit.analysis.importers.aiperf import content_chunks
from perfkit.analysis.importers.evalscope_cells import number, positive, whole
from perfkit.analysis.importers.outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import json_objects
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_LISTS = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "generated_texts", "errors")
_SGLANG = ("sharegpt_output_len", "random_range_ratio")


class _ListsOfRequests:
    """What the two tools' files have in common."""

    tool = ""
    details = ""

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run an object."""
        for run in json_objects(path, self.tool):
            if not isinstance(run.get("ttfts"), list) or not isinstance(run.get("itls"), list):
                raise UnsafeFile(
                    f"{path} holds a summary of {self.tool} without single requests; save it with {self.details}"
                )
            yield ImportedRun(_run(run, self.tool), _results(run))


@importer("vllm")
class Vllm(_ListsOfRequests):
    """Results of ``vllm bench serve``."""

    tool = "vllm"
    details = "--save-detailed"

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the settings, of which a cut file may hold few."""
        found = outline(head)
        settings = ("tokenizer_id num_prompts", "date endpoint_type", "date backend model_id", "burstiness backend")
        return found.has(*settings, "ttfts itls") and not found.has(*_SGLANG)


@importer("sglang")
class Sglang(_ListsOfRequests):
    """Results of sglang's ``bench_serving``, whose gaps are divided by the tokens of their chunk."""

    tool = "sglang"
    details = "--output-details"

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the settings that vLLM does not have."""
        return outline(head).has(*_SGLANG)


def _run(run: dict[str, Json], tool: str) -> dict[str, Json]:
    rate = number(run.get("request_rate")) if run.get("request_rate") != "inf" else None
    concurrency = whole(run.get("max_concurrency"))
    duration = number(run.get("duration"))
    start = _date(run.get("date"))
    basis = dict.fromkeys(("ttft", "itl", "e2e"), f"stored:{tool}")
    return {
        "model": run.get("model_id"),
        "api": run.get("endpoint_type") or run.get("backend"),
        "dataset": run.get("dataset_name"),
        "load": "open" if rate is not None or concurrency is None else "closed",
        "parallel": concurrency,
        "rate": rate if rate is not None else (-1.0 if concurrency is None else None),
        "number": whole(run.get("num_prompts")) or len(run["ttfts"]),
        "duration": duration,
        "arguments": {name: value for name, value in run.items() if not isinstance(value, list | dict)},
        "start_time": start,
        "end_time": start + duration if start and duration else None,
        "basis": basis | {"tpot": "recomputed", "clock": "boot", "chunks": "own" if tool == "vllm" else "visible"},
    }


def _date(text: Json) -> float | None:
    """Return the Unix time of vLLM's ``20260101-120000``."""
    try:
        return datetime.strptime(str(text), "%Y%m%d-%H%M%S").timestamp()
    except ValueError:
        return None


def _results(run: dict[str, Json]) -> Iterator[dict[str, Json]]:
    lists: dict[str, list[Json]] = {name: values for name in _LISTS if isinstance(values := run.get(name), list)}
    for index in range(len(lists["ttfts"])):
        yield _result({name: values[index] for name, values in lists.items() if index < len(values)})


def _result(item: dict[str, Json]) -> dict[str, Json]:
    itls = item.get("itls")
    gaps = [number(gap) or 0.0 for gap in itls] if isinstance(itls, list) else []
    first, start = positive(item.get("ttfts")), positive(item.get("start_times"))
    count = whole(item.get("output_lens"))
    succeeded = not item.get("errors") and bool(count)
    common = {
        "success": int(succeeded),
        "start_time": start,
        "prompt_tokens": whole(item.get("input_lens")) if succeeded else None,
        "output_text": item.get("generated_texts") or None,
        "error": str(item.get("errors")) if item.get("errors") else None,
        "is_stream": int(first is not None),
    }
    if not succeeded or first is None or count is None:
        return common
    arrivals = list(accumulate(gaps, initial=first))
    last = arrivals[-1]
    return common | {
        "completion_tokens": count,
        "latency": last,
        "first_chunk_latency": first,
        "inter_token_latencies": json.dumps(gaps),
        "time_per_output_token": (last - first) / (count - 1) if count > 1 else None,
        "completed_time": start + last if start else None,
        "last_token_time": start + last if start else None,
        "chunks": content_chunks(arrivals),
    }
