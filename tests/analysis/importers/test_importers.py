import json
import sqlite3
from pathlib import Path

import pytest

from perfkit.analysis.importers import IMPORTERS, ImportedRun, importer, open_imported, recognise
from perfkit.errors import UnsafeFile
from perfkit.runfile.schema import RESULT_NAMES

FIXTURES = Path(__file__).parents[2] / "fixtures"
DATABASES = sorted((FIXTURES / "evalscope").rglob("*.db"))
PEERS = {
    "guidellm": FIXTURES / "peers/guidellm_4/report.json",
    "aiperf": FIXTURES / "peers/aiperf_4/profile_export.jsonl",
    "llmeter": FIXTURES / "peers/llmeter_4/20261120-2005/responses.jsonl",
    "vllm": FIXTURES / "peers/vllm_4/result.json",
    "sglang": FIXTURES / "peers/sglang_4/result.jsonl",
}

DETAILED = {
    "date": "20261120-200500",
    "endpoint_type": "openai-chat",
    "backend": "openai-chat",
    "model_id": "m",
    "tokenizer_id": "m",
    "num_prompts": 3,
    "request_rate": "inf",
    "max_concurrency": 2,
    "duration": 1.5,
    "input_lens": [10, 20, 30],
    "output_lens": [3, 1, 0],
    "ttfts": [0.1, 0.2, 0.0],
    "itls": [[0.01, 0.03], [], []],
    "start_times": [100.0, 100.5, 101.0],
    "generated_texts": ["a b c", "d", ""],
    "errors": ["", "", "HTTP 500"],
}
SGLANG = {"backend": "sglang", "sharegpt_output_len": None, "request_rate": 4.0, "max_concurrency": None} | {
    name: DETAILED[name]
    for name in ("duration", "input_lens", "output_lens", "ttfts", "itls", "generated_texts", "errors")
}


def table(path: Path, names: str, of: str = "result") -> list[tuple]:
    connection = open_imported(path)
    try:
        return connection.execute(f"SELECT {names} FROM {of} ORDER BY rowid").fetchall()
    finally:
        connection.close()


def folder_name(path: Path) -> str:
    return path.relative_to(FIXTURES).parts[1]


@pytest.mark.parametrize("path", DATABASES, ids=folder_name)
def test_every_generation_of_evalscope_is_recognised_by_content(path):
    assert recognise(path) == "evalscope"


@pytest.mark.parametrize(("tool", "path"), PEERS.items())
def test_every_peer_is_recognised_by_content_whatever_the_file_is_called(tool, path, tmp_path):
    renamed = tmp_path / "anything"
    renamed.write_bytes(path.read_bytes())
    assert recognise(renamed) == tool


@pytest.mark.parametrize("path", [*DATABASES, *PEERS.values()], ids=folder_name)
def test_every_file_becomes_canonical_tables(path):
    connection = open_imported(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(result)")]
    assert columns == list(RESULT_NAMES)
    sent, succeeded, failed, basis = connection.execute("SELECT sent, succeeded, failed, basis FROM run").fetchone()
    rows, good = connection.execute("SELECT count(*), sum(success) FROM result").fetchone()
    assert (sent, succeeded, failed) == (rows, good, rows - good)
    assert set(json.loads(basis)) >= {"ttft", "tpot", "itl", "e2e"}
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM result")
    connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", [*DATABASES, *PEERS.values()], ids=folder_name)
def test_a_number_that_is_missing_is_null_and_never_zero(path):
    for column in ("latency", "first_chunk_latency", "time_per_output_token", "start_time", "completed_time"):
        assert table(path, f"count(*) FILTER (WHERE {column} <= 0)") == [(0,)]
    failed = "count(coalesce(latency, first_chunk_latency, prompt_tokens, completion_tokens))"
    assert table(path, f"{failed} FILTER (WHERE success = 0)") == [(0,)]


def test_the_settings_of_evalscope_come_from_the_files_and_folders_beside():
    path = next(path for path in DATABASES if "1.14.1__doc002" in str(path))
    found = table(path, "model, load, parallel, number, source, strftime('%Y', start_time, 'unixepoch')", "run")
    assert found == [("mock-qwen", "closed", 4, 20, "evalscope", "2026")]


def test_evalscopes_key_is_not_taken_over():
    path = next(path for path in DATABASES if "0.10.1" in str(path))
    (arguments,) = table(path, "arguments", "run")[0]
    assert json.loads(arguments)["api_key"] is None
    assert "Bearer" not in arguments


def test_the_same_file_opened_twice_is_the_same_run():
    first, second = (table(DATABASES[0], "run_id", "run") for _ in range(2))
    assert first == second


def test_evalscopes_failed_rows_keep_the_row_and_no_times():
    path = next(path for path in DATABASES if "1.14.1__dashscope" in str(path))
    assert table(path, "count(*), sum(success), count(request), count(latency)") == [(40, 0, 0, 0)]


@pytest.mark.parametrize(("tool", "path"), PEERS.items())
def test_the_peers_own_means_come_out_of_the_canonical_columns(tool, path):
    ttft, e2e, tokens = table(path, "avg(first_chunk_latency), avg(latency), sum(completion_tokens)")[0]
    expected = {
        "guidellm": (0.10412481427192688, 0.735516220331192),
        "aiperf": (0.10569891875, 0.742662371375),
        "llmeter": (0.13744257737499765, 0.7684751278749786),
        "vllm": (0.10671339675013769, 0.7085711693753183),
        "sglang": (0.11024332750002941, 0.7116711),
    }
    assert (ttft, e2e, tokens) == (*map(pytest.approx, expected[tool]), 512)


def test_guidellms_request_body_and_answer_are_kept():
    request, output, prompt_tokens = table(PEERS["guidellm"], "request, output_text, prompt_tokens")[0]
    assert json.loads(request)["model"] == "paced"
    assert output.startswith(" the of and")
    assert prompt_tokens > 90


def test_aiperfs_gaps_and_last_token_are_kept():
    gaps, last, start, ttft = table(
        PEERS["aiperf"], "inter_token_latencies, last_token_time, start_time, first_chunk_latency"
    )[0]
    assert len(json.loads(gaps)) == 63
    assert last - start - ttft == pytest.approx(sum(json.loads(gaps)), abs=1e-6)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(("tool", "content"), [("vllm", DETAILED), ("sglang", SGLANG)])
def test_lists_of_requests_become_rows(tool, content, indent, tmp_path):
    if tool == "sglang" and indent:
        pytest.skip("sglang writes lines")
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content, indent=indent))
    assert recognise(path) == tool
    rows = table(path, "success, first_chunk_latency, latency, time_per_output_token, completion_tokens, error")
    assert rows == [
        (1, 0.1, pytest.approx(0.14), pytest.approx(0.02), 3, None),
        (1, 0.2, 0.2, None, 1, None),
        (0, None, None, None, None, "HTTP 500"),
    ]


def test_each_line_of_sglangs_file_is_a_run(tmp_path):
    path = tmp_path / "result.jsonl"
    path.write_text(f"{json.dumps(SGLANG)}\n{json.dumps(SGLANG)}\n")
    assert table(path, "count(*), count(DISTINCT run_id), min(rate)", "run") == [(2, 2, 4.0)]


@pytest.mark.parametrize("settings", [{"backend": "vllm", "model_id": "m", "tokenizer_id": "m", "date": ""}, SGLANG])
def test_an_object_without_requests_and_without_a_summary_is_refused(tmp_path, settings):
    path = tmp_path / "result.json"
    left_out = ("ttfts", "itls", "duration", "completed")
    path.write_text(json.dumps({name: value for name, value in settings.items() if name not in left_out}))
    with pytest.raises(UnsafeFile, match="without requests and without a summary"):
        open_imported(path)


def test_a_torn_last_line_loses_only_itself(tmp_path):
    path = tmp_path / "responses.jsonl"
    path.write_bytes(PEERS["llmeter"].read_bytes()[:-200])
    assert table(path, "count(*)") == [(7,)]


def test_a_bad_line_in_the_middle_is_named(tmp_path):
    lines = PEERS["llmeter"].read_text().splitlines()
    path = tmp_path / "responses.jsonl"
    path.write_text("\n".join([lines[0], "{oops", lines[1]]) + "\n")
    with pytest.raises(UnsafeFile, match="line 2"):
        open_imported(path)


@pytest.mark.slow
def test_deeply_nested_json_is_refused(tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"guidellm_version": 1, "benchmarks": ' + "[" * 200_000 + "]" * 200_000 + "}")
    with pytest.raises(UnsafeFile, match="not JSON that can be read"):
        open_imported(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"hello", b"\x00" * 200, b"[1, 2]"])
def test_any_other_file_is_no_ones(content, tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert recognise(path) is None
    with pytest.raises(UnsafeFile, match="not a result file that perfkit knows"):
        open_imported(path)


def test_an_importer_of_ones_own_wins_over_the_built_in(tmp_path):
    @importer("mine")
    class Mine:
        def matches(self, path, head):
            return head.startswith(b"{")

        def read(self, path):
            yield ImportedRun({"name": "mine"}, [{"success": 1, "latency": 2**70}, {"latency": 0.5, "flags": "\ud800"}])

    try:
        assert recognise(PEERS["guidellm"]) == "mine"
        assert table(PEERS["guidellm"], "success, latency, flags") == [(1, None, None), (None, 0.5, "?")]
    finally:
        del IMPORTERS["mine"]


@pytest.mark.parametrize(
    "item", json.loads((FIXTURES.parent / "corpus/files/manifest.json").read_text()), ids=lambda item: item["id"]
)
def test_hostile_databases_are_imported_row_by_row_or_refused(item):
    path = FIXTURES.parent / "corpus/files" / item["path"]
    if item["expect"] == "refuse":
        with pytest.raises(UnsafeFile):
            open_imported(path)
    elif item["expect"].startswith("accept"):
        assert table(path, "count(*)") == [(int(item["expect"].partition(":")[2]),)]
