"""``vllm bench serve --save-result`` and sglang's ``bench_serving``, with and without single requests.

Both write one object a run. With ``--save-detailed`` (vLLM) or ``--output-details`` (sglang), lists in it hold a value
a request; without, it is a summary. vLLM saves a file a run (or a line, appended), and ``vllm bench sweep serve`` one a
repeat in a folder a point, ``SERVE--max_num_seqs=4-BENCH--max_concurrency=2/run=0.json``; sglang appends lines. Neither
keeps when an answer ended: E2E is TTFT plus the gaps, as both tools define it.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from itertools import accumulate
from pathlib import Path

from perfkit.analysis.importers.aiperf import content_chunks
from perfkit.analysis.importers.evalscope_cells import number, positive, whole
from perfkit.analysis.importers.figures import rates, statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import json_objects
from perfkit.errors import UnsafeFile
from perfkit.records import Json

_LISTS = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "generated_texts", "errors")
_SGLANG = ("sharegpt_output_len", "random_range_ratio")


class _ListsOfRequests:
    """What the two tools' files have in common."""

    tool = ""

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield a run an object."""
        for run in json_objects(path, self.tool):
            if isinstance(run.get("ttfts"), list) and isinstance(run.get("itls"), list):
                yield ImportedRun(_run(run, self.tool), _results(run))
            elif not {"duration", "completed"} <= run.keys():
                raise UnsafeFile(f"{path} is a result file of {self.tool} without requests and without a summary")
            else:
                yield _summary(run, self.tool, path)


@importer("vllm", side_files=("summary.json",))
class Vllm(_ListsOfRequests):
    """Results of ``vllm bench serve``."""

    tool = "vllm"

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the settings, of which a cut file may hold few; a sweep's summary repeats the files beside it."""
        found = outline(head)
        if path.name == "summary.json" and found.is_list and any(path.parent.glob("run=*.json")):
            return False
        settings = ("tokenizer_id num_prompts", "date endpoint_type", "date backend model_id", "burstiness backend")
        return found.has(*settings, "ttfts itls") and not found.has(*_SGLANG)


@importer("sglang")
class Sglang(_ListsOfRequests):
    """Results of sglang's ``bench_serving``, whose gaps are divided by the tokens of their chunk."""

    tool = "sglang"

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
        "number": whole(run.get("num_prompts")) or len(run.get("ttfts") or ()) or None,
        "duration": duration,
        "arguments": {name: value for name, value in run.items() if not isinstance(value, list | dict)},
        "start_time": start,
        "end_time": start + duration if start and duration else None,
        "basis": basis | {"tpot": "recomputed", "clock": "boot", "chunks": "own" if tool == "vllm" else "visible"},
    }


_STATISTIC = re.compile(r"(mean|median|p[\d.]+)_(ttft|tpot|itl|e2el|e2e_latency)_ms")
_PART = re.compile(r"-?([A-Za-z_][\w.]*)=(.*?)(?=-[A-Za-z_][\w.]*=|$)")


def _summary(run: dict[str, Json], tool: str, path: Path) -> ImportedRun:
    """Return what stands in an object without lists; what none of no requests has is left out, not 0."""
    duration, prompts = positive(run.get("duration")), positive(run.get("total_input_tokens"))
    figures = dict(
        rates(
            request_throughput=run.get("request_throughput"),
            output_throughput=run.get("output_throughput"),
            prompt_throughput=prompts / duration if prompts and duration else None,
            total_throughput=run.get("total_token_throughput") or run.get("total_throughput"),
            concurrency=run.get("concurrency"),
        )
    )
    for name, value in run.items():
        if found := _STATISTIC.fullmatch(name):
            metric = "e2e" if found[2].startswith("e2e") else found[2]
            figures |= statistics(metric, {found[1]: value}, 1e3)
    failed = run.get("failed")
    asked, completed = whole(run.get("num_prompts")), whole(run.get("completed"))
    if failed is None and asked is not None and completed is not None:
        failed = max(0, asked - completed)
    server, tags = _of_folder(path.parent.name)
    told = {"name": run.get("label") or server, "tags": tags}
    return summary(tool, {**_run(run, tool), **told}, figures, succeeded=completed, failed=failed)


def _of_folder(name: str) -> tuple[str | None, dict[str, str]]:
    """Return what a folder of a sweep calls its server, and the settings of the server in it.

    Examples
    --------
    >>> _of_folder("SERVE--max_num_seqs=4-dtype=half-BENCH--max_concurrency=2-num_prompts=8")
    ('max_num_seqs=4-dtype=half', {'max_num_seqs': '4', 'dtype': 'half'})
    """
    if not name.startswith(("SERVE-", "BENCH-")):
        return None, {}
    server = name.partition("BENCH-")[0].removeprefix("SERVE-").strip("-")
    return server or None, dict(_PART.findall(server)) or ({"serve": server} if server else {})


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
