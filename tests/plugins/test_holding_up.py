"""A plugin that waits without ``await`` is told of, with its file and line, and holds nothing up for ever."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

import perfkit as pk
from perfkit.errors import UsageError
from perfkit.loadgen import run_loop
from perfkit.loadgen.workers import protocol
from tests.cli.commands import begun
from tests.loadgen.workers.processes import until
from tests.measured import rows_of, stored

pytestmark = pytest.mark.alone

PLUGIN = """import asyncio, time
import perfkit as pk


class Plugin(pk.ApiPluginBase):
    path = "/v1/chat/completions"

    def build_request(self, messages, param=None):
        BUILD
        return {"model": "m", "stream": True, "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}
"""
READS = """
    def read_message(self, message, answer, event=None):
        time.sleep(0.05)
        super().read_message(message, answer, event)
"""
PARSES = """
    def parse_responses(self, responses, request=None, **kwargs):
        time.sleep(0.3)
        return 1, 4
"""
SENDS = """
    async def process_request(self, client_session, url, headers, body):
        WAIT
        yield False, 200, "text"
"""
DATASET = """
@pk.register_dataset("mine")
class Mine(pk.DatasetPluginBase):
    def build_messages(self):
        for _ in range(3):
            time.sleep(0.3)
            yield "hi"
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pk.simulate(ttft=0.01, itl=0.001) as server:
        yield server.url


def remarks_of(url: str, folder: Path, text: str, build: str = "pass", **given: Any) -> list[str]:
    """Send three requests by a plugin, and return what was said of it."""
    plugin = folder / "mine.py"
    plugin.write_text(text.replace("BUILD", build))
    rows_of(url, folder, api=f"{plugin}:Plugin", **{"number": 3} | given)
    (row,) = stored(folder / "run.db", "SELECT remarks FROM run")
    return json.loads(row["remarks"] or "[]")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_plugin_that_sends_and_sleeps_is_named_with_its_line(workers: int, url: str, tmp_path: Path) -> None:
    (told,) = remarks_of(url, tmp_path, PLUGIN + SENDS.replace("WAIT", "time.sleep(0.2)"), workers=workers)
    assert f"{tmp_path}/mine.py:13 (process_request) held the client's loop, 0." in told
    (run,) = stored(tmp_path / "run.db", "SELECT verdict, reasons FROM run")
    assert run["verdict"] != "VALID"
    assert "a plugin kept the client's loop from its work" in run["reasons"]


@pytest.mark.parametrize(
    ("text", "build", "place"),
    [
        (PLUGIN, "time.sleep(0.3)", "9 (build_request)"),
        (PLUGIN + READS, "pass", "13 (read_message)"),
        (PLUGIN + PARSES, "pass", "13 (parse_responses)"),
    ],
)
def test_a_plugin_that_keeps_the_recorder_waiting_is_named_with_its_line(
    text: str, build: str, place: str, url: str, tmp_path: Path
) -> None:
    (told,) = remarks_of(url, tmp_path, text, build)
    assert f"{tmp_path}/mine.py:{place} held the recorder, " in told


def test_a_dataset_that_sleeps_is_named_with_its_line(url: str, tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(f"import time\nimport perfkit as pk\n\n{DATASET}")
    (told,) = remarks_of(url, tmp_path, PLUGIN, plugins=[str(tmp_path / "data.py")], dataset="mine", prompt=None)
    assert f"{tmp_path}/data.py:9 (build_messages) held the recorder, " in told


def test_a_plugin_that_awaits_is_not_told_of(url: str, tmp_path: Path) -> None:
    assert remarks_of(url, tmp_path, PLUGIN + SENDS.replace("WAIT", "await asyncio.sleep(0.2)")) == []


def test_a_plugin_that_never_returns_fails_its_request_after_the_read_timeout(url: str, tmp_path: Path) -> None:
    began = monotonic()
    text = PLUGIN + SENDS.replace("WAIT", "time.sleep(100)")
    remarks_of(url, tmp_path, text, number=1, workers=1, read_timeout=0.5)
    assert monotonic() - began < 30
    (row,) = stored(tmp_path / "run.db")
    assert row["error_kind"] == "plugin"
    assert row["error"] == f"{tmp_path}/mine.py:13 (process_request): held the client's loop for 0.5 s (read_timeout)"


HANGING = {
    "build_request": ("mine.py:9 (build_request): held the recorder", PLUGIN.replace("BUILD", "time.sleep(1e6)"), {}),
    "any except": (
        "mine.py:15 (SWALLOWS): held the recorder",
        PLUGIN.replace("BUILD", "from itertools import count; any(SWALLOWS() for _ in count())")
        + "\n\ndef SWALLOWS():\n    try:\n        time.sleep(1e6)\n    except Exception:\n        pass\n",
        {},
    ),
    "dataset": (
        "mine.py:16 (build_messages): held the recorder",
        PLUGIN.replace("BUILD", "pass") + DATASET.replace("0.3", "1e6"),
        {"dataset": "mine", "prompt": None},
    ),
}


@pytest.mark.parametrize("where", HANGING)
def test_a_plugin_that_never_comes_back_ends_the_run_after_the_read_timeout_with_its_line(
    where: str, url: str, tmp_path: Path
) -> None:
    told, text, given = HANGING[where]
    (tmp_path / "mine.py").write_text(text)
    options: dict[str, Any] = {
        "prompt": "hi",
        "number": 2,
        "read_timeout": 0.4,
        "db": str(tmp_path / "run.db"),
        **given,
    }
    job = pk.start(url, model="m", api=f"{tmp_path}/mine.py:Plugin", **options)
    with pytest.raises(UsageError, match=re.escape(told) + r" for 0\.4 s \(read_timeout\)"):
        job.wait(60)


HERE = "open('here', 'w').close(); time.sleep(1e6)"
LOADED = {
    "mine.py:4 (<module>)": PLUGIN.replace("\n\n\n", f"\n\n{HERE}\n"),
    "mine.py:13 (__init__)": PLUGIN.replace("BUILD", "pass") + f"\n    def __init__(self, param):\n        {HERE}\n",
}


@pytest.mark.parametrize("place", LOADED)
def test_a_stop_breaks_off_a_plugin_that_is_never_loaded(
    place: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(LOADED[place])
    job = pk.start(url, model="m", api="mine.py:Plugin", prompt="hi", number=2, db="run.db")
    until((tmp_path / "here").exists)
    with pytest.raises(UsageError, match=re.escape(place) + ": held the worker when the run was to stop"):
        job.stop()


def test_a_stop_breaks_off_a_plugin_that_never_comes_back_and_keeps_every_answer(url: str, tmp_path: Path) -> None:
    waits = f"'3' in request['user'] and (open({str(tmp_path / 'here')!r}, 'w').close(), time.sleep(1e6))"
    asks = PLUGIN.replace("BUILD", "self.n = getattr(self, 'n', 0) + 1").replace(
        '"hi"}]', '"hi"}], "user": str(self.n)'
    )
    (tmp_path / "mine.py").write_text(asks + PARSES.replace("time.sleep(0.3)", waits))
    given: dict[str, Any] = {"prompt": "hi", "number": 9, "preflight": False, "db": str(tmp_path / "run.db")}
    job = pk.start(url, model="m", api=f"{tmp_path}/mine.py:Plugin", **given)
    until((tmp_path / "here").exists)
    job.stop()
    until(job.done)
    rows = stored(tmp_path / "run.db")
    told = f"{tmp_path}/mine.py:13 (parse_responses): held the recorder when the run was to stop"
    assert [row["error"] for row in rows][:3] == [None, None, told]
    assert {row["error_kind"] for row in rows[3:]} <= {None, "interrupted"}
    assert all(row["output_text"] for row in rows if row["error_kind"] is None)
    (run,) = stored(tmp_path / "run.db", "SELECT status, problem FROM run")
    assert run == {"status": "interrupted", "problem": None}


def test_a_stop_waits_for_no_thread_of_a_plugin(url: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN.replace("BUILD", "pass") + SENDS.replace("WAIT", IN_A_THREAD))
    given: dict[str, Any] = {"prompt": "hi", "number": 1, "preflight": False, "db": str(tmp_path / "run.db")}
    job = pk.start(url, model="m", api=f"{tmp_path}/mine.py:Plugin", **given)
    until(lambda: job.progress.in_flight == 1)
    job.stop()
    until(job.done, within=10)
    (row,) = stored(tmp_path / "run.db")
    assert row["error_kind"] == "interrupted"


IN_A_THREAD = "await asyncio.to_thread(time.sleep, 1e6)"


def waiting() -> Iterator[str]:
    """Yield two prompts and never a third."""
    yield "hi"
    yield "hi"
    sleep(1e6)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_iterable_that_never_comes_back_ends_the_run_with_its_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(protocol, "AT_MOST", 0.0)
    given: dict[str, Any] = {"dataset": waiting(), "number": 5, "workers": workers, "db": str(tmp_path / "run.db")}
    job = pk.start(url, model="m", read_timeout=0.4, preflight=False, max_tokens=2, **given)
    with pytest.raises(UsageError, match=r"test_holding_up.py:\d+ \(waiting\): gave no prompt for 0.4 s"):
        job.wait(60)


def test_an_interruption_ends_a_run_whose_dataset_never_comes_back(url: str, tmp_path: Path) -> None:
    waits = DATASET.replace("for _ in", "open('here', 'w').close(); time.sleep(1e6)\n        for _ in")
    (tmp_path / "data.py").write_text(f"import time\nimport perfkit as pk\n\n{waits}")
    words = ("--url", url, "--model", "m", "--plugins", "data.py", "--dataset", "mine", "-n", 2)
    process = begun("run", *words, folder=tmp_path)
    until((tmp_path / "here").exists)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "data.py:8 (build_messages): held the recorder when the run was to stop" in said[1]


def prompts() -> Iterator[str]:
    """Yield prompts for ever, 50 a second."""
    while True:
        sleep(0.02)
        yield "hi"


def test_a_slow_iterable_holds_the_load_up_no_longer_than_for_what_it_needs_at_once(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_loop, "MAKING", 0.1)
    began = monotonic()
    rows = rows_of(url, tmp_path, prompt=None, number=None, dataset=prompts(), duration=0.3)
    assert monotonic() - began < 15  # a thousand of them would take 20 s
    assert {row["success"] for row in rows} == {1}


def test_a_load_that_begins_with_fewer_prompts_than_it_needs_at_once_says_so(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_loop, "MAKING_AT_MOST", 0.2)
    rows_of(url, tmp_path, prompt=None, number=None, dataset=prompts(), duration=0.3, parallel=500)
    (row,) = stored(tmp_path / "run.db", "SELECT remarks FROM run")
    assert "the dataset is slow: after 0.2 s the load began with " in row["remarks"]
