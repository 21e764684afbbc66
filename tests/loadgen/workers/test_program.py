"""The worker as a process: how it ends, what it shows of itself, what reaches it."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from perfkit.errors import PluginFailure, UsageError, WorkerLost
from perfkit.runner.job import Job
from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate
from tests.busyness import busyness
from tests.loadgen.workers.processes import children, family, kill_all, lives, until
from tests.measured import stored
from tests.simulator.logs import read_received

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
    pytest.mark.processes,
]

ENDLESS = {"parallel": 4, "number": 10**6, "max_tokens": 4, "prompt": "hi"}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.01, itl=0.005, output_tokens=4) as simulated:
        yield simulated


def rows(path: Path) -> int:
    """Return how many rows another process has committed so far."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            count: int = db.execute("SELECT count(*) FROM result").fetchone()[0]
        except sqlite3.OperationalError:  # its tables are being made
            return 0
        return count


def endless(server: Simulated, path: Path, **given: Any) -> tuple[Job, int]:
    """Start a job that would never end, and return it with its worker's process once rows are stored."""
    before = set(children(os.getpid()))
    job = start(server.url, **{**ENDLESS, "db": str(path), **given})
    (worker,) = set(children(os.getpid())) - before
    until(lambda: rows(path) > 10)
    return job, worker


ENDED = """
import threading


def ended(job):
    done = threading.Event()
    job.listen(lambda progress: job.done() and done.set())
    if not job.done():
        done.wait()
    job.raise_failure()


"""


def driver(folder: Path, program: str, *words: str) -> "subprocess.Popen[str]":
    """Start a script of a person's own; ``ended(job)`` waits for it without opening its runs."""
    (folder / "script.py").write_text(ENDED + textwrap.dedent(program))
    return subprocess.Popen(
        [sys.executable, "script.py", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ran(folder: Path, program: str, *words: str) -> str:
    """Run a script to its end and return what it printed."""
    process = driver(folder, program, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


# -- Endings -------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_told_and_what_it_had_stored_is_kept(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    job, worker = endless(server, path)
    kill_all(family(worker), signal.SIGKILL)
    with pytest.raises(WorkerLost, match="the worker exited unexpectedly"):
        job.wait()
    assert rows(path) > 10
    assert len(job.runs.requests) >= 10


def test_a_worker_killed_without_its_recorder_loses_no_row_and_is_marked(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    job, worker = endless(server, path)
    _, recorder = family(worker)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerLost):
        job.wait()
    until(lambda: not lives(recorder))
    assert stored(path, "SELECT status FROM run") == [{"status": "interrupted"}]
    assert not path.with_name("run.db-wal").exists()


DRIVER = """
    import sys
    import perfkit as pk
    pk.start(sys.argv[1], parallel=4, number=10**6, max_tokens=4, prompt="hi", db="run.db").wait()
"""


@pytest.mark.parametrize(
    ("order", "code"), [("SIGKILL", -signal.SIGKILL), ("SIGTERM", -signal.SIGTERM), ("SIGINT", -signal.SIGINT)]
)
def test_a_worker_ends_within_two_seconds_of_its_driver(
    server: Simulated, tmp_path: Path, order: str, code: int
) -> None:
    process = driver(tmp_path, DRIVER, server.url)
    path = tmp_path / "run.db"
    until(lambda: rows(path) > 10)
    members = family(process.pid)[1:]
    assert len(members) == 2
    process.send_signal(getattr(signal, order))
    process.communicate(timeout=300)
    took = until(lambda: not any(map(lives, members)))
    assert took < 2.0 * busyness()
    assert process.returncode == code
    assert [row["status"] for row in stored(path, "SELECT status FROM run")] == ["interrupted"]
    assert [each.name for each in tmp_path.glob("run.db*")] == ["run.db"]


def test_sigterm_to_the_worker_alone_is_an_order_to_stop(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    job, worker = endless(server, path)
    os.kill(worker, signal.SIGTERM)
    runs = job.wait(10)
    assert job.interrupted
    assert len(runs) == 1


def test_ctrl_c_does_not_reach_the_worker_itself(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    job, worker = endless(server, path)
    kill_all(family(worker), signal.SIGINT)
    before = rows(path)
    until(lambda: rows(path) > before + 10)
    assert os.getsid(worker) != os.getsid(0)
    job.stop()
    until(lambda: not lives(worker))


def test_an_order_in_the_file_stops_a_run_even_between_two_answers(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with simulate(ttft=0.05, stall_every=3) as stalling:
        job = start(stalling.url, parallel=1, number=9, prompt="hi", preflight=False, db=str(path))
        until(lambda: rows(path) >= 1)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("INSERT INTO control VALUES (0, NULL, 'stop')")
        job.wait(10)
    assert job.interrupted


def test_no_process_is_left_behind(server: Simulated, tmp_path: Path) -> None:
    before = set(children(os.getpid()))
    start(server.url, number=3, db=str(tmp_path / "run.db")).wait(30)
    until(lambda: set(children(os.getpid())) <= before)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_job_that_has_ended_holds_no_file_or_socket(server: Simulated, tmp_path: Path, workers: int) -> None:
    def ended() -> Job:
        job = start(server.url, number=3, prompt="hi", db=str(tmp_path / "run.db"), workers=workers)
        until(job.done)
        return job

    jobs = [ended()]  # what a first job imports may open files of its own
    before = len(os.listdir("/proc/self/fd"))
    jobs.append(ended())
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert [job.progress.done for job in jobs] == [3, 3]


# -- Secrets -------------------------------------------------------------------------------------------------------


def test_a_key_stands_neither_in_the_process_list_nor_in_the_environment(server: Simulated, tmp_path: Path) -> None:
    key = "sk-canary-9876543210"
    job, worker = endless(server, tmp_path / "run.db", api_key=key, headers={"X-Api-Key": key})
    for pid in family(worker):
        for name in ("cmdline", "environ"):
            assert key.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    job.stop()
    assert key.encode() not in b"".join(each.read_bytes() for each in tmp_path.iterdir())


# -- What a person's own code may be -------------------------------------------------------------------------------

NOISY = """
    import sys
    import perfkit as pk

    @pk.register_api("noisy")
    class Noisy(pk.ApiPluginBase):
        def build_request(self, messages, param=None):
            print("{'event': 'ended'}")
            sys.__stdout__.write("not JSON\\n" * 100)
            import os
            os.write(1, b"raw bytes \\xff\\n")
            return {"model": "m", "messages": [{"role": "user", "content": LETTER * 3}], "stream": True}

        def parse_responses(self, responses, request=None, **kwargs):
            return 1, 2

    LETTER = "q"

    ended(pk.start(sys.argv[1], api="noisy", prompt="hi", number=4, db="run.db"))
"""


def test_a_class_of_the_script_itself_reaches_the_worker_and_its_prints_break_nothing(
    server: Simulated, tmp_path: Path
) -> None:
    ran(tmp_path, NOISY, server.url)
    assert [row["success"] for row in stored(tmp_path / "run.db")] == [1] * 4


IMPORTED = """
    import sys
    import perfkit as pk
    import mine

    ended(pk.start(sys.argv[1], api="mine", prompt="hi", number=2, db="run.db"))
"""
MINE = """
import perfkit as pk
import friend


@pk.register_api("mine")
class Mine(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"model": "m", "messages": [{"role": "user", "content": friend.word()}], "stream": True}

    def parse_responses(self, responses, request=None, **kwargs):
        return 1, 2
"""


def test_a_class_of_a_module_beside_the_script_reaches_the_worker(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "friend.py").write_text("def word():\n    return 'friendly'\n")
    log = tmp_path / "received.jsonl"
    with simulate(ttft=0.001, itl=0.001, output_tokens=2, request_log=str(log)) as recording:
        ran(tmp_path, IMPORTED, recording.url)
    asked = [entry["body"]["messages"][0]["content"] for entry in read_received(log) if entry["body"]]  # type: ignore[index]
    assert set(asked) == {"friendly"}


def test_a_script_needs_no_main_guard(server: Simulated, tmp_path: Path) -> None:
    program = """
        import sys
        import perfkit as pk
        print("once")
        ended(pk.start(sys.argv[1], prompt="hi", number=2, db="run.db"))
    """
    assert ran(tmp_path, program, server.url) == "once\n"


FAILING = {
    "build_request": ("raise ValueError('no body today')", "return 1, 2"),
    "parse_responses": ("return {'messages': messages, 'stream': True}", "raise ValueError('no body today')"),
}


@pytest.mark.parametrize("place", FAILING)
def test_a_plugin_that_raises_fails_its_rows_and_names_its_line(server: Simulated, tmp_path: Path, place: str) -> None:
    build, parse = FAILING[place]
    program = f"""
        import sys
        import perfkit as pk

        @pk.register_api("failing")
        class Failing(pk.ApiPluginBase):
            def build_request(self, messages, param=None):
                {build}

            def parse_responses(self, responses, request=None, **kwargs):
                {parse}

        ended(pk.start(sys.argv[1], api="failing", prompt="hi", number=3, preflight=False, db="run.db"))
    """
    ran(tmp_path, program, server.url)
    found = stored(tmp_path / "run.db", "SELECT error_kind, error FROM result")
    assert [row["error_kind"] for row in found] == ["plugin"] * 3
    assert re.search(r"script\.py:\d+.*ValueError: no body today", found[0]["error"])


DATASET = """
    import sys
    import perfkit as pk

    @pk.register_dataset("counting")
    class Counting(pk.DatasetPluginBase):
        def build_messages(self):
            for index in range(100):
                yield [{"role": "user", "content": f"number {index}"}]
            raise OSError("the share has gone")

    job = pk.start(sys.argv[1], dataset="counting", preflight=False, db="run.db")
    try:
        job.wait()
    except pk.PerfkitError as error:
        print(type(error).__name__, error)
"""


def test_a_dataset_that_raises_in_the_worker_leaves_no_file_and_names_its_line(
    server: Simulated, tmp_path: Path
) -> None:
    printed = ran(tmp_path, DATASET, server.url)
    assert re.fullmatch(r"PluginFailure the dataset raised at .*script\.py:\d+: OSError: the share has gone\n", printed)
    assert not (tmp_path / "run.db").exists()


def breaking(after: int) -> Iterator[str]:
    """Yield prompts, then raise."""
    yield from (f"question {number}" for number in range(after))
    raise OSError("the share has gone")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_generator_of_the_driver_that_raises_ends_the_run_which_keeps_what_came(
    server: Simulated, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "run.db"
    job = start(server.url, dataset=breaking(1500), parallel=8, max_tokens=1, db=str(path), workers=workers)
    with pytest.raises(
        PluginFailure, match=r"the dataset raised at .*test_program\.py:\d+: OSError: the share"
    ) as raised:
        job.wait(60)
    (run,) = stored(path, "SELECT status, problem, succeeded FROM run")
    assert (run["status"], run["problem"]) == ("interrupted", str(raised.value))
    assert run["succeeded"] > 100


def test_a_generator_that_raises_before_anything_was_sent_leaves_no_file(server: Simulated, tmp_path: Path) -> None:
    with pytest.raises(PluginFailure, match="the share has gone"):
        start(server.url, dataset=breaking(20), db=str(tmp_path / "run.db")).wait(60)
    assert not (tmp_path / "run.db").exists()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_a_body_that_cannot_leave_the_driver_is_told_and_nobody_waits_for_it(
    server: Simulated, tmp_path: Path, workers: int
) -> None:
    dataset = ["hi", {"messages": threading.Lock()}]
    with pytest.raises(UsageError, match=r"cannot pickle '_thread\.lock' object; give texts, messages, or bodies"):
        start(server.url, dataset=dataset, db=str(tmp_path / "run.db"), workers=workers).wait(30)
    assert not (tmp_path / "run.db").exists()


def test_a_body_that_is_no_json_is_a_failed_request_and_no_lost_worker(server: Simulated, tmp_path: Path) -> None:
    dataset = ["hi", {"messages": [], "stop": {"a", "set"}}]
    start(server.url, dataset=dataset, db=str(tmp_path / "run.db"), preflight=False).wait(30)
    found = stored(tmp_path / "run.db", "SELECT error_kind, error FROM result ORDER BY seq")
    assert [row["error_kind"] for row in found] == [None, "plugin"]
    assert found[1]["error"] == "the body is not JSON: Object of type set is not JSON serializable"


def test_a_generator_that_would_raise_beyond_the_last_request_is_no_failure(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    start(server.url, dataset=breaking(100), number=50, db=str(path)).wait(60)
    assert stored(path, "SELECT status, problem, sent FROM run") == [
        {"status": "finished", "problem": None, "sent": 50}
    ]
