"""One plugin of each generation, from its file to its row."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate

pytestmark = pytest.mark.processes

HEAD = "import json, time\nfrom perfkit import *\n"

OLDEST = """
class PerfPlugin(PerfPluginBase):
    def build_request(self, model, prompt=None, dataset=None, max_length=10**9, min_length=0, **kwargs):
        for text in [prompt] if prompt else self.dataset_line_by_line(dataset):
            yield {"model": model, "messages": [{"role": "user", "content": text.strip()}], **kwargs}

    def parse_responses(self, responses, **kwargs):
        usage = json.loads(responses[-1])["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"]
"""

A = """
class Plugin(ApiPluginBase):
    def __init__(self, model_path):
        self.model_path = model_path

    def build_request(self, messages, param):
        return {"model": param.model, "messages": messages, "stream": STREAM, "stream_options": {"include_usage": True}}

    def parse_responses(self, responses, request=None, **kwargs):
        usage = json.loads(responses[-1])["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"]
"""

B = """
class Plugin(ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"model": self.param.model, "messages": messages, "stream": False}

    async def process_request(self, client_session, url, headers, body):
        async with client_session.post(url, data=json.dumps(body), headers=headers) as response:
            yield response.status >= 400, response.status, await response.text()

    def parse_responses(self, responses, request=None, **kwargs):
        usage = json.loads(responses[-1])["usage"]
        return usage["prompt_tokens"], usage["completion_tokens"]
"""

C = """
class Plugin(DefaultApiPlugin):
    def build_request(self, messages, param=None):
        return {"model": self.param.model, "messages": messages, "stream": STREAM}

    def parse_responses(self, responses, request=None, **kwargs):
        assert json.loads(request)["messages"] and all(isinstance(message, dict) for message in responses)
        return 11, 5
"""

C_OWN = """
class Plugin(ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"model": self.param.model, "messages": messages, "stream": False}

    async def process_request(self, client_session, url, headers, body):
        began = time.perf_counter()
        async with client_session.post(url, data=json.dumps(body), headers=headers) as response:
            answer = await response.json()
        ended = time.perf_counter()
        return BenchmarkData(
            request=json.dumps(body), start_time=began, completed_time=ended, success=True, status_code=200,
            response_messages=[answer], query_latency=ended - began, first_chunk_latency=ended - began,
            prompt_tokens=11, completion_tokens=5,
            generated_text=answer["choices"][0]["message"]["content"],
        )
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.02, itl=0.002, output_tokens=5) as simulated:
        yield simulated


def rows(server: Simulated, tmp_path: Path, plugin: str, **options: Any) -> list[dict[str, Any]]:
    """Measure two requests with a plugin file and return what was stored."""
    (tmp_path / "plugin.py").write_text(HEAD + plugin)
    given = {"prompt": "Why?", "number": 2, "model": "simulated", "preflight": False, "workers": 0, **options}
    start(server.url, parser=str(tmp_path / "plugin.py"), db=str(tmp_path / "a.db"), **given).wait()
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM result ORDER BY seq")]


@pytest.mark.parametrize(
    ("plugin", "stream", "source"),
    [
        (OLDEST, False, "plugin"),
        (A, True, "plugin"),
        (A, False, "plugin"),
        (B, False, "plugin"),
        (C, True, "plugin"),
        (C, False, "server"),
        (C_OWN, False, "plugin"),
    ],
    ids=["llmuses", "A stream", "A", "B", "C stream", "C", "C-own"],
)
def test_a_plugin_of_each_generation_measures(
    server: Simulated, tmp_path: Path, plugin: str, stream: bool, source: str
) -> None:
    stored = rows(server, tmp_path, plugin.replace("STREAM", str(stream)))
    assert [row["error"] for row in stored] == [None, None]
    assert [row["success"] for row in stored] == [1, 1]
    assert {row["completion_tokens"] for row in stored} == {5}
    assert {row["token_source"] for row in stored} == {source}
    assert {row["is_stream"] for row in stored} == {int(stream)}
    # ttft + 4 * itl: no answer can be shorter, and a plugin must not make it much longer.
    assert all(0.028 <= row["latency"] < 1 for row in stored)
    assert all(row["output_text"] for row in stored)


def test_a_stream_through_an_older_plugin_is_stamped_like_a_built_in_one(server: Simulated, tmp_path: Path) -> None:
    stored = rows(server, tmp_path, A.replace("STREAM", "True"), number=5)
    assert min(row["first_chunk_latency"] for row in stored) >= 0.02
    assert {row["stamp_source"] for row in stored} <= {"kernel", "user"}


def test_what_a_plugin_raises_in_build_request_is_its_rows_error(server: Simulated, tmp_path: Path) -> None:
    broken = C.replace('return {"model"', 'raise RuntimeError("no such template")\n        return {"model"')
    stored = rows(server, tmp_path, broken.replace("STREAM", "True"))
    assert {row["error_kind"] for row in stored} == {"plugin"}
    assert all("plugin.py:6: RuntimeError: no such template" in row["error"] for row in stored)


def test_what_a_plugin_raises_in_parse_responses_is_its_rows_error(server: Simulated, tmp_path: Path) -> None:
    stored = rows(server, tmp_path, A.replace("STREAM", "False").replace('["usage"]', '["no such"]'))
    assert {row["error_kind"] for row in stored} == {"plugin"}
    assert all("KeyError: 'no such'" in row["error"] for row in stored)


def test_items_that_a_plugin_skips_take_no_place(server: Simulated, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("keep one\nskip this\nkeep two\n")
    skipping = """
class Plugin(DefaultApiPlugin):
    def build_request(self, messages, param=None):
        text = messages[-1]["content"]
        return None if text.startswith("skip") else {"messages": messages, "stream": True}
"""
    stored = rows(server, tmp_path, skipping, prompt=None, dataset=str(tmp_path / "lines.txt"), number=None)
    assert [(row["seq"], row["prompt_text"]) for row in stored] == [(0, "keep one"), (1, "keep two")]
