"""llmperf's ``…_summary.json`` without the individual responses.

Its inter-token latency is E2E over the tokens, TTFT included: no gap and no TPOT is known, so it is left out.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perfkit.analysis.importers.evalscope_cells import number, whole
from perfkit.analysis.importers.figures import rates, statistics, summary
from perfkit.analysis.importers.json_outline import outline
from perfkit.analysis.importers.registry import ImportedRun, importer
from perfkit.analysis.importers.text import SMALL_LIMIT, read_json, without_secrets
from perfkit.errors import UnsafeFile

_METRICS: Final = {
    "ttft_s": "ttft",
    "end_to_end_latency_s": "e2e",
    "number_input_tokens": "prompt_tokens",
    "number_output_tokens": "output_tokens",
}
_FIGURE: Final = re.compile(rf"results_({'|'.join(_METRICS)})_(?:quantiles_)?(mean|p[\d.]+)")


@importer("llmperf-summary", tool="llmperf")
class LlmperfSummary:
    """Summaries of llmperf's token benchmark."""

    def matches(self, path: Path, head: bytes) -> bool:
        """Tell by the means; where the responses are beside it, these are the result."""
        beside = path.with_name(path.name.replace("_summary", "_individual_responses"))
        is_one = outline(head).has("results_ttft_s_mean", "results_end_to_end_latency_s_mean")
        return is_one and (beside == path or not beside.exists())

    def read(self, path: Path) -> Iterator[ImportedRun]:
        """Yield the one run of the file."""
        found = read_json(path, "llmperf", SMALL_LIMIT)
        if not isinstance(found, dict):
            raise UnsafeFile(f"{path} is not a summary of llmperf: it holds no object")
        per_minute = number(found.get("results_num_completed_requests_per_min"))
        figures = dict(
            rates(
                output_throughput=found.get("results_mean_output_throughput_token_per_s"),
                request_throughput=per_minute / 60 if per_minute else None,
            )
        )
        for name, value in found.items():
            if told := _FIGURE.fullmatch(name):
                figures |= statistics(_METRICS[told[1]], {told[2]: value})
        settings = {name: value for name, value in found.items() if not name.startswith("results_")}
        run = {
            "name": found.get("name") if isinstance(found.get("name"), str) else None,
            "model": found.get("model"),
            "load": "closed",
            "parallel": whole(found.get("num_concurrent_requests")),
            "number": whole(found.get("results_num_requests_started")),
            "arguments": without_secrets(settings),
            "end_time": number(found.get("timestamp")),
        }
        counts = (whole(found.get(f"results_{name}")) for name in ("num_completed_requests", "number_errors"))
        succeeded, failed = counts
        yield summary("llmperf", run, figures, succeeded=succeeded, failed=failed)
