"""Whatever shape a summary has, opening it ends in runs that can be looked at or in one sentence."""

import json
import random
from pathlib import Path

import pytest

import perfkit as pk
from tests.analysis.importers.test_inferencex import POINT
from tests.analysis.importers.test_llmperf_summary import SUMMARY
from tests.analysis.importers.test_shapes import mutated

FIXTURES = Path(__file__).parents[2] / "fixtures"
AIPERF = FIXTURES / "summaries" / "aiperf_0.11" / "concurrency_32" / "profile_export_aiperf.json"
EVALSCOPE = next((FIXTURES / "evalscope" / "evalscope-1.9.1__sweep").rglob("benchmark_summary.json"))
ASKED = {"run": "a", "name": "a", "parallel": 8, "tags": {"gpus": "2"}, "start_time": 1.75e9}
METRIC = {"run": "a", "metric": "ttft", "unit": "s", "n": 9, "mean": 0.1, "p50": 0.1, "marks": {}}

ORIGINALS = {
    "vllm": json.loads((FIXTURES / "summaries" / "vllm_0.25.1.json").read_text()),
    "aiperf": json.loads(AIPERF.read_text()),
    "sweep": {
        "aggregation_type": "sweep",
        "per_combination_metrics": [
            {"parameters": {"concurrency": 8}, "metrics": {"time_to_first_token_p99": {"mean": 9.0, "unit": "ms"}}}
        ],
    },
    "inferencex": [POINT, POINT | {"metrics": {"median_tpot": 0.1}}],
    "llmperf": SUMMARY,
    "evalscope": json.loads(EVALSCOPE.read_text()),
    "perfkit": {
        "head": "",
        "runs": [ASKED],
        "rates": [{"run": "a", "requests": 9, "failed": 0, "output_throughput": 5.0}],
        "metrics": [METRIC],
        "verdicts": {},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("tool", ORIGINALS)
def test_a_summary_of_any_shape_is_looked_at_or_refused(tool, tmp_path):
    chance, opened = random.Random(7), 0
    path = tmp_path / "mutant.json"
    for _ in range(12):
        path.write_text(json.dumps(mutated(ORIGINALS[tool], chance)))
        try:
            runs = pk.open(path)
        except pk.PerfkitError:
            continue
        opened += 1
        assert "summar" in str(runs.summary())
        assert runs.figures["value"].map(float).notna().all()
        runs.table.to_dict()
        for look in (lambda runs=runs: runs.pareto(dominated=True), lambda runs=runs: runs.trend("p99 ttft")):
            try:
                look()
            except pk.PerfkitError:
                continue
    assert opened > 4
