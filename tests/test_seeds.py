"""The programs that perfkit's first users have in their hands, taken out of their documents and run."""

import contextlib
import io
import re
import runpy
import shlex
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfkit.plugins import load_parser
from perfkit.records import Json
from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate
from tests.simulator.logs import read_received

pytestmark = pytest.mark.processes

SEEDS = Path(__file__).parent / "seeds"
IMPORT = re.compile(r"^(\s*)from (?:evalscope|llmuses)[\w.]* import ", re.MULTILINE)
STAR = "from perfkit import *\n"


def seed(number: str) -> str:
    return (SEEDS / f"{number}.txt").read_text(encoding="utf-8")


def blocks(number: str) -> list[str]:
    """Return the fenced programs of a document."""
    return [textwrap.dedent(block) for block in re.findall(r"```(?:python|bash)\s*\n(.*?)```", seed(number), re.DOTALL)]


def between(number: str, first: str, last: str) -> str:
    """Return what a document without fences has from one line to another."""
    text = seed(number)
    begin = text.index(first)
    return text[begin : text.index(last, begin)]


def ours(program: str) -> str:
    """Rewrite the import lines, and nothing else."""
    return IMPORT.sub(r"\1from perfkit import ", program)


def run_program(folder: Path, program: str, **placeholders: str) -> str:
    """Run a program as a script, in this process, and return what it prints."""
    for placeholder, value in placeholders.items():
        program = program.replace(PLACEHOLDERS[placeholder], value)
    (folder / "program.py").write_text(program, encoding="utf-8")
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        runpy.run_path("program.py", run_name="__main__")
    return printed.getvalue()


PLACEHOLDERS = {
    "endpoint": "https://your-api-endpoint",
    "endpoint_2": "https://your-endpoint",
    "dataset": "path/to/your/dataset.txt",
    "database": "your db path",
    "database_1": "db_name.db",
}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.01, itl=0.001, output_tokens=5) as simulated:
        yield simulated


@pytest.fixture(scope="module")
def slow_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run file whose answers began after more than a second, as the documents' queries ask for."""
    path = tmp_path_factory.mktemp("slow") / "runs.db"
    with simulate(ttft=1.02, itl=0.001, output_tokens=3) as simulated:
        start(simulated.url, prompt="Why?", number=2, parallel=2, db=str(path), workers=0).wait()
    return path


def stored(folder: Path) -> list[tuple[Json, ...]]:
    """Return success, prompt and completion tokens of what a program stored."""
    (path,) = folder.glob("outputs/*.db")
    query = "SELECT success, prompt_tokens, completion_tokens, error FROM result"
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("number", ["000", "002"])
def test_the_reading_program_prints_columns_and_slow_requests(tmp_path: Path, slow_runs: Path, number: str) -> None:
    program = blocks("000")[0] if number == "000" else between("002", "import base64", "Custom API Requests#")
    printed = run_program(tmp_path, program, database=str(slow_runs))
    assert "'request', 'start_time', 'inter_token_latencies', 'success', 'response_messages'" in printed
    assert "len(rows): 2" in printed
    assert len(re.findall(r"request_id: \S+, first_chunk_latency: 1\.\d+", printed)) == 2


def test_the_older_reading_program_prints_prompts_and_answers(tmp_path: Path, slow_runs: Path) -> None:
    printed = run_program(tmp_path, blocks("001")[0], database_1=str(slow_runs))
    assert len(re.findall(r"prompt: Why\?, tokens: \d+, completion: .+, tokens: 3", printed)) == 2


@pytest.mark.parametrize("stream", [True, False])
def test_a_generator_plugin_sends_its_requests_itself(tmp_path: Path, server: Simulated, stream: bool) -> None:
    program = ours(blocks("000")[1]).replace("debug=True,", f"debug=True, stream={stream},")
    printed = run_program(tmp_path, program, endpoint=server.url)
    assert stored(tmp_path)[0][0] == 1
    assert stored(tmp_path)[0][2] == 5
    assert printed


@pytest.mark.parametrize("stream", [True, False])
def test_a_plugin_of_today_is_sent_by_perfkit(tmp_path: Path, server: Simulated, stream: bool) -> None:
    plugin = between("002", "# This is an example", "Usage example:")
    usage = between("002", "from dotenv import dotenv_values", "If your API is not compatible")
    program = ours(f"{plugin}\n{usage}").replace("stream=True,", f"stream={stream},")
    run_program(tmp_path, program, endpoint_2=server.url)
    assert [row[:1] + row[2:] for row in stored(tmp_path)] == [(1, 5, None)]


@pytest.mark.parametrize("number", ["000", "002"])
def test_a_dataset_plugin_gives_the_prompts(tmp_path: Path, server: Simulated, number: str) -> None:
    program = (
        blocks("000")[2] if number == "000" else between("002", "from typing import Dict, Iterator, List", "Notes#")
    )
    (tmp_path / "dataset.txt").write_text("first question\nsecond question\n")
    run_program(tmp_path, ours(program), endpoint=server.url, dataset=str(tmp_path / "dataset.txt"))
    assert [row[0] for row in stored(tmp_path)] == [1, 1]


def test_the_oldest_dataset_class_works_from_a_plugin_file(tmp_path: Path, server: Simulated) -> None:
    (tmp_path / "plugin.py").write_text(ours(blocks("001")[2]), encoding="utf-8")
    (tmp_path / "dataset.txt").write_text("first question\nsecond question\n")
    start(
        server.url,
        plugins=[str(tmp_path / "plugin.py")],
        dataset="custom",
        dataset_path=str(tmp_path / "dataset.txt"),
        preflight=False,
        workers=0,
        db=str(tmp_path / "outputs/runs.db"),
    ).wait()
    assert [row[0] for row in stored(tmp_path)] == [1, 1]


def test_the_oldest_api_class_gets_all_its_names_from_one_import_line(tmp_path: Path) -> None:
    program = blocks("001")[1]
    assert "from evalscope.perf.arguments import Arguments\n" in program
    (tmp_path / "plugin.py").write_text(
        program.replace("from evalscope.perf.arguments import Arguments\n", STAR), encoding="utf-8"
    )
    plugin = load_parser(str(tmp_path / "plugin.py"))
    assert plugin.__name__ == "CustomPlugin"
    # The document leaves both methods to the reader.
    with pytest.raises(NotImplementedError):
        plugin("tokenizer").build_request([], None)


def test_the_flattened_document_is_the_older_one_without_its_indentation() -> None:
    def lines(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]

    flat = lines(seed("004"))
    programs = [line for block in blocks("001") for line in lines(block)]
    assert [line for line in programs if line not in flat] == []


def test_the_plugin_base_class_of_the_oldest_document_is_ours(tmp_path: Path) -> None:
    """Its signatures are what a plugin written for it relies on."""
    import inspect

    from perfkit import PerfPluginBase

    space: dict[str, Json] = {}
    exec(blocks("003")[-1], space)
    theirs = space["PerfPluginBase"]
    for name in ("build_request", "parse_responses", "dataset_line_by_line", "dataset_json_list"):
        documented = inspect.signature(getattr(theirs, name)).parameters
        found = inspect.signature(getattr(PerfPluginBase, name)).parameters
        assert list(found) == list(documented)
        assert [p.default for p in found.values()] == [p.default for p in documented.values()]


LINE_BY_LINE_PROMPT = """
import json
from perfkit import PerfPluginBase

class PerfPlugin(PerfPluginBase):
    def __init__(self, mode_path):
        self.tokenizer = None

    def build_request(self, model, prompt=None, dataset=None, max_length=10**9, min_length=0, **kwargs):
        for text in [prompt] if prompt is not None else self.dataset_line_by_line(dataset):
            if min_length < len(text.strip()) < max_length:
                messages = [{"role": "user", "content": text.strip()}]
                yield {"model": model, "input": {"messages": messages}, "parameters": kwargs}

    def parse_responses(self, responses, **kwargs):
        usage = json.loads(responses[-1])["usage"]
        return usage["input_tokens"], usage["output_tokens"]
"""


def received(server: Simulated) -> dict[str, Json]:
    """Return the last request that the server got, names of headers in lower case."""
    server.stop()
    assert server.simulation.request_log is not None
    last: dict[str, Json] = list(read_received(server.simulation.request_log))[-1]
    return last | {"headers": {name.lower(): value for name, value in last["headers"].items()}}


def test_the_documented_options_are_a_request_to_dashscope(tmp_path: Path) -> None:
    (tmp_path / "line_by_line_prompt.py").write_text(LINE_BY_LINE_PROMPT)
    with simulate(output_tokens=5, ttft=0.01, request_log=str(tmp_path / "log")) as server:
        start(
            f"{server.url}/api/v1/services/aigc/text-generation/generation",
            parallel=1,
            headers=["Authorization=YOUR_DASHSCOPE_API_KEY", "X-DashScope-SSE=enable=True"],
            model="qwen-turbo",
            prompt="hello",
            parameters=["top_p=0.8", "temperature=0.8", "max_tokens=256"],
            parser=str(tmp_path / "line_by_line_prompt.py"),
            number=1,
            preflight=False,
            workers=0,
            db=str(tmp_path / "outputs/runs.db"),
        ).wait()
        request = received(server)
    assert stored(tmp_path)[0][::2] == (1, 5)
    assert request["path"] == "/api/v1/services/aigc/text-generation/generation"
    assert request["headers"]["x-dashscope-sse"] == "enable=True"
    assert request["body"]["parameters"] == {"top_p": 0.8, "temperature": 0.8, "max_tokens": 256}


def test_the_documented_command_line_runs_as_written(tmp_path: Path) -> None:
    command = shlex.split(blocks("003")[2].splitlines()[1])
    assert command[:2] == ["python", "http_client.py"]
    (tmp_path / "dashscope").mkdir()
    (tmp_path / "dashscope/line_by_line_prompt.py").write_text(LINE_BY_LINE_PROMPT)
    with simulate(output_tokens=5, ttft=0.01) as server:
        words = [word.replace("https://dashscope.aliyuncs.com", server.url) for word in command[2:]]
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from perfkit.cli import main; sys.exit(main())", "run", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    assert [row[::2] for row in stored(tmp_path)] == [(1, 5)]
