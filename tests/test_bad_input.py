"""What people mistype, forget or break: one sentence each, exit status 2, and nothing that was measured is lost."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perfkit.cli import main
from perfkit.errors import UsageError
from perfkit.runner.start import start
from tests.recording import Recording, recording

pytestmark = pytest.mark.processes

FILES = {
    "syntax.py": "def x(:\n",
    "raises.py": "import json\nraise ValueError('boom')\n",
    "nothing.py": "x = 1\n",
    "broken.jsonl": '{"prompt": "a"}\n{"prompt": \n',
    "empty.txt": "",
    "odd.jsonl": '{"answer": "a"}\n',
    "bad.toml": "model = \n",
    "list.yaml": "- 1\n",
    "unknown.toml": "tempreature = 1\n",
    "backwards.jsonl": '{"timestamp": 2, "prompt": "a"}\n{"timestamp": 1, "prompt": "b"}\n',
    "torn.json": '[{"instruction": "a"}, {"instr',
    "badtok/tokenizer.json": "{x",
    "notok/config.json": "{}",
    "nodata/readme.md": "",
    "template.json": "[1]",
}

CASES = [
    ("--api opnai", "no api is called 'opnai'; did you mean 'openai'"),
    ("--api nofile.py", "no plugin file at nofile.py"),
    ("--dataset opneqa", "no dataset is called 'opneqa', and no file is there; did you mean 'openqa'"),
    ("--dataset nofile.txt", "no dataset is called 'nofile.txt', and no file is there"),
    ("--dataset longalpaca", "this dataset needs dataset_path; LongAlpaca-12k.json is on Hugging Face"),
    ("--dataset openqa --dataset-path nofile", "no dataset file at nofile"),
    ("--dataset random", "the dataset 'random' never ends; give number or duration"),
    ("--dataset random -n 1 --dataset-args length=long", "length must be a number, [least, most]"),
    ("--dataset-args length=5", "dataset 'sample' has no option 'length' in dataset_args; none is known"),
    ("--dataset odd.jsonl --dataset-args colum=answer", "no option 'colum' in dataset_args; did you mean 'column'?"),
    ("--prompt hi --dataset-args length=5", "dataset 'prompt' has no option 'length' in dataset_args"),
    ("--dataset odd.jsonl --dataset-path empty.txt", "dataset=odd.jsonl and dataset_path=empty.txt are two files"),
    ("--prefix-length 9", "prefix_length is of dataset='random'; got prefix_length=9 with dataset='sample'"),
    ("--dataset odd.jsonl --prefix-length 9", "prefix_length is of dataset='random'; got prefix_length=9"),
    ("--rate 5 --think-time 1", "think_time is between the turns of a conversation; for users who think give parallel"),
    ("--rate 5 --prompt hi --think-time 1", "got think_time=1 with dataset='prompt'"),
    ("--rate 5 --speed 2", "speed is of recorded times, dataset='trace'; got speed=2 with dataset='sample'"),
    ("--speed 2", "speed is of a recorded trace at its own times: dataset='trace' without parallel; got speed=2"),
    ("--arrival constant", "arrival is of the open model; give rate with it, got arrival='constant' and no rate"),
    ("--ramp-shape exponential", "ramp_shape is of a ramp; give ramp with it, in seconds"),
    ("--min-tokens 10 --max-tokens 4", "min_tokens 10 is above max_tokens 4"),
    ("--dataset broken.jsonl", "broken.jsonl:2 is not JSON: Expecting value"),
    ("--dataset odd.jsonl", "odd.jsonl:1 has no prompt or"),
    ("--dataset empty.txt", "dataset 'empty.txt' holds no prompt that may be sent"),
    ("--dataset nodata", "nodata holds no .jsonl"),
    ("--dataset trace --dataset-path backwards.jsonl", "backwards.jsonl:2 is earlier than the record before it"),
    ("--dataset longalpaca --dataset-path torn.json", "torn.json: item 2 of the array is not JSON"),
    ("--api rerank --dataset openqa", "the API rerank needs items with query and documents"),
    ("--tokenizer-path nowhere", "no tokenizer folder at nowhere; give a folder that holds tokenizer.json"),
    ("--tokenizer-path badtok", "cannot read a tokenizer from badtok"),
    ("--tokenizer-path notok", "notok holds no tokenizer: no tokenizer.json"),
    ("--parser syntax.py", "syntax.py:1: SyntaxError"),
    ("--parser raises.py", "raises.py:2: ValueError: boom"),
    ("--parser nothing.py", "nothing.py must define one plugin class"),
    ("--parser nofile.py", "no plugin file at nofile.py"),
    ("--parser no_module.Class", "cannot import the parser's module 'no_module'"),
    ("--plugins nofile.py", "no plugin file or folder at nofile.py"),
    ("--plugins syntax.py", "syntax.py:1: SyntaxError"),
    ("--url ftp://x", "url must look like http://host:port, got 'ftp://x'"),
    ("--rate 0", "rate must be above 0 requests/s, or -1 for all at once, got 0"),
    ("--rate 1 --parallel 1", "rate and parallel exclude each other"),
    ("--parallel 0", "parallel must be at least 1 user, got 0"),
    ("--parallel many", "parallel must be a whole number, got 'many'"),
    ("--parallel 1 2 3 --number 1 2", "number has 2 values for 3 points of parallel"),
    ("--number 0", "number must be at least 1 request, got 0"),
    ("--query-template {x", "query_template is not JSON"),
    ("--query-template @template.json", "query_template must be a JSON object"),
    ("--query-template @nofile", "cannot read the query template nofile"),
    ("--prompt @gbk.txt", "the prompt file gbk.txt is not UTF-8 in line 1"),
    ("--query-template @gbk.txt", "the query template gbk.txt is not UTF-8 in line 1"),
    ("--api-key @gbk.txt", "the key file gbk.txt is not UTF-8 in line 1"),
    ("--config gbk.txt", "gbk.txt is not UTF-8 in line 1"),
    ("--dataset gbk.txt", "gbk.txt is not UTF-8 in line 1"),
    ("--prompt hi --dataset odd.jsonl", "prompt is one prompt for every request, dataset asks others"),
    ("--prompt hi --dataset-path odd.jsonl", "prompt is one prompt for every request, dataset_path asks others"),
    (
        "--dataset random -n 1 --dataset-args length=99 --max-prompt-length 5",
        "length in dataset_args and max_prompt_length both say how long prompts are",
    ),
    ("--prompt @nofile", "cannot read the prompt file nofile"),
    ("--api-key env:NO_SUCH_KEY", "set the environment variable NO_SUCH_KEY"),
    ("--api-key @nofile", "cannot read the key file nofile"),
    ("--headers Authorization", "headers takes KEY=VALUE, got 'Authorization'"),
    ("--parameters top_p", "parameters takes KEY=VALUE, got 'top_p'"),
    ("--extra-args {x", "extra_args is not JSON"),
    ("--tempreature 1", "run has no option --tempreature; did you mean '--temperature'"),
    ("--temperature hot", "temperature must be a number, got 'hot'"),
    ("--warmup soon", "warmup soon is neither a count of requests such as 20"),
    ("--duration -1", "duration must be above 0, got -1"),
    ("--max-error-rate 5", "max_error_rate must be between 0 and 1, got 5"),
    ("--arrival possion", "arrival must be one of poisson, constant, gamma; got 'possion'"),
    ("--min-prompt-length 5 --max-prompt-length 3", "min_prompt_length 5 is above max_prompt_length 3"),
    ("--config nofile.toml", "cannot read nofile.toml"),
    ("--config bad.toml", "bad.toml is not well formed"),
    ("--config list.yaml", "list.yaml must hold a table of arguments, got a list"),
    ("--config unknown.toml", "no argument is called 'tempreature'; did you mean 'temperature'"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Recording]:
    with recording() as running:
        yield running


@pytest.fixture(autouse=True)
def _among_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "gbk.txt").write_bytes("解释一下编码".encode("gbk"))
    monkeypatch.chdir(tmp_path)


def run(server: Recording, *words: str) -> int:
    return main(["run", "--url", server.url, "--model", "m", "--workers", "0", *words])


@pytest.mark.parametrize(("words", "told"), CASES, ids=[words for words, _ in CASES])
def test_a_mistake_is_one_sentence_and_exit_status_two(
    server: Recording, capsys: pytest.CaptureFixture[str], words: str, told: str
) -> None:
    assert run(server, *words.split()) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("perfkit: ")]
    assert len(said) == 1
    assert told in said[0]
    # Of a file whose second record is wrong a busy machine has sent the first, which is kept.
    left = list(Path("outputs").iterdir()) if Path("outputs").exists() else []
    assert not left or "backwards" in words


@pytest.mark.parametrize(
    "option",
    [
        *("--prompt", "--system", "--note", "--name", "--model", "--db", "--tag", "--extra-args", "--headers"),
        *("--api-key", "--query-template", "--stop", "--dataset", "--parameters", "--url", "--config"),
        "--tokenizer-path",
    ],
)
def test_bytes_that_are_not_utf8_are_refused_in_every_option(
    server: Recording, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    text = os.fsdecode(b"caf\xe9")
    pairs = ("--tag", "--extra-args", "--headers", "--parameters")
    value = f"a={text}" if option in pairs else f'{{"a": "{text}"}}' if option == "--query-template" else text
    prompt = [] if option in ("--prompt", "--dataset") else ["--prompt", "hi"]
    assert run(server, *prompt, "-n", "1", option, value) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("perfkit: ")]
    assert len(said) == 1
    assert not Path("outputs").exists()


def test_a_lone_surrogate_in_a_notebook_is_refused(server: Recording) -> None:
    for given in ({"prompt": "a\ud83d"}, {"extra_args": {"a": ["\ud83d"]}}, {"tags": {"\ud83d": "a"}}):
        with pytest.raises(UsageError, match="must be text that UTF-8 can spell"):
            start(server.url, model="m", **given)
    with pytest.raises(UsageError, match="item 1: UTF-8 cannot spell the text"):
        start(server.url, model="m", dataset=["a", "b\ud83d"], db="a.db", workers=0).wait()


def test_a_lone_surrogate_in_a_file_is_refused_with_its_item(server: Recording, tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"prompt": "half a smile: \\ud83d"}\n')
    with pytest.raises(UsageError, match=r"half.jsonl"):
        start(server.url, model="m", dataset="half.jsonl", db="a.db", workers=0).wait()


def test_what_was_measured_before_a_broken_line_is_kept(
    server: Recording, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "late.jsonl").write_text('{"prompt": "a"}\n' * 1200 + '{"prompt": \n')
    assert run(server, "--dataset", "late.jsonl", "--parallel", "8", "--db", "runs.db") == 2
    assert "late.jsonl:1201 is not JSON" in capsys.readouterr().err
    with closing(sqlite3.connect("runs.db")) as connection:
        stored, whole = connection.execute("SELECT count(*), sum(success) FROM result").fetchone()
        (record,) = connection.execute("SELECT status, problem FROM run").fetchall()
    assert record == ("interrupted", "late.jsonl:1201 is not JSON: Expecting value (character 13)")
    assert whole > 100
    assert stored - whole <= 8  # those under way when the line was met


def test_a_mistake_adds_nothing_to_a_file_that_holds_runs(server: Recording) -> None:
    assert run(server, "--prompt", "hello", "--db", "runs.db", "--name", "good") == 0
    assert run(server, "--dataset", "broken.jsonl", "--db", "runs.db") == 2
    with closing(sqlite3.connect("runs.db")) as connection:
        assert connection.execute("SELECT name FROM run").fetchall() == [("good",)]
        assert connection.execute("SELECT count(DISTINCT run_id) FROM sample").fetchone() == (1,)
