"""What is sent a second time, and what is not: only a request that cannot have reached the server."""

import contextlib
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import perfkit as pk
from tests.measured import rows_of
from tests.ports import free_port
from tests.replay import FIELD
from tests.scripted import BODY, HANG, READ, scripted, whole

pytestmark = [pytest.mark.slow, pytest.mark.processes]

ANSWERED = [READ, whole(BODY)]


def wait_for_server(port: int) -> None:
    """Wait until something listens there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
        else:
            return


def test_a_server_that_works_on_a_request_and_then_closes_has_failed_it() -> None:
    """Each second request on a connection: it is neither sent again nor hidden, and its time is the server's."""
    port = free_port()
    program = FIELD / "resend-hides-failure" / "server.py"
    process = subprocess.Popen([sys.executable, str(program), "0.3", str(port)])
    try:
        wait_for_server(port)
        runs = pk.run(f"http://127.0.0.1:{port}", model="m", parallel=1, number=6, prompt="hi", preflight=False)
    finally:
        process.kill()
        process.wait()
    rows = runs.requests
    assert rows["success"].tolist() == [True, False] * 3
    assert set(rows["error_kind"].dropna()) == {"reset"}
    assert rows["attempts"].tolist() == [1] * 6
    took = (rows["completed_time"] - rows["start_time"])[~rows["success"]]
    assert took.between(0.3, 2.0).all()
    assert runs.summary().rates["resent"].tolist() == [0]


def test_resends_are_counted_in_the_summary_and_judged_in_the_verdict(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with scripted([*ANSWERED, *ANSWERED, HANG]) as server:
        rows_of(server.url, tmp_path, number=2, stream=False)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE result SET attempts = 2 WHERE seq = 1")
    runs = pk.open(path)
    assert runs.summary().rates["resent"].tolist() == [1]
    assert "resent" in str(runs.summary())
    (verdict,) = runs.verdicts.values()
    assert verdict is not None
    (check,) = [check for check in verdict.checks if check.name == "resends"]
    assert (check.level, check.sentence.split(" of ")[0]) == ("SUSPECT", "50 %")
