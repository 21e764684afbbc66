"""Result files of other tools: a file of any shape is read, or refused in a sentence."""

import csv
import io
import json
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing, suppress
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

from fuzz.cells import VALUES, looked_at
from fuzz.claims import JSON_VALUES, Change, Claim, changed, changes, main, replaced
from perfkit.analysis.importers import open_imported, recognise
from perfkit.errors import UnsafeFile

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"
JSONS = [
    "peers/aiperf_4/profile_export.jsonl",
    "peers/aiperf_4/profile_export_aiperf.json",
    "peers/guidellm_4/report.json",
    "peers/llmeter_4/20261120-2005/responses.jsonl",
    "peers/sglang_4/result.jsonl",
    "peers/vllm_4/result.json",
    "summaries/aiperf_0.11/concurrency_32/profile_export_aiperf.json",
    "summaries/vllm_0.25.1.json",
    "summaries/vllm_0.25.1_sweep/SERVE--max_num_seqs=4-BENCH--max_concurrency=2-num_prompts=8/summary.json",
    "field/result-files-of-others/genai_perf.json",
    "field/result-files-of-others/inference_perf.json",
    "field/result-files-of-others/llmperf.json",
    "evalscope/evalscope-1.1.1__sweep/outputs/20261120_204040/mock-qwen/parallel_2_number_20/benchmark_summary.json",
    "evalscope/evalscope-1.1.1__sweep/outputs/20261120_204040/mock-qwen/parallel_2_number_20/benchmark_percentile.json",
]
DATABASES = [
    "evalscope/evalscope-1.14.1__dashscope/outputs/20261120_203603/mock-qwen/parallel_4_number_40/benchmark_data.db",
    "evalscope/evalscope-1.14.1__embeddings/outputs/20261120_203440/mock-embed/parallel_4_number_40/benchmark_data.db",
    "evalscope/evalscope-1.7.1__nonstream/outputs/20261120_201420/mock-qwen/parallel_4_number_40/benchmark_data.db",
    "evalscope/llmuses-0.4.3__prompt/named.db",
]
MARKS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b"null",
    b"NaN",
    b"1e999",
    b"\xff",
    b"\0",
    b"\n",
    b'"\\ud800"',
]
LARGEST = 40_000
"""Characters of a file of which a change is tried; of a longer one the first lists' first elements are kept."""


@cache
def honest(name: str) -> list[object]:
    """Return the JSON values of a tool's file."""
    text = (FIXTURES / name).read_text("utf-8")
    found = [json.loads(line) for line in text.splitlines()] if name.endswith("l") else [json.loads(text)]
    return [_shortened(each) for each in found[:4]]


def _shortened(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shortened(part) for name, part in value.items()}
    return [_shortened(part) for part in value[:4]] if isinstance(value, list) else value


def written(folder: str, name: str, content: bytes) -> Path:
    path = Path(folder) / Path(name).name
    path.write_bytes(content)
    return path


def read_or_refused(path: Path) -> None:
    """Read a file as ``pk.open`` does; its name may not be enough to say what it is."""
    if recognise(path) is not None:
        with suppress(UnsafeFile), closing(open_imported(path)) as tables:
            wrong = "SELECT count(*) FROM result WHERE success IS NULL OR success NOT IN (0, 1)"
            assert tables.execute(wrong).fetchone() == (0,)
    looked_at(path)


def a_record_with_any_values_is_read_or_refused(given: tuple[str, list[tuple[int, object]]]) -> None:
    name, values = given
    found = honest(name)
    for place, value in values:
        at = place % len(found)
        found = [*found[:at], replaced(found[at], place // len(found), value), *found[at + 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        read_or_refused(written(folder, name, "\n".join(map(json.dumps, found)).encode() + b"\n"))


def a_file_with_any_changes_is_read_or_refused(given: tuple[str, list[Change]]) -> None:
    name, made = given
    content = "\n".join(map(json.dumps, honest(name))).encode() + b"\n"
    with tempfile.TemporaryDirectory() as folder:
        read_or_refused(written(folder, name, changed(content, made)))


def a_table_with_any_values_is_read_or_refused(given: tuple[str, list[tuple[int, int, object]]]) -> None:
    name, values = given
    with tempfile.TemporaryDirectory() as folder:
        path = written(folder, name, b"")
        shutil.copyfile(FIXTURES / name, path)
        with closing(sqlite3.connect(path)) as db:
            columns = [row[1] for row in db.execute("PRAGMA table_info(result)")]
            db.execute("DELETE FROM result WHERE rowid > 4")
            for place, row, value in values:
                column = columns[place % len(columns)]
                db.execute(f'UPDATE OR IGNORE result SET "{column}" = ? WHERE rowid = ?', (value, row))
            db.commit()
        read_or_refused(path)


TABLE: tuple[tuple[str, str, str, str], ...] = (
    ("Run Info", "Run ID", "", "1"),
    ("Run Info", "Profile", "", '{"type_": "concurrent", "streams": [4]}'),
    ("Run Info", "Backend", "", '{"type_": "openai_http", "target": "http://a", "model": "m"}'),
    ("Benchmark", "Strategy", "", "concurrent"),
    ("Timings", "Duration", "Sec", "12.5"),
    ("Request Counts", "Successful", "", "40"),
    ("Request Counts", "Errored", "", "2"),
    ("Request Latency", "Successful Sec", "Mean", "1.5"),
    ("Request Latency", "Successful Sec", "Percentiles", str([*range(11)])),
    ("Time to First Token", "Successful ms", "Mean", "120.5"),
    ("Time to First Token", "Successful ms", "Median", "100"),
    ("Token Throughput", "Successful Output Tokens/Sec", "Mean", "512"),
)
"""A table of guidellm, by columns: three headings, and a benchmark's cell."""


def a_spreadsheet_with_any_cells_is_read_or_refused(given: tuple[list[tuple[int, str]], list[Change]]) -> None:
    cells, made = given
    lines = [list(line) for line in zip(*TABLE, strict=True)]
    for place, text in cells:
        line = lines[place % len(lines)]
        line[place // len(lines) % len(line)] = text
    out = io.StringIO()
    csv.writer(out).writerows(lines)
    with tempfile.TemporaryDirectory() as folder:
        read_or_refused(written(folder, "benchmarks.csv", changed(out.getvalue().encode("utf-8", "replace"), made)))


STRANGE = (
    JSON_VALUES
    | st.sampled_from([[], {}, [[]], None, True, -1, 0, 10**400, 1e308, "x", "2026-01-01T00:00:00Z", [None, "x", {}]])
    | st.sampled_from([float("nan"), float("inf"), "\ud800", "\x1b[31m", {"value": {}}])
)
CLAIMS = (
    Claim(
        a_record_with_any_values_is_read_or_refused,
        st.tuples(st.sampled_from(JSONS), st.lists(st.tuples(st.integers(0, 4000), STRANGE), min_size=1, max_size=3)),
        cost=20,
    ),
    Claim(a_file_with_any_changes_is_read_or_refused, st.tuples(st.sampled_from(JSONS), changes(MARKS)), cost=20),
    Claim(
        a_table_with_any_values_is_read_or_refused,
        st.tuples(
            st.sampled_from(DATABASES),
            st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), VALUES), min_size=1, max_size=4),
        ),
        cost=40,
    ),
    Claim(
        a_spreadsheet_with_any_cells_is_read_or_refused,
        st.tuples(
            st.lists(
                st.tuples(st.integers(0, 60), st.text(max_size=8) | st.sampled_from(["nan", "-1", "[1", '"'])),
                max_size=3,
            ),
            changes([b",", b'"', b"\n", b"\r", b"\0", b"\xff"]),
        ),
        cost=20,
    ),
)

if __name__ == "__main__":
    sys.exit(main(CLAIMS))
