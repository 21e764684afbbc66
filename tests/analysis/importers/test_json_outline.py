"""A tool's JSON file is recognised however it is written, and one that is cut says so; nothing opens as 0 runs."""

import json
import random
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.analysis.importers import recognise
from perfkit.analysis.importers.json_outline import outline
from perfkit.errors import UnsafeFile

FIXTURES = Path(__file__).parents[2] / "fixtures"
OTHERS = FIXTURES / "field/result-files-of-others"
FILES = {
    "guidellm": FIXTURES / "peers/guidellm_4/report.json",
    "vllm": FIXTURES / "peers/vllm_4/result.json",
    "sglang": FIXTURES / "peers/sglang_4/result.jsonl",
    "genai-perf": OTHERS / "genai_perf.json",
    "inference-perf": OTHERS / "inference_perf.json",
    "llmperf": OTHERS / "llmperf.json",
}


def shuffled(value, chance):
    if isinstance(value, dict):
        items = list(value.items())
        chance.shuffle(items)
        return {name: shuffled(each, chance) for name, each in items}
    return [shuffled(each, chance) for each in value] if isinstance(value, list) else value


def sized(path: Path) -> list[int]:
    return [len(run) for run in pk.open(path).requests.groupby("run")["success"].apply(list)]


@pytest.mark.slow
@pytest.mark.parametrize("written", ["pretty", "one line", "sorted", "shuffled", "BOM"])
@pytest.mark.parametrize("tool", FILES)
def test_a_file_is_read_alike_however_it_is_written(tool, written, tmp_path):
    text = FILES[tool].read_text()
    found = json.loads(text)
    path = tmp_path / "anything.json"
    how = {"pretty": {"indent": 4}, "sorted": {"sort_keys": True}}.get(written, {})
    if written == "shuffled":
        found = shuffled(found, random.Random(3))
    path.write_text(("\ufeff" if written == "BOM" else "") + json.dumps(found, **how))
    assert recognise(path) == tool
    assert sized(path) == sized(FILES[tool])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("tool", FILES)
def test_a_file_that_is_cut_is_refused_by_name_with_the_place_where_it_ends(tool, share, tmp_path):
    text = json.dumps(json.loads(FILES[tool].read_text())).encode()
    path = tmp_path / "cut.json"
    path.write_bytes(text[: int(len(text) * share)])
    with pytest.raises(
        UnsafeFile, match=f"result file of {tool} that is cut short: it ends at byte {len(path.read_bytes())}"
    ):
        pk.open(path)


def test_the_case_from_the_field_is_refused_by_name():
    with pytest.raises(UnsafeFile, match="result file of vllm that is cut short: it ends at byte 400, in line 1"):
        pk.open(FIXTURES / "field/truncated-result-file/vllm.json")


def test_the_last_of_several_runs_is_not_lost_in_silence_when_it_is_cut(tmp_path):
    line = FILES["sglang"].read_bytes().rstrip()
    path = tmp_path / "result.jsonl"
    path.write_bytes(line + b"\n" + line[:-50])
    with pytest.raises(UnsafeFile, match=r"result file of sglang that is cut short.*in line 2"):
        pk.open(path)


def test_a_file_of_one_torn_line_is_not_a_run_of_no_requests(tmp_path):
    path = tmp_path / "responses.jsonl"
    path.write_bytes((FIXTURES / "peers/llmeter_4/20261120-2005/responses.jsonl").read_bytes()[:600])
    with pytest.raises(UnsafeFile, match="result file of llmeter that is cut short"):
        pk.open(path)


def test_a_report_without_runs_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"metadata": {"guidellm_version": "0.8.1"}, "benchmarks": []}')
    with pytest.raises(UnsafeFile, match="result file of guidellm that holds no run"):
        pk.open(path)


@pytest.mark.parametrize(
    ("tool", "content"),
    [
        ("genai-bench", {"aggregated_metrics": {"run_duration": 3.0}}),
        ("inference-perf", {"load_summary": {}, "successes": {}, "failures": {}}),
        ("llmeter", {"total_requests": 8, "clients": 4, "n_requests": 2, "total_test_time": 1.5}),
    ],
)
def test_a_summary_that_cannot_be_read_is_refused_by_the_name_of_its_tool(tool, content, tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UnsafeFile, match=f"holds a summary of {tool} without single requests"):
        pk.open(path)


@pytest.mark.slow
def test_names_far_behind_the_first_bytes_are_found(tmp_path):
    path = tmp_path / "sorted.json"
    path.write_text(json.dumps({"errors": [""] * 300_000, "itls": [], "ttfts": []}))
    assert recognise(path) == "vllm"


@pytest.mark.parametrize("text", [b'{"a', b'{"a"', b'{"a": "\\', b"[[[", b"{}}]", b'{"a": 1}]{"b', b"[1, {"])
def test_any_beginning_has_an_outline(text):
    assert outline(text).keys <= {b"a"}
