"""Keys inside a body are sent, and stand in no file, log or repr."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perfkit.cli import main
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.runner.start import replay, start
from tests.recording import Recording, recording

pytestmark = pytest.mark.processes

KEY = "SEKRET-canary-4711"
GIVEN: list[dict[str, Any]] = [
    {"extra_args": {"api_key": KEY}},
    {"extra_args": {"metadata": {"auth": {"apiKey": KEY}}}},
    {"extra_args": {"extra_headers": {"X-Mine": KEY}}},
    {"extra_args": {"params": [{"aws_secret_access_key": KEY}]}},
    {"parameters": [f"access_token={KEY}"]},
    {"query_template": json.dumps({"password": KEY})},
    {"dataset": [{"prompt": "hi", "credentials": {"private": KEY}}]},
]


@pytest.fixture
def server() -> Iterator[Recording]:
    with recording() as running:
        yield running


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_a_key_in_a_body_is_sent_and_stored_nowhere(server: Recording, tmp_path: Path, given: dict[str, Any]) -> None:
    server.answer = {"error": {"message": f"invalid key {KEY}"}}
    options = {"prompt": "hi", "model": "m", "number": 1, "preflight": False, "workers": 0, **given}
    if "dataset" in given:
        del options["prompt"]
    job = start(server.url, db=str(tmp_path / "a.db"), **options)
    runs = job.wait()
    assert KEY in json.dumps(server.received[0].body)
    assert files_with(KEY, tmp_path) == []
    (body,) = runs.decoded()["request"]
    assert "***" in json.dumps(body)
    assert "dataset" in given or KEY not in repr(Arguments(**{**options, "url": server.url}))


def test_a_short_key_is_masked_by_its_name(server: Recording, tmp_path: Path) -> None:
    given = {"model": "m", "prompt": "hi", "number": 1, "workers": 0, "extra_args": '{"api_key": "SEKRET"}'}
    start(server.url, db=str(tmp_path / "a.db"), **given).wait()
    assert server.received[-1].body["api_key"] == "SEKRET"
    assert files_with("SEKRET", tmp_path) == []


def test_a_key_is_neither_on_the_terminal_nor_in_a_file_of_a_run_in_a_process(
    server: Recording, tmp_path: Path
) -> None:
    code = (
        "import json, perfkit as pk\n"
        f"pk.run({server.url!r}, model='m', prompt='hi', number=2, extra_args=json.load(open('e.json')))"
    )
    (tmp_path / "e.json").write_text(json.dumps({"api_key": KEY}))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert KEY not in done.stdout + done.stderr
    assert files_with(KEY, tmp_path) == [tmp_path / "e.json"]


def test_a_replay_asks_for_the_keys_that_the_file_does_not_hold(server: Recording, tmp_path: Path) -> None:
    given = {"model": "m", "prompt": "hi", "number": 1, "workers": 0, "extra_args": {"api_key": KEY}}
    runs = start(server.url, db=str(tmp_path / "a.db"), **given).wait()
    with pytest.raises(UsageError, match="stored without the keys in them; give these again with extra_args"):
        replay(runs, workers=0, db=str(tmp_path / "b.db")).wait()
    replay(runs, workers=0, db=str(tmp_path / "c.db"), extra_args={"api_key": KEY}).wait()
    assert server.received[-1].body["api_key"] == KEY


def test_fields_that_only_look_like_keys_stay() -> None:
    shown = Arguments(extra_args={"max_tokens": 5, "prompt_cache_key": "a", "user": "me"}).shown()["extra_args"]
    assert shown == {"max_tokens": 5, "prompt_cache_key": "a", "user": "me"}


BY_NAME: list[dict[str, Any]] = [
    {"extra_args": {"user": "env:PERFKIT_CANARY"}},
    {"extra_args": ["user=env:PERFKIT_CANARY"]},
    {"extra_args": {"metadata": {"ids": ["env:PERFKIT_CANARY"]}}},
    {"parameters": ["user=env:PERFKIT_CANARY"]},
    {"headers": ["X-Mine=env:PERFKIT_CANARY"]},
]


@pytest.mark.parametrize("given", BY_NAME, ids=str)
def test_a_key_that_is_named_is_sent_and_stored_nowhere(
    server: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.setenv("PERFKIT_CANARY", KEY)
    assert KEY not in repr(Arguments(**given))
    options = {"model": "m", "prompt": "hi", "number": 1, "workers": 0, "db": str(tmp_path / "a.db")}
    start(server.url, **options, **given).wait()
    assert KEY in json.dumps([server.received[-1].body, dict(server.received[-1].headers)])
    assert not files_with(KEY, tmp_path)


def test_a_key_that_is_named_and_not_set_is_refused() -> None:
    with pytest.raises(UsageError, match="set the environment variable NO_SUCH_CANARY"):
        Arguments(extra_args={"user": "env:NO_SUCH_CANARY"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--extra-args api_key=abcdefgh", True),
        ("--parameters access_token=abcdefgh", True),
        ("--headers Authorization=abcdefgh", True),
        ("--extra-args api_key=env:PERFKIT_CANARY", False),
        ("--extra-args top_k=5", False),
        ("--headers X-Count=5", False),
    ],
)
def test_a_key_that_is_typed_is_advised_against(
    server: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, words: str, said: bool
) -> None:
    monkeypatch.setenv("PERFKIT_CANARY", KEY)
    rest = ["--model", "m", "--prompt", "hi", "-n", "1", "--workers", "0", "--db", str(tmp_path / "a.db")]
    main(["run", "--url", server.url, *rest, *words.split()])
    assert ("stays in the shell's history" in capfd.readouterr().err) is said
