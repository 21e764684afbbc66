"""``texts=False``: no prompt, body or answer is kept anywhere; hashes, counts and time stamps are."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.errors import NothingSucceeded, UsageError
from perfkit.runner.start import replay, start
from tests.measured import stored
from tests.recording import Recording, recording

pytestmark = pytest.mark.processes

SAID, ANSWERED = "Dear doctor Zwyx", "Dear patient Qwup"
ANSWER = {
    "choices": [{"index": 0, "message": {"role": "assistant", "content": ANSWERED}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
PLUGIN = """
import perfkit as pk

class Mine(pk.DefaultApiPlugin):
    def build_request(self, messages, param):
        raise ValueError(messages)
"""


@pytest.fixture
def server() -> Iterator[Recording]:
    with recording() as running:
        running.answer = ANSWER
        yield running


def run(server: Recording, folder: Path, **given: Any) -> pk.Runs:
    options = {"model": "m", "workers": 0, "number": 2, "texts": False, "db": str(folder / "a.db"), **given}
    return start(server.url, **options).wait()


def words_in(folder: Path) -> list[str]:
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return [word for word in ("Zwyx", "Qwup") if word.encode() in kept]


def test_no_text_is_kept_and_every_number_is(server: Recording, tmp_path: Path) -> None:
    (tmp_path / "talk.jsonl").write_text(json.dumps({"turns": [SAID, "And then?"]}) + "\n")
    runs = run(server, tmp_path, dataset=str(tmp_path / "talk.jsonl"), system=SAID, note="mine")
    assert ANSWERED in json.dumps(server.received[-1].body)  # the next turn was made of it all the same
    assert words_in(tmp_path) == []
    for row in stored(tmp_path / "a.db"):
        assert [row[name] for name in ("request", "response_messages", "prompt_text", "output_text")] == [None] * 4
        assert len(row["prompt_hash"]) == 16
        assert (row["prompt_tokens"], row["completion_tokens"], row["finish_reason"]) == (3, 2, "stop")
        assert row["latency"] > 0
    (record,) = stored(tmp_path / "a.db", "SELECT arguments, note FROM run")
    assert json.loads(record["arguments"])["system"] == "***"
    assert record["note"] == "mine"
    assert "Zwyx" not in repr(runs)
    runs.report(tmp_path / "r.md")
    runs.decoded().to_csv(tmp_path / "all.csv")
    assert words_in(tmp_path) == []
    with pytest.raises(UsageError, match="texts=False"):
        replay(runs, workers=0).wait()


@pytest.mark.parametrize("preflight", [True, False])
def test_what_a_server_quotes_of_a_prompt_in_its_error_is_not_kept(
    server: Recording, tmp_path: Path, preflight: bool, capfd: Any
) -> None:
    server.status, server.answer = 400, {"error": {"message": f"cannot answer {SAID}"}}
    with pytest.raises(NothingSucceeded, match="HTTP 400") if preflight else pytest.MonkeyPatch.context():
        run(server, tmp_path, prompt=SAID, preflight=preflight, debug=True)
    (row, *_) = stored(tmp_path / "a.db", f"SELECT * FROM {'preflight' if preflight else 'result'}")
    assert row["error"] == "HTTP 400 (its words are not kept: texts=False)"
    assert words_in(tmp_path) == []
    assert "Zwyx" not in "".join(capfd.readouterr())


def test_what_a_plugin_quotes_of_a_prompt_is_not_kept(server: Recording, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    with pytest.raises(NothingSucceeded, match="ValueError"):
        run(server, tmp_path, prompt=SAID, api=f"{tmp_path}/mine.py:Mine", number=1)
    (row,) = stored(tmp_path / "a.db", "SELECT * FROM preflight")
    assert row["error"] == f"{tmp_path}/mine.py:6: ValueError (its words are not kept: texts=False)"
    assert words_in(tmp_path) == []


def test_the_option_is_that_of_the_command_line_and_debug_says_that_nothing_is_kept(
    server: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--url", server.url, "--model", "m", "--prompt", SAID, "-n", "1", "--no-texts", "--debug", "--name", "a"]
    assert main(["run", *words]) == 0
    assert "not kept" in capfd.readouterr().err
    assert words_in(tmp_path) == []
