import json
import re

import pytest

from perfkit.simulator import simulate
from tests.cli.commands import begun, perfkit
from tests.recording import recording

pytestmark = pytest.mark.processes


def test_check_says_what_the_endpoint_does(server, tmp_path):
    said = perfkit("check", server.url, folder=tmp_path).stdout
    assert said.splitlines()[0] == f"endpoint    {server.url}/v1/chat/completions"
    assert "model       tiny" in said
    assert re.search(r"^stream      yes, TTFT [\d.]+ ms", said, re.MULTILINE)
    assert "role chunk  yes, and it is not taken for a token" in said
    assert "usage       from the server: " in said


def test_check_json_is_for_scripts(server, tmp_path):
    found = json.loads(perfkit("check", server.url, "--max-tokens", 5, "--json", folder=tmp_path).stdout)
    assert (found["model"], found["completion_tokens"], found["role_chunk"]) == ("tiny", 5, True)
    assert found["ttft"] >= 0.01


def test_check_of_an_answer_that_is_not_streamed(server, tmp_path):
    said = perfkit("check", server.url, "--no-stream", folder=tmp_path).stdout
    assert "stream      no: TTFT and ITL cannot be measured" in said
    assert "role chunk" not in said


def test_check_says_when_the_server_counts_nothing(tmp_path):
    with simulate(ttft=0.001, itl=0.001, usage="never", role_chunk=False) as server:
        said = perfkit("check", server.url, folder=tmp_path).stdout
    assert "role chunk  no" in said
    assert "usage       not from the server" in said


def test_check_leaves_nothing_behind(server, tmp_path):
    with begun("check", server.url, folder=tmp_path, TMPDIR=str(tmp_path)) as checking:
        checking.communicate(timeout=300)
    assert checking.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_failing_endpoint_is_status_three(tmp_path):
    with simulate(fail_every=1, fail_status=429) as server:
        done = perfkit("check", server.url, folder=tmp_path)
    assert done.returncode == 3
    assert "HTTP 429" in done.stderr


def test_check_says_what_there_is_to_scrape(server, tmp_path):
    said = perfkit("check", server.url, folder=tmp_path).stdout
    (line,) = [line for line in said.splitlines() if line.startswith("metrics ")]
    assert f"series at {server.url}/metrics: it tells running, waiting, kv cache use, prefix cache hits" in line


def test_check_says_that_there_is_nothing_to_scrape(tmp_path):
    with recording() as silent:
        silent.models = ["m"]
        done = perfkit("check", silent.url, "--json", folder=tmp_path)
    assert done.returncode == 0
    found = json.loads(done.stdout)["published"]
    assert (found["url"], found["series"], found["told"]) == (f"{silent.url}/metrics", 0, [])
    assert "not in Prometheus' text format" in found["problem"]
