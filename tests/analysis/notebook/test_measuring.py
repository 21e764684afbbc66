"""Measuring from a real kernel: cells queued, interrupted, and classes that only the notebook knows."""

import queue
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
from jupyter_client.manager import start_new_kernel

from perfkit.simulator import Simulated, simulate
from tests.analysis.notebook.kernels import run_all
from tests.busyness import busyness
from tests.loadgen.workers.processes import lives, until
from tests.measured import stored

pytestmark = [pytest.mark.kernel, pytest.mark.processes]


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.01, itl=0.005, output_tokens=4) as simulated:
        yield simulated


def rows(path: Path) -> int:
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        try:
            count: int = db.execute("SELECT count(*) FROM result").fetchone()[0]
        except sqlite3.OperationalError:  # its tables are being made
            return 0
        return count


def test_no_queued_cell_is_lost_whatever_way_a_run_is_made(server: Simulated, tmp_path: Path) -> None:
    common = f"{server.url!r}, prompt='hi', number=4, parallel=2"
    cells = run_all(
        [
            "import perfkit as pk",
            f"print(len(pk.run({common}, db='a.db').requests))",
            f"job = pk.start({common}, db='b.db')",
            "print(len((await job).requests))",
            f"print(len(pk.run({common}, db='c.db', workers=0).requests))",
            "import asyncio; await asyncio.sleep(0.01); print('the loop is whole')",
        ],
        tmp_path,
    )
    assert [cell.error for cell in cells if cell.error] == []
    assert all(cell.ended for cell in cells)
    printed = [cells[index].text.splitlines()[-1] for index in (1, 3, 4, 5)]
    assert [text[-1] for text in printed[:3]] == ["4", "4", "4"]  # a live line may stand before it
    assert printed[3] == "the loop is whole"
    for name in "abc":
        assert stored(tmp_path / f"{name}.db", "SELECT status FROM run") == [{"status": "finished"}]


def test_a_mistake_and_a_server_that_is_down_are_sentences_and_any_other_error_keeps_its_traceback(
    tmp_path: Path,
) -> None:
    with closing(socket.socket()) as unused, kernel(tmp_path) as (_, client):  # bound, and listening to nobody
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        mistake, down, fault = (
            reply_to(client, client.execute(f"import perfkit as pk; {source}", stop_on_error=False))  # type: ignore[attr-defined]
            for source in (
                "pk.open('nowhere')",
                f"pk.run({url!r}, model='m', prompt='hi', db='a.db')",
                "from perfkit.errors import WorkerLost; raise WorkerLost('gone')",
            )
        )
    for shown, begin in (
        (mistake, "UsageError: no result file in 'nowhere'; give a file"),
        (down, "NothingSucceeded: cannot connect to http:"),
    ):
        (sentence,) = shown["traceback"]  # type: ignore[misc,attr-defined]
        assert sentence == f"{shown['ename']}: {shown['evalue']}"
        assert sentence.startswith(begin)
        assert "\n" not in sentence
    assert len(fault["traceback"]) > 1  # type: ignore[arg-type]


def test_classes_and_generators_of_cells_reach_the_worker(server: Simulated, tmp_path: Path) -> None:
    cells = run_all(
        [
            "import perfkit as pk\nsuffix = '!'",
            "@pk.register_api('shouting')\n"
            "class Shouting(pk.DefaultApiPlugin):\n"
            "    def build_request(self, messages, param=None):\n"
            "        return {'model': 'm', 'messages': [{'role': 'user', 'content': word()}], 'stream': True}\n"
            "def word():\n"
            "    return 'hey' + suffix\n",
            "prompts = (f'prompt {index}' for index in range(3))",
            f"runs = pk.run({server.url!r}, api='shouting', dataset=prompts, preflight=False, db='a.db')",
            "print(runs.decoded()['request'].iloc[0]['messages'][0]['content'])",
        ],
        tmp_path,
    )
    assert [cell.error for cell in cells if cell.error] == []
    assert cells[-1].text.strip() == "hey!"
    assert [row["success"] for row in stored(tmp_path / "a.db")] == [1, 1, 1]


@contextmanager
def kernel(folder: Path) -> Iterator[tuple[object, object]]:
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def reply_to(client: object, identity: str, within: float = 60) -> dict[str, object]:
    """Return the reply to one cell."""
    end = monotonic() + within
    while monotonic() < end:
        try:
            reply = client.get_shell_msg(timeout=1)  # type: ignore[attr-defined]
        except queue.Empty:
            continue
        if reply["parent_header"].get("msg_id") == identity:
            content: dict[str, object] = reply["content"]
            return content
    raise TimeoutError(f"no reply within {within:g} s")


def test_an_interrupted_cell_stops_its_own_run_and_no_other(server: Simulated, tmp_path: Path) -> None:
    endless = f"{server.url!r}, prompt='hi', number=10**6, parallel=2"
    ours, other = tmp_path / "ours.db", tmp_path / "other.db"
    with kernel(tmp_path) as (manager, client):
        client.execute("import perfkit as pk")  # type: ignore[attr-defined]
        client.execute(f"job = pk.start({endless}, db='other.db')")  # type: ignore[attr-defined]
        running = client.execute(f"pk.run({endless}, db='ours.db')")  # type: ignore[attr-defined]
        until(lambda: rows(ours) > 10 and rows(other) > 10)
        manager.interrupt_kernel()  # type: ignore[attr-defined]
        reply = reply_to(client, running)
        assert reply["ename"] == "KeyboardInterrupt"
        assert re.fullmatch(
            r"the run was stopped; its [\d,]+ requests are kept: pk\.open\('ours\.db'\)", str(reply["evalue"])
        )
        assert reply["traceback"] == [f"KeyboardInterrupt: {reply['evalue']}"]
        assert stored(ours, "SELECT status FROM run") == [{"status": "interrupted"}]
        before = rows(other)
        until(lambda: rows(other) > before + 10)
        stopped = client.execute("assert not job.done(); job.stop()")  # type: ignore[attr-defined]
        assert reply_to(client, stopped)["status"] == "ok"
    assert stored(other, "SELECT status FROM run") == [{"status": "interrupted"}]


def test_a_job_stopped_in_the_cell_that_started_it_ends_without_a_word(server: Simulated, tmp_path: Path) -> None:
    endless = f"pk.start({server.url!r}, prompt='hi', number=10**6, db='run.db')"
    with kernel(tmp_path) as (_, client):
        cell = client.execute(  # type: ignore[attr-defined]
            f"import perfkit as pk\njob = {endless}\njob.stop()\nruns = await job\nassert job.interrupted\nruns"
        )
        assert reply_to(client, cell)["status"] == "ok"


def test_a_kernel_that_is_killed_loses_no_row_and_leaves_no_process(server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with kernel(tmp_path) as (manager, client):
        client.execute("import perfkit as pk")  # type: ignore[attr-defined]
        client.execute(  # type: ignore[attr-defined]
            f"job = pk.start({server.url!r}, prompt='hi', number=10**6, parallel=2, db='run.db')"
        )
        until(lambda: rows(path) > 10)
        worker = stored(path, "SELECT pid FROM run")[0]["pid"]
        manager.shutdown_kernel(now=True)  # type: ignore[attr-defined]
        until(lambda: not lives(worker))
    assert stored(path, "SELECT status FROM run") == [{"status": "interrupted"}]
    assert [each.name for each in tmp_path.glob("run.db*")] == ["run.db"]


@pytest.mark.parametrize("attached", [False, True])
def test_interrupting_an_awaited_job_ends_the_wait_and_not_the_job(
    server: Simulated, tmp_path: Path, attached: bool
) -> None:
    path = tmp_path / "run.db"
    with kernel(tmp_path) as (manager, client):
        client.execute("import perfkit as pk")  # type: ignore[attr-defined]
        client.execute(  # type: ignore[attr-defined]
            f"job = pk.start({server.url!r}, prompt='hi', number=10**6, parallel=2, db='run.db')"
        )
        until(lambda: rows(path) > 10)
        source = ("job = pk.attach('run.db')\n" if attached else "") + "print('waiting', flush=True)\nawait job"
        waiting = client.execute(source)  # type: ignore[attr-defined]
        until_printed(client, waiting)
        sleep(0.5)  # what the kernel does before it awaits is interrupted otherwise
        manager.interrupt_kernel()  # type: ignore[attr-defined]
        begun = monotonic()
        reply = reply_to(client, waiting)
        assert monotonic() - begun < busyness()
        assert (reply["ename"], reply["evalue"]) == (
            "CancelledError",
            "the wait was interrupted; the job goes on in run.db, until its end or job.stop()",
        )
        assert reply["traceback"] == [f"CancelledError: {reply['evalue']}"]
        before = rows(path)
        until(lambda: rows(path) > before + 10)
        status: object = "aborted"
        while status == "aborted":  # as cells are that come within some time after an interruption
            stopped = client.execute("assert not job.done()\njob.stop()\nassert len((await job).requests)")  # type: ignore[attr-defined]
            status = reply_to(client, stopped)["status"]
        assert status == "ok"
    assert stored(path, "SELECT status FROM run") == [{"status": "interrupted"}]


def until_printed(client: object, identity: str) -> None:
    """Wait until a cell has printed something."""
    while True:
        message = client.get_iopub_msg(timeout=300)  # type: ignore[attr-defined]
        if message["msg_type"] == "stream" and message["parent_header"].get("msg_id") == identity:
            return
