"""Command lines of other tools in perfkit's words: what is printed, that it runs, and what a server then gets.

The lines are as the tools' documentation has them; what each sends is read from its source: vLLM of autumn 2026
(``vllm/benchmarks/serve.py``), sglang 0.5.23, guidellm 0.8.1, aiperf 0.13, genai-perf 0.0.16, evalscope 1.14.1.
"""

import json
import shlex
from pathlib import Path

import pytest

from perfkit.cli import main, parser
from perfkit.cli.parser import given
from perfkit.cli.tools import TOOLS, translated
from perfkit.options.arguments import Arguments
from tests.cli.commands import perfkit
from tests.recording import recording

BLOCKS = Path(__file__).with_name("translations.txt").read_text(encoding="utf-8").strip().split("\n\n")
CASES = [
    (block.splitlines()[0].removeprefix("$ "), *block.splitlines()[1:2], block.splitlines()[2:]) for block in BLOCKS
]
IDS = [line[:60] for line, _, _ in CASES]


@pytest.mark.parametrize(("line", "expected", "notes"), CASES, ids=IDS)
def test_a_command_line_is_printed_in_our_words_with_what_differs(line, expected, notes, capsys):
    assert main(["translate", "--", *shlex.split(line)]) == 0
    assert capsys.readouterr().out.splitlines() == [expected, *notes]


@pytest.mark.parametrize(("line", "expected", "notes"), CASES, ids=IDS)
def test_what_is_printed_is_a_command_line_of_ours(line, expected, notes, monkeypatch):
    monkeypatch.setenv("API_KEY", "x")
    monkeypatch.setenv("AUTHORIZATION", "x")
    words = shlex.split(expected)[1:]
    options, unknown = parser(words).parse_known_args(words)
    assert unknown == []
    arguments = Arguments.from_mapping(given(options))
    assert arguments.url in (words[1], tuple(words[1:3]))


def test_each_tool_is_among_the_lines_and_there_are_twenty_of_them():
    assert {translated(shlex.split(line))[0].name for line, _, _ in CASES} == {tool.name for tool in TOOLS.values()}
    assert len(CASES) >= 20


def test_a_key_is_not_printed_again(capsys):
    for line in ("aiperf profile -m q --api-key sk-1234567890abcdef", "guidellm run --backend kind=x,api_key=sk-12345"):
        main(["translate", "--", *line.split()])
        assert "sk-1" not in capsys.readouterr().out


RANDOM = "--dataset-name random --random-input-len 8 --random-output-len 4 --num-prompts 2 --max-concurrency 1"
SENT = [
    (
        f"vllm bench serve --base-url URL --model m {RANDOM}",
        "/v1/completions",
        {"model": "m", "max_tokens": 4, "stream": True, "ignore_eos": True, "repetition_penalty": 1},
        {"temperature"},
    ),
    (
        f"vllm bench serve --backend openai-chat --endpoint /v1/chat/completions --base-url URL --model m {RANDOM} "
        "--temperature 0 --top-k 5",
        "/v1/chat/completions",
        {"model": "m", "max_completion_tokens": 4, "stream": True, "ignore_eos": True, "temperature": 0, "top_k": 5},
        {"max_tokens"},
    ),
    (
        f"python -m sglang.bench_serving --backend sglang-oai --base-url URL --model m {RANDOM} --random-range-ratio 1",
        "/v1/completions",
        {"model": "m", "max_tokens": 4, "stream": True, "ignore_eos": True, "temperature": 0},
        set(),
    ),
    (
        "aiperf profile -m m -u URL --endpoint-type chat --concurrency 1 --request-count 2 --isl 8 "
        "--extra-inputs top_k:5",
        "/v1/chat/completions",
        {"model": "m", "top_k": 5},
        {"temperature", "max_tokens", "ignore_eos"},
    ),
    (
        "evalscope perf --url URL/v1/chat/completions --model m --dataset random --min-prompt-length 8 "
        "--max-prompt-length 8 --max-tokens 4 --parallel 1 -n 2",
        "/v1/chat/completions",
        {"model": "m", "max_tokens": 4, "stream": True, "temperature": 0},
        {"ignore_eos"},
    ),
    (
        "guidellm benchmark --target URL --rate-type synchronous --max-requests 2 --model m "
        "--data prompt_tokens=8,output_tokens=4",
        "/v1/chat/completions",
        {"model": "m", "max_completion_tokens": 4, "stream": True, "ignore_eos": True},
        {"temperature", "max_tokens"},
    ),
]


@pytest.mark.processes
@pytest.mark.parametrize(("line", "path", "fields", "without"), SENT, ids=[each[0][:50] for each in SENT])
def test_a_server_gets_what_the_other_tool_sends(line, path, fields, without, tmp_path):
    with recording() as server:
        _, ours = translated(shlex.split(line.replace("URL", server.url)))
        words = shlex.split(str(ours))[1:]
        done = perfkit(*words, "--no-preflight", "--workers", 0, "--db", "a.db", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [each.path for each in server.received] == [path, path]
        for each in server.received:
            assert each.body | fields == each.body
            assert without & each.body.keys() == set()


MISTAKES = [
    ([], "give another tool's command line: perfkit translate -- vllm bench serve --model m"),
    (["wrk", "-t2"], "wrk -t2 is no benchmark whose options are known here (known: aiperf, evalscope perf, "),
    (
        ["vllm", "bench", "serve", "--num-prompts", "many"],
        "--num-prompts is a number in the command line to translate, got",
    ),
    (["vllm", "bench", "serve", "--extra-body", "{x"], "the extra body is not JSON"),
    (
        ["vllm", "bench", "serve", "--random-input-len", "long"],
        "an option of vllm bench serve cannot be read: could not",
    ),
]


@pytest.mark.parametrize(("words", "told"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_what_cannot_be_translated_is_one_sentence(words, told, capsys):
    assert main(["translate", "--", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"perfkit: {told}")
    assert said.err.count("\n") == 1


def test_what_nobody_knows_is_left_out_and_said(capsys):
    main(["translate", "--json", "--", *shlex.split("vllm bench serve --fancy 3 --model m stray")])
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "--fancy is left out: perfkit has nothing like it" in notes


def test_a_line_in_quotes_and_words_before_it_are_understood(capsys):
    main(["translate", "uv run vllm bench serve --model m --num-prompts 3"])
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("perfkit run http://127.0.0.1:8000/v1/completions --api completions --model m ")
