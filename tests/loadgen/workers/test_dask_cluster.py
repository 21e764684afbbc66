"""A Dask cluster of real processes carries a load: the same load as one worker, whatever becomes of a part of it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from distributed import Event

from benchmarks.dask_cluster import Cluster, dask_cluster
from perfkit.errors import PerfkitError, UsageError, WorkerLost
from perfkit.runner.start import start
from perfkit.simulator import Simulated, simulate
from perfkit.simulator.truth import read_requests
from tests.certificates import self_signed
from tests.loadgen.workers.processes import PROC, children, family, lives, until
from tests.measured import stored

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc"),
    pytest.mark.processes,
]

KEY = "sk-0123456789abcdef"
SLOW = {"parallel": 4, "max_tokens": 10, "prompt": "hi", "model": "simulated"}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulated]:
    with simulate(ttft=0.01, itl=0.001, output_tokens=4) as simulated:
        yield simulated


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        yield started


def rows_of(path: Path, columns: str) -> list[dict[str, Any]]:
    """Return columns of the load's rows, in the order of run and plan."""
    return stored(path, f"SELECT {columns} FROM result ORDER BY run_id, seq")


def plan_of(path: Path) -> list[tuple[int, str, float]]:
    """Return number, prompt and due time of each request, the times counted from the first."""
    rows = rows_of(path, "seq, prompt_hash, scheduled_time AS due")
    first = min(row["due"] for row in rows)
    return [(row["seq"], row["prompt_hash"], row["due"] - first) for row in rows]


def shares_below(cluster: Cluster) -> list[int]:
    """Return the processes beside the Dask workers."""
    return [pid for worker in cluster.workers.values() for child in children(worker.pid) for pid in family(child)]


# -- One load ------------------------------------------------------------------------------------------------------


def test_the_plan_is_dealt_and_every_row_is_there_once(cluster: Cluster, server: Simulated, tmp_path: Path) -> None:
    alone, dealt = tmp_path / "alone.db", tmp_path / "dealt.db"
    start(server.url, rate=200, number=41, db=str(alone), workers=0).wait(60)
    job = start(server.url, rate=200, number=41, db=str(dealt), workers=cluster.client)
    job.wait(60)
    assert [row[:2] for row in plan_of(dealt)] == [row[:2] for row in plan_of(alone)]
    assert [row[2] for row in plan_of(dealt)] == pytest.approx([row[2] for row in plan_of(alone)], abs=2e-5)
    counted = stored(dealt, "SELECT worker, count(*) AS n FROM result GROUP BY worker")
    assert counted == [{"worker": 0, "n": 21}, {"worker": 1, "n": 20}]
    assert stored(dealt, "SELECT status, sent, succeeded, failed FROM run") == [
        {"status": "finished", "sent": 41, "succeeded": 41, "failed": 0}
    ]
    assert (job.progress.sent, job.progress.done) == (41, 41)
    until(lambda: not shares_below(cluster))


@pytest.mark.alone
def test_offsets_of_clocks_are_measured_and_bounded(cluster: Cluster, server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    start(server.url, parallel=4, duration=1.2, db=str(path), workers=cluster.client).wait(60)
    clocks = stored(path, "SELECT worker, time, offset, bound FROM clock")
    moments = rows_of(path, "start_time, completed_time")
    first, last = min(row["start_time"] for row in moments), max(row["completed_time"] for row in moments)
    for worker in (0, 1):
        own = [clock for clock in clocks if clock["worker"] == worker]
        assert min(clock["time"] for clock in own) < first
        assert max(clock["time"] for clock in own) > last - 1
        # On one machine the clocks are the same: what is measured must be 0 within its bound.
        assert all(abs(clock["offset"]) <= clock["bound"] < 0.01 for clock in own)


def test_a_list_of_prompts_reaches_every_worker(cluster: Cluster, server: Simulated, tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    prompts = [f"question {number}" for number in range(9)]
    given = {"parallel": 3, "preflight": False, "db": str(path), "workers": cluster.client}
    start(server.url, dataset=prompts, **given).wait(60)
    assert [row["prompt_text"] for row in rows_of(path, "prompt_text")] == prompts


def test_the_command_line_takes_the_scheduler_s_address(cluster: Cluster, server: Simulated, tmp_path: Path) -> None:
    words = ["run", "--url", server.url, "--number", "6", "--parallel", "2", "--workers", cluster.address]
    subprocess.run(
        [sys.executable, "-m", "perfkit", *words, "--db", "r.db"], cwd=tmp_path, check=True, capture_output=True
    )
    counted = stored(tmp_path / "r.db", "SELECT worker, count(*) AS n FROM result GROUP BY worker")
    assert counted == [{"worker": 0, "n": 3}, {"worker": 1, "n": 3}]


def test_everything_may_go_through_tls(server: Simulated, tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=1, tls=self_signed(tmp_path)) as cluster:
        start(server.url, number=5, db=str(tmp_path / "r.db"), workers=cluster.client).wait(60)
    assert len(rows_of(tmp_path / "r.db", "seq")) == 5


# -- Endings -------------------------------------------------------------------------------------------------------


@pytest.mark.alone
def test_a_dask_worker_that_is_killed_loses_only_what_was_unfinished(tmp_path: Path) -> None:
    path, log = tmp_path / "r.db", tmp_path / "log.csv"
    with dask_cluster(tmp_path) as cluster, simulate(ttft=0.02, itl=0.005, log=str(log)) as slow:
        job = start(slow.url, **SLOW, number=200, db=str(path), workers=cluster.client)
        address, worker = sorted(cluster.workers.items())[1]
        until(lambda: job.progress.done >= 20)
        shares = [pid for child in children(worker.pid) for pid in family(child)]
        killed = time.monotonic_ns()
        worker.send_signal(signal.SIGKILL)
        job.wait(60)
        until(lambda: not any(lives(pid) for pid in shares))
    finished = {each.req: each.end_ns for each in read_requests(log) if each.outcome == "ok"}
    kept = stored(
        path, "SELECT server_request_id AS id FROM result WHERE success UNION SELECT server_request_id FROM preflight"
    )
    missing = finished.keys() - {int(row["id"].rpartition("-")[2]) for row in kept}
    assert len(kept) == len(finished) - len(missing)
    assert all(finished[each] > killed - 0.25e9 for each in missing)
    by_worker = {row["worker"]: row["n"] for row in stored(path, _COUNTS)}
    assert by_worker[0] == 100
    assert 0 < by_worker[1] < 100
    (run,) = stored(path, "SELECT status, verdict, reasons, succeeded FROM run")
    assert run["verdict"] != "VALID"
    assert f"worker 2 of 2, beside {address}, died: its share of the load is missing" in run["reasons"]
    assert run["succeeded"] == sum(by_worker.values())
    assert run["status"] == "interrupted"


_COUNTS = "SELECT worker, count(*) AS n FROM result WHERE success GROUP BY worker"


def test_a_share_that_is_killed_outright_keeps_what_it_had_stored(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with simulate(ttft=0.02, itl=0.005) as slow:
        job = start(slow.url, **SLOW, number=200, db=str(path), workers=cluster.client)
        until(lambda: job.progress.done >= 20)
        for worker in cluster.workers.values():
            for child in children(worker.pid):
                os.killpg(child, signal.SIGKILL)
        with pytest.raises(WorkerLost, match=r"the connection to worker . of 2, beside"):
            job.wait(60)
    (run,) = stored(path, "SELECT status, verdict, succeeded FROM run")
    assert (run["status"], run["verdict"]) == ("interrupted", "SUSPECT")
    assert run["succeeded"] == sum(row["n"] for row in stored(path, _COUNTS)) >= 20


@pytest.mark.parametrize("texts", [True, False])
def test_a_share_whose_recorder_is_killed_goes_on_with_another_one(
    cluster: Cluster, tmp_path: Path, texts: bool
) -> None:
    path, log = tmp_path / "r.db", tmp_path / "log.csv"
    with simulate(ttft=0.02, itl=0.005, log=str(log)) as slow:
        job = start(slow.url, **SLOW, number=600, texts=texts, db=str(path), workers=cluster.client)
        until(lambda: job.progress.done >= 20)
        for worker in cluster.workers.values():
            for share in children(worker.pid):
                for recorder in children(share):
                    os.kill(recorder, signal.SIGKILL)
        job.wait(300)
    rows = stored(
        path, "SELECT seq, server_request_id AS id FROM result UNION ALL SELECT -1, server_request_id FROM preflight"
    )
    assert sorted(row["seq"] for row in rows) == list(range(-1, 600))
    answered = [each.req for each in read_requests(log) if each.outcome == "ok" and each.events]
    assert sorted(int(row["id"].rpartition("-")[2]) for row in rows) == sorted(answered)
    (run,) = stored(path, "SELECT status, succeeded, remarks FROM run")
    assert (run["status"], run["succeeded"]) == ("finished", 600)
    assert "was started again once" in run["remarks"]


def test_stopping_reaches_every_share(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    with simulate(ttft=0.02, itl=0.005) as slow:
        job = start(slow.url, **SLOW, duration=60, db=str(path), workers=cluster.client)
        until(lambda: job.progress.done >= 8)
        job.stop()
    assert job.interrupted
    assert stored(path, "SELECT status FROM run") == [{"status": "interrupted"}]
    until(lambda: not shares_below(cluster))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_is_interrupted_or_killed_leaves_no_share_behind(
    cluster: Cluster, tmp_path: Path, how: signal.Signals
) -> None:
    path = tmp_path / "r.db"
    with simulate(ttft=0.02, itl=0.005) as slow:
        words = ["run", "--url", slow.url, "--duration", "600", "--workers", cluster.address, "--db", str(path)]
        driver = subprocess.Popen([sys.executable, "-m", "perfkit", *words], stdout=subprocess.DEVNULL)
        until(lambda: path.exists() and stored(path, "SELECT 1 FROM sqlite_master WHERE name = 'result'"))
        until(lambda: len(rows_of(path, "seq")) > 4)
        driver.send_signal(how)
        status = driver.wait(120)
        until(lambda: not shares_below(cluster))
    assert status == (130 if how is signal.SIGINT else -signal.SIGKILL)


# -- What is told, and what is not -----------------------------------------------------------------------------------


def test_no_key_is_seen_by_dask_or_in_any_process_list(cluster: Cluster, tmp_path: Path) -> None:
    with simulate(ttft=0.02, itl=0.005) as slow:
        given = {**SLOW, "api_key": KEY, "headers": {"X-Tenant": KEY}, "db": str(tmp_path / "r.db")}
        job = start(slow.url, **given, duration=60, workers=cluster.client)
        until(lambda: job.progress.done >= 8)
        tasks = cluster.client.run_on_scheduler(_tasks)
        words = [b"".join((PROC / str(pid) / name).read_bytes() for name in ("cmdline", "environ")) for pid in _all()]
        job.stop()
    assert any("perfkit-share" in task for task in tasks)
    for place in (*tasks, cluster.logs, *(word.decode("utf-8", "replace") for word in words)):
        assert KEY not in place


def _tasks(dask_scheduler: object) -> list[str]:
    """Return all that a scheduler knows of its tasks, pickled arguments included."""
    import pickle

    return [f"{task!r} {pickle.dumps(task.run_spec)!r}" for task in dask_scheduler.tasks.values()]  # type: ignore[attr-defined]


def _all() -> list[int]:
    return family(os.getpid())


def test_what_is_wrong_on_one_host_names_it(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(PerfkitError, match=r"worker 1 of 2, beside tcp://.*, says: "):
        start("http://127.0.0.1:9", number=2, db=str(tmp_path / "r.db"), workers=cluster.client).wait(60)


@pytest.mark.parametrize("host", ["", "localhost"])
def test_the_driver_s_port_and_host_can_be_chosen(
    cluster: Cluster, server: Simulated, tmp_path: Path, host: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            dask.config.set({"perfkit.driver": f"{host}:{port}"}),
            pytest.raises(
                UsageError,
                match=rf"cannot listen on port {port} \(perfkit.driver is '{host}:{port}'\): Address already",
            ),
        ):
            start(server.url, number=5, db=str(tmp_path / "r.db"), workers=cluster.client)
    with dask.config.set({"perfkit.driver": f"{host}:{port}"}):
        for _ in range(2):  # what the first run has left of its connections is in nobody's way
            job = start(server.url, number=5, db=str(tmp_path / "r.db"), workers=cluster.client)
            ends = [each for each in psutil.Process().net_connections() if each.laddr and each.laddr.port == port]
            called = [each for each in ends if each.status == psutil.CONN_ESTABLISHED]
            job.wait(60)
            assert len(called) == 6  # orders, events and rows of two shares
    assert len(rows_of(tmp_path / "r.db", "seq")) == 10


@pytest.mark.parametrize("told", [":many", "host:9000/path", "http://host:9000", ":70000"])
def test_a_driver_s_address_that_is_none_is_told(cluster: Cluster, told: str) -> None:
    with dask.config.set({"perfkit.driver": told}), pytest.raises(UsageError, match="HOST:PORT, HOST or :PORT"):
        start("http://127.0.0.1:9", model="m", workers=cluster.client)


def test_a_cluster_without_workers_is_told(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=0) as cluster, pytest.raises(UsageError, match="has no worker; start some"):
        start("http://127.0.0.1:9", model="m", workers=cluster.client)


def test_a_worker_that_is_busy_or_cannot_start_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfkit.loadgen.workers.dask_cluster.STARTS_WITHIN", 1.0)
    free = Event("free", client=cluster.client)
    busy = [cluster.client.submit(Event.wait, free, pure=False, workers=[address]) for address in cluster.workers]
    with pytest.raises(WorkerLost, match=r"worker 1 of 2, beside .* has not started within 1 s: it must be idle"):
        start("http://127.0.0.1:9", model="m", workers=cluster.client)
    free.set()
    cluster.client.gather(busy)
    until(lambda: not any("perfkit" in task for task in cluster.client.run_on_scheduler(_tasks)))


def test_a_scheduler_that_does_not_answer_is_told() -> None:
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127.0.0.1:9"):
        start("http://127.0.0.1:9", model="m", workers="tcp://127.0.0.1:9")
